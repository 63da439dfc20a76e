"""What the terminal driver adds, apart from a terminal."""

from __future__ import annotations

import errno
import io
from threading import Thread
from typing import cast

from textual.drivers._writer_thread import MAX_QUEUED_WRITES, WriterThread

from gpudesk.ui.terminal_driver import LastingFile


class HungUp(io.StringIO):
    """A terminal that was closed."""

    def write(self, text: str) -> int:
        raise OSError(errno.EIO, "Input/output error")

    def flush(self) -> None:
        raise OSError(errno.EIO, "Input/output error")


def test_a_terminal_that_is_gone_keeps_nobody_from_writing_or_leaving() -> None:
    writer = WriterThread(cast("io.StringIO", LastingFile(HungUp())))
    writer.start()

    def leave() -> None:
        for _ in range(2 * MAX_QUEUED_WRITES):
            writer.write("x")
        writer.stop()

    leaving = Thread(target=leave, daemon=True)
    leaving.start()
    leaving.join(10)
    assert not leaving.is_alive()
    assert not writer.is_alive()


def test_a_terminal_that_is_there_is_written_to() -> None:
    file = io.StringIO()
    lasting = LastingFile(file)
    assert lasting.write("text") == 4
    lasting.flush()
    assert file.getvalue() == "text"
    assert lasting.isatty() is False
