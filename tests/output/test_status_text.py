from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gpudesk.domain.desk import CardState, Holder, HolderKind
from gpudesk.domain.problem import Problem
from gpudesk.output.columns import cells
from gpudesk.output.status_text import PROCESS_ROWS, Style, change_line, event_line, status_lines
from tests import desks
from tests.golden import check_golden

WIDE = Style(width=100, reserve_bytes=1 << 30)


@pytest.mark.parametrize("name", desks.DESKS)
def test_the_whole_text(name: str) -> None:
    check_golden(f"status_{name}.txt", "\n".join(status_lines(desks.DESKS[name](), WIDE)) + "\n")


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_text_at_other_widths(width: int) -> None:
    check_golden(f"status_one_card_{width}.txt", "\n".join(status_lines(desks.one_card(), Style(width=width))) + "\n")


@pytest.mark.parametrize("name", desks.DESKS)
@pytest.mark.parametrize("width", [60, 80, 160])
def test_tables_and_figures_stay_within_the_width(name: str, width: int) -> None:
    lines = status_lines(desks.DESKS[name](), Style(width=width))
    loose = ("held by", "problem:", "  ->", "engine ", "    ", "  note:", "  the driver")
    for line in lines:
        if not line.startswith(loose) and "held by" not in line:
            assert cells(line) <= width, line


@pytest.mark.parametrize("name", ["one_card", "nothing", "wsl", "remote", "two_cards"])
def test_a_pipe_gets_ascii_without_escapes_and_no_line_ends_in_a_space(name: str) -> None:
    text = "\n".join(status_lines(desks.DESKS[name](), WIDE))
    assert text.isascii()
    assert "\x1b" not in text
    assert all(line == line.rstrip() for line in text.split("\n"))


def test_color_is_never_alone_and_taken_away_leaves_the_same_text() -> None:
    import re

    for name, make in desks.DESKS.items():
        colored = "\n".join(status_lines(make(), Style(width=100, color=True)))
        assert "\x1b[" in colored, name
        assert re.sub(r"\x1b\[\d+m", "", colored) == "\n".join(status_lines(make(), Style(width=100)))


def test_a_terminal_gets_real_signs() -> None:
    text = "\n".join(status_lines(desks.one_card(), Style(width=100, ascii_only=False)))
    assert "61 °C" in text
    assert "–" not in text


def test_a_spilled_model_is_loud() -> None:
    line = next(line for line in status_lines(desks.spilled(), WIDE) if line.startswith("hf.co"))
    assert "48 % CPU SPILLED" in line
    assert "~" in line


def test_a_reserve_that_is_not_kept_is_said() -> None:
    desk = desks.one_card()
    assert "reserve 6.0 GiB," in "\n".join(status_lines(desk, Style(reserve_bytes=6 << 30)))
    assert "reserve 7.0 GiB NOT KEPT" in "\n".join(status_lines(desk, Style(reserve_bytes=7 << 30)))


def test_many_processes_are_summed_up() -> None:
    holders = tuple(Holder(HolderKind.PROCESS, f"p{n}", (n + 1) << 20, pids=(n,)) for n in range(200))
    desk = replace(desks.one_card(), cards=(CardState(desks.card(), holders),))
    lines = status_lines(desk, Style(width=100))
    start = next(number for number, line in enumerate(lines) if line.startswith("OTHER PROCESS"))
    assert lines[start + 1].startswith("p199 ")
    assert lines[start + PROCESS_ROWS + 1] == f"and {200 - PROCESS_ROWS} more with {sum(range(1, 189)) / 1024:.1f} GiB"


def test_a_loaded_model_is_missed_only_where_an_engine_answers() -> None:
    assert "no model is loaded" in status_lines(replace(desks.one_card(), models=()), WIDE)
    assert "no model is loaded" not in status_lines(desks.nothing(), WIDE)


def test_the_banner_and_own_problems_are_shown() -> None:
    lines = status_lines(desks.wsl(), WIDE, banner="DEMO: all simulated", problems=(Problem("config", "odd", "mend"),))
    assert lines[0] == "DEMO: all simulated"
    assert lines.index("problem: config: odd") < lines.index(
        "problem: nvml: the driver does not tell sizes per process, as always under WSL"
    )


def test_one_line_for_the_watch() -> None:
    assert change_line(desks.one_card(), Style()) == (
        "2026-03-02T09:30:00Z | card 0: 18.0/24.0 GiB 43 % 61 C 210 W | qwen3:14b 9.8 GiB 100 % GPU 4m 32s | "
        "qwen2.5-coder:1.5b-base 1.5 GiB 100 % GPU forever | nomic-embed-text:latest 0.5 GiB 100 % GPU stopping"
    )
    assert change_line(desks.two_cards(), Style()).count("not read") == 1
    assert change_line(desks.remote(), Style()).endswith("| http://127.0.0.1:11434: no answer")


def test_one_line_for_an_event() -> None:
    event = desks.spilled().events[0]
    moment = (desks.NOW - timedelta(seconds=3)).strftime("%H:%M:%S")
    assert event_line(event, Style()).startswith(f"2026-03-02T{moment}Z event WARNING: hf.co/")
