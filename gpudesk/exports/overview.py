"""How an editor stands: which files it has, whether gpudesk is in them, and what is wrong in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gpudesk.errors import ExportError, UsageError
from gpudesk.exports.values import Export, FileChange, Finding, Severity, Way
from gpudesk.records import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from gpudesk.domain.desk import Desk
    from gpudesk.exports.editor import Editor, Found, Surroundings
    from gpudesk.exports.foresight import Fits
    from gpudesk.exports.values import Edit


@dataclass(frozen=True, slots=True)
class EditorState:
    """One editor as it stands."""

    id: str
    name: str
    ways: tuple[Way, ...]
    files: tuple[Found, ...] = ()
    found: bool = False
    """It is or was used on this computer: a file of its own, or the folder for it, is there."""
    set_up: bool = False
    """Something of gpudesk is in its files."""
    findings: tuple[Finding, ...] = ()
    problem: str | None = None
    """Why its files could not be looked at."""

    @property
    def wrong(self) -> tuple[Finding, ...]:
        """The findings that cost something; hints do not."""
        return tuple(each for each in self.findings if each.severity is not Severity.HINT)

    @property
    def words(self) -> str:
        """The state in words."""
        if not self.found:
            return "not found"
        if self.problem is not None:
            return "cannot be read"
        begin = "set up by gpudesk" if self.set_up else "not set up"
        count = len(self.wrong)
        return f"{begin}, {count} {'finding' if count == 1 else 'findings'}" if count else begin


def state_of(editor: Editor, around: Surroundings, desk: Desk | None, fits: Fits | None = None) -> EditorState:
    """Look at one editor's files. Arguments as for `Editor.check`."""
    files = editor.files(around)
    found = is_found(files, around)
    state = EditorState(editor.id, editor.name, editor.ways, files, found)
    if not found or not any(each.exists for each in files):
        return state
    set_up, problem = False, None
    findings: tuple[Finding, ...] = ()
    try:
        set_up = any(change.changes for change in editor.remove(around).changes)
    except ExportError as error:
        problem = error.message
    try:
        findings = editor.check(around, desk, fits)
    except ExportError as error:
        problem = problem or error.message
    if any(each.severity is Severity.ERROR for each in findings):
        problem = None  # said by a finding, with its place
    return EditorState(editor.id, editor.name, editor.ways, files, found, set_up, findings, problem)


def is_found(files: Sequence[Found], around: Surroundings) -> bool:
    """Tell whether an editor is or was used on this computer; one without files of its own counts as found."""
    return not files or any(each.exists or _has_own_folder(each.path, around) for each in files)


def _has_own_folder(path: Path, around: Surroundings) -> bool:
    """Tell whether the folder of a file is there and is the editor's: nearly everybody has the others."""
    shared = {around.home, around.home / ".config", around.workspace}
    return path.parent not in shared and path.parent.is_dir()


def migrating(editor: Editor, around: Surroundings) -> Export:
    """Return what makes a configuration in the present format of one in a deprecated format.

    Raises:
        UsageError: the editor has none.
        ExportError: there is nothing to migrate, or it cannot be read.
    """
    if editor.id != "continue":
        raise UsageError(f"{editor.name} has no deprecated configuration", "--migrate is for Continue's config.json")
    from gpudesk.exports.editors.continue_migration import migration

    return migration(around)


def all_fixes(editor: Editor, around: Surroundings, desk: Desk | None) -> tuple[Export, tuple[Finding, ...]]:
    """Return what the safe fixes make of the files, and what they fix, once others are made among it.

    Raises:
        ExportError: a file cannot be read.
    """
    from gpudesk.exports.fixing import fixing
    from gpudesk.exports.text_file import supposing

    first: dict[Path, bytes | None] = {}

    def look(became: Mapping[Path, bytes]) -> Sequence[Finding]:
        with supposing(became):
            return editor.check(around, desk)

    def make(became: Mapping[Path, bytes], todo: Sequence[Finding]) -> tuple[Mapping[Path, bytes], Sequence[Finding]]:
        with supposing(became):
            export, made = fixes(editor.id, todo)
        for change in export.changes:
            first.setdefault(change.path, change.before)
        return {**became, **{change.path: change.after or b"" for change in export.changes}}, made

    nothing: Mapping[Path, bytes] = {}
    became, fixed = fixing(nothing, look, make)
    counts = {path: sum(1 for each in fixed if each.path == path) for path in became}
    changes = tuple(
        FileChange(path, first[path], after, _fixes_made(counts[path]), secret=True) for path, after in became.items()
    )
    return Export(editor.id, Way.MERGE, changes), tuple(fixed)


def _fixes_made(count: int) -> str:
    return f"{count} safe {'fix' if count == 1 else 'fixes'}"


def fixes(editor: str, findings: Sequence[Finding]) -> tuple[Export, tuple[Finding, ...]]:
    """Return what one round of safe fixes makes of the files, and the findings it fixes.

    Of two fixes for one place the first is made; the other is found again afterwards, if it is still wrong.

    Raises:
        ExportError: a file cannot be read.
    """
    from gpudesk.exports.text_file import read_text

    changes: list[FileChange] = []
    fixed: list[Finding] = []
    for path in dict.fromkeys(each.path for each in findings if each.edits):
        file = read_text(path)
        taken: list[Edit] = []
        for finding in findings:
            if finding.path == path and finding.edits and not _overlap(finding.edits, taken):
                taken += finding.edits
                fixed.append(finding)
        text = file.text
        for edit in sorted(taken, key=lambda each: (each.start, each.end), reverse=True):
            text = text[: edit.start] + edit.text + text[edit.end :]
        changes.append(FileChange(path, file.data, file.encoded(text), _fixes_made(len(taken)), secret=True))
    return Export(editor, Way.MERGE, tuple(changes)), tuple(fixed)


def _overlap(edits: Sequence[Edit], taken: Sequence[Edit]) -> bool:
    """Tell whether edits touch others; two insertions at one place would depend on their order."""
    return any(
        (edit.start < other.end and other.start < edit.end) or edit.start == other.start
        for edit in edits
        for other in taken
    )
