"""A terminal driver whose input thread stops at once.

Textual's own polls with `select(0.1)` once more for its flag and once more to drain, and `disable_input` joins it:
0.1 to 0.2 s between `q` and the prompt (textual drivers/linux_driver.py:430-475, 8.2.8). Here the thread also
waits on a pipe that `disable_input` writes to.
"""

from __future__ import annotations

import contextlib
import os
import select
from codecs import getincrementaldecoder
from typing import IO, TYPE_CHECKING, Any, cast

from textual._parser import ParseError
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

if TYPE_CHECKING:
    from textual.app import App

READ_SIZE = 4096
TICK_SECONDS = 0.02
"""How often the parser is asked whether a lone escape has become the escape key, while one may be pending."""
TICKS_AFTER_INPUT = 20
"""Turns after which nothing can be pending any more (Textual waits 0.1 s for the rest of a sequence)."""


class LastingFile:
    """A terminal that may go away: what nobody can show any more is dropped.

    Textual's writing thread ends when a write fails, its queue of 30 fills, and whoever writes next, the way out
    included, waits for ever (textual drivers/_writer_thread.py:47-67, 8.2.8).
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, text: str) -> int:
        """Write, if anybody is there."""
        with contextlib.suppress(OSError):
            return self._file.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if anybody is there."""
        with contextlib.suppress(OSError):
            self._file.flush()

    def __getattr__(self, name: str) -> Any:
        """Be the file otherwise."""
        return getattr(self._file, name)


class PromptTerminalDriver(LinuxDriver):
    """Textual's driver, with a pipe to wake its input thread."""

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._file = cast("Any", LastingFile(cast("IO[str]", self._file)))
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)

    def disable_input(self) -> None:
        """Stop reading: wake the thread first, so that joining it takes no time."""
        os.write(self._wake_writer, b"\0")
        super().disable_input()
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_reader, READ_SIZE)

    def run_input_thread(self) -> None:
        """Wait for input and dispatch events until woken; sleeps without a wake-up while nobody types."""
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")(errors="replace").decode
        ticks = 0
        while not self.exit_event.is_set():
            ready, _, _ = select.select([self.fileno, self._wake_reader], [], [], TICK_SECONDS if ticks else None)
            if self._wake_reader in ready:
                break
            ticks = max(0, ticks - 1)
            if self.fileno in ready:
                data = self._read()
                if not data:
                    # The terminal is gone and will not come back: nobody can press `q` any more.
                    self._app.call_later(self._app.exit)
                    break
                ticks = TICKS_AFTER_INPUT
                for event in parser.feed(decode(data)):
                    self.process_message(event)
            for event in parser.tick():
                self.process_message(event)
        with contextlib.suppress(EOFError, ParseError):
            for _ in parser.feed(""):
                pass

    def _read(self) -> bytes:
        """Read what is there; nothing once the terminal has hung up (EIO)."""
        try:
            return os.read(self.fileno, READ_SIZE)
        except OSError:
            return b""
