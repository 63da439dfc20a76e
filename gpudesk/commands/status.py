"""`gpudesk status`: one look, as text or JSON."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, TextIO

from gpudesk.errors import ExitCode
from gpudesk.output.status_text import Style, status_lines
from gpudesk.workstation import NothingFoundError, Workstation, found_in, is_readable

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOK_SECONDS = 5.0
"""How long one look may take: a driver without persistence mode needs two or three to wake up, and Ollama answers
nothing while it loads a model."""


def run(workstation: Workstation, out: TextIO, *, as_json: bool, timeout_seconds: float = LOOK_SECONDS) -> int:
    """Look once, print, and return the exit code.

    Raises:
        NothingFoundError: this computer has neither a driver nor an engine, and text was asked for.
    """
    from gpudesk.watch.poller import sample_once

    desk = sample_once(workstation.sources, workstation.clock, timeout_seconds)
    found = found_in(desk, workstation.settings)
    if as_json:
        from gpudesk.output.desk_json import document, to_json

        content = document(desk, problems=workstation.problems, demo=workstation.demo)
        out.write(to_json(content, indented=True) + "\n")
        if not found.anything:
            out.flush()
            raise NothingFoundError(found)
    elif not found.anything:
        raise NothingFoundError(found)
    else:
        style = style_for(out, workstation, os.environ)
        lines = status_lines(desk, style, banner=workstation.banner, problems=workstation.problems)
        out.write("\n".join(lines) + "\n")
    return ExitCode.OK if is_readable(desk) else ExitCode.UNREACHABLE


def style_for(out: TextIO, workstation: Workstation, environment: Mapping[str, str]) -> Style:
    """Choose how text may look where it goes: color and signs on a terminal only, never with NO_COLOR."""
    terminal = out.isatty()
    plain = bool(environment.get("NO_COLOR")) or environment.get("TERM") == "dumb"
    unicode_out = (out.encoding or "").lower().replace("-", "") == "utf8"
    width = shutil.get_terminal_size((100, 24)).columns if terminal else _columns(environment)
    return Style(
        width=max(20, min(width, 160)),
        color=terminal and not plain,
        ascii_only=not (terminal and unicode_out),
        reserve_bytes=workstation.settings.reserve_bytes,
    )


def _columns(environment: Mapping[str, str]) -> int:
    """Return the width for a pipe: COLUMNS when somebody set it, else wide enough for every column."""
    columns = environment.get("COLUMNS", "")
    return int(columns) if columns.isascii() and columns.isdecimal() and 0 < len(columns) < 5 else 160
