"""Makes a `config.yaml` of Continue's old `config.json`, which stays as it is.

Continue's own converter (packages/config-yaml/src/converter.ts at d0a3c0b626) loses contextLength, the options of
autocomplete, templates, capabilities, the roles edit and apply and every comment, and refers to a hub that is no more.
Here everything that has a place is put there, and what has none stands as a comment where it would have been.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpudesk.errors import ExportError
from gpudesk.exports.editors import continue_places
from gpudesk.exports.editors import continue_shapes as shapes
from gpudesk.exports.editors.continue_carry import NOTHING, Carrier
from gpudesk.exports.editors.continue_json import comments, read_json
from gpudesk.exports.editors.continue_migrated_lists import listed, other_sections
from gpudesk.exports.editors.continue_migrated_models import Piece, filled, model_pieces
from gpudesk.exports.text_file import TextFile, read_text
from gpudesk.exports.values import Export, FileChange, Way
from gpudesk.exports.yaml_text import block_lines, entry_lines, scalar_text
from gpudesk.exports.yaml_tree import read
from gpudesk.paths import shortened
from gpudesk.records import dataclass, replace
from gpudesk.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gpudesk.exports.editor import Surroundings
    from gpudesk.exports.editors.continue_json import Comment

_SETTINGS = "it is in Continue's settings, which took it over"
_IN_SETTINGS = ("allowAnonymousTelemetry", "disableIndexing", "disableSessionTitles", "ui", "userToken", "analytics")
_HANDLED = frozenset(
    (
        *("models", "tabAutocompleteModel", "tabAutocompleteOptions", "embeddingsProvider", "reranker", "env"),
        *(
            "completionOptions",
            "requestOptions",
            "systemMessage",
            "contextProviders",
            "customCommands",
            "slashCommands",
        ),
        *("docs", "experimental", "data", *_IN_SETTINGS),
    )
)
_KINDS: dict[str, type] = {
    **dict.fromkeys(("models", "contextProviders", "customCommands", "slashCommands", "docs", "data"), list),
    **dict.fromkeys(("completionOptions", "embeddingsProvider", "reranker", "experimental"), dict),
    "systemMessage": str,
}


@dataclass(frozen=True, slots=True)
class Migrated:
    """A new configuration."""

    text: str
    lost: tuple[str, ...]
    """What has no place in it, one line each; comments of it say the same."""


def migration(around: Surroundings) -> Export:
    """Return a `config.yaml` of the `config.json` that is there.

    Raises:
        ExportError: there is none, it cannot be read, or there is a `config.yaml` already.
    """
    path = continue_places.config_path(around)
    old, new = read_text(path.with_name("config.json")), read_text(path)
    if old.data is None:
        raise ExportError(f"{shortened(old.path)} does not exist", "There is nothing to migrate")
    if new.text.strip():
        raise ExportError(
            f"{shortened(path)} is there already, and Continue reads only that",
            "Move it away to migrate config.json in its place",
        )
    migrated = migrated_text(old.text)
    change = FileChange(path, new.data, migrated.text.encode(), "what config.json says", secret=True)
    return Export("continue", Way.MERGE, (change,), notes=_notes(old, migrated))


def instead_of_json(file: TextFile) -> tuple[TextFile, tuple[str, ...]]:
    """Return a `config.yaml` to add to, and what to say of it: where it is missing, what a `config.json` there says.

    With a `config.yaml` that holds gpudesk's models alone, Continue would forget all that it had (core/config/load.ts).

    Raises:
        ExportError: the `config.json` cannot be read.
    """
    if file.data is not None:
        return file, ()
    old = read_text(file.path.with_name("config.json"))
    if old.data is None:
        return file, ()
    migrated = migrated_text(old.text)
    return replace(file, text=migrated.text), _notes(old, migrated)


def _notes(old: TextFile, migrated: Migrated) -> tuple[str, ...]:
    notes = [f"{shortened(old.path)} stays as it is; Continue reads it no more once there is a config.yaml"]
    if migrated.lost:
        count = len(migrated.lost)
        notes.append(f"{count} setting{'s have' if count > 1 else ' has'} no place in config.yaml: see its comments")
    return tuple(notes)


def migrated_text(text: str) -> Migrated:
    """Return the new configuration of an old one.

    Raises:
        ExportError: it cannot be read, or what it says cannot be written.
    """
    old = read_json(text)
    old = filled(old, [name for name in listed(old.get("env")) if isinstance(name, str)])
    general = Carrier()
    head: dict[str, Any] = {"name": "Main Config", "version": "1.0.0", "schema": "v1"}
    request = general.value(old.get("requestOptions"), shapes.REQUEST, "requestOptions")
    if request is not NOTHING and request:
        head["requestOptions"] = request
    sections = {"models": model_pieces(old, general), **other_sections(old, general)}
    _lose_the_rest(old, general)
    lines = _lines(head, sections, general.lost, list(comments(text)))
    made = "\n".join(lines) + "\n"
    _verify(made, head, sections)
    lost = [line for pieces in sections.values() for piece in pieces for line in piece.lost]
    return Migrated(made, (*general.lost, *lost))


def _lose_the_rest(old: dict[str, Any], general: Carrier) -> None:
    for key in _IN_SETTINGS:
        general.lose(key, old.get(key), _SETTINGS)
    for index, command in enumerate(listed(old.get("slashCommands"))):
        general.lose(f"slashCommands[{index}]", command, "built into Continue, or gone from it")
    for key, kind in _KINDS.items():
        if not isinstance(old.get(key), kind):
            general.lose(key, old.get(key), "not understood")
    for key, value in old.items():
        if key not in _HANDLED:
            general.lose(key, value, "config.yaml has no such key")


def _lines(
    head: dict[str, Any], sections: dict[str, list[Piece]], lost: Iterable[str], said: Sequence[Comment]
) -> list[str]:
    places = {piece.place for pieces in sections.values() for piece in pieces}

    def of(comment: Comment) -> tuple[str | int, ...]:
        ends = range(len(comment.place), 0, -1)
        return next((comment.place[:end] for end in ends if comment.place[:end] in places), ())

    general = [_said(comment) for comment in said if not of(comment)]
    lines = [*_comment_lines(general), *_lost_lines(lost), *block_lines(head)]
    for name, pieces in sections.items():
        if not pieces and name != "models":
            continue
        filled_in = any(piece.value is not None for piece in pieces)
        lines.append(f"{name}:" if filled_in else f"{name}: []")
        for piece in pieces:
            mine = [_said(comment) for comment in said if piece.place and of(comment) == piece.place]
            lines += ("  " + line for line in (*_comment_lines(mine), *_lost_lines(piece.lost)))
            if piece.value is not None:
                made = (
                    entry_lines(piece.value) if not isinstance(piece.value, str) else [f"- {scalar_text(piece.value)}"]
                )
                lines += ("  " + line for line in made)
    return lines


def _said(comment: Comment) -> str:
    if comment.may_be_secret:
        return f"A comment in line {comment.line} of config.json is left there: it may hold a secret"
    return comment.text


def _comment_lines(words: Iterable[str]) -> list[str]:
    return [f"# {text}" for text in words]


def _lost_lines(lost: Iterable[str]) -> list[str]:
    return [f"# not carried over: {clean(text, 400)}" for text in lost]


def _verify(text: str, head: dict[str, Any], sections: dict[str, list[Piece]]) -> None:
    """Refuse a text that does not say what it should."""
    document = read(text)
    wanted = dict(head)
    for name, pieces in sections.items():
        if pieces or name == "models":
            wanted[name] = [piece.value for piece in pieces if piece.value is not None]
    if document.data(document.root) != wanted:
        raise ExportError("config.json cannot be migrated: it would not read the same", "Migrate it by hand")
