"""The help view: every key from the registry, what the columns mean, and the legend."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from gpudesk.keymap import BINDINGS, display_key, keys_of
from gpudesk.ui.bar import PROCESS_FILL, RESERVE_FILL, UNATTRIBUTED_FILL
from gpudesk.ui.cells import Line, Span, fit, wrap
from gpudesk.ui.detail_lines import heading
from gpudesk.ui.tables import Column
from gpudesk.ui.view_lower import EVENTS, INSTALLED, PROBLEMS, PROCESSES
from gpudesk.ui.view_models import LOADED

KEY_WIDTH = 17
_UNTITLED = {"box": "[x]"}
"""What stands for columns without a title."""

LEGEND: tuple[tuple[str, str], ...] = (
    ("A B C …", "a loaded model: the same letter and shade in the bar, the table and the details"),
    (PROCESS_FILL * 3, "other processes"),
    (UNATTRIBUTED_FILL * 3, "unattributed: used, but in no process list (the driver's own contexts and reserve)"),
    (RESERVE_FILL * 3, "the reserve you asked to leave free"),
    ("~9.6", "the engine's claim, where the driver cannot measure"),
    ("! 48 % CPU", "spilled: that share of the model runs on the CPU and makes it slow"),
    ("∞ forever", "the engine's timer never ends; it may still evict the model"),
    ("stopping…", "the timer has ended: being unloaded, or still serving a request"),
    ("◷ 7s old", "no newer sample: what stands beside it is that old"),
    ("● ◌ ✗", "an engine: up, not asked yet, unreachable"),
)

PLANNER_LEGEND: tuple[tuple[str, str], ...] = (
    ("✓ fits", "with a margin to spare"),
    ("≈ tight", "it goes in, but the upper end of the band does not, or hardly anything stays free"),
    ("◐ spills", "some layers would run on the CPU and make it slow"),
    ("✗ does not fit", "not even so"),
    ("now / plan", "the card as it is, and as the plan would make it"),
    ("stays comes goes", "what the plan means for a model: nothing, a load, an unload"),
    ("reloads", "the engine loads it again: it is there with another context"),
    ("restart", "slots and KV type belong to the engine, which needs a restart with other settings"),
    ("calculated", "from the file's header alone; calibrated, measured: with loads that gpudesk has watched"),
)
"""The planner's verdicts and words."""


ACTING_LEGEND: tuple[tuple[str, str], ...] = (
    ("held ! lost", "a pin: what you wished is so, or somebody broke it; the details say who and which key helps"),
    ("✓ ↶ ✗ ·", "an action: done, taken back, failed with something missing, refused"),
    ("y", "asked once, when something is lost that was loaded or on the disk; everything else runs at once"),
)
"""Signs of what is done."""

READ_ONLY = (
    "read-only: the keys below Acting are off, and those of planner and editors that save or write, because gpudesk "
    "was started so that it changes nothing"
)


def help_lines(keymap: Mapping[str, str], width: int, *, read_only: bool = False) -> tuple[Line, ...]:
    """Return the help text for a width."""
    # Planner and editors are loaded when they are first asked for: they cost start-up time.
    from gpudesk.ui.editors.view_lists import EDITORS, OPTIONS, ROLE_ROWS
    from gpudesk.ui.planner.view_choices import CHOICES

    lines: list[Line] = [(Span(piece, "accent"),) for piece in wrap(READ_ONLY, width)] if read_only else []
    for group, actions in groupby(BINDINGS, key=lambda action: action.group):
        lines.append(heading(group))
        for action in actions:
            keys = " ".join(display_key(key) for key in keys_of(action, keymap))
            lines += _entry(keys, action.help, width, "key")
        lines.append(())
    lines.append(heading("Signs"))
    for sign, meaning in (*LEGEND, *ACTING_LEGEND):
        lines += _entry(sign, meaning, width, "strong")
    lines += [(), heading("Words of the planner")]
    for word, meaning in PLANNER_LEGEND:
        lines += _entry(word, meaning, width, "strong")
    for title, columns in (
        ("Columns of loaded models", LOADED.columns),
        ("Columns of installed models", INSTALLED.columns),
        ("Columns of other processes", PROCESSES.columns),
        ("Columns of events", EVENTS.columns),
        ("Columns of problems", PROBLEMS.columns),
        ("Columns of the planner", CHOICES.columns),
        ("Columns of editors", EDITORS.columns),
        ("Columns of an editor's models", ROLE_ROWS.columns),
        ("Columns of models for a role", OPTIONS.columns),
    ):
        lines += _columns(title, columns, width)
    return tuple(lines)


def _entry(left: str, right: str, width: int, role: str) -> list[Line]:
    pieces = wrap(right, max(8, width - KEY_WIDTH))
    return [(Span(fit(left if index == 0 else "", KEY_WIDTH), role), Span(piece)) for index, piece in enumerate(pieces)]


def _columns(title: str, columns: tuple[Column, ...], width: int) -> list[Line]:  # type: ignore[type-arg]
    explained = [column for column in columns if column.help]
    if not explained:
        return []
    lines: list[Line] = [(), heading(title)]
    for column in explained:
        lines += _entry(column.title.strip() or _UNTITLED.get(column.id, "A"), column.help, width, "strong")
    return lines
