"""What editors whose settings are JSON with comments have in common: values put into the user's file, and taken out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpudesk.errors import ExportError, StoreError
from gpudesk.exports.jsonc_splice import with_values, without_ours
from gpudesk.exports.jsonc_tree import Child, Document, KeyPath, Node, read
from gpudesk.exports.request_rules import findings
from gpudesk.exports.requests import Place, place_within
from gpudesk.exports.text_file import line_and_column, read_text
from gpudesk.exports.values import Export, FileChange, Finding, Severity, Way
from gpudesk.exports.writing import backups
from gpudesk.exports.written import Write, digest_of
from gpudesk.records import dataclass, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from gpudesk.domain.desk import Desk
    from gpudesk.exports.editor import Surroundings
    from gpudesk.exports.foresight import Fits
    from gpudesk.exports.requests import Request


@dataclass(frozen=True, slots=True)
class JsoncSettings:
    """A settings file with comments of one editor."""

    editor: str
    name: str
    path: Path
    effect: str
    """What the editor makes of a file that is broken."""
    unit: str = "  "
    """Indentation in a new file."""
    owned: frozenset[KeyPath] = frozenset()
    """What is gpudesk's even without a mark."""

    def export(self, values: Mapping[KeyPath, Any], way: Way, notes: Sequence[str]) -> Export:
        """Return what setting values comes to; raises ExportError when the file cannot be changed."""
        if way is Way.PRINT:
            return Export(self.editor, way, snippet=printed(values, self.unit), notes=tuple(notes))
        file = read_text(self.path)
        text = with_values(file.text, values, self.path, self.effect, unit=self.unit, owned=self.owned)
        after = file.encoded(text)
        change = FileChange(self.path, file.data, after, "the models of gpudesk", secret=True)
        return Export(self.editor, way, (change,) if change.changes else (), notes=tuple(notes))

    def removed(self) -> FileChange | None:
        """Return the file without what is gpudesk's; None when there is nothing."""
        file = read_text(self.path)
        if file.data is None or "gpudesk" not in file.text:
            return None
        text = without_ours(file.text, self.path, self.effect, self.owned)
        change = FileChange(self.path, file.data, file.encoded(text) if text else None, "without gpudesk", secret=True)
        return change if change.changes else None

    def read(self) -> Document | Finding | None:
        """Return what is in the file, or what is wrong with it as a whole; None when there is no file."""
        try:
            file = read_text(self.path)
            return None if file.data is None else read(file.text, self.path, self.effect)
        except ExportError as error:
            return unreadable(self.path, error, self.effect)


def own_file(editor: str, path: Path, text: str, why: str, notes: Sequence[str]) -> Export:
    """Return what writing a file that is gpudesk's alone comes to."""
    file = read_text(path)
    change = FileChange(path, file.data, file.encoded(text), why, secret=True)
    return Export(editor, Way.OWN_FILE, (change,) if change.changes else (), notes=tuple(notes))


def without_own_files(editor: str, around: Surroundings, usual: Sequence[Path]) -> tuple[FileChange, ...]:
    """Return the removal of files that are gpudesk's alone: the usual ones, and those a person had named.

    A file that a person had named goes only when gpudesk made it and it still is what gpudesk wrote.
    """
    made: dict[Path, str | None] = {}
    for write in reversed(backups_of(editor, around)):
        for file in write.files:
            if file.before is None or Path(file.path) in made:
                made[Path(file.path)] = file.after
    changes: list[FileChange] = []
    for path in dict.fromkeys([*usual, *made]):
        data = read_text(path).data
        if data is not None and (path in usual or digest_of(data) == made[path]):
            changes.append(FileChange(path, data, None, "gpudesk's own", secret=True))
    return tuple(changes)


def backups_of(editor: str, around: Surroundings) -> tuple[Write, ...]:
    """Return what gpudesk wrote for an editor, the newest first; nothing when that cannot be told."""
    try:
        return () if around.state is None else backups(editor, state=around.state)
    except (ExportError, StoreError):
        return ()


def unreadable(path: Path, error: ExportError, effect: str) -> Finding:
    """Return what to say of a file that cannot be read; where it is told, the place and the reason each once."""
    found = re.search(r"(?:\A|, )line (\d+), column (\d+): ", error.message)
    if found is None:
        return Finding("unreadable", Severity.ERROR, path, None, "", error.message, effect, error.hint, bars_file=True)
    what, place = error.message[found.end() :], f"Look at line {found[1]}, column {found[2]}"
    return Finding("unreadable", Severity.ERROR, path, int(found[1]), "", what, effect, place, bars_file=True)


def checked(
    settings: Sequence[JsoncSettings],
    desk: Desk | None,
    requests: Callable[[Document, Path], Iterable[Request]],
    others: Callable[[Document, Path], Iterable[Finding]] = lambda _document, _path: (),
    *,
    fits: Fits | None = None,
) -> tuple[Finding, ...]:
    """Return what is wrong in an editor's files.

    Args:
        settings: the files; those that are not there are passed over.
        desk: what is installed, loaded and pinned.
        requests: what a file makes the editor send.
        others: what is wrong in it that is peculiar to the editor.
        fits: says why models do not fit together.
    """
    found: list[Finding] = []
    for each in settings:
        document = each.read()
        if isinstance(document, Finding):
            found.append(document)
        elif document is not None:
            found += (*findings(list(requests(document, each.path)), desk, fits), *others(document, each.path))
    return tuple(found)


def place_of(document: Document, path: Path, where: str, node: Node | None) -> Place | None:
    """Return where a scalar stands, within the quotes of a text; None when there is none, or one with escapes."""
    if node is None or node.kind != "scalar":
        return None
    if isinstance(node.data, str):
        return place_within(path, where, document.text, node.start + 1, node.end - 1, node.data)
    return Place(path, line_of(document, node), where, node.start, node.end)


def place_before(document: Document, path: Path, where: str, member: Child | None, name: str) -> Place | None:
    """Return where a new member would be put in: before one that is there, laid out like it."""
    if member is None:
        return None
    line = re.search(r"\r?\n[ \t]*\Z", document.text[: member.start])
    gap = " " if line is None else line[0]
    place = member.start
    number = line_and_column(document.text, place)[0]
    return Place(path, number, where, place, place, f"{json.dumps(name)}: ", f",{gap}")


def line_of(document: Document, node: Node) -> int:
    """Return the line a value stands in."""
    return line_and_column(document.text, node.start)[0]


def removal(editor: str, around: Surroundings, settings: Sequence[JsoncSettings]) -> Export:
    """Return what takes gpudesk out of an editor's files, those a person had named among them."""
    by_path = {each.path: each for each in settings}
    first = settings[0]
    for path in dict.fromkeys(Path(file.path) for write in backups_of(editor, around) for file in write.files):
        by_path.setdefault(path, replace(first, path=path))
    changes = [change for each in by_path.values() if (change := each.removed()) is not None]
    return Export(editor, Way.MERGE, tuple(changes))


def printed(values: Mapping[KeyPath, Any], unit: str = "  ") -> str:
    """Return values as JSON to be pasted."""
    data: Any = [] if any(isinstance(path[0], tuple) for path in values) else {}
    for path, value in values.items():
        place = data
        for key, following in zip(path, [*path[1:], None], strict=True):
            new: Any = value if following is None else ([] if isinstance(following, tuple) else {})
            if isinstance(key, tuple):
                place.append(new)
                place = new
            elif following is None:
                place[key] = new
            else:
                place = place.setdefault(key, new)
    return json.dumps(data, indent=unit, ensure_ascii=False) + "\n"
