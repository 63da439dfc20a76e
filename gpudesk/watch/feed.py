"""What the screen sees of the watching: the newest desk, the histories, and a way to ask for an early look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpudesk.clock import Clock
    from gpudesk.domain.desk import Desk
    from gpudesk.watch.history import History


class DeskFeed(Protocol):
    """The running watch, as its readers see it. Every member may be used from any thread and returns at once."""

    @property
    def desk(self) -> Desk:
        """The newest desk."""
        ...

    @property
    def history(self) -> History:
        """The histories behind the graphs."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock every age and countdown is measured with."""
        ...

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` from a watching thread when something other than plain figures changed.

        An event happened, a source failed or recovered, or the first value of a source arrived. Calls are
        coalesced, at most ten a second. Readers that only follow figures look at `desk` once a second by themselves.
        """
        ...

    def request_sample(self) -> None:
        """Read every source now instead of at its next turn."""
        ...

    def set_focused(self, focused: bool) -> None:
        """Tell whether anybody looks: without focus everything is read less often."""
        ...

    def stop(self) -> None:
        """Stop reading. Returns at once even while a driver call hangs."""
        ...
