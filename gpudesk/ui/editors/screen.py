"""The editors' screen: choose an editor and its models, read the change, write it after one question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.message import Message

from gpudesk.arguments.planner_values import AskedModel
from gpudesk.exports.chosen import ROLES
from gpudesk.exports.values import Role, Way
from gpudesk.keymap import Scope
from gpudesk.ui.bindings import bindings_for
from gpudesk.ui.editors.files import EditorFiles
from gpudesk.ui.editors.view_lists import FROM, WAY
from gpudesk.ui.editors.working import BY_HAND, RESIDENT, Answer, Question, Worker, words_of
from gpudesk.ui.widgets.row_list import RowList

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from textual.widget import Widget
    from textual.widgets import Input

    from gpudesk.domain.desk import Desk
    from gpudesk.ui.editors.port import EditorPort
    from gpudesk.ui.palette import Palette
    from gpudesk.ui.scene import Scene


class EditorsScreen(EditorFiles, inherit_bindings=False):
    """Configurations of editors that match what is resident."""

    BINDINGS = bindings_for(Scope.EVERYWHERE, Scope.PANELS, Scope.EDITORS)
    SCOPES = frozenset({Scope.PANELS, Scope.EDITORS})
    AUTO_FOCUS = "#editors"

    class Answered(Message):
        """Something was worked out in the other thread."""

        def __init__(self, answer: Answer) -> None:
            super().__init__()
            self.answer = answer

    def __init__(
        self, port: EditorPort, *, banner: str | None, keymap: Mapping[str, str], read_only: bool = False
    ) -> None:
        """Make the screen; nothing is read before it is shown.

        Args:
            port: files and models.
            banner: the demo's line.
            keymap: the user's keys.
            read_only: nothing may be written.
        """
        super().__init__(port, banner=banner, keymap=keymap, read_only=read_only)
        self.worker = Worker(port, lambda answer: self.tell(self.Answered(answer)))
        self._origin = RESIDENT
        self._words: dict[Role, AskedModel] = {}
        self._way: Way | None = None
        self._into: Path | None = None
        self._naming = False
        self._seen: object = None
        self._asked_for: str | None = None

    # --- life ---------------------------------------------------------------------------------------------------

    def on_unmount(self) -> None:
        """Leave no thread with work."""
        self.worker.stop()

    def show(self, scene: Scene, palette: Palette) -> None:
        """Take a new moment; what is shown is worked out again when the models or the files are others."""
        self.scene, self._palette = scene, palette
        seen = (_models_of(scene.desk), self._stamps())
        if seen != self._seen:
            self._seen = seen
            self._ask()
        self.draw()

    def _stamps(self) -> tuple[object, ...]:
        """Return what tells one state of the editors' files from another."""
        if self.answer is None:
            return ()
        stamps: list[object] = []
        for state in self.answer.states:
            for found in state.files:
                try:
                    about = found.path.stat()
                except OSError:
                    stamps.append(None)
                else:
                    stamps.append((about.st_mtime_ns, about.st_size))
        return tuple(stamps)

    def _ask(self) -> None:
        if self.scene is None:
            return
        editor = self.state.id if self.state is not None else None
        self._asked_for = editor
        words = tuple(self._words.items())
        self.worker.ask(Question(self.scene.desk, editor, self._origin, words, self._way, self._into, self.picking))

    def on_editors_screen_answered(self, event: Answered) -> None:
        """Show what was worked out."""
        event.stop()
        rows = len(self.answer.states) if self.answer is not None else 0
        before, self.answer = self.answer, event.answer
        if before is None and self.scene is not None:
            self._seen = (_models_of(self.scene.desk), self._stamps())
        if len(event.answer.states) != rows:
            self.arrange_anew()
        self.draw()

    # --- what is chosen -----------------------------------------------------------------------------------------

    def on_row_list_changed(self, event: RowList.Changed) -> None:
        """Follow the cursor: another editor has another change."""
        event.stop()
        editor = self.state.id if self.state is not None else None
        if event_is_news(editor, self._asked_for):
            self._way = self._into = None
            self.detail.to_top()
            self._ask()
        self.draw()

    def on_row_list_opened(self, event: RowList.Opened) -> None:
        """Read about an editor, list the models of a role, take one."""
        event.stop()
        if event.rows is self.editors:
            self.focus_part(self.detail)
        elif event.rows is self.options:
            self._take(event.key)
        elif event.key in {role.value for role in ROLES}:
            self._pick(Role(event.key))
        else:
            self.action_step(1)

    def action_step(self, step: int) -> None:
        """Take the next model for the role, the next way, or the next place models come from."""
        row, answer = self.roles.selected, self.answer
        if row is None or answer is None:
            return
        if row.id == FROM:
            known = answer.origins
            position = known.index(self._origin) if self._origin in known else -1 if step > 0 else 0
            self._origin, self._words = known[(position + step) % len(known)], {}
        elif row.id == WAY:
            ways = self.state.ways if self.state is not None else ()
            if len(ways) < 2:
                self.notify("there is only one way for this editor", timeout=3)
                return
            position = ways.index(self.way) if self.way in ways else 0
            self._way = ways[(position + step) % len(ways)]
        else:
            self._other_model(Role(row.id), step, answer)
        self.detail.to_top()
        self._ask()

    def _other_model(self, role: Role, step: int, answer: Answer) -> None:
        names: list[str | None] = [None, *(option.name for option in (answer.options or {}).get(role, ()))]
        words = dict(self._words) if self._origin == BY_HAND else words_of(answer.chosen)
        now = words[role].word if role in words else None
        name = names[((names.index(now) if now in names else 0) + step) % len(names)]
        self._put(role, name, words)

    def _put(self, role: Role, name: str | None, words: dict[Role, AskedModel]) -> None:
        """Choose a model by hand, or none."""
        words.pop(role, None)
        if name is not None:
            words[role] = AskedModel(name)
        self._origin, self._words = BY_HAND, words

    def _pick(self, role: Role) -> None:
        """List the models for a role, with what each would come to."""
        self.picking = role
        self.options.cursor_key = None
        if self.answer is not None:
            from gpudesk.records import replace

            self.answer = replace(self.answer, judged=())
        self._ask()
        self.arrange_anew()
        self.set_focus(self.options)

    def _take(self, name: str) -> None:
        role, answer = self.picking, self.answer
        if role is not None and answer is not None:
            words = dict(self._words) if self._origin == BY_HAND else words_of(answer.chosen)
            self._put(role, name, words)
        self._put_list_away()
        self._ask()

    def _put_list_away(self) -> None:
        self.picking = None
        self.options.set_filter("")
        self.arrange_anew()
        self.set_focus(self.roles)

    # --- looking ------------------------------------------------------------------------------------------------

    def action_turn(self, to: str | None = None) -> None:
        """Show the findings, or the change."""
        self.checking = not self.checking if to is None else to == "check"
        self.detail.to_top()
        self.draw()

    # --- filter and focus ---------------------------------------------------------------------------------------

    def _list_in_use(self) -> RowList[Any]:
        return self.options if self.picking is not None else self.editors

    async def action_filter(self) -> None:
        """Open the line in which the filter is typed."""
        await self._open_line(self._list_in_use().filter_text, "filter")

    async def action_other_file(self) -> None:
        """Open the line in which another file is named."""
        if self.query("#filter"):
            return
        self._naming = True
        await self._open_line(str(self._into or ""), "path of a file or its folder; nothing is the usual file")

    async def _open_line(self, text: str, hint: str) -> None:
        if self.query("#filter"):
            return
        from gpudesk.ui.widgets.filter_line import FilterLine

        self.typing = True
        line = FilterLine(text, hint)
        await self.mount(line)
        line.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while typing."""
        event.stop()
        if not self._naming:
            self._list_in_use().set_filter(event.value)

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter, or take the file."""
        event.stop()
        if self._naming:
            named = event.value.strip()
            self._into = self._port.around.path_of(named) if named else None
            self.detail.to_top()
            self._ask()
        await self._close_line()

    async def _close_line(self) -> None:
        self.typing = self._naming = False
        await self.query("#filter").remove()
        self.set_focus(self._list_in_use())

    def parts(self) -> list[Widget]:
        """Return the list in use, the models and the detail."""
        return [self.options if self.picking is not None else self.editors, self.roles, self.detail]

    def focus_part(self, part: Widget) -> None:
        """Give a part the focus, and the room it needs."""
        super().focus_part(part)
        self.reading = part is self.detail
        self.arrange_anew()

    def on_descendant_focus(self) -> None:
        """Show which part has the focus, also after a click."""
        self.call_next(self.draw)

    async def action_back(self) -> None:
        """Close the line, the list of models, the filter, the detail; else go back to the desk."""
        rows = self._list_in_use()
        if self.query("#filter"):
            if not self._naming:
                rows.set_filter("")
            await self._close_line()
        elif rows.filter_text:
            rows.set_filter("")
        elif self.picking is not None:
            self._put_list_away()
        elif self.focused is self.detail:
            self.focus_part(self.editors)
        else:
            self.dismiss()


def event_is_news(editor: str | None, asked_for: str | None) -> bool:
    """Tell whether another editor is selected than the one that was asked about."""
    return editor is not None and editor != asked_for


def _models_of(desk: Desk) -> tuple[object, ...]:
    """Return what of a desk the choice of models depends on."""
    loaded = tuple((model.key, model.context_length, model.pin) for model in desk.models)
    pins = tuple((state.wish.engine_url, state.wish.name, state.wish.context_length) for state in desk.pins)
    installed = tuple((model.engine_url, model.name, model.digest) for model in desk.installed)
    return loaded, pins, installed
