"""The lists of the editors' screen: editors, roles with their models, models to choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.exports.chosen import ROLES
from gpudesk.exports.values import Role
from gpudesk.paths import shortened
from gpudesk.records import dataclass
from gpudesk.ui.cells import Line, Span
from gpudesk.ui.tables import Column, Table
from gpudesk.units import gibibytes

if TYPE_CHECKING:
    from gpudesk.domain.desk import Desk
    from gpudesk.exports.chosen import Together
    from gpudesk.exports.overview import EditorState
    from gpudesk.exports.values import ChosenModel, Way
    from gpudesk.ui.editors.working import Answer, RoleOption
    from gpudesk.ui.scene import Scene

SIGNS = {
    "fits": ("✓", "good"),
    "tight": ("≈", "warn"),
    "spills": ("◐", "warn"),
    "does not fit": ("✗", "error"),
}
FROM, WAY = "from", "way"
"""Rows of the second list that are no roles."""
ROLE_WORDS = {Role.CHAT: "chat, edit, apply", Role.AUTOCOMPLETE: "autocomplete", Role.EMBED: "embed"}


def fit_line_of(together: Together | None) -> Line:
    """Return how models go together: `✓ fits 12.1 of 23.0 GiB`."""
    if together is None:
        return ()
    if together.verdict is None:
        return (Span("? fit not known", "dim"),)
    sign, role = SIGNS[together.verdict]
    verdict = together.verdict
    if together.would_evict:
        sign, role, verdict = "✗", "error", "swaps"
    sizes = f" {gibibytes(together.needs_bytes, unit=False)} of {gibibytes(together.room_bytes)}"
    return (Span(f"{sign} {verdict}", role), Span(sizes, "dim"))


# --- editors ----------------------------------------------------------------------------------------------------


def _editor_sign(state: EditorState, _scene: Scene) -> Line:
    if state.problem is not None:
        return (Span("!", "error"),)
    if state.wrong:
        return (Span("!", "warn"),)
    return (Span("✓", "good"),) if state.set_up else (Span("·", "faint"),)


def _editor_state(state: EditorState, _scene: Scene) -> Line:
    role = "error" if state.problem is not None else "warn" if state.wrong else "good" if state.set_up else "dim"
    return (Span(state.words, role),)


def _editor_file(state: EditorState, _scene: Scene) -> Line:
    there = [found for found in state.files if found.exists]
    return (Span(shortened(there[0].path), "dim"),) if there else ()


EDITORS: Table[EditorState] = Table(
    id="editors",
    key=lambda state: state.id,
    haystack=lambda state: f"{state.id} {state.name} {state.words}",
    basis=lambda _scene: None,
    columns=(
        Column("sign", "", 1, _editor_sign),
        Column("name", "EDITOR", 12, lambda state, _: (Span(state.name, "strong" if state.found else "dim"),),
               order=lambda state, _: state.name.lower()),
        Column("state", "STATE", 29, _editor_state, order=lambda state, _: state.words,
               help="Set up by gpudesk or not, and how many things are wrong in its files"),
        Column("file", "FILE", 16, _editor_file, grow=1, rank=1),
    ),
)  # fmt: skip


# --- roles ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RoleRow:
    """One line of what an editor gets."""

    id: str
    label: str
    value: str
    detail: str = ""
    size: str = ""
    note: str = ""
    tone: str = ""
    """Role of the note."""


def role_rows(answer: Answer | None, way: Way | None, desk: Desk) -> tuple[RoleRow, ...]:
    """Return the rows: where the models come from, one per role, and how it is written."""
    if answer is None:
        return ()
    origin = answer.picked.origin if answer.picked is not None else answer.question.origin
    rows = [RoleRow(FROM, "models", f"‹ {origin} ›")]
    sizes = dict(answer.together.by_model) if answer.together is not None else {}
    for role in ROLES:
        model = answer.chosen.of(role) if answer.chosen is not None else None
        if model is None:
            rows.append(RoleRow(role.value, ROLE_WORDS[role], "none"))
        else:
            rows.append(_model_row(role, model, sizes.get(model.name), desk))
    if way is not None:
        editor = answer.export.editor if answer.export is not None else answer.question.editor
        several = any(state.id == editor and len(state.ways) > 1 for state in answer.states)
        rows.append(RoleRow(WAY, "written as", f"‹ {way.value} ›" if several else way.value))
    return tuple(rows)


def _model_row(role: Role, model: ChosenModel, size: int | None, desk: Desk) -> RoleRow:
    loaded = next((each for each in desk.models if each.name == model.name), None)
    note, tone = "not loaded", "dim"
    if loaded is not None:
        same = role is Role.EMBED or loaded.context_length in (None, model.context_length)
        pinned = loaded.pin.value == "held"
        note, tone = ("pinned" if pinned else "loaded", "good") if same else (f"has {loaded.context_length}", "warn")
    context = f"{model.context_length}" if model.context_length is not None and role is not Role.EMBED else ""
    return RoleRow(
        role.value, ROLE_WORDS[role], model.name, context, gibibytes(size, unit=False) if size is not None else "",
        note, tone,
    )  # fmt: skip


ROLE_ROWS: Table[RoleRow] = Table(
    id="roles",
    key=lambda row: row.id,
    haystack=lambda row: f"{row.label} {row.value}",
    basis=lambda _scene: None,
    columns=(
        Column("label", "ROLE", 17, lambda row, _: (Span(row.label, "dim"),)),
        Column("value", "MODEL", 14, lambda row, _: (Span(row.value, "faint" if row.value == "none" else "strong"),),
               grow=1),
        Column("context", "CONTEXT", 7, lambda row, _: (Span(row.detail),), right=True, rank=1,
               help="Tokens; what is loaded now, else what it will be loaded with"),
        Column("size", "GiB", 5, lambda row, _: (Span(row.size),), right=True, rank=2,
               help="What it takes on the cards"),
        Column("note", "NOW", 14, lambda row, _: (Span(row.note, row.tone),), rank=3,
               help="Loaded or pinned now; `has 4096` is loaded with another context, and would be loaded again"),
    ),
)  # fmt: skip


# --- models to choose from --------------------------------------------------------------------------------------


def _option_fit(option: RoleOption, _scene: Scene) -> Line:
    return fit_line_of(option.together)


OPTIONS: Table[RoleOption] = Table(
    id="options",
    key=lambda option: option.name,
    haystack=lambda option: f"{option.name} {option.reason}",
    basis=lambda _scene: None,
    columns=(
        Column("box", "", 1, lambda option, _: (Span("▸" if option.chosen else " ", "accent"),)),
        Column("name", "MODEL", 14, lambda option, _: (Span(option.name, "strong"),), grow=1,
               order=lambda option, _: option.name.lower()),
        Column("fit", "WITH THE OTHERS", 31, _option_fit,
               help="Whether all models of the list stay loaded together when this one is chosen"),
        Column("reason", "WHY", 34, lambda option, _: (Span(option.reason, "dim"),), rank=1),
    ),
)  # fmt: skip
