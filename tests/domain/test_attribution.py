"""Whose memory it is, one situation at a time."""

from __future__ import annotations

from dataclasses import replace

from gpudesk.domain.attribution import attribute
from gpudesk.domain.card import Card, CardProcess, ProcessAccounting
from gpudesk.domain.desk import CardShare, HolderKind, MemorySource
from gpudesk.domain.model import ModelDetails
from gpudesk.domain.process import Process, Runner, RunnerKind
from gpudesk.units import GIBIBYTE, MEBIBYTE
from tests.domain.builders import (
    OTHER_URL,
    RESERVE,
    TOTAL,
    URL,
    assert_adds_up,
    blob,
    card,
    engine,
    holders_by_name,
    manifest,
    model,
    only,
    rest,
    runner,
    seen,
    sizes,
    told,
)


def test_measured_beats_claimed_and_the_rest_is_the_drivers() -> None:
    result = attribute(
        [card((100, 9 * GIBIBYTE), (200, GIBIBYTE), used=12 * GIBIBYTE)],
        [engine(model("qwen3:14b", vram=8 * GIBIBYTE))],
        seen(runner(100), Process(200, "Xorg")),
        [told()],
    )
    assert_adds_up(result)
    (state,) = result.cards
    assert sizes(state) == {
        "qwen3:14b": 9 * GIBIBYTE,
        "Xorg": GIBIBYTE,
        "unattributed": 2 * GIBIBYTE + RESERVE,
    }
    assert state.free_bytes == 12 * GIBIBYTE - RESERVE
    assert rest(state).note == "driver reserve 0.4 GiB"
    found = only(result.models)
    assert found.memory_bytes == 9 * GIBIBYTE
    assert found.memory_source is MemorySource.DRIVER
    assert found.difference_bytes == GIBIBYTE
    assert found.cards == (CardShare(0, 9 * GIBIBYTE),)
    assert found.pids == (100,)
    assert found.host_memory_bytes == GIBIBYTE
    assert found.explanations


def test_holders_are_models_then_processes_by_size_then_the_rest() -> None:
    result = attribute(
        [card((1, GIBIBYTE), (2, 3 * GIBIBYTE), (3, 2 * GIBIBYTE), (4, 5 * GIBIBYTE))],
        [engine(model("small:1b", 1), model("large:3b", 2))],
        seen(runner(1, 1), runner(2, 2), Process(3, "Xorg"), Process(4, "game")),
        [told(1), told(2)],
    )
    names = [(holder.kind, holder.name) for holder in result.cards[0].holders]
    assert names == [
        (HolderKind.MODEL, "large:3b"),
        (HolderKind.MODEL, "small:1b"),
        (HolderKind.PROCESS, "game"),
        (HolderKind.PROCESS, "Xorg"),
        (HolderKind.UNATTRIBUTED, "unattributed"),
    ]


def test_a_model_over_two_cards() -> None:
    result = attribute(
        [card((100, 9 * GIBIBYTE)), card((100, 7 * GIBIBYTE), (5, GIBIBYTE), index=1)],
        [engine(model("llama3.3:70b", vram=15 * GIBIBYTE))],
        seen(runner(100), Process(5, "Xorg")),
        [told()],
    )
    assert_adds_up(result)
    found = only(result.models)
    assert found.memory_bytes == 16 * GIBIBYTE
    assert found.cards == (CardShare(0, 9 * GIBIBYTE), CardShare(1, 7 * GIBIBYTE))
    assert found.explanations == (
        "the driver's context and libraries, about 457 MiB on each card, are never in the claim",
    )


def test_children_of_a_runner_belong_to_its_model() -> None:
    result = attribute(
        [card((100, 6 * GIBIBYTE), (101, 2 * GIBIBYTE), (102, GIBIBYTE), (103, GIBIBYTE))],
        [engine(model("m:1b"))],
        seen(
            runner(100),
            Process(101, "worker", parent_pid=100),
            Process(102, "grandchild", parent_pid=101),
            Process(103, "sibling", parent_pid=900),
        ),
        [told()],
    )
    assert sizes(result.cards[0])["m:1b"] == 9 * GIBIBYTE
    assert sizes(result.cards[0])["sibling"] == GIBIBYTE
    assert only(result.models).pids == (100, 101, 102)


def test_parents_in_a_circle_end() -> None:
    result = attribute(
        [card((1, GIBIBYTE), (2, GIBIBYTE))],
        [],
        seen(Process(1, "a", parent_pid=2), Process(2, "b", parent_pid=1), Process(3, "c", parent_pid=3)),
        [],
    )
    assert_adds_up(result)
    assert {"a", "b"} <= set(sizes(result.cards[0]))


def test_a_runner_started_by_another_runner_is_its_own() -> None:
    result = attribute(
        [card((100, 6 * GIBIBYTE), (101, 2 * GIBIBYTE))],
        [engine(model("a:1b", 1), model("b:1b", 2))],
        seen(runner(100, 1), runner(101, 2, parent=100)),
        [told(1), told(2)],
    )
    assert sizes(result.cards[0])["a:1b"] == 6 * GIBIBYTE
    assert sizes(result.cards[0])["b:1b"] == 2 * GIBIBYTE


# -- the join ------------------------------------------------------------------------------------------------------


def test_without_details_the_manifests_name_joins() -> None:
    result = attribute(
        [card((100, 9 * GIBIBYTE), (101, 2 * GIBIBYTE))],
        [engine(model("qwen3:14b", 1), model("me/tiny:latest", 2))],
        seen(runner(100, 1, name="registry.ollama.ai/library/qwen3:14b"), runner(101, 2, name="me/Tiny")),
        [],
    )
    assert sizes(result.cards[0])["qwen3:14b"] == 9 * GIBIBYTE
    assert sizes(result.cards[0])["me/tiny:latest"] == 2 * GIBIBYTE


def test_an_mlx_runner_names_its_model() -> None:
    mlx = Process(100, "ollama runner", runner=Runner(RunnerKind.MLX, model_name="qwen3-mlx"))
    result = attribute(
        [card((100, 9 * GIBIBYTE))], [engine(model("qwen3-mlx:latest"), model("other:1b", 2))], seen(mlx), []
    )
    assert sizes(result.cards[0])["qwen3-mlx:latest"] == 9 * GIBIBYTE


def test_one_runner_and_one_model_left_over_belong_together() -> None:
    result = attribute(
        [card((100, 9 * GIBIBYTE), (101, 2 * GIBIBYTE))],
        [engine(model("a:1b", 1), model("b:1b", 2))],
        seen(runner(100, 1), runner(101, 7)),
        [told(1)],
    )
    assert sizes(result.cards[0])["a:1b"] == 9 * GIBIBYTE
    assert sizes(result.cards[0])["b:1b"] == 2 * GIBIBYTE


def test_elimination_does_not_overrule_known_blobs() -> None:
    result = attribute([card((100, 9 * GIBIBYTE))], [engine(model("a:1b", 1))], seen(runner(100, 7)), [told(1)])
    assert "a:1b" not in sizes(result.cards[0])
    assert sizes(result.cards[0])["ollama runner (unknown model)"] == 9 * GIBIBYTE


def test_elimination_does_not_overrule_a_known_name() -> None:
    result = attribute(
        [card((100, 9 * GIBIBYTE))], [engine(model("a:1b", 1))], seen(runner(100, 7, name="loading:1b")), []
    )
    assert sizes(result.cards[0])["ollama runner (loading:1b)"] == 9 * GIBIBYTE


def test_two_of_each_left_over_are_not_guessed() -> None:
    result = attribute(
        [card((100, 9 * GIBIBYTE), (101, 2 * GIBIBYTE))],
        [engine(model("a:1b", 1), model("b:1b", 2))],
        seen(runner(100, 7), runner(101, 8)),
        [],
    )
    assert_adds_up(result)
    names = [holder.name for holder in result.cards[0].holders]
    assert names.count("ollama runner (unknown model)") == 2
    assert all(found.memory_source is MemorySource.ENGINE and not found.cards for found in result.models)
    assert all("no process" in found.explanations[0] for found in result.models)


def test_a_runner_no_engine_lists_may_be_loading() -> None:
    result = attribute([card((100, 9 * GIBIBYTE))], [engine()], seen(runner(100, 7)), [])
    holder = holders_by_name(result.cards[0])["ollama runner (unknown model)"]
    assert holder.kind is HolderKind.PROCESS
    assert holder.memory_bytes == 9 * GIBIBYTE
    assert holder.note is not None
    assert "may be loading" in holder.note


def test_any_file_of_the_model_joins_when_the_first_does_not() -> None:
    result = attribute([card((100, 9 * GIBIBYTE))], [engine(model("a:1b"))], seen(runner(100, 5)), [told(1, 4, 5, 6)])
    assert sizes(result.cards[0])["a:1b"] == 9 * GIBIBYTE


def test_the_weights_join_before_a_shared_adapter() -> None:
    details = [told(1, 1, 5), told(2, 5)]
    result = attribute(
        [card((100, 9 * GIBIBYTE), (101, 2 * GIBIBYTE))],
        [engine(model("a:1b", 1), model("b:1b", 2))],
        seen(runner(100, 5), runner(101, 1)),
        details,
    )
    assert sizes(result.cards[0])["b:1b"] == 9 * GIBIBYTE
    assert sizes(result.cards[0])["a:1b"] == 2 * GIBIBYTE


def test_digests_are_compared_without_prefix() -> None:
    row = replace(model("a:1b"), digest=f"sha256:{manifest(1).upper()}")
    result = attribute([card((100, 9 * GIBIBYTE))], [engine(row, model("b:1b", 2))], seen(runner(100, 1)), [told(1)])
    assert sizes(result.cards[0])["a:1b"] == 9 * GIBIBYTE


def test_a_reload_in_progress_counts_both_runners() -> None:
    result = attribute(
        [card((100, 9 * GIBIBYTE), (101, 2 * GIBIBYTE))],
        [engine(model("a:1b"))],
        seen(runner(100, 1), runner(101, 1)),
        [told(1)],
    )
    assert only(result.models).memory_bytes == 11 * GIBIBYTE
    assert only(result.models).pids == (100, 101)


# -- names that share weights --------------------------------------------------------------------------------------


def test_names_that_share_weights_are_one_holder() -> None:
    result = attribute(
        [card((100, 9 * GIBIBYTE))],
        [engine(model("a:1b", 1), model("b:1b", 2), model("c:1b", 3))],
        seen(runner(100, 1)),
        [told(1, 1), told(2, 1), told(3, 1)],
    )
    assert_adds_up(result)
    first, second, third = result.models
    assert sizes(result.cards[0])["a:1b"] == 9 * GIBIBYTE
    assert holders_by_name(result.cards[0])["a:1b"].note == "also loaded as b:1b, c:1b"
    assert (first.memory_bytes, second.memory_bytes, third.memory_bytes) == (9 * GIBIBYTE, 0, 0)
    assert (first.cards, second.cards, third.cards) == ((CardShare(0, 9 * GIBIBYTE),), (), ())
    assert first.shares_runner_with == ("b:1b", "c:1b")
    assert third.shares_runner_with == ("a:1b", "b:1b")
    assert second.runner is first.runner
    assert second.pids == (100,)
    assert second.memory_source is MemorySource.DRIVER
    assert second.difference_bytes is None


def test_names_of_one_manifest_share_without_details() -> None:
    result = attribute(
        [card((100, 9 * GIBIBYTE))], [engine(model("a:1b", 1), model("copy:1b", 1))], seen(runner(100, 1)), []
    )
    assert [found.shares_runner_with for found in result.models] == [("copy:1b",), ("a:1b",)]
    assert sizes(result.cards[0])["a:1b"] == 9 * GIBIBYTE


def test_a_name_listed_twice_is_one_model() -> None:
    result = attribute([card((100, 9 * GIBIBYTE))], [engine(model("a:1b"), model("a:1b"))], seen(runner(100)), [told()])
    assert only(result.models).memory_bytes == 9 * GIBIBYTE


def test_models_stay_in_the_engines_order() -> None:
    rows = [model("c:1b", 1), model("a:1b", 2), model("d:1b", 3), model("b:1b", 2)]
    result = attribute([], [engine(*rows), engine(model("z:1b", 9), url=OTHER_URL)], None, [])
    assert [found.name for found in result.models] == ["c:1b", "a:1b", "d:1b", "b:1b", "z:1b"]


# -- several engines -----------------------------------------------------------------------------------------------


def test_a_remote_engines_models_never_touch_a_card() -> None:
    result = attribute(
        [card((100, 9 * GIBIBYTE), accounting=ProcessAccounting.FULL)],
        [engine(model("a:1b"), url="http://gpu.lan:11434", local=False)],
        seen(runner(100)),
        [told()],
    )
    assert "a:1b" not in sizes(result.cards[0])
    found = only(result.models)
    assert (found.local, found.memory_bytes, found.memory_source) == (False, 8 * GIBIBYTE, MemorySource.ENGINE)
    assert (found.cards, found.pids, found.runner, found.difference_bytes) == ((), (), None, None)
    assert found.explanations == ()


def test_a_remote_claim_is_not_placed_where_the_driver_is_silent() -> None:
    result = attribute(
        [card(accounting=ProcessAccounting.NONE)],
        [engine(model("a:1b"), url="http://gpu.lan:11434", local=False)],
        None,
        [],
    )
    assert sizes(result.cards[0]) == {"unattributed": 20 * GIBIBYTE + RESERVE}


def test_two_local_engines_with_the_same_weights_are_told_apart_by_parent() -> None:
    result = attribute(
        [card((100, 9 * GIBIBYTE), (200, 5 * GIBIBYTE), (201, GIBIBYTE))],
        [engine(model("a:1b", 1)), engine(model("a:1b", 1), model("b:1b", 2), url=OTHER_URL)],
        seen(runner(100, 1, parent=901), runner(200, 1, parent=900), runner(201, 2, parent=901)),
        [told(1), told(2)],
    )
    assert_adds_up(result)
    by_key = {(found.engine_url, found.name): found.memory_bytes for found in result.models}
    assert by_key == {
        (URL, "a:1b"): 5 * GIBIBYTE,
        (OTHER_URL, "a:1b"): 9 * GIBIBYTE,
        (OTHER_URL, "b:1b"): GIBIBYTE,
    }


def test_two_local_engines_with_the_same_weights_are_told_apart_by_context() -> None:
    rows = [replace(model("a:1b"), context_length=context) for context in (4096, 32768)]
    result = attribute(
        [card((100, 9 * GIBIBYTE), (200, 5 * GIBIBYTE))],
        [engine(rows[0]), engine(rows[1], url=OTHER_URL)],
        seen(runner(100, 1, parent=901, context=32768), runner(200, 1, parent=902, context=4096)),
        [told(1)],
    )
    assert [found.memory_bytes for found in result.models] == [5 * GIBIBYTE, 9 * GIBIBYTE]


def test_one_server_watched_under_two_addresses_is_counted_once() -> None:
    result = attribute(
        [card((100, 9 * GIBIBYTE))],
        [engine(model("a:1b")), engine(model("a:1b"), url="http://localhost:11434")],
        seen(runner(100)),
        [told()],
    )
    assert_adds_up(result)
    assert [holder.kind for holder in result.cards[0].holders] == [HolderKind.MODEL, HolderKind.UNATTRIBUTED]
    assert sum(1 for found in result.models if found.cards) == 1


# -- a driver that gives no figures for processes ------------------------------------------------------------------


def test_the_claim_stands_in_on_the_only_card() -> None:
    for accounting in (ProcessAccounting.NONE, ProcessAccounting.PIDS_ONLY):
        result = attribute(
            [card(used=12 * GIBIBYTE, accounting=accounting)], [engine(model("a:1b"))], seen(runner(100)), [told()]
        )
        assert_adds_up(result)
        holder = holders_by_name(result.cards[0])["a:1b"]
        assert holder.memory_bytes == 8 * GIBIBYTE
        assert holder.source is MemorySource.ENGINE
        assert holder.note == "claimed by the engine, not measured"
        assert holder.pids == (100,)
        assert rest(result.cards[0]).memory_bytes == 4 * GIBIBYTE + RESERVE
        found = only(result.models)
        assert (found.memory_bytes, found.memory_source) == (8 * GIBIBYTE, MemorySource.ENGINE)
        assert found.difference_bytes is None
        assert found.cards == (CardShare(0, 8 * GIBIBYTE),)


def test_the_claim_stands_in_without_any_look_at_processes() -> None:
    result = attribute([card(accounting=ProcessAccounting.NONE)], [engine(model("a:1b"))], None, [])
    assert sizes(result.cards[0])["a:1b"] == 8 * GIBIBYTE


def test_claims_are_cut_to_what_is_in_use_to_the_byte() -> None:
    used = 9 * GIBIBYTE + 1
    result = attribute(
        [card(used=used, accounting=ProcessAccounting.NONE)],
        [engine(model("a:1b", 1, vram=10 * GIBIBYTE), model("b:1b", 2, vram=20 * GIBIBYTE))],
        None,
        [],
    )
    assert_adds_up(result)
    held = sizes(result.cards[0])
    assert held["a:1b"] + held["b:1b"] == used
    assert held["a:1b"] == used // 3
    assert held["unattributed"] == RESERVE
    assert holders_by_name(result.cards[0])["a:1b"].note == "cut from the engine's claim"
    assert "engines claim more" in result.cards[0].notes[0]
    assert result.models[0].memory_bytes == held["a:1b"]
    assert result.models[0].explanations[-1] == "cut to what the driver shows in use"


def test_what_other_processes_are_measured_to_hold_is_not_given_to_a_claim() -> None:
    result = attribute(
        [card((100, None), (200, 15 * GIBIBYTE), used=20 * GIBIBYTE)],
        [engine(model("a:1b", vram=8 * GIBIBYTE))],
        seen(runner(100), Process(200, "game")),
        [told()],
    )
    assert sizes(result.cards[0]) == {"a:1b": 5 * GIBIBYTE, "game": 15 * GIBIBYTE, "unattributed": RESERVE}


def test_a_list_of_pids_tells_which_card() -> None:
    silent = ProcessAccounting.PIDS_ONLY
    result = attribute(
        [card((5, None), accounting=silent), card((100, None), index=1, accounting=silent)],
        [engine(model("a:1b"))],
        seen(runner(100), Process(5, "Xorg")),
        [told()],
    )
    assert_adds_up(result)
    assert "a:1b" not in sizes(result.cards[0])
    assert sizes(result.cards[1])["a:1b"] == 8 * GIBIBYTE
    assert rest(result.cards[0]).note == "driver reserve 0.4 GiB; without a figure of their own: Xorg"
    assert only(result.models).cards == (CardShare(1, 8 * GIBIBYTE),)


def test_a_claim_over_two_known_cards_is_split_by_what_is_open() -> None:
    silent = ProcessAccounting.PIDS_ONLY
    result = attribute(
        [
            card((100, None), used=12 * GIBIBYTE, accounting=silent),
            card((100, None), used=4 * GIBIBYTE, index=1, accounting=silent),
        ],
        [engine(model("a:1b", vram=8 * GIBIBYTE))],
        seen(runner(100)),
        [told()],
    )
    assert_adds_up(result)
    assert only(result.models).cards == (CardShare(0, 6 * GIBIBYTE), CardShare(1, 2 * GIBIBYTE))
    assert only(result.models).memory_bytes == 8 * GIBIBYTE


def test_a_claim_stands_in_only_for_what_is_not_measured() -> None:
    result = attribute(
        [card((100, 3 * GIBIBYTE)), card((100, None), index=1, accounting=ProcessAccounting.PIDS_ONLY)],
        [engine(model("a:1b", vram=8 * GIBIBYTE))],
        seen(runner(100)),
        [told()],
    )
    assert_adds_up(result)
    found = only(result.models)
    assert found.cards == (CardShare(0, 3 * GIBIBYTE), CardShare(1, 5 * GIBIBYTE))
    assert found.memory_source is MemorySource.ENGINE
    assert holders_by_name(result.cards[0])["a:1b"].source is MemorySource.DRIVER
    assert holders_by_name(result.cards[1])["a:1b"].source is MemorySource.ENGINE


def test_with_several_silent_cards_a_claim_is_named_but_not_placed() -> None:
    silent = ProcessAccounting.NONE
    result = attribute([card(accounting=silent), card(index=1, accounting=silent)], [engine(model("a:1b"))], None, [])
    assert_adds_up(result)
    for state in result.cards:
        assert sizes(state) == {"unattributed": 20 * GIBIBYTE + RESERVE}
        assert rest(state).note == "driver reserve 0.4 GiB; a:1b may be here (8.0 GiB by its engine)"
    found = only(result.models)
    assert (found.memory_bytes, found.cards) == (8 * GIBIBYTE, ())
    assert found.explanations == ("the engine's claim: the driver does not tell on which card it is",)


def test_the_one_silent_card_among_telling_ones_takes_the_claim() -> None:
    result = attribute(
        [card((5, GIBIBYTE)), card(index=1, accounting=ProcessAccounting.NONE)],
        [engine(model("a:1b"))],
        seen(runner(100), Process(5, "Xorg")),
        [told()],
    )
    assert only(result.models).cards == (CardShare(1, 8 * GIBIBYTE),)


def test_a_lost_card_takes_no_claim() -> None:
    result = attribute(
        [card((5, GIBIBYTE)), Card(1, error="the card fell off the bus")],
        [engine(model("a:1b"))],
        seen(runner(100), Process(5, "Xorg")),
        [told()],
    )
    assert result.cards[1].holders == ()
    assert result.cards[1].free_bytes is None
    assert only(result.models).memory_bytes == 8 * GIBIBYTE
    assert only(result.models).cards == ()


def test_a_model_on_the_cpu_holds_nothing_where_the_driver_is_silent() -> None:
    result = attribute(
        [card(accounting=ProcessAccounting.NONE)],
        [engine(model("a:1b", vram=0, size=8 * GIBIBYTE))],
        seen(runner(100)),
        [told()],
    )
    found = only(result.models)
    assert (found.memory_bytes, found.cpu_ratio, found.cards) == (0, 1.0, ())
    assert found.host_memory_bytes == GIBIBYTE
    assert list(sizes(result.cards[0])) == ["unattributed"]


def test_an_engine_that_claims_nothing_leaves_the_memory_unknown() -> None:
    result = attribute(
        [card(accounting=ProcessAccounting.NONE)], [engine(model("a:1b", vram=None))], seen(runner(100)), [told()]
    )
    assert only(result.models).memory_bytes is None


# -- a driver that tells every process -----------------------------------------------------------------------------


def test_a_runner_on_no_card_is_measured_to_hold_nothing() -> None:
    result = attribute(
        [card((5, GIBIBYTE))],
        [engine(model("a:1b", vram=0, size=GIBIBYTE))],
        seen(runner(100), Process(5, "X")),
        [told()],
    )
    found = only(result.models)
    assert (found.memory_bytes, found.memory_source, found.difference_bytes) == (0, MemorySource.DRIVER, 0)
    assert found.cards == ()
    assert found.explanations == ()


def test_a_runner_on_no_card_against_a_claim_is_explained() -> None:
    result = attribute([card((5, GIBIBYTE))], [engine(model("a:1b"))], seen(runner(100), Process(5, "X")), [told()])
    found = only(result.models)
    assert (found.memory_bytes, found.difference_bytes) == (0, -8 * GIBIBYTE)
    assert "on no card" in found.explanations[0]


def test_a_measured_zero_is_a_measurement() -> None:
    result = attribute([card((100, 0))], [engine(model("a:1b"))], seen(runner(100)), [told()])
    found = only(result.models)
    assert (found.memory_bytes, found.memory_source, found.cards) == (0, MemorySource.DRIVER, ())
    assert list(sizes(result.cards[0])) == ["unattributed"]


def test_without_cards_the_claim_is_all_there_is() -> None:
    result = attribute([], [engine(model("a:1b"))], seen(runner(100)), [told()])
    found = only(result.models)
    assert (found.memory_bytes, found.memory_source) == (8 * GIBIBYTE, MemorySource.ENGINE)
    assert found.pids == (100,)
    assert found.explanations == ("the engine's claim: no card can be read",)


# -- processes -----------------------------------------------------------------------------------------------------


def test_a_pid_without_a_process_still_holds_its_memory() -> None:
    result = attribute([card((77, GIBIBYTE), (78, GIBIBYTE))], [], seen(Process(77, exists=False)), [])
    held = holders_by_name(result.cards[0])
    assert held["process 77"].note == "not visible here: it has just ended, or belongs to another system"
    assert held["process 78"].note is None
    assert_adds_up(result)


def test_processes_without_figures_are_named_in_the_rest() -> None:
    names = ["a", "b", "c", "d", "e", "f"]
    result = attribute(
        [card(*((pid, None) for pid in range(1, 7)), accounting=ProcessAccounting.PIDS_ONLY)],
        [],
        seen(*(Process(pid, name) for pid, name in enumerate(names, 1))),
        [],
    )
    note = rest(result.cards[0]).note
    assert note == "driver reserve 0.4 GiB; without a figure of their own: a, b, c, d and 2 more"


def test_a_process_on_two_slices_counts_both_and_in_two_lists_once() -> None:
    processes = (
        CardProcess(5, GIBIBYTE, slice_index=0),
        CardProcess(5, 2 * GIBIBYTE, slice_index=1),
        CardProcess(6, GIBIBYTE),
        CardProcess(6, GIBIBYTE, compute=False, graphics=True),
    )
    result = attribute([replace(card(), processes=processes)], [], seen(Process(5, "train"), Process(6, "blender")), [])
    assert sizes(result.cards[0])["train"] == 3 * GIBIBYTE
    assert sizes(result.cards[0])["blender"] == GIBIBYTE


# -- containers ----------------------------------------------------------------------------------------------------


def test_in_a_container_a_claim_comes_out_of_the_strangers() -> None:
    result = attribute(
        [card((5001, 9 * GIBIBYTE), (5002, GIBIBYTE), used=12 * GIBIBYTE)],
        [engine(model("a:1b"))],
        seen(Process(5001, exists=False), Process(5002, exists=False), runner(31), in_container=True),
        [told()],
    )
    assert_adds_up(result)
    held = sizes(result.cards[0])
    assert held["a:1b"] == 8 * GIBIBYTE
    assert held["processes outside this container"] == 2 * GIBIBYTE
    assert held["unattributed"] == 2 * GIBIBYTE + RESERVE
    assert only(result.models).memory_source is MemorySource.ENGINE


def test_in_a_container_a_claim_larger_than_the_strangers_goes_on_with_the_rest() -> None:
    result = attribute(
        [card((5001, 6 * GIBIBYTE), used=7 * GIBIBYTE)],
        [engine(model("a:1b"))],
        seen(Process(5001, exists=False), in_container=True),
        [],
    )
    assert_adds_up(result)
    assert sizes(result.cards[0]) == {"a:1b": 7 * GIBIBYTE, "unattributed": RESERVE}


def test_in_a_container_without_models_strangers_are_listed_one_by_one() -> None:
    result = attribute([card((5001, 6 * GIBIBYTE))], [], seen(Process(5001, exists=False), in_container=True), [])
    assert holders_by_name(result.cards[0])["process 5001"].note == "outside this container"


def test_in_a_container_an_empty_list_is_not_a_measurement() -> None:
    result = attribute([card()], [engine(model("a:1b"))], seen(runner(31), in_container=True), [told()])
    found = only(result.models)
    assert (found.memory_bytes, found.memory_source) == (8 * GIBIBYTE, MemorySource.ENGINE)


# -- unified memory and cards that tell little ---------------------------------------------------------------------


def test_unified_memory_counts_the_computers_memory() -> None:
    result = attribute(
        [card((100, 60 * GIBIBYTE), total=119 * GIBIBYTE, used=70 * GIBIBYTE, reserved=None, unified=True)],
        [engine(model("a:1b"))],
        seen(runner(100)),
        [told()],
    )
    assert_adds_up(result)
    assert sizes(result.cards[0]) == {"a:1b": 60 * GIBIBYTE, "unattributed": 10 * GIBIBYTE}
    assert rest(result.cards[0]).note == "everything else in the computer's memory"


def test_an_unknown_total_has_no_free_but_holders() -> None:
    result = attribute(
        [card((100, 9 * GIBIBYTE), total=None, used=None, reserved=None)],
        [engine(model("a:1b"))],
        seen(runner(100)),
        [told()],
    )
    assert result.cards[0].free_bytes is None
    assert sizes(result.cards[0]) == {"a:1b": 9 * GIBIBYTE}


def test_an_unknown_total_with_an_unknown_share_keeps_the_claim() -> None:
    result = attribute(
        [card((100, None), total=None, used=None, reserved=None)], [engine(model("a:1b"))], seen(runner(100)), [told()]
    )
    assert result.cards[0].holders == ()
    assert only(result.models).memory_bytes == 8 * GIBIBYTE


def test_a_full_card_has_no_free_and_no_rest() -> None:
    result = attribute([card((5, TOTAL), used=TOTAL, reserved=None)], [], seen(Process(5, "train")), [])
    assert result.cards[0].free_bytes == 0
    assert sizes(result.cards[0]) == {"train": TOTAL}


# -- what the row says besides memory ------------------------------------------------------------------------------


def test_the_engines_context_wins_over_the_command_line() -> None:
    row = replace(model("a:1b"), context_length=4096)
    with_both = attribute([], [engine(row)], seen(runner(100, context=8192)), [told()])
    with_runner = attribute([], [engine(model("a:1b"))], seen(runner(100, context=8192)), [told()])
    with_none = attribute([], [engine(model("a:1b"))], None, [told()])
    assert only(with_both.models).context_length == 4096
    assert only(with_runner.models).context_length == 8192
    assert only(with_none.models).context_length is None
    assert only(with_none.models).parallel is None


def test_details_fill_in_what_the_row_lacks() -> None:
    details = ModelDetails(manifest(1), (blob(1),), family="qwen3")
    assert only(attribute([], [engine(model("a:1b"))], None, [details]).models).family == "qwen3"
    row = replace(model("a:1b"), family="llama", parameter_size="1B", quantization="Q4_K_M")
    found = only(attribute([], [engine(row)], None, [details]).models)
    assert (found.family, found.parameter_size, found.quantization) == ("llama", "1B", "Q4_K_M")


def test_nothing_at_all() -> None:
    result = attribute([], [], None, [])
    assert (result.cards, result.models) == ((), ())


def test_a_small_rest_is_never_larger_than_its_reserve_says() -> None:
    result = attribute(
        [card((5, 23 * GIBIBYTE + 900 * MEBIBYTE), used=23 * GIBIBYTE)], [], seen(Process(5, "train")), []
    )
    assert_adds_up(result)
    assert rest(result.cards[0]).memory_bytes == 124 * MEBIBYTE
    assert rest(result.cards[0]).note == "driver reserve 0.1 GiB"
