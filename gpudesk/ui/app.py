"""The application: owns the one timer, makes a scene of each desk and hands it to the screen on top."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.message import Message

from gpudesk.errors import ExitCode
from gpudesk.keymap import BINDINGS, Scope, check_keymap
from gpudesk.ui.acting_app import ActingApp
from gpudesk.ui.bindings import bindings_for
from gpudesk.ui.moment import Moments
from gpudesk.ui.palette import Palette
from gpudesk.ui.screens.base import SceneScreen
from gpudesk.ui.screens.desk import DeskScreen
from gpudesk.ui.themes import DARK_NAME, LIGHT_NAME, own_themes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from textual import events
    from textual.app import App, SystemCommand
    from textual.driver import Driver
    from textual.screen import Screen
    from textual.theme import Theme

    from gpudesk.config.settings import Settings
    from gpudesk.domain.problem import Problem
    from gpudesk.ui.acting_app import ActingMaker
    from gpudesk.ui.editors.port import EditorPort
    from gpudesk.ui.scene import Scene
    from gpudesk.watch.feed import DeskFeed
    from gpudesk.watch.planning import Planning

TICK_SECONDS = 1.0


class DeskMoved(Message):
    """The watch noticed something that should not wait for the next tick."""

    def can_replace(self, message: Message) -> bool:
        """Several in a row are one."""
        return isinstance(message, DeskMoved)


class GpudeskApp(ActingApp, inherit_bindings=False):
    """The desk on a terminal."""

    TITLE = "gpudesk"
    ENABLE_COMMAND_PALETTE = True
    CSS_PATH = "gpudesk.tcss"
    # Without one of its own the application adds a palette key that no keymap reaches (textual app.py, 8.2.8). And in
    # the palette, a screen of Textual's, its input line takes ctrl+c for copying.
    BINDINGS = [  # noqa: RUF012 - Textual's way
        binding for name in ("palette", "interrupt") for binding in bindings_for(Scope.EVERYWHERE, only=name)
    ]
    HORIZONTAL_BREAKPOINTS = []  # noqa: RUF012 - sizes are divided by `layout.plan_desk`

    def __init__(
        self,
        feed: DeskFeed,
        settings: Settings,
        *,
        banner: str | None = None,
        problems: Sequence[Problem] = (),
        planning: Callable[[], Planning] | None = None,
        acting: ActingMaker | None = None,
        editors: Callable[[], EditorPort] | None = None,
        painted: Callable[[], None] = lambda: None,
    ) -> None:
        """Make the application; nothing is read or drawn yet.

        Args:
            feed: the running watch.
            settings: what the user set.
            banner: a line that stays under the title, for the demo.
            problems: what is wrong outside the watch (a broken configuration), shown among the others.
            planning: makes who reads headers and plans, when that is first asked for; None leaves the planner out.
            acting: makes what actions are carried out with, once the first paint is done; takes who is to be told
                what is done without a key. None leaves acting out.
            editors: makes what the editors' screen works with, when that is first asked for; None leaves it out.
            painted: called once the desk was first painted.
        """
        super().__init__(acting, driver_class=_driver_class(), ansi_color=True if settings.ansi_colors else None)
        self._feed = feed
        self._settings = settings
        self._banner = banner
        self._planning = planning
        self._planner: Planning | None = None
        self._editors = editors
        self._painted = painted
        self._keymap_in_use = {} if check_keymap(settings.keymap) else dict(settings.keymap)
        self._palette: Palette | None = None
        self._palette_look: tuple[str, bool] | None = None
        self._moments = Moments(
            feed,
            problems=problems,
            reserve_bytes=settings.reserve_bytes,
            colored=os.environ.get("NO_COLOR") is None,
            pin_key=self.key_of("pin"),
        )
        if settings.reduced_motion:
            self.animation_level = "none"
        for theme in own_themes():
            self.register_theme(theme)
        wanted = settings.theme if settings.theme in self.available_themes else DARK_NAME
        if settings.ansi_colors and not self.available_themes[wanted].ansi:
            wanted = "ansi-light" if not self.available_themes[wanted].dark else "ansi-dark"
        self.theme = wanted

    # --- life ---------------------------------------------------------------------------------------------------

    def get_default_screen(self) -> Screen[Any]:
        """Return the desk."""
        desk = DeskScreen(banner=self._banner, keymap=self._keymap_in_use, read_only=self._settings.read_only)
        desk.show(self.scene(), self.palette)
        return desk

    def on_load(self) -> None:
        """Heed signals before the terminal is taken over: composing the desk takes a moment."""
        self._handle_signals()

    def on_mount(self) -> None:
        """Begin to show."""
        if self._keymap_in_use:
            self.set_keymap(self._keymap_in_use)
        self.theme_changed_signal.subscribe(self, self._on_theme_changed)
        self.app_resume_signal.subscribe(self, self._on_resumed)
        self.set_interval(TICK_SECONDS, self.show_desk)
        self._feed.subscribe(self._on_news)
        self.toast_news(self._feed.desk)
        self.open_acting_soon()
        self.call_after_refresh(self._painted)

    def _on_news(self) -> None:
        """Called by a watching thread."""
        if self.is_running:
            self.post_message(DeskMoved())

    def on_desk_moved(self) -> None:
        """Show what is new."""
        self.show_desk()

    def show_desk(self) -> None:
        """Make a scene of the newest desk and draw it."""
        scene, palette = self.scene(), self.palette
        self.toast_news(self._feed.desk)
        with self.batch_update():
            for screen in self.screen_stack:
                if isinstance(screen, SceneScreen):
                    screen.show(scene, palette)

    def scene(self) -> Scene:
        """Return the present moment."""
        return self._moments.scene()

    @property
    def palette(self) -> Palette:
        """Styles of the present theme."""
        look = (self.theme, self.native_ansi_color)
        if self._palette is None or look != self._palette_look:
            self._palette_look = look
            self._palette = Palette(self.get_css_variables(), dark=self.current_theme.dark, ansi=look[1])
        return self._palette

    def _on_theme_changed(self, _theme: Theme) -> None:
        self.show_desk()

    def _on_resumed(self, _app: App[Any]) -> None:
        """Paint every line: the terminal comes back empty after `fg`, and unchanged lines would stay so."""
        for screen in self.screen_stack:
            for widget in screen.query("*"):
                widget.refresh()
        self.refresh(layout=True)

    def on_app_focus(self, _event: events.AppFocus) -> None:
        """Read at the full rate again, and now."""
        self._moments.focused = True
        self._feed.set_focused(True)
        self.show_desk()

    def on_app_blur(self, _event: events.AppBlur) -> None:
        """Nobody looks: read less often."""
        self._moments.focused = False
        self._feed.set_focused(False)

    def _handle_signals(self) -> None:
        """Leave through the front door, so that the terminal is restored."""
        loop = asyncio.get_running_loop()
        for name, code in (("SIGINT", ExitCode.INTERRUPTED), ("SIGTERM", 143), ("SIGHUP", 129)):
            number = getattr(signal, name, None)
            if number is None:
                continue
            try:
                loop.add_signal_handler(number, self.action_leave, int(code))
            except (NotImplementedError, RuntimeError, ValueError):
                # Windows' event loop, or not the main thread (tests): the default stands.
                return

    # --- actions ------------------------------------------------------------------------------------------------

    def action_leave(self, code: int) -> None:
        """End with an exit code; asks first while an action runs, unless that is an interrupt or a signal."""
        if code or not self.leave_when_done(code):
            self.end(code)

    def end(self, code: int) -> None:
        """End with an exit code."""
        self._feed.stop()
        self.exit(code, return_code=code)

    def action_help(self) -> None:
        """Show the help, or put it away again."""
        from gpudesk.ui.screens.sheet import HelpScreen

        if isinstance(self.screen, HelpScreen):
            self.screen.action_back()
            return
        sheet = HelpScreen(self._keymap_in_use, read_only=self._settings.read_only)
        sheet.show(self.scene(), self.palette)
        self.push_screen(sheet)

    def action_planner(self) -> None:
        """Plan a combination of models."""
        from gpudesk.ui.planner.screen import PlannerScreen

        if isinstance(self.screen, PlannerScreen):
            return
        if self._planning is None:
            self.notify("there is nobody to ask about models here", severity="warning", timeout=3)
            return
        if self._planner is None:
            self._planner = self._planning()
        planner = PlannerScreen(
            self._planner, banner=self._banner, keymap=self._keymap_in_use,
            door=self.hand_over if self._acting_maker is not None else None, read_only=self._settings.read_only,
        )  # fmt: skip
        planner.show(self.scene(), self.palette)
        self.push_screen(planner)

    def action_editors(self) -> None:
        """Set up editors."""
        from gpudesk.ui.editors.screen import EditorsScreen

        if isinstance(self.screen, EditorsScreen):
            return
        if self._editors is None:
            self.notify("there is nobody to ask about editors here", severity="warning", timeout=3)
            return
        editors = EditorsScreen(
            self._editors(), banner=self._banner, keymap=self._keymap_in_use, read_only=self._settings.read_only
        )
        editors.show(self.scene(), self.palette)
        self.push_screen(editors)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Return what the palette finds: the registry's actions that make sense here, and the themes."""
        from textual.app import SystemCommand

        scopes = {Scope.EVERYWHERE}
        if isinstance(screen, SceneScreen):
            scopes |= screen.SCOPES
        for action in BINDINGS:
            where = screen.focused if action.scope is Scope.LIST else screen
            known = action.scope is not Scope.LIST or hasattr(where, f"action_{action.action}")
            if self.read_only_hides(action):
                continue
            if action.in_palette and known and action.scope in scopes:
                run = partial(self.run_action, action.action, where)
                yield SystemCommand(action.description.capitalize(), action.help, run)
        for name in sorted(self.available_themes, key=lambda name: (not name.startswith("gpudesk"), name)):
            yield SystemCommand(f"Theme {name}", "Use these colors until gpudesk ends", partial(self._use_theme, name))

    def _use_theme(self, name: str) -> None:
        self.theme = name

    def action_next_theme(self) -> None:
        """Switch between our dark and light theme."""
        self.theme = LIGHT_NAME if self.current_theme.dark else DARK_NAME

    def action_graph_span(self) -> None:
        """Switch the graphs between a minute and ten."""
        self._moments.next_span()
        self.show_desk()

    def action_refresh_now(self) -> None:
        """Ask for a sample; what is shown is what it measures."""
        self._feed.request_sample()


def _driver_class() -> type[Driver] | None:
    """Return the driver that stops at once, where there is a POSIX terminal."""
    if os.name != "posix":
        return None
    from gpudesk.ui.terminal_driver import PromptTerminalDriver

    return PromptTerminalDriver
