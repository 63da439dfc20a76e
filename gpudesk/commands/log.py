"""`gpudesk log`: the journal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TextIO

from gpudesk.commands import acting
from gpudesk.errors import ExitCode, UsageError
from gpudesk.output import diagnostics
from gpudesk.output.action_json import SCHEMA_VERSION, entry_value, log_document
from gpudesk.output.action_text import journal_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gpudesk.actions.values import JournalEntry
    from gpudesk.commands.acting_session import ActingMeans
    from gpudesk.stores.journal import FileJournal

LIMIT_MOST = 100_000
FOLLOW_SECONDS = 0.5
_NEW_MOST = 1000
"""Entries that can come between two looks without one being missed."""


def run(given: Mapping[str, Any], means: ActingMeans, out: TextIO) -> int:
    """Print the newest entries, the newest last; with `--follow` go on until interrupted.

    Raises:
        UsageError: a limit that is none.
        BrokenPipeError: whoever read along left.
        KeyboardInterrupt: ctrl+c.
    """
    from gpudesk.stores.journal import FileJournal

    limit = given["limit"]
    if not 0 < limit <= LIMIT_MOST:
        raise UsageError(f"--limit {limit} is not from 1 to {LIMIT_MOST}")
    with means.folders() as folders:
        journal = FileJournal(folders.state)
        entries = journal.read(limit)
        unread = journal.read_problem
        if unread is not None:
            diagnostics.say(f"gpudesk: {unread}")
        code = ExitCode.OK if unread is None else ExitCode.FAILED
        write = _writer(given, means, out)
        if given["json"] and not given["follow"]:
            from gpudesk.output.desk_json import to_json

            out.write(to_json(log_document(entries), indented=True) + "\n")
            return code
        for entry in entries:
            write(entry)
        if given["follow"]:
            _follow(journal, write, out)
        if not entries and unread is None:
            diagnostics.say("nothing has been done yet")
    return code


def _writer(given: Mapping[str, Any], means: ActingMeans, out: TextIO) -> Callable[[JournalEntry], None]:
    if given["json"]:
        from gpudesk.output.desk_json import to_json

        def write_json(entry: JournalEntry) -> None:
            out.write(to_json({"schema_version": SCHEMA_VERSION, **entry_value(entry)}) + "\n")

        return write_json
    style = acting.style_for(out, means.settings)

    def write(entry: JournalEntry) -> None:
        out.write(journal_line(entry, style) + "\n")
        if entry.hint:
            out.write(style.plain(f"    {entry.hint}") + "\n")

    return write


def _follow(journal: FileJournal, write: Callable[[JournalEntry], None], out: TextIO) -> None:
    last = journal.read(_NEW_MOST)
    while True:
        out.flush()
        time.sleep(FOLLOW_SECONDS)
        now = journal.read(_NEW_MOST)
        for entry in news(last, now):
            write(entry)
        last = now


def news(before: list[JournalEntry], now: list[JournalEntry]) -> list[JournalEntry]:
    """Return what was appended between two looks at the newest entries."""
    if not before:
        return now
    for number in range(len(now) - 1, -1, -1):
        if now[number] == before[-1]:
            return now[number + 1 :]
    return now
