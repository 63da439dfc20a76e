"""What a plan made on a simulated workstation says, and what its driver shows: the same, in every scenario."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from gpudesk.fit.estimate import estimate
from gpudesk.fit.from_show import metadata_from_show
from gpudesk.fit.values import CardBudget, Estimate, LoadOptions, Wanted
from gpudesk.planning.situation import profile_of
from gpudesk.sim.cards import MEBIBYTE
from gpudesk.sim.clock import SteppedClock
from gpudesk.sim.engine_catalog import catalog
from gpudesk.sim.engine_loading import OutOfMemoryError
from gpudesk.sim.engine_runner import Runner
from gpudesk.sim.ollama_show import show
from gpudesk.sim.scenarios import SCENARIOS
from gpudesk.sim.workstation import SimulatedWorkstation

DIFFERENCE_BYTES = 6 * MEBIBYTE
"""Per card: what the simulated driver takes more or less than is expected."""


def silent(name: str) -> SimulatedWorkstation:
    """A workstation that does not listen."""
    return SimulatedWorkstation(name, SteppedClock(), driver=False)


def planned(
    station: SimulatedWorkstation, runner: Runner, free: dict[int, int], layers_on_gpu: int | None = None
) -> Estimate:
    """Plan a load as somebody does who has the server's replies and the driver's figures, and nothing else."""
    settings = station.server.settings
    reply = json.loads(json.dumps(show(runner.model, settings, "", verbose=False)))
    placement = runner.placement
    options = LoadOptions(context_length=runner.run.context_length, layers_on_gpu=layers_on_gpu)
    cards = [
        CardBudget(card.index, card.name, card.memory_total_bytes, free[card.index])
        for card in station.cards.cards
        if card.index in runner.free_at_load
    ]
    wanted = Wanted(runner.model.name, metadata_from_show(reply), options)
    # Which of several cards a server uses is its own decision, and not what is compared here.
    profile = replace(profile_of(settings.version, {}), spread=len(placement.cards) > 1)
    return estimate(wanted, profile, cards)


def held_by(station: SimulatedWorkstation, runner: Runner) -> list[int]:
    """What the driver shows of a runner, card by card."""
    return [
        card.processes[runner.pid].memory_bytes if runner.pid in card.processes else 0
        for card in station.cards.cards
        if card.index in runner.free_at_load
    ]


def check(station: SimulatedWorkstation, runner: Runner) -> None:
    said = planned(station, runner, runner.free_at_load)
    held = held_by(station, runner)
    layers = runner.placement.layers_on_cards
    if abs(said.layers_on_gpu - layers) == 1 and not runner.placement.complete:
        # What the driver takes less than was expected may be just what one more layer lacked.
        said = planned(station, runner, runner.free_at_load, layers)
    case = (station.scenario.name, runner.model.name, runner.run, said, held)
    assert said.low_bytes <= sum(held) <= said.high_bytes, case
    assert said.layers_on_gpu == layers, case
    for shown, parts in zip(held, said.by_card, strict=True):
        assert abs(shown - parts.total_bytes) <= (DIFFERENCE_BYTES if shown else 0), case


def new_runners(station: SimulatedWorkstation, seen: set[int]) -> Iterator[Runner]:
    for runner in list(station.server.scheduler.loaded.values()):
        if runner.pid not in seen and not runner.loading:
            seen.add(runner.pid)
            yield runner


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_is_loaded_takes_what_was_planned(name: str) -> None:
    station, seen = silent(name), set[int]()
    expected = 0 if name in ("idle", "empty") else 1
    for _ in range(95):
        for runner in new_runners(station, seen):
            check(station, runner)
        station.step(2)
    assert len(seen) >= expected


@pytest.mark.slow
@pytest.mark.parametrize("name", ["idle", "spill", "two-cards", "mig", "unified"])
@pytest.mark.parametrize("num_ctx", [None, 32768])
def test_whatever_is_loaded_takes_what_was_planned(name: str, num_ctx: int | None) -> None:
    """Every installed model, alone beside the desktop, on every kind of card."""
    compared = 0
    quiet = replace(SCENARIOS[name], script=lambda stage: stage.desktop())
    station = SimulatedWorkstation(quiet, SteppedClock(), driver=False)
    for model in catalog():
        if model.remote or model.draft:
            continue
        try:
            runner = station.stage.loaded(model.name, keep_alive=60, num_ctx=num_ctx)
        except OutOfMemoryError:
            continue
        if runner.placement.cards:
            check(station, runner)
            compared += 1
        station.server.scheduler.expire(model)
        station.step(5)
    assert compared >= 30
