"""Telling the desktop: one notification through whatever the platform has, and nothing where it has nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from gpudesk.text import clean

LEAST_SECONDS = 2.0
"""Between two notifications; more come in one more."""
PATIENCE_SECONDS = 5.0
_SHOWN = 240
"""Characters of a notification."""


def command_for(title: str, text: str, *, urgent: bool = False) -> list[str] | None:
    """Return the command that shows a notification on this platform; None where there is none.

    `notify-send` speaks the desktop notification specification (libnotify); on macOS AppleScript takes both texts as
    arguments, so that nothing in them is run.
    """
    title, text = clean(title, _SHOWN), clean(text, _SHOWN)
    if sys.platform == "darwin":
        script = "on run argv\ndisplay notification (item 2 of argv) with title (item 1 of argv)\nend run"
        found = shutil.which("osascript")
        return [found, "-e", script, title, text] if found else None
    found = shutil.which("notify-send")
    if found is None:
        return None
    urgency = "critical" if urgent else "normal"
    return [found, "--app-name=gpudesk", f"--urgency={urgency}", "--", title, text]


def _run(command: Sequence[str]) -> None:
    """Run it and wait, a little; a desktop that does not answer is nobody's concern."""
    try:
        subprocess.run(  # noqa: S603 - the two texts are arguments, never a command line
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return


class DesktopNotifier:
    """Shows notifications, not more often than a person can read; blocks for as long as the platform takes."""

    def __init__(
        self,
        *,
        command: Callable[[str, str], list[str] | None] = command_for,
        run: Callable[[Sequence[str]], None] = _run,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command = command
        self._run = run
        self._monotonic = monotonic
        self._last: float | None = None
        self._waiting: list[str] = []

    def tell(self, texts: Sequence[str]) -> None:
        """Show these, or keep them for the next call when the last one was shown just now."""
        self._waiting.extend(texts)
        now = self._monotonic()
        if not self._waiting or (self._last is not None and now - self._last < LEAST_SECONDS):
            return
        first, *others = self._waiting
        self._waiting = []
        text = f"{first} (and {len(others)} more)" if others else first
        command = self._command("gpudesk", text)
        if command is not None:
            self._last = now
            self._run(command)
