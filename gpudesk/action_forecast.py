"""What loading comes to, for actions: the planner's formulas over the desk as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpudesk.actions.ports import Forecast
    from gpudesk.actions.values import Load
    from gpudesk.domain.desk import Desk
    from gpudesk.watch.planning import Planning


class ActionForecaster:
    """`actions.ports.Forecaster` over a planner. Headers that are not known yet are fetched beside it."""

    def __init__(self, planning: Planning) -> None:
        """Make it; nothing is read yet."""
        self._planning = planning

    def forecast(self, desk: Desk, loads: Sequence[Load], leaving: Sequence[str] = ()) -> Forecast:
        """Tell what loading `loads` would come to once the loaded models named in `leaving` are gone."""
        raise NotImplementedError

    def prepare(self, desk: Desk, loads: Sequence[Load], timeout_seconds: float) -> bool:
        """Wait until the headers of these models are known; for commands, which have one preview only.

        Returns:
            Whether all of them were known, or known not to be had, in time.
        """
        raise NotImplementedError
