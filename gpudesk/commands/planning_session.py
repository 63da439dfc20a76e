"""What the planner's commands work with: this computer, opened when it is meant, headers, and measured points."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from pathlib import Path

    from gpudesk.commands.fit_request import FitRequest
    from gpudesk.config.settings import Settings
    from gpudesk.domain.desk import Desk
    from gpudesk.fit.calibration import Calibration
    from gpudesk.output.status_text import Style
    from gpudesk.sources.model_metadata import ModelMetadataSource
    from gpudesk.workstation import Workstation

LOOK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class PlanningMeans:
    """What they work with; `build` makes it."""

    settings: Settings
    workstation: Callable[[], Workstation]
    """Opened only when the cards of this computer are meant."""
    metadata: Callable[[Workstation | None], ModelMetadataSource]
    points_directory: Path | None = None
    """Where measured points are kept; None takes none into account."""
    demo: bool = False
    """Names and cards are those of a simulation, which must run to tell about them."""

    @contextmanager
    def opened(self, request: FitRequest) -> Iterator[tuple[Workstation | None, Desk | None]]:
        """Open this computer and look at it once, unless the cards are told."""
        workstation = None if request.is_described and not self.demo else self.workstation()
        try:
            yield workstation, _look(workstation) if workstation is not None else None
        finally:
            if workstation is not None:
                workstation.close()


def progress_on(stream: TextIO | None) -> Callable[[int, int], None] | None:
    """Return what tells on a terminal how far the reading of models is; None where nobody reads along."""
    if stream is None or not stream.isatty():
        return None

    def show(done: int, total: int) -> None:
        end = "\r" if done < total else "\r\x1b[K"
        stream.write(f"reading models {done} of {total}{end}")
        stream.flush()

    return show


def calibration_from(directory: Path | None) -> Calibration | None:
    """Read the measured points; what is wrong with their store is said on stderr."""
    if directory is None:
        return None
    from gpudesk.fit.calibration import Calibration
    from gpudesk.output import diagnostics
    from gpudesk.sources.calibration_store import CalibrationStore

    store = CalibrationStore(directory)
    points = store.read()
    if store.problem is not None:
        diagnostics.say(f"gpudesk: {store.problem}")
    return Calibration(points) if points else None


def _look(workstation: Workstation) -> Desk:
    from gpudesk.watch.poller import sample_once

    return sample_once(workstation.sources, workstation.clock, LOOK_SECONDS)


def style_of(out: TextIO, settings: Settings) -> Style:
    """Choose how text may look where it goes."""
    from gpudesk.clock import SYSTEM_CLOCK
    from gpudesk.commands.status import style_for
    from gpudesk.workstation import Workstation

    return style_for(out, Workstation((), SYSTEM_CLOCK, settings), os.environ)
