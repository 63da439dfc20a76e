"""The one question before files are changed: which, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.ui.acting.dialog import DialogScreen
from gpudesk.ui.detail_lines import paragraphs
from gpudesk.ui.editors.view_detail import diff_lines, file_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gpudesk.exports.values import Export
    from gpudesk.ui.cells import Line


class ConfirmFiles(DialogScreen, inherit_bindings=False):
    """Shows the files and the change; enter makes it."""

    BINDINGS = DialogScreen.BINDINGS

    def __init__(
        self,
        keymap: Mapping[str, str],
        title: str,
        export: Export,
        warnings: Sequence[str],
        run: Callable[[], None],
        verb: str = "write",
    ) -> None:
        """Make the dialog.

        Args:
            keymap: the user's keys.
            title: the question.
            export: what would be done.
            warnings: what is to be known before.
            run: does it.
            verb: what enter does.
        """
        super().__init__(keymap, title)
        self._export, self._warnings, self._run = export, tuple(warnings), run
        self._verb = verb

    def below(self, width: int) -> Sequence[Line]:
        """Return files, warnings, and the diff."""
        lines = [*file_lines(self._export), *paragraphs(self._warnings, width, mark="!", role="warn")]
        notes = paragraphs(self._export.notes, width, role="dim")
        return [*lines, *notes, (), *diff_lines(self._export)]

    def hints(self) -> Sequence[tuple[str, str, str]]:
        """Return the keys."""
        return (("dialog_accept", f"{self._verb} it", "screen.accept"), ("back", "no", "screen.back"))

    def action_move(self, lines: int) -> None:
        """Scroll."""
        self._top += lines
        self.draw()

    def action_accept(self) -> None:
        """Do it."""
        self.dismiss()
        self._run()
