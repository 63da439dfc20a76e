"""Makes right what is safe to make right in Continue's configuration; everything else stays byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.errors import ExportError
from gpudesk.exports.editors import continue_places
from gpudesk.exports.editors.continue_check import check_files, is_block
from gpudesk.exports.editors.continue_facts import Facts
from gpudesk.exports.editors.continue_values import REFUSED
from gpudesk.exports.text_file import TextFile, read_text
from gpudesk.exports.values import Export, FileChange, Finding, Way
from gpudesk.exports.yaml_splice import apply

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gpudesk.domain.desk import Desk
    from gpudesk.exports.editor import Surroundings

_ROUNDS = 50
"""Of fixing and looking again, at most: one fix makes way for another."""


def repair(around: Surroundings, desk: Desk | None) -> Export:
    """Return the files with everything fixed that is safe to fix; what cannot be read is left alone."""
    facts = Facts(desk, versions=continue_places.installed_versions(around))
    changes: list[FileChange] = []
    notes: list[str] = []
    for found in continue_places.found_files(around):
        if not found.exists or found.path.suffix == ".json":
            continue
        try:
            file = read_text(found.path)
        except ExportError as error:
            notes.append(error.message)
            continue
        after, done = fixed(file, facts, in_block=is_block(found.path))
        if done:
            count = f"{len(done)} thing{'s' if len(done) > 1 else ''} made right"
            changes.append(FileChange(found.path, file.data, file.encoded(after.text), count, secret=True))
            notes += (f"{finding.where}: {finding.fix}" for finding in done)
    return Export("continue", Way.MERGE, tuple(changes), notes=tuple(notes))


def fixed(file: TextFile, facts: Facts, *, in_block: bool = False) -> tuple[TextFile, tuple[Finding, ...]]:
    """Return a file with everything made right that is safe to make right, and what was fixed.

    A fix that leaves the file worse than it was (it cannot be read, or has something new wrong with it) is not made.
    """
    first, before = file, _of_one(file, facts, in_block)
    fatal = _fatal(before)
    done: list[Finding] = []
    refused: set[tuple[str, str]] = set()
    alone = False
    for _ in range(_ROUNDS):
        todo = [finding for finding in before if finding.edits and (finding.code, finding.where) not in refused]
        if not todo:
            break
        todo = todo[:1] if alone else todo
        edits = (edit for finding in todo for edit in finding.edits)
        changed = TextFile(file.path, file.data, apply(file.text, edits), file.has_mark)
        after = _of_one(changed, facts, in_block)
        if _is_better(before, after, todo):
            done += todo
            file, before = changed, after
        elif alone:
            refused.add((todo[0].code, todo[0].where))
        alone = alone or file is not changed
    if len(_fatal(before)) > len(fatal):
        return first, ()
    return file, tuple(done)


def _of_one(file: TextFile, facts: Facts, in_block: bool) -> tuple[Finding, ...]:
    return check_files((), (file,), facts) if in_block else check_files((file,), (), facts)


def _is_better(before: Iterable[Finding], after: Sequence[Finding], done: Iterable[Finding]) -> bool:
    """What was to be fixed is gone, and what would keep the file from being read can be fixed as well.

    A key under its right name is looked into for the first time, so something new may be found in it.
    """
    left = {(finding.code, finding.where) for finding in after}
    if any((finding.code, finding.where) in left for finding in done):
        return False
    known = {(finding.code, finding.where) for finding in before}
    return all(finding.edits for finding in _fatal(after) if (finding.code, finding.where) not in known)


def _fatal(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.effect == REFUSED]
