"""Makes right what is safe to make right in Continue's configuration; everything else stays byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.errors import ExportError
from gpudesk.exports.editors import continue_places
from gpudesk.exports.editors.continue_check import check_files, is_block
from gpudesk.exports.editors.continue_facts import Facts
from gpudesk.exports.text_file import TextFile, read_text
from gpudesk.exports.values import Export, FileChange, Finding, Severity, Way
from gpudesk.exports.yaml_splice import apply

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gpudesk.domain.desk import Desk
    from gpudesk.exports.editor import Surroundings
    from gpudesk.exports.editors.continue_facts import OwnContext

_ROUNDS = 8
"""Of fixing and looking again: one fix makes way for another."""


def repair(around: Surroundings, desk: Desk | None, own_context: OwnContext | None = None) -> Export:
    """Return the files with everything fixed that is safe to fix; what cannot be read is left alone."""
    facts = Facts(desk, own_context=own_context, versions=continue_places.installed_versions(around))
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
    done: list[Finding] = []
    refused: set[tuple[str, str]] = set()
    for _ in range(_ROUNDS):
        before = _of_one(file, facts, in_block)
        todo = [finding for finding in before if finding.edits and (finding.code, finding.where) not in refused]
        if not todo:
            break
        after = TextFile(file.path, file.data, apply(file.text, (e for f in todo for e in f.edits)), file.has_mark)
        if not _is_better(before, _of_one(after, facts, in_block), todo):
            if len(todo) == 1:
                refused.add((todo[0].code, todo[0].where))
                continue
            todo = todo[:1]
            after = TextFile(file.path, file.data, apply(file.text, todo[0].edits), file.has_mark)
            if not _is_better(before, _of_one(after, facts, in_block), todo):
                refused.add((todo[0].code, todo[0].where))
                continue
        done += todo
        file = after
    return file, tuple(done)


def _of_one(file: TextFile, facts: Facts, in_block: bool) -> tuple[Finding, ...]:
    return check_files((), (file,), facts) if in_block else check_files((file,), (), facts)


def _is_better(before: Iterable[Finding], after: Sequence[Finding], done: Iterable[Finding]) -> bool:
    """What was to be fixed is gone, the file can be read, and no error is there that was not."""
    left = {(finding.code, finding.where) for finding in after}
    if any(finding.code == "not-yaml" for finding in after):
        return False
    if any((finding.code, finding.where) in left for finding in done):
        return False
    return len([f for f in after if f.severity is Severity.ERROR]) <= len(
        [f for f in before if f.severity is Severity.ERROR]
    )
