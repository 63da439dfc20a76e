"""The editors' screen: choose an editor and its models, read the change, write it after one question."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from textual.message import Message

from gpudesk.errors import GpudeskError
from gpudesk.exports.chosen import ROLES
from gpudesk.exports.values import Role, Way
from gpudesk.keymap import Scope
from gpudesk.planner_values import AskedModel
from gpudesk.ui.bindings import bindings_for
from gpudesk.ui.editors.panels import EditorPanels
from gpudesk.ui.editors.view_lists import FROM, WAY
from gpudesk.ui.editors.working import BY_HAND, RESIDENT, Answer, Question, Worker, words_of
from gpudesk.ui.widgets.row_list import RowList

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from textual.widget import Widget
    from textual.widgets import Input

    from gpudesk.domain.desk import Desk
    from gpudesk.exports.values import Export
    from gpudesk.ui.editors.port import EditorPort
    from gpudesk.ui.palette import Palette
    from gpudesk.ui.scene import Scene

READ_ONLY_WORDS = "read-only: gpudesk was started so that it changes nothing (--read-only)"


class EditorsScreen(EditorPanels, inherit_bindings=False):
    """Configurations of editors that match what is resident."""

    BINDINGS = bindings_for(Scope.EVERYWHERE, Scope.PANELS, Scope.EDITORS)
    SCOPES = frozenset({Scope.PANELS, Scope.EDITORS})
    AUTO_FOCUS = "#editors"

    class Answered(Message):
        """Something was worked out in the other thread."""

        def __init__(self, answer: Answer) -> None:
            super().__init__()
            self.answer = answer

    class Prepared(Message):
        """What would be done is known, or why it cannot be."""

        def __init__(self, title: str, outcome: Export | str, done: str = "") -> None:
            super().__init__()
            self.title = title
            self.outcome = outcome
            self.done = done

    class Done(Message):
        """Files were written, or not."""

        def __init__(self, text: str, *, failed: bool = False) -> None:
            super().__init__()
            self.text = text
            self.failed = failed

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
        super().__init__(banner=banner, keymap=keymap)
        self._port, self._read_only = port, read_only
        self.worker = Worker(port, lambda answer: self._post(self.Answered(answer)))
        self._origin = RESIDENT
        self._words: dict[Role, AskedModel] = {}
        self._way: Way | None = None
        self._seen: object = None
        self._asked_for: str | None = None

    # --- life ---------------------------------------------------------------------------------------------------

    def on_unmount(self) -> None:
        """Leave no thread with work."""
        self.worker.stop()

    def _post(self, message: Message) -> None:
        """Tell the screen from another thread."""
        if self.is_running:
            self.post_message(message)

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
        self.worker.ask(Question(self.scene.desk, editor, self._origin, words, self._way, self.picking))

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
            self._way = None
            self.detail.to_top()
            self._ask()
        self.draw()

    def on_row_list_opened(self, event: RowList.Opened) -> None:
        """Read about an editor, list the models of a role, take one."""
        event.stop()
        if event.rows is self.editors:
            self._focus(self.detail)
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

    # --- writing ------------------------------------------------------------------------------------------------

    def action_turn(self, to: str | None = None) -> None:
        """Show the findings, or the change."""
        self.checking = not self.checking if to is None else to == "check"
        self.detail.to_top()
        self.draw()

    def action_write(self) -> None:
        """Ask, and write the change that is shown."""
        answer, state = self.answer, self.state
        if not self._may_write() or answer is None or state is None:
            return
        export = answer.export
        if export is None or export.editor != state.id or not self.worker.idle:
            self.notify(
                answer.choice_problem or answer.export_problem or "the change is being worked out",
                severity="warning", timeout=4, markup=False,
            )  # fmt: skip
        elif not export.changes:
            self.notify(f"{state.name} is not written by gpudesk: copy what is shown", timeout=5)
        elif not any(change.changes for change in export.changes):
            self.notify(f"{state.name} is set up so already", timeout=3)
        else:
            warnings = answer.chosen.warnings if answer.chosen is not None else ()
            if not state.found:
                warnings = (f"{state.name} was not found on this computer", *warnings)
            self._confirm(f"Set up {state.name}?", export, warnings, f"{state.name} is set up")

    def action_restore(self) -> None:
        """Ask, and take back the last write."""
        state = self.state
        if not self._may_write() or state is None:
            return
        from gpudesk.exports.registry import editor

        found = editor(state.id)
        self._prepare(f"Restore the files of {state.name}?", lambda: self._port.undoing(found),
                      f"the files of {state.name} are as they were")  # fmt: skip

    def action_fix(self) -> None:
        """Ask, and make the safe fixes."""
        state = self.state
        if not self._may_write() or state is None:
            return
        if not any(finding.edits for finding in state.findings):
            self.notify("nothing here can be fixed without you", timeout=3)
            return
        from gpudesk.exports.overview import fixes

        self._prepare(f"Fix the files of {state.name}?", lambda: fixes(state.id, state.findings)[0],
                      f"the files of {state.name} are fixed, as far as that is safe")  # fmt: skip

    def action_migrate(self) -> None:
        """Ask, and make a configuration of a deprecated one."""
        state = self.state
        if not self._may_write() or state is None:
            return
        from gpudesk.exports.overview import migrating
        from gpudesk.exports.registry import editor

        found = editor(state.id)
        self._prepare(f"Migrate the configuration of {state.name}?", lambda: migrating(found, self._port.around),
                      f"the configuration of {state.name} is migrated")  # fmt: skip

    def _may_write(self) -> bool:
        if self._read_only:
            self.notify(READ_ONLY_WORDS, severity="warning", timeout=5)
        return not self._read_only

    def _prepare(self, title: str, make: Callable[[], Export], done: str) -> None:
        """Work out what would be done, in a thread, and ask."""

        def work() -> None:
            try:
                self._post(self.Prepared(title, make(), done))
            except GpudeskError as error:
                self._post(self.Prepared(title, f"{error.message}. {error.hint}" if error.hint else error.message))

        threading.Thread(target=work, name="gpudesk editor files", daemon=True).start()

    def on_editors_screen_prepared(self, event: Prepared) -> None:
        """Ask."""
        event.stop()
        if isinstance(event.outcome, str):
            self.notify(event.outcome, severity="warning", timeout=5, markup=False)
        elif not any(change.changes for change in event.outcome.changes):
            self.notify("nothing would change", timeout=3)
        else:
            self._confirm(event.title, event.outcome, (), event.done)

    def _confirm(self, title: str, export: Export, warnings: tuple[str, ...], done: str) -> None:
        from gpudesk.ui.editors.confirming import ConfirmFiles

        dialog = ConfirmFiles(self._keymap, title, export, warnings, lambda: self._apply(export, done))
        if self.scene is not None and self._palette is not None:
            dialog.show(self.scene, self._palette)
        self.app.push_screen(dialog)

    def _apply(self, export: Export, done: str) -> None:
        """Write, in a thread; the files that are read next show how it went."""

        def work() -> None:
            try:
                notes = self._port.apply(export)
            except GpudeskError as error:
                text = f"{error.message}. {error.hint}" if error.hint else error.message
                self._post(self.Done(text, failed=True))
            else:
                self._post(self.Done("; ".join((done, *notes))))

        threading.Thread(target=work, name="gpudesk editor files", daemon=True).start()

    def on_editors_screen_done(self, event: Done) -> None:
        """Tell how it went, and look again."""
        event.stop()
        severity: Any = "error" if event.failed else "information"
        self.notify(event.text, severity=severity, timeout=8 if event.failed else 4, markup=False)
        self._ask()

    # --- filter and focus ---------------------------------------------------------------------------------------

    def _list_in_use(self) -> RowList[Any]:
        return self.options if self.picking is not None else self.editors

    async def action_filter(self) -> None:
        """Open the line in which the filter is typed."""
        if self.query("#filter"):
            return
        from gpudesk.ui.widgets.filter_line import FilterLine

        self.typing = True
        line = FilterLine(self._list_in_use().filter_text, "filter")
        await self.mount(line)
        line.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while typing."""
        event.stop()
        self._list_in_use().set_filter(event.value)

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter."""
        event.stop()
        await self._close_line()

    async def _close_line(self) -> None:
        self.typing = False
        await self.query("#filter").remove()
        self.set_focus(self._list_in_use())

    def _focus(self, widget: Widget) -> None:
        """Give a part the focus, and the room it needs."""
        self.set_focus(widget)
        self.reading = widget is self.detail
        self.arrange_anew()

    def action_focus_next(self) -> None:
        """Focus the next part."""
        self._focus_beside(1)

    def action_focus_previous(self) -> None:
        """Focus the part before."""
        self._focus_beside(-1)

    def _focus_beside(self, step: int) -> None:
        parts: list[Widget] = [self.options if self.picking is not None else self.editors, self.roles, self.detail]
        now = self.focused
        position = parts.index(now) if now in parts else -step
        self._focus(parts[(position + step) % len(parts)])

    def on_descendant_focus(self) -> None:
        """Show which part has the focus, also after a click."""
        self.call_next(self.draw)

    async def action_back(self) -> None:
        """Close the line, the list of models, the filter, the detail; else go back to the desk."""
        rows = self._list_in_use()
        if self.query("#filter"):
            await self._close_line()
            rows.set_filter("")
        elif rows.filter_text:
            rows.set_filter("")
        elif self.picking is not None:
            self._put_list_away()
        elif self.focused is self.detail:
            self._focus(self.editors)
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
