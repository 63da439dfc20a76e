"""gpudesk's own share of a swap: everything that is neither the engine's load nor the driver's release.

The times at which the engine got an order, had carried it out, and at which the driver had the memory back are taken
inside the simulation, not by gpudesk. Everything else is real: watch, sources, HTTP, lock, journal and note on disk.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from statistics import median
from typing import Any

from gpudesk.actions.values import Ending
from gpudesk.records import replace
from gpudesk.stores.journal import FileJournal
from gpudesk.stores.turn import FileTurn
from tests.actions.rig import BIG, CHAT, Rig

LOAD_SECONDS = 0.4
RELEASE_SECONDS = 0.3


def _noting(marks: dict[str, float], name: str, call: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
    """Note when something is called first, or when it has returned."""

    @wraps(call)
    def noted(*values: Any, **named: Any) -> Any:
        if not after:
            marks.setdefault(name, time.monotonic())
        result = call(*values, **named)
        if after:
            marks.setdefault(name, time.monotonic())
        return result

    return noted


def swap_overhead_seconds(runs: int) -> float:
    """Return the median of gpudesk's own share of a swap, the first one left out."""
    shares = []
    with (
        tempfile.TemporaryDirectory(prefix="gpudesk-bench-") as folder,
        Rig((CHAT, 8192, -1), scale=1.0, load_seconds=LOAD_SECONDS) as rig,
    ):
        rig.ports = replace(rig.ports, journal=FileJournal(Path(folder)), turn=FileTurn(Path(folder)))
        server = rig.sim.server
        server.fault("unload", "late-memory", times=None, seconds=RELEASE_SECONDS)
        marks: dict[str, float] = {}
        for where, name, mark, after in (
            (server.scheduler, "expire", "unload asked", False),
            (server.cards, "give_back", "memory back", True),
            (server.scheduler, "submit", "load asked", False),
            (server.scheduler, "_loaded", "loaded", True),
        ):
            setattr(where, name, _noting(marks, mark, getattr(where, name), after=after))
        old, new = CHAT, BIG
        for _ in range(runs + 1):
            preview = rig.swap(old, new)
            marks.clear()
            began = time.monotonic()
            outcome = rig.run(preview)
            ended = time.monotonic()
            assert outcome.ending is Ending.DONE, outcome
            before, between = marks["unload asked"] - began, marks["load asked"] - marks["memory back"]
            shares.append(before + between + ended - marks["loaded"])
            old, new = new, old
    return median(shares[1:])
