"""One text of Continue's configuration with every safe fix made, as `overview.all_fixes` makes them in files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.exports.editors.continue_check import check_files
from gpudesk.exports.editors.continue_facts import Facts
from gpudesk.exports.fixing import fixing
from gpudesk.exports.text_file import TextFile
from gpudesk.exports.values import Finding
from gpudesk.exports.yaml_splice import apply

if TYPE_CHECKING:
    from collections.abc import Sequence


def fixed(file: TextFile, facts: Facts, *, in_block: bool = False) -> tuple[TextFile, tuple[Finding, ...]]:
    """Return a file with everything made right that is safe to make right, and what was fixed.

    A fix that leaves the file worse than it was (it cannot be read, or has something new wrong with it) is not made.
    """

    def look(at: TextFile) -> Sequence[Finding]:
        return _of_one(at, facts, in_block)

    def make(at: TextFile, todo: Sequence[Finding]) -> tuple[TextFile, Sequence[Finding]]:
        edits = (edit for finding in todo for edit in finding.edits)
        return TextFile(at.path, at.data, apply(at.text, edits), at.has_mark), todo

    return fixing(file, look, make)


def _of_one(file: TextFile, facts: Facts, in_block: bool) -> tuple[Finding, ...]:
    return check_files((), (file,), facts) if in_block else check_files((file,), (), facts)
