"""What every screen of gpudesk is: something that draws a scene."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.screen import Screen

from gpudesk.keymap import BINDINGS, Scope

if TYPE_CHECKING:
    from textual.widgets import Input

    from gpudesk.ui.palette import Palette
    from gpudesk.ui.scene import Scene


class SceneScreen(Screen[None], inherit_bindings=False):
    """A screen that the app hands every new scene to."""

    SCOPES: ClassVar[frozenset[Scope]] = frozenset()
    """Scopes whose actions make sense in the palette while this screen is on top."""

    def show(self, scene: Scene, palette: Palette) -> None:
        """Draw a scene; unchanged lines are not repainted."""
        raise NotImplementedError

    def line(self) -> Input | None:
        """Return the line that is typed into, if there is one, with the focus or about to get it."""
        found = self.query("Input")
        return cast("Input", found.first()) if found else None

    async def action_run_binding(self, identifier: str) -> None:
        """Do what a key would do: clicks in the footer come here."""
        action = next((action for action in BINDINGS if action.id == identifier), None)
        if action is not None:
            await self.app.run_action(action.action, self.focused or self)
