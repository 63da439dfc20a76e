"""Running the screen, and leaving it promptly."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

from gpudesk.errors import ExitCode

if TYPE_CHECKING:
    from gpudesk.ui.app import GpudeskApp


def run_app(app: GpudeskApp) -> int:
    """Run until the user leaves; returns the exit code. The terminal is restored before it returns."""
    app.run()
    if app.return_code:
        return app.return_code
    return int(ExitCode.OK)


def leave(code: int) -> NoReturn:
    """End the process at once, without waiting for reading threads that may hang in a driver call.

    Taking the interpreter down costs tens of milliseconds between `q` and the prompt, and nothing is left to save.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            # The other end is gone: nobody is left to tell.
            continue
    os._exit(code)
