from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from gpudesk.domain.desk import Desk, LoadedModel, MemorySource
from gpudesk.domain.engine import Engine
from gpudesk.domain.event import EventKind
from gpudesk.domain.keep_alive import KeepAlive
from gpudesk.domain.pin import Pin
from gpudesk.domain.reading import Failure
from gpudesk.errors import FailureKind
from gpudesk.ui.cells import Line, line_width
from gpudesk.ui.detail_lines import Target
from gpudesk.ui.marks import assign_marks, letter
from gpudesk.ui.scene import Scene
from gpudesk.ui.tables import GAP, Item, Table, header, place, row
from gpudesk.ui.view_cards import bar_and_legend, card_height, head, plan_cards, totals
from gpudesk.ui.view_detail import detail
from gpudesk.ui.view_lower import EVENT_WORDS, EVENTS, INSTALLED, PROCESSES, other_processes
from gpudesk.ui.view_models import LOADED, difference_cell, keep_alive_line, memory_cell, pin_cell, share_cell
from gpudesk.ui.view_states import empty_lines
from gpudesk.ui.view_title import title_line
from gpudesk.units import UNKNOWN
from tests.ui.desks import (
    ALL_DESKS,
    CHAT,
    FOREVER,
    GIB,
    NOW,
    REMOTE_URL,
    STOPPING,
    URL,
    driver_missing,
    empty,
    engine_down,
    many,
    one_card,
    sources,
    timed,
    two_cards,
)


def text(line: Line) -> str:
    return "".join(span.text for span in line)


def roles(line: Line) -> set[str]:
    return {span.role for span in line}


def scene(desk: Desk, **changes: object) -> Scene:
    marks = assign_marks({}, (model.key for model in desk.models))
    return replace(Scene(desk, NOW, marks=marks), **changes)  # type: ignore[arg-type]


HERE = scene(one_card())


# --- marks --------------------------------------------------------------------------------------------------------


def test_a_model_keeps_its_letter_while_others_come_and_go() -> None:
    first = assign_marks({}, ["a", "b", "c"])
    assert [letter(first[key]) for key in "abc"] == ["A", "B", "C"]
    second = assign_marks(first, ["c", "a"])
    assert second == {"a": 0, "c": 2}
    assert assign_marks(second, ["new", "c", "a", "newer"]) == {"a": 0, "c": 2, "new": 1, "newer": 3}


def test_more_models_than_letters() -> None:
    marks = assign_marks({}, [str(number) for number in range(40)])
    assert len(set(marks.values())) == 40
    assert letter(marks["39"]) == "+"


# --- loaded models ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "shown", "role"),
    [(0.0, "100 % GPU", "good"), (0.48, "! 48 % CPU", "loud"), (0.001, "! 1 % CPU", "loud"),
     (1.0, "! 100 % CPU", "loud"), (None, UNKNOWN, "faint")],
)  # fmt: skip
def test_a_spill_is_loud_however_small(ratio: float | None, shown: str, role: str) -> None:
    line = share_cell(replace(CHAT, cpu_ratio=ratio), HERE)
    assert text(line) == shown
    assert roles(line) == {role}


@pytest.mark.parametrize(
    ("keep_alive", "seconds", "shown", "role"),
    [
        (timed(minutes=4, seconds=32), 0, "4m 32s", "text"),
        (timed(minutes=4, seconds=32), 212, "1m 00s", "text"),
        (timed(minutes=4, seconds=32), 213, "59s", "warn"),
        (timed(minutes=4, seconds=32), 272, "stopping…", "warn"),
        (FOREVER, 10**9, "∞ forever", "accent"),
        (STOPPING, 0, "stopping…", "warn"),
        (None, 0, UNKNOWN, "faint"),
    ],
)
def test_keep_alive_counts_down(keep_alive: KeepAlive | None, seconds: int, shown: str, role: str) -> None:
    line = keep_alive_line(keep_alive, NOW + timedelta(seconds=seconds))
    assert text(line) == shown
    assert roles(line) == {role}


def test_measured_and_claimed_figures_are_told_apart() -> None:
    assert text(memory_cell(CHAT, HERE)) == "10.9"
    assert text(memory_cell(replace(CHAT, memory_source=MemorySource.ENGINE), HERE)) == "~10.9"
    assert text(memory_cell(replace(CHAT, memory_bytes=None), HERE)) == UNKNOWN


@pytest.mark.parametrize(
    ("difference", "shown", "role"),
    [(int(1.3 * GIB), "+1.3", "warn"), (int(0.2 * GIB), "+0.2", "dim"), (-2 * GIB, "-2.0", "warn"), (0, "0.0", "dim"),
     (None, UNKNOWN, "faint")],
)  # fmt: skip
def test_a_notable_difference_stands_out(difference: int | None, shown: str, role: str) -> None:
    line = difference_cell(replace(CHAT, difference_bytes=difference), HERE)
    assert (text(line), roles(line)) == (shown, {role})


@pytest.mark.parametrize(("pin", "word"), [(Pin.NONE, "·"), (Pin.HELD, "held"), (Pin.LOST, "! lost")])
def test_a_pin_is_a_word(pin: Pin, word: str) -> None:
    assert text(pin_cell(replace(CHAT, pin=pin), HERE)) == word


def test_unknown_values_are_dashes_never_zeros() -> None:
    nothing = LoadedModel("mystery", URL)
    line = text(row(place(LOADED.columns, 200), nothing, scene(one_card())))
    assert line.split() == ["mystery", *[UNKNOWN] * 8, "·"]


@pytest.mark.parametrize("width", [30, 60, 76, 80, 116, 196])
def test_header_and_rows_are_exactly_as_wide_as_asked(width: int) -> None:
    def check(table: Table[Item], items: Sequence[Item]) -> None:
        placed = place(table.columns, width)
        if sum(entry.width for entry in placed) + GAP * (len(placed) - 1) > width:
            return  # narrower than the columns that never go; the frame clips it
        assert line_width(header(placed, sorted_by="name", reverse=True)) == width
        assert {line_width(row(placed, item, HERE)) for item in items} == {width}

    check(LOADED, HERE.desk.models)
    check(INSTALLED, HERE.desk.installed)
    check(EVENTS, HERE.desk.events)
    check(PROCESSES, other_processes(HERE.desk))


def test_what_matters_most_stays_when_it_is_narrow() -> None:
    shown = [entry.column.id for entry in place(LOADED.columns, 58)]
    assert shown == ["mark", "name", "memory", "share", "keep_alive"]


# --- the lower lists ----------------------------------------------------------------------------------------------


def test_other_processes_are_those_that_hold_no_model_largest_first() -> None:
    assert [(process.name, process.pid) for process in other_processes(one_card())] == [
        ("Xorg", 1830),
        ("gnome-shell", 2207),
    ]


def test_a_process_without_a_name_is_its_pid() -> None:
    desk = replace(one_card(), processes=())
    assert [process.name for process in other_processes(desk)] == ["pid 1830", "pid 2207"]


def test_every_kind_of_event_has_a_glyph_and_a_word() -> None:
    assert set(EVENT_WORDS) == set(EventKind)
    assert len({word for _, word in EVENT_WORDS.values()}) == len(EventKind)


def test_a_cloud_model_has_no_size_here() -> None:
    cloud = one_card().installed[-1]
    assert "cloud" in text(row(place(INSTALLED.columns, 100), cloud, HERE))


# --- cards --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", range(1, 17))
@pytest.mark.parametrize("width", [56, 116, 196])
@pytest.mark.parametrize("lines", [1, 2, 5, 8, 14, 30])
def test_cards_never_ask_for_more_than_there_is(count: int, width: int, lines: int) -> None:
    assert 1 <= card_height(count, width, lines) <= lines
    layout = plan_cards(count, width, lines)
    assert layout.block_lines >= 1


def test_a_hot_card_says_so_in_words() -> None:
    first, second = two_cards().cards
    assert "84 °C !" in text(head(first, HERE, 100, selected=False))
    assert "79 °C hot" in text(head(second, HERE, 100, selected=False))


def test_figures_add_up_to_the_total() -> None:
    (state,) = one_card().cards
    held = sum(holder.memory_bytes for holder in state.holders)
    assert state.free_bytes is not None
    assert held + state.free_bytes == state.card.memory_total_bytes
    assert text(totals(state, HERE)) == "held 14.6  free 9.4  of 24.0 GiB"


# --- title and states ---------------------------------------------------------------------------------------------


def test_the_title_says_how_each_engine_does() -> None:
    assert "● ollama 0.33.0 up" in text(title_line(scene(one_card()), 120))
    assert "✗ ollama unreachable" in text(title_line(scene(engine_down()), 120))
    assert "◌ ollama asking…" in text(title_line(scene(empty()), 120))
    several = text(title_line(scene(two_cards()), 160))
    assert "● ollama 0.33.0 up" in several
    assert "● ollama 10.0.0.5 0.12.6 up" in several


@pytest.mark.parametrize(
    ("kind", "http_status", "word"),
    [
        (FailureKind.DENIED, 401, "refused"),
        (FailureKind.DENIED, 403, "refused"),
        (FailureKind.FAILED, 500, "error 500"),
        (FailureKind.INVALID, 404, "error 404"),
        (FailureKind.INVALID, None, "not understood"),
        (FailureKind.TIMEOUT, None, "no answer"),
        (FailureKind.UNREACHABLE, None, "unreachable"),
    ],
)
def test_an_engine_that_answers_is_not_called_unreachable(
    kind: FailureKind, http_status: int | None, word: str
) -> None:
    desk = engine_down()
    failure = Failure(kind, "http://127.0.0.1:11434/api/ps said something", "look there", http_status)
    desk = replace(
        desk,
        sources=tuple(
            replace(state, failure=failure) if state.failure is not None else state for state in desk.sources
        ),
        engines=tuple(replace(engine, error=failure.message, hint=failure.hint) for engine in desk.engines),
    )
    assert f"✗ ollama {word} " in text(title_line(scene(desk), 80))
    first = text(empty_lines("loaded", scene(desk))[0])
    assert word in first
    assert ("unreachable" in first) is (word == "unreachable")


def test_the_title_marks_an_engine_whose_answer_is_old() -> None:
    desk = one_card()
    later = scene(desk, now=NOW + timedelta(seconds=9))
    assert "9s old" in text(title_line(later, 120))
    assert "9s old" not in text(title_line(replace(later, slack=3.0), 120))


@pytest.mark.parametrize("width", [40, 60, 80, 120, 250])
@pytest.mark.parametrize("name", ALL_DESKS)
def test_the_title_is_exactly_as_wide_as_the_screen(name: str, width: int) -> None:
    assert line_width(title_line(scene(ALL_DESKS[name]()), width)) == width


def test_an_empty_list_says_why_it_is_empty() -> None:
    def said(name: str, desk: Desk) -> Sequence[str]:
        return [text(line) for line in empty_lines(name, scene(desk))]

    assert said("loaded", replace(one_card(), models=())) == ["no model is loaded"]
    assert said("loaded", empty()) == ["… asking the engine"]
    assert said("loaded", engine_down()) == [
        "✗ ollama at 127.0.0.1 is unreachable: connection refused at 127.0.0.1:11434",
        "→ start it with `ollama serve`, or set OLLAMA_HOST",
    ]
    assert said("processes", driver_missing()) == ["no card is known"]


# --- details ------------------------------------------------------------------------------------------------------


def shown_detail(kind: str, key: str, desk: Desk, width: int = 90) -> str:
    found = detail(Target(kind, key), scene(desk), width)
    assert all(line_width(line) <= width for line in found.lines)
    return "\n".join(text(line) for line in (found.title, *found.lines))


def test_a_models_detail_tells_everything() -> None:
    shown = shown_detail("model", CHAT.key, one_card())
    for piece in (
        "measured         10.9 GiB", "engine claims    9.6 GiB", "+1.3 GiB", "on card 0",
        "16384 tokens per slot × 2 slots",
        "q8_0", "4m 32s", "15:13:58", "pid 4101", "llama-server", "batch            512", "flash attention  on",
        "trained context  40960 tokens", "completion, tools, thinking", "Apache License 2.0", "sha256-" + "3" * 60,
        "the CUDA context of the runner",
    ):  # fmt: skip
        assert piece in shown, piece


def test_a_model_that_is_only_installed_has_a_detail_too() -> None:
    model = one_card().installed[5]
    shown = shown_detail("model", f"{URL} {model.name}", one_card())
    assert "installed, not loaded" in shown
    assert "size on disk" in shown


def test_a_cards_detail_lists_every_holder_and_the_sum() -> None:
    shown = shown_detail("card", "0", one_card())
    for piece in ("qwen3:14b", "Xorg", "unattributed", "driver reserve 0.4 GiB", "free", "total", "24.0 GiB",
                  "2520 MHz", "42 %", "slows down at 83 °C", "212 W of 450 W", "GPU-00000000"):  # fmt: skip
        assert piece in shown, piece


def test_slices_are_listed() -> None:
    assert "3g.40gb" in shown_detail("card", "0", ALL_DESKS["mig"]())


def test_a_lost_card_says_why() -> None:
    assert "GPU is lost" in shown_detail("card", "1", ALL_DESKS["lost_card"]())


@pytest.mark.parametrize("name", ALL_DESKS)
@pytest.mark.parametrize("width", [20, 40, 76])
def test_no_detail_is_wider_than_its_sheet(name: str, width: int) -> None:
    desk = ALL_DESKS[name]()
    for model in desk.models[:9]:
        shown_detail("model", model.key, desk, max(width, 36))
    for state in desk.cards[:2]:
        shown_detail("card", str(state.card.index), desk, max(width, 50))
    for event in desk.events[:9]:
        shown_detail("event", EVENTS.key(event), desk, max(width, 36))


def test_what_is_gone_is_said_to_be_gone() -> None:
    assert "no longer on the desk" in shown_detail("model", f"{URL} nothing:1b", one_card())
    assert "no longer on the desk" in shown_detail("card", "9", one_card())


def test_two_engines_may_have_a_model_of_one_name() -> None:
    twin = replace(CHAT, engine_url=REMOTE_URL, local=False, keep_alive=FOREVER)
    desk = replace(
        one_card(),
        models=(CHAT, twin),
        engines=(Engine(URL, reachable=True), Engine(REMOTE_URL, local=False, reachable=True)),
        sources=(*one_card().sources, *sources(f"ollama {REMOTE_URL}")),
    )
    assert "∞ forever" in shown_detail("model", twin.key, desk)
    assert "4m 32s" in shown_detail("model", CHAT.key, desk)


def test_many_processes_do_not_crowd_out_the_models() -> None:
    desk = many()
    line, _ = bar_and_legend(desk.cards[0], scene(desk), 116, 40)
    assert text(line).count("▒") < 20
    assert sum(span.role == "fill-process-pattern" for span in line) == 1
