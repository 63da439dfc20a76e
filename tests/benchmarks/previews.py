"""What a preview costs with 500 installed models and twenty loaded, on a desk nobody asked about before."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING, cast

from gpudesk.acting.forecast import ActionForecaster
from gpudesk.actions import previews
from gpudesk.actions.values import Load, Preview
from gpudesk.config.settings import Settings
from gpudesk.domain.card import Card
from gpudesk.domain.desk import CardShare, CardState, Desk, LoadedModel
from gpudesk.domain.engine import Engine
from gpudesk.domain.keep_alive import KeepAlive, KeepAliveState
from gpudesk.domain.model import InstalledModel, ModelDetails
from gpudesk.domain.pin import PinState, PinWish
from gpudesk.domain.working_set import SetModel, WorkingSet
from gpudesk.planning.desk_planner import DeskPlanner
from gpudesk.records import replace
from gpudesk.sim.engine_catalog import synthetic
from gpudesk.sources.model_metadata import FoundModel
from tests.fit.models import metadata_of

if TYPE_CHECKING:
    from gpudesk.sim.models import SimulatedModel
    from gpudesk.sources.model_metadata import ModelMetadataSource

GIBIBYTE = 1 << 30
URL = "http://127.0.0.1:11434"
NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
LOADED = 20
INSTALLED = 500


class _Headers:
    """Headers of simulated models."""

    def __init__(self, models: dict[str, SimulatedModel]) -> None:
        self._models = models

    def find_all(self, models: Sequence[InstalledModel]) -> tuple[tuple[FoundModel, ...], tuple[str, ...]]:
        found = [
            FoundModel(
                each.name, metadata_of(self._models[each.name]), each.digest, self._models[each.name].blob_digest
            )
            for each in models
        ]
        return tuple(found), ()

    def close(self) -> None:
        """Nothing is open."""


def _desk(models: dict[str, SimulatedModel]) -> Desk:
    """A card of 80 GiB with twenty small models on it, one of them pinned."""
    names = list(models)[:LOADED]
    loaded = tuple(
        LoadedModel(
            name, URL, digest=f"{number:064x}", memory_bytes=GIBIBYTE, reported_vram_bytes=GIBIBYTE,
            cards=(CardShare(0, GIBIBYTE),), context_length=4096,
            keep_alive=KeepAlive(KeepAliveState.TIMED, NOW + timedelta(seconds=300 + number)),
        )
        for number, name in enumerate(names)
    )  # fmt: skip
    installed = tuple(
        InstalledModel(name, URL, digest=f"{number:064x}", size_bytes=8 * GIBIBYTE, capabilities=("completion",))
        for number, name in enumerate(models)
    )
    details = tuple(
        ModelDetails(f"{number:064x}", (model.blob_digest,), context_length_trained=131072)
        for number, model in enumerate(models.values())
    )
    card = Card(0, name="NVIDIA H100 80GB HBM3", memory_total_bytes=80 * GIBIBYTE)
    return Desk(
        NOW, cards=(CardState(card, (), (79 - LOADED) * GIBIBYTE),), models=loaded, installed=installed,
        engines=(Engine(URL, version="0.33.0", reachable=True),), details=details,
        pins=(PinState(PinWish(URL, names[3])),),
    )  # fmt: skip


def preview_seconds(runs: int) -> dict[str, float]:
    """Median times by kind of preview; each run asks about a desk of its own, as after every sample."""
    models = {model.name: model for model in synthetic(INSTALLED) if not model.remote and not model.draft}
    desk = _desk(models)
    forecaster = ActionForecaster(
        DeskPlanner(replace(Settings(), reserve_bytes=0), lambda: cast("ModelMetadataSource", _Headers(models)))
    )
    large = next(name for name in models if "32b" in name)
    small = [name for name in models if "8b" in name][:3]
    assert forecaster.prepare(desk, [Load(URL, name) for name in models], 120)
    kinds: dict[str, Callable[[Desk], Preview]] = {
        "load": lambda desk: previews.load(desk, Load(URL, large, 131072), forecaster),
        "swap": lambda desk: previews.swap(desk, desk.models[:2], Load(URL, large, 8192), forecaster),
        "apply": lambda desk: previews.apply(desk, WorkingSet("x", tuple(map(SetModel, small))), forecaster),
        "refused": lambda desk: previews.apply(desk, WorkingSet("x", (SetModel(large, 131072), *(
            SetModel(name, 131072) for name in small))), forecaster),
        "free": lambda desk: previews.free(desk, 75 * GIBIBYTE),
        "rm": lambda desk: previews.delete(desk, desk.installed[100]),
    }  # fmt: skip
    return {kind: _median(make, desk, runs) for kind, make in kinds.items()}


def _median(make: Callable[[Desk], Preview], desk: Desk, runs: int) -> float:
    taken = []
    for number in range(runs + 1):
        fresh = replace(desk, taken_at=desk.taken_at + timedelta(microseconds=number))
        begin = time.perf_counter()
        make(fresh)
        taken.append(time.perf_counter() - begin)
    return median(taken[1:])
