"""One action that is being carried out in a thread of its own."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from gpudesk.actions.run import run
from gpudesk.actions.values import Ending, Origin, Outcome
from gpudesk.cancellation import Cancellation

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpudesk.actions.ports import Ports
    from gpudesk.actions.values import Preview, Progress


PACE_SECONDS = 10.0
"""What arrived in so long tells how fast it comes: the average since the start would count what an earlier download
left, and would go on for minutes after the network went away."""
_PACE_LEAST_SECONDS = 1.0


class Pace:
    """How fast bytes arrive at present."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self._total: int | None = None

    def after(self, progress: Progress) -> float | None:
        """Take note of what has arrived and return bytes per second; None as long as that cannot be told.

        Another total begins anew: with a file that is here already, all of it would seem to arrive at once.
        """
        at, completed = progress.elapsed_seconds, progress.completed_bytes
        if completed is None:
            self._seen.clear()
            return None
        back = self._seen and (at < self._seen[-1][0] or completed < self._seen[-1][1])
        if back or progress.total_bytes != self._total:
            self._seen.clear()
            self._total = progress.total_bytes
        self._seen.append((at, completed))
        while len(self._seen) > 2 and self._seen[1][0] <= at - PACE_SECONDS:
            self._seen.popleft()
        first_at, first = self._seen[0]
        return (completed - first) / (at - first_at) if at - first_at >= _PACE_LEAST_SECONDS else None


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
        self.bytes_per_second: float | None = None
        """How fast it arrives at present, where bytes are told."""
        self._pace = Pace()

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
        self.bytes_per_second = self._pace.after(progress)
        self.progress = progress
        self._moved(self)
