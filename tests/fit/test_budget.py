from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from gpudesk.errors import UsageError
from gpudesk.fit.budget import BudgetFile, Entry, EntryKind, Units, read_budget
from gpudesk.fit.pipeline import (
    GIGABYTE,
    Budget,
    Need,
    Origin,
    budget,
    calculated_need,
    card_budget,
    declared_need,
    measured_need,
    share_need,
    simple_models,
    usable_bytes,
    verdict_of,
)
from gpudesk.fit.values import CardBudget, Estimate, Parts, Verdict
from gpudesk.units import GIBIBYTE, MEBIBYTE

ENTRY = '[[entry]]\nname = "a"\n'


def read(text: str) -> BudgetFile:
    """A file named `desk.toml`."""
    return read_budget(text, "desk.toml")


def complaint(text: str) -> str:
    """What is said about a wrong file, with the hint."""
    with pytest.raises(UsageError) as caught:
        read(text)
    return f"{caught.value.message} | {caught.value.hint or ''}"


def card(gigabytes: float, index: int = 0) -> CardBudget:
    """An empty card."""
    size = round(gigabytes * GIGABYTE)
    return CardBudget(index, f"card {index}", size, size)


def needs(**sizes: tuple[float, float]) -> dict[str, Need]:
    """Idle and peak in GB by name."""
    return {
        name: Need(round(idle * GIGABYTE), round(peak * GIGABYTE), Origin.DECLARED)
        for name, (idle, peak) in sizes.items()
    }


def added(cards: list[CardBudget], sizes: dict[str, Need], **on: int) -> Budget:
    """A budget of entries with these needs."""
    entries = tuple(Entry(name, idle_bytes=1, card=on.get(name)) for name in sizes)
    return budget(BudgetFile(entries), cards, sizes)


class TestReading:
    """What the file may say."""

    def test_everything(self) -> None:
        file = read(
            """
            title = "All of it"
            units = "GB"
            host_memory = "64GB"
            reserve = "512MiB"
            [[card]]
            name = "RTX 4090"
            memory = "24GB"
            [[card]]
            memory = "32GB"
            unified = true
            [[entry]]
            name = "chat"
            model = "qwen3:8b"
            context = 16384
            parallel = 2
            kv = "q8_0"
            layers_on_gpu = 20
            card = 1
            count = 2
            [[entry]]
            name = "game"
            kind = "game"
            pid = 4711
            peak = "6GiB"
            [[entry]]
            name = "server"
            fraction = 0.35
            weights = "5GB"
            kv_bytes_per_token = 131072
            lora_slots = 4
            lora_slot = "80MB"
            card = 0
            [claim]
            source = "guide"
            idle = "1GB"
            """
        )
        assert (file.title, file.units, file.host_bytes) == ("All of it", Units.GB, 64 * GIGABYTE)
        assert file.reserve_bytes == 512 * MEBIBYTE
        assert [each.unified for each in file.cards] == [False, True]
        chat, game, server = file.entries
        assert chat.options.context_length == 16384
        assert (chat.options.parallel, chat.options.kv_cache_type_k, chat.options.kv_cache_type_v) == (
            2,
            "q8_0",
            "q8_0",
        )
        assert (chat.options.layers_on_gpu, chat.card, chat.count) == (20, 1, 2)
        assert (game.kind, game.pid, game.peak_bytes) == (EntryKind.GAME, 4711, 6 * GIBIBYTE)
        assert (server.fraction, server.lora_slots, server.lora_slot_bytes) == (0.35, 4, 80_000_000)
        assert file.claims[0].idle_bytes == GIGABYTE

    def test_what_is_assumed(self) -> None:
        file = read(f'{ENTRY}idle = "1GiB"')
        assert (file.units, file.cards, file.claims, file.host_bytes) == (Units.GIB, (), (), None)
        assert file.entries[0] == Entry("a", EntryKind.LANGUAGE, idle_bytes=GIBIBYTE)

    def test_engines(self) -> None:
        by_ollama, by_server = read(
            '[[entry]]\nname = "a"\nmodel = "m"\n'
            '[[entry]]\nname = "b"\ngguf = "m.gguf"\nengine = "llama-server"\nfit = false'
        ).entries
        assert (by_ollama.engine, by_ollama.fit) == ("ollama", True)
        assert (by_server.engine, by_server.fit) == ("llama-server", False)

    def test_names_are_cleaned(self) -> None:
        assert read('[[entry]]\nname = "a\\u001b[31m\\u202eb"\nidle = "1GB"').entries[0].name == "a[31mb"


class TestWrongFiles:
    """Every complaint names the file, the entry, the key and what was expected."""

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("idle = 5.5", 'entry 1 (a): idle is 5.5, expected a size with its unit in quotes, such as "5.5GB"'),
            ('idle = "5.5"', 'entry 1 (a): idle is "5.5", expected a size with its unit'),
            ('idle = "-1GB"', 'entry 1 (a): idle is "-1GB", expected a size'),
            ('idle = "much"', 'entry 1 (a): idle is "much", expected a size'),
            ('idle = ""', 'entry 1 (a): idle is "", expected a size'),
            ('peek = "1GB"', "entry 1 (a): unknown key peek | Did you mean peak?"),
            ('zzzz = "1GB"', "entry 1 (a): unknown key zzzz | There are name, kind,"),
            ('kind = "tts"\nidle = "1GB"', 'kind is "tts", expected one of language, vision, embedding, speech, game'),
            ("kind = 3", "entry 1 (a): kind is 3, expected one of"),
            ('pid = "1234"', 'entry 1 (a): pid is "1234", expected the number of a process'),
            ("pid = 0", "entry 1 (a): pid is 0, expected the number of a process"),
            ("pid = true", "entry 1 (a): pid is true, expected the number of a process"),
            ('model = "m"\ncontext = "32k"', 'entry 1 (a): context is "32k", expected tokens, a whole number'),
            ('model = "m"\ncontext = 0', "entry 1 (a): context is 0, expected tokens"),
            ('model = "m"\ncontext = 1e9', "entry 1 (a): context is 1000000000.0, expected tokens"),
            ('model = "m"\nkv = "q9"', 'entry 1 (a): kv is "q9", expected one of f16, bf16'),
            ('model = "m"\nparallel = -1', "entry 1 (a): parallel is -1, expected a number of slots"),
            ("fraction = 1.5", "entry 1 (a): fraction is 1.5, expected a share of the card's total memory"),
            ("fraction = nan", "entry 1 (a): fraction is NaN, expected a share"),
            ("fraction = 0", "entry 1 (a): fraction is 0, expected a share"),
            ("parameters = 7", "entry 1 (a): quantization is missing, expected a quantization"),
            ('quantization = "Q4_K_M"\nidle = "1GB"', "entry 1 (a): parameters is missing, expected billions"),
            ('parameters = 7\nquantization = "potato"', 'quantization is "potato", expected one such as "Q4_K_M"'),
            ('fraction = 0.5\nparameters = 7\nquantization = "Q4_K_M"', 'expected one such as "fp16", "fp8" or "awq"'),
            ('idle = "2GB"\npeak = "1GB"', 'entry 1 (a): peak is "1GB", expected at least idle, which is "2GB"'),
            ('model = "m"\ngguf = "f"', "entry 1 (a): model and gguf exclude each other"),
            ('model = "m"\nidle = "1GB"', "entry 1 (a): model and idle exclude each other"),
            ("pid = 3\nfraction = 0.5", "entry 1 (a): pid and fraction exclude each other"),
            ('gguf = "f"\nengine = "vllm"', 'entry 1 (a): engine is "vllm", expected one of ollama, llama-server'),
            ('model = "m"\nengine = "llama-server"', 'engine is "llama-server", expected ollama, or gguf beside it'),
            ('gguf = "f"\nfit = "no"', 'entry 1 (a): fit is "no", expected true or false'),
            ('model = ""', 'entry 1 (a): model is "", expected the name of an installed model'),
            ("", "entry 1 (a): says nothing about its size, expected idle and peak, or one of model, gguf, pid"),
            ('idle = "1GB"\ncount = 0', "entry 1 (a): count is 0, expected a whole number from 1"),
            ('idle = "1GB"\ncard = -1', "entry 1 (a): card is -1, expected the index of a card"),
            ("idle = {a = 1}", "entry 1 (a): idle is a table, expected a size"),
        ],
    )
    def test_entries(self, line: str, expected: str) -> None:
        said = complaint(ENTRY + line)
        assert said.startswith("desk.toml: ")
        assert expected in said

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", "desk.toml: has no entry | Add [[entry]]"),
            ("= 3", "desk.toml: not valid TOML: "),
            ("x = " + "[" * 5000, "desk.toml: not valid TOML: "),
            ("x = 1" + "0" * 5000, "desk.toml: not valid TOML: "),
            ('entry = "a"', 'desk.toml: entry is "a", expected [[entry]] tables'),
            ("entry = [1]", "desk.toml: entry is [1], expected [[entry]] tables"),
            ("entrys = 1", "desk.toml: unknown key entrys | Did you mean entry?"),
            ('units = "gigs"\n' + ENTRY + 'idle = "1GB"', 'desk.toml: units is "gigs", expected one of GB, GiB'),
            ('[[entry]]\nidle = "1GB"', "desk.toml: entry 1: name is missing, expected a name in quotes"),
            ('[[entry]]\nname = 3\nidle = "1GB"', "desk.toml: entry 1: name is 3, expected a name in quotes"),
            (ENTRY + 'idle = "1GB"\n' + ENTRY + 'idle = "1GB"', "entry 2 (a): name is the same as in entry 1"),
            ("[[card]]\n" + ENTRY + 'idle = "1GB"', 'card 1: memory is missing, expected a size such as "24GB"'),
            ('[[card]]\nmemory = "0GB"\n' + ENTRY + 'idle = "1GB"', 'card 1: memory is "0GB", expected more than'),
            ('[[card]]\nmemory = "1GB"\nunified = 1\n' + ENTRY + 'idle = "1GB"', "card 1: unified is 1, expected true"),
            (
                '[[card]]\nmemory = "1GB"\n' + ENTRY + 'idle = "1GB"\ncard = 1',
                "entry 1 (a): card is 1, expected 0 to 0",
            ),
            (ENTRY + 'idle = "1GB"\n[claim]\nidle = 1', "desk.toml: claim 1: idle is 1, expected a size"),
        ],
    )
    def test_files(self, text: str, expected: str) -> None:
        assert expected in complaint(text)

    def test_too_many_entries(self) -> None:
        text = "".join(f'[[entry]]\nname = "{number}"\nidle = "1MB"\n' for number in range(257))
        assert "257 [[entry]], expected at most 256" in complaint(text)


class TestNeeds:
    """Two numbers for every part."""

    def test_declared(self) -> None:
        entry = Entry("a", idle_bytes=2, peak_bytes=3, count=2)
        assert declared_need(entry) == Need(4, 6, Origin.DECLARED)

    def test_one_number_counts_for_both(self) -> None:
        for entry in (Entry("a", idle_bytes=5), Entry("a", peak_bytes=5)):
            need = declared_need(entry)
            assert need is not None
            assert (need.idle_bytes, need.peak_bytes) == (5, 5)
            assert need.notes

    def test_zero_is_a_number(self) -> None:
        need = declared_need(Entry("a", idle_bytes=0, peak_bytes=5))
        assert need is not None
        assert (need.idle_bytes, need.peak_bytes, need.notes) == (0, 5, ())

    def test_from_the_table(self) -> None:
        need = declared_need(Entry("a", parameters_billion=7, quantization="Q5_K_M"))
        assert need is not None
        assert (need.idle_bytes, need.peak_bytes, need.origin) == (5_100_000_000, 6_018_000_000, Origin.TABLE)

    @pytest.mark.parametrize("entry", [Entry("a", pid=3, peak_bytes=3), Entry("a", model="m"), Entry("a", gguf="f")])
    def test_what_is_not_declared(self, entry: Entry) -> None:
        assert declared_need(entry) is None

    def test_measured(self) -> None:
        need = measured_need(Entry("a", pid=7), {7: 100})
        assert (need.idle_bytes, need.peak_bytes, need.origin) == (100, 100, Origin.MEASURED)
        assert need.notes

    def test_measured_with_a_declared_peak(self) -> None:
        assert measured_need(Entry("a", pid=7, peak_bytes=150), {7: 100}) == Need(100, 150, Origin.MEASURED)
        above = measured_need(Entry("a", pid=7, peak_bytes=90), {7: 100})
        assert (above.idle_bytes, above.peak_bytes) == (100, 100)
        assert "more now" in above.notes[0]

    def test_a_process_that_holds_nothing(self) -> None:
        with pytest.raises(UsageError, match="entry a: pid 7 holds no memory on any card"):
            measured_need(Entry("a", pid=7), {8: 100})

    def test_calculated(self) -> None:
        parts = Parts(weights_bytes=100, kv_cache_bytes=20)
        estimate = Estimate("m", parts, 110, 140, (parts,), 0, 33, 33, 4096, 1)
        need = calculated_need(Entry("a", model="m", count=2), estimate)
        assert (need.idle_bytes, need.peak_bytes, need.origin) == (240, 280, Origin.CALCULATED)

    def test_a_spill_is_the_verdict(self) -> None:
        parts = Parts(weights_bytes=GIBIBYTE)
        estimate = Estimate("m", parts, GIBIBYTE, GIBIBYTE, (parts,), 0, 33, 20, 4096, 1)
        need = calculated_need(Entry("a", model="m"), estimate)
        assert need.spills
        assert added([card(24)], {"a": need}).verdict is Verdict.SPILLS
        assert added([card(1)], {"a": need}).verdict is Verdict.DOES_NOT_FIT
        whole = calculated_need(Entry("a", model="m"), replace(estimate, layers_on_gpu=33))
        assert added([card(24)], {"a": whole}).verdict is Verdict.FITS

    def test_a_share(self) -> None:
        need = share_need(Entry("a", fraction=0.5), [card(24)])
        assert (need.idle_bytes, need.peak_bytes) == (12 * GIGABYTE, 12_800_000_000)

    def test_a_share_of_which_card(self) -> None:
        with pytest.raises(UsageError, match="entry a: card is missing, expected 0 to 1"):
            share_need(Entry("a", fraction=0.5), [card(24), card(48, 1)])
        assert share_need(Entry("a", fraction=0.5, card=1), [card(24), card(48, 1)]).idle_bytes == 24 * GIGABYTE
        with pytest.raises(UsageError, match="card is 2"):
            share_need(Entry("a", fraction=0.5, card=2), [card(24), card(48, 1)])


class TestAddingUp:
    """Per card, idle and at the peak."""

    def test_totals_are_sums_of_the_cards(self) -> None:
        result = added([card(24), card(12, 1)], needs(a=(5, 8), b=(3, 4), c=(1, 2)))
        assert result.idle_bytes == sum(total.idle_bytes for total in result.cards) == 9 * GIGABYTE
        assert result.peak_bytes == sum(total.peak_bytes for total in result.cards) == 14 * GIGABYTE

    def test_parts_go_where_most_is_left(self) -> None:
        result = added([card(12), card(10, 1)], needs(small=(1, 2), large=(8, 9), middle=(5, 6)))
        assert [(row.entry.name, row.card) for row in result.rows] == [("small", 1), ("large", 0), ("middle", 1)]

    def test_a_named_card_is_taken(self) -> None:
        result = added([card(12), card(10, 1)], needs(a=(1, 1), b=(1, 1)), a=1, b=1)
        assert [row.card for row in result.rows] == [1, 1]
        assert result.cards[0].verdict is Verdict.FITS

    def test_a_card_that_is_not_there(self) -> None:
        with pytest.raises(UsageError, match="entry a: card is 1, expected 0 to 0"):
            added([card(12)], needs(a=(1, 1)), a=1)

    def test_no_card_at_all(self) -> None:
        with pytest.raises(UsageError, match="no card"):
            added([], needs(a=(1, 1)))

    def test_the_worst_card_decides(self) -> None:
        result = added([card(12), card(4, 1)], needs(a=(1, 1), b=(3, 5)), a=0, b=1)
        assert [total.verdict for total in result.cards] == [Verdict.FITS, Verdict.DOES_NOT_FIT]
        assert result.verdict is Verdict.DOES_NOT_FIT

    def test_taking_turns_helps(self) -> None:
        result = added([card(12)], needs(a=(3, 8), b=(3, 7)))
        assert result.cards[0].turns_bytes == 11 * GIGABYTE
        assert result.notes == ("card 0: fits while only one part works at a time, 11 GB",)

    def test_taking_turns_does_not_help(self) -> None:
        assert added([card(10)], needs(a=(3, 8), b=(3, 7))).notes == (
            "card 0: fits idle, but 5 GB too much when everything works",
        )
        assert added([card(5)], needs(a=(3, 8), b=(3, 7))).notes == ("card 0: not even idle, 1 GB too much",)

    def test_more_never_takes_less(self) -> None:
        sizes = needs(a=(1, 2), b=(3, 4), c=(0, 9), d=(2, 2))
        totals = [added([card(24)], dict(list(sizes.items())[:count])).peak_bytes for count in range(1, 5)]
        assert totals == sorted(totals)

    def test_instances_share_with_the_rest(self) -> None:
        file = read('[[entry]]\nname = "v"\nfraction = 0.9\n[[entry]]\nname = "s"\nidle = "3GB"')
        cards = [card(24)]
        result = budget(file, cards, {"v": share_need(file.entries[0], cards), **needs(s=(3, 3))})
        assert result.verdict is Verdict.DOES_NOT_FIT
        assert "v: Free memory on device (19.56/22.35 GiB) on startup is less than" in " ".join(result.notes)

    def test_two_of_the_same_instance(self) -> None:
        file = read('[[entry]]\nname = "v"\nfraction = 0.4\ncount = 2')
        cards = [card(24)]
        result = budget(file, cards, {"v": share_need(file.entries[0], cards)})
        assert len(result.cards[0].shares) == 2
        assert result.idle_bytes == round(19.2 * GIGABYTE)


class TestCards:
    """What of a card can be had."""

    def test_verdicts_at_the_edge(self) -> None:
        size = 24 * GIBIBYTE
        empty = CardBudget(0, "c", size, size)
        margin = size * 3 // 100
        assert verdict_of(empty, size - margin) is Verdict.FITS
        assert verdict_of(empty, size - margin + 1) is Verdict.TIGHT
        assert verdict_of(empty, size) is Verdict.TIGHT
        assert verdict_of(empty, size + 1) is Verdict.DOES_NOT_FIT

    def test_a_small_card_keeps_half_a_gibibyte(self) -> None:
        empty = CardBudget(0, "c", 4 * GIBIBYTE, 4 * GIBIBYTE)
        assert verdict_of(empty, 4 * GIBIBYTE - 512 * MEBIBYTE) is Verdict.FITS
        assert verdict_of(empty, 4 * GIBIBYTE - 512 * MEBIBYTE + 1) is Verdict.TIGHT

    def test_apple_chips_keep_some(self) -> None:
        assert usable_bytes(36 * GIGABYTE, unified=True) == 24 * GIGABYTE
        assert usable_bytes(64 * GIGABYTE, unified=True) == 48 * GIGABYTE
        assert usable_bytes(64 * GIGABYTE, unified=False) == 64 * GIGABYTE

    def test_the_reserve_is_taken_off(self) -> None:
        file = read('[[card]]\nmemory = "24GB"\n' + ENTRY + 'idle = "1GB"')
        made = card_budget(file.cards[0], 0, GIGABYTE)
        assert (made.memory_total_bytes, made.available_bytes, made.name) == (24 * GIGABYTE, 23 * GIGABYTE, "card 0")
        with pytest.raises(UsageError, match="the reserve leaves nothing of card 0: 24 GB of 24 GB"):
            card_budget(file.cards[0], 0, 24 * GIGABYTE)

    def test_a_card_by_name(self) -> None:
        file = read('[[card]]\nname = "RTX 4090"\n' + ENTRY + 'idle = "1GB"')
        assert card_budget(file.cards[0], 0, 0, 24564 * MEBIBYTE).memory_total_bytes == 24564 * MEBIBYTE
        with pytest.raises(UsageError, match="card RTX 4090 is not known"):
            card_budget(file.cards[0], 0, 0)


class TestSimple:
    """What the simple planner can be asked."""

    def test_priority_is_the_order_when_it_is_left_out(self) -> None:
        size = 'parameters = 7\nquantization = "Q4_K_M"\n'
        file = read(f'[[entry]]\nname = "a"\n{size}[[entry]]\nname = "b"\n{size}count = 2')
        assert [(model.name, model.priority) for model in simple_models(file, "f")] == [("a", 1), ("b", 2), ("b", 2)]

    def test_it_knows_nothing_else(self) -> None:
        with pytest.raises(UsageError, match=r"f.toml: entry 1 \(a\): parameters is missing"):
            simple_models(read(f'{ENTRY}idle = "1GB"'), "f.toml")


def test_damaged_files_are_complained_about_and_nothing_else() -> None:
    folder = Path(__file__).parents[1] / "fixtures" / "fit"
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.toml"))]
    assert len(texts) >= 6
    random = Random(3)
    complaints = []
    for _ in range(1500):
        text = random.choice(texts)
        for _ in range(random.randint(1, 4)):
            place = random.randrange(len(text))
            text = (
                text[:place]
                + random.choice(['"', "[", "]", "=", "-", "9", "\n", "{", "", "x", "\x00"])
                + text[place + 1 :]
            )
        try:
            read(text)
        except UsageError as error:
            complaints.append(error.message)
    assert 100 < len(complaints) < 1500
    assert all(message.startswith("desk.toml: ") for message in complaints)
