"""When not to touch the driver: after failures, and so that a laptop's card can power down."""

from __future__ import annotations

import math

from gpudesk.records import dataclass

_STAYED_AWAKE_SECONDS = 20.0
"""Time a card needs to power down once nobody holds it: about 6 s for most laptops."""
_FIRST_HOLD_OFF_SECONDS = 600.0
_LONGEST_HOLD_OFF_SECONDS = 3600.0


@dataclass(slots=True)
class Backoff:
    """Longer and longer pauses between attempts that fail."""

    first_seconds: float = 1.0
    longest_seconds: float = 30.0
    due_at: float = -math.inf
    _failures: int = 0

    def fail(self, now: float) -> None:
        """Note a failed attempt; the next one is due after twice the pause of the last."""
        self.due_at = now + min(self.longest_seconds, self.first_seconds * 2.0 ** min(self._failures, 20))
        self._failures += 1

    def clear(self) -> None:
        """Note that all is well."""
        self.due_at = -math.inf
        self._failures = 0


@dataclass(slots=True)
class Rest:
    """Decides when to let go of NVML so that an idle card can power down, and when to look again.

    An open NVML handle keeps the card awake for as long as it is open. So after `idle_seconds` without work the handle
    is closed; while the card sleeps nobody touches it. It is looked at again once something else woke it, at once when
    an engine says that a model is loaded, or when it plainly does not power down because somebody else keeps it awake.
    In that last case resting only hides figures, and is tried again much later.
    """

    idle_seconds: float = 30.0
    resting: bool = False
    _idle_since: float = math.nan
    _since: float = 0.0
    _slept: bool = False
    _allowed_at: float = -math.inf
    _hold_off_seconds: float = _FIRST_HOLD_OFF_SECONDS

    def is_due(self, now: float, *, idle: bool) -> bool:
        """Note whether the cards are idle now, and tell whether to let go of them."""
        if not idle:
            self._idle_since = math.nan
        elif math.isnan(self._idle_since):
            self._idle_since = now
        return idle and now >= self._allowed_at and now - self._idle_since >= self.idle_seconds

    def begin(self, now: float) -> None:
        """Note that NVML was let go of."""
        self.resting, self._slept, self._since, self._idle_since = True, False, now, math.nan

    def is_over(self, now: float, *, asleep: bool, wanted: bool) -> bool:
        """Tell whether to look at the cards again.

        Args:
            now: monotonic seconds.
            asleep: every card is powered down.
            wanted: somebody says there is something to see on the cards.
        """
        if asleep:
            self._slept = True
            self._hold_off_seconds = _FIRST_HOLD_OFF_SECONDS
            return False
        if not (wanted or self._slept or now - self._since >= _STAYED_AWAKE_SECONDS):
            return False
        if not (wanted or self._slept):
            self._allowed_at = now + self._hold_off_seconds
            self._hold_off_seconds = min(_LONGEST_HOLD_OFF_SECONDS, self._hold_off_seconds * 2)
        self.resting = False
        return True
