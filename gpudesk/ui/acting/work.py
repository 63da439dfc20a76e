"""One action that is being carried out in a thread of its own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from gpudesk.actions.run import run
from gpudesk.actions.values import Ending, Origin, Outcome
from gpudesk.cancellation import Cancellation

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpudesk.actions.ports import Ports
    from gpudesk.actions.values import Preview, Progress


class Work:
    """A running action, as the screen's thread sees it."""

    def __init__(self, preview: Preview, ports: Ports, *, moved: Callable[[Work], None]) -> None:
        """Make it; `start` begins.

        Args:
            preview: what is carried out.
            ports: the world.
            moved: called on the working thread when there is progress, and when it has ended.
        """
        self.preview = preview
        self.progress: Progress | None = None
        self.outcome: Outcome | None = None
        self._ports = ports
        self._moved = moved
        self._cancellation = Cancellation()

    @property
    def canceled(self) -> bool:
        """It was taken back; what was there is being brought back."""
        return self._cancellation.canceled

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name="gpudesk action", daemon=True).start()

    def cancel(self) -> None:
        """Take it back. In a thread: who listens closes connections, which may take a moment."""
        threading.Thread(target=self._cancellation.cancel, name="gpudesk cancel", daemon=True).start()

    def _run(self) -> None:
        try:
            outcome = run(self.preview, self._ports, origin=Origin.KEY, progress=self._tell, cancel=self._cancellation)
        except Exception as error:  # noqa: BLE001 - the screen goes on and says so, whatever went wrong in an action
            message = f"{self.preview.action} {self.preview.subject} broke off: {type(error).__name__}: {error}"
            outcome = Outcome(Ending.FAILED, message, "Please report this; the lists show what is loaded now")
        self.outcome = outcome
        self._moved(self)

    def _tell(self, progress: Progress) -> None:
        self.progress = progress
        self._moved(self)
