"""The keys of the editors' screen that change files: each asks once, and works in a thread of its own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from textual.message import Message

from gpudesk.errors import GpudeskError, RefusedError
from gpudesk.exports.write_checks import check_within
from gpudesk.ui.editors.panels import EditorPanels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gpudesk.exports.values import Export
    from gpudesk.ui.editors.port import EditorPort
    from gpudesk.ui.editors.working import Worker

READ_ONLY_WORDS = "read-only: gpudesk was started so that it changes nothing (--read-only)"


class EditorFiles(EditorPanels, inherit_bindings=False):
    """Writing, restoring, fixing and migrating."""

    worker: Worker

    class Prepared(Message):
        """What would be done is known, or why it cannot be."""

        def __init__(self, title: str, outcome: Export | str, done: str = "", verb: str = "") -> None:
            super().__init__()
            self.title = title
            self.outcome = outcome
            self.done = done
            self.verb = verb

    class Done(Message):
        """Files were written, or not."""

        def __init__(self, text: str, *, failed: bool = False) -> None:
            super().__init__()
            self.text = text
            self.failed = failed

    def __init__(self, port: EditorPort, *, banner: str | None, keymap: Mapping[str, str], read_only: bool) -> None:
        """Make the screen. Arguments as for `EditorsScreen`."""
        super().__init__(banner=banner, keymap=keymap, read_only=read_only)
        self._port = port

    def _ask(self) -> None:
        """Have everything worked out again."""
        raise NotImplementedError

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
                      f"the files of {state.name} are as they were before", "restore")  # fmt: skip

    def action_fix(self) -> None:
        """Ask, and make the safe fixes."""
        state = self.state
        if not self._may_write() or state is None:
            return
        if not any(finding.edits for finding in state.findings):
            self.notify("nothing here can be fixed without you", timeout=3)
            return
        from gpudesk.exports.overview import all_fixes
        from gpudesk.exports.registry import editor

        found, around = editor(state.id), self._port.around
        desk = self.answer.question.desk if self.answer is not None else None
        self._prepare(f"Fix the files of {state.name}?", lambda: all_fixes(found, around, desk)[0],
                      f"the files of {state.name} are fixed, as far as that is safe", "fix")  # fmt: skip

    def action_migrate(self) -> None:
        """Ask, and make a configuration of a deprecated one."""
        state = self.state
        if not self._may_write() or state is None:
            return
        from gpudesk.exports.overview import migrating
        from gpudesk.exports.registry import editor

        found = editor(state.id)
        self._prepare(f"Migrate the configuration of {state.name}?", lambda: migrating(found, self._port.around),
                      f"the configuration of {state.name} is migrated", "migrate")  # fmt: skip

    def _may_write(self) -> bool:
        if self._read_only:
            self.notify(READ_ONLY_WORDS, severity="warning", timeout=5)
        return not self._read_only

    def _prepare(self, title: str, make: Callable[[], Export], done: str, verb: str) -> None:
        """Work out what would be done, in a thread, and ask."""

        def work() -> None:
            try:
                self.tell(self.Prepared(title, make(), done, verb))
            except GpudeskError as error:
                self.tell(self.Prepared(title, f"{error.message}. {error.hint}" if error.hint else error.message))

        threading.Thread(target=work, name="gpudesk editor files", daemon=True).start()

    def on_editor_files_prepared(self, event: Prepared) -> None:
        """Ask."""
        event.stop()
        if isinstance(event.outcome, str):
            self.notify(event.outcome, severity="warning", timeout=5, markup=False)
        elif not any(change.changes for change in event.outcome.changes):
            self.notify("nothing would change", timeout=3)
        else:
            self._confirm(event.title, event.outcome, (), event.done, event.verb)

    def _confirm(self, title: str, export: Export, warnings: tuple[str, ...], done: str, verb: str = "write") -> None:
        try:
            check_within((change.path for change in export.changes), self._port.around.bounds)
        except RefusedError as error:
            self.notify(f"{error.message}. {error.hint}", severity="warning", timeout=8, markup=False)
            return
        from gpudesk.ui.editors.confirming import ConfirmFiles

        dialog = ConfirmFiles(self._keymap, title, export, warnings, lambda: self._apply(export, done), verb)
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
                self.tell(self.Done(text, failed=True))
            else:
                self.tell(self.Done("; ".join((done, *notes))))

        threading.Thread(target=work, name="gpudesk editor files", daemon=True).start()

    def on_editor_files_done(self, event: Done) -> None:
        """Tell how it went, and look again."""
        event.stop()
        severity: Any = "error" if event.failed else "information"
        self.notify(event.text, severity=severity, timeout=8 if event.failed else 4, markup=False)
        self._ask()
