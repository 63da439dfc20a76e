"""The application on a real terminal, for `test_terminal`: a fixed desk, no sources.

With the number of a signal as its argument it is sent that as soon as the terminal is taken over.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from gpudesk.config.settings import Settings
from gpudesk.ui.app import GpudeskApp
from gpudesk.ui.run import leave, run_app
from gpudesk.ui.terminal_driver import PromptTerminalDriver
from tests.ui.desks import FakeFeed, one_card


def signal_at_once(number: int) -> None:
    """Have the driver send this process a signal when it has taken the terminal over."""
    take_over: Callable[[PromptTerminalDriver], None] = PromptTerminalDriver.start_application_mode

    def taken_over(driver: PromptTerminalDriver) -> None:
        take_over(driver)
        os.kill(os.getpid(), number)

    setattr(PromptTerminalDriver, "start_application_mode", taken_over)  # noqa: B010 - mypy refuses the assignment


if __name__ == "__main__":
    if sys.argv[1:]:
        signal_at_once(int(sys.argv[1]))
    leave(run_app(GpudeskApp(FakeFeed(one_card()), Settings())))
