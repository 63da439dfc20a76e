"""Widgets of lines that can have the focus: the wheel moves through them, and where the focus is shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.ui.widgets.panel import LineWidget

if TYPE_CHECKING:
    from textual import events


class FocusableWidget(LineWidget):
    """Lines that take the focus and the wheel.

    What differs is in methods without `on_`: Textual runs the handlers of every base class, not the last one alone.
    """

    can_focus = True

    def wheel_turned(self, step: int) -> None:
        """Move: 1 is down, -1 is up."""
        raise NotImplementedError

    def focus_changed(self) -> None:
        """Show that the focus came or went, once Textual's own handler has set it."""
        self.call_next(self.redraw)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Move down; what is around it stays."""
        event.stop()
        self.wheel_turned(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Move up; what is around it stays."""
        event.stop()
        self.wheel_turned(-1)

    def on_focus(self) -> None:
        """Show the focus."""
        self.focus_changed()

    def on_blur(self) -> None:
        """Hide the focus."""
        self.focus_changed()
