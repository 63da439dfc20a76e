"""The application on a real terminal, for `test_terminal`: a fixed desk, no sources."""

from __future__ import annotations

from gpudesk.config import Settings
from gpudesk.ui.app import GpudeskApp
from gpudesk.ui.run import leave, run_app
from tests.ui.desks import FakeFeed, one_card

if __name__ == "__main__":
    leave(run_app(GpudeskApp(FakeFeed(one_card()), Settings())))
