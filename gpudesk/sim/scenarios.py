"""Scenarios: what the simulated workstation is, and what happens on it, as small scripts over simulated time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpudesk.sim.cards import GIBIBYTE, MEBIBYTE, SimulatedCard, SimulatedCards, SimulatedSlice
from gpudesk.sim.engine_catalog import catalog, small, synthetic
from gpudesk.sim.engine_settings import EngineSettings
from gpudesk.sim.scenarios_scripts import (
    editor_resets,
    game,
    hot_card,
    lost_gpu,
    many,
    mig,
    ping_pong,
    server_dies,
    spill,
    two_cards,
    working_day,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpudesk.sim.models import SimulatedModel
    from gpudesk.sim.scenarios_stage import Stage

NOT_SUPPORTED = 3
"""NVML_ERROR_NOT_SUPPORTED."""


def one_card() -> SimulatedCards:
    """An RTX 4090 in a desktop."""
    return SimulatedCards([SimulatedCard(uuid="GPU-5f0e6a1c-93d2-4b7e-8c41-0d2f3a4b5c6d")])


@dataclass(frozen=True, slots=True)
class Scenario:
    """One workstation and its story."""

    name: str
    description: str
    script: Callable[[Stage], None]
    cards: Callable[[], SimulatedCards] = one_card
    settings: Callable[[], EngineSettings] = EngineSettings
    models: Callable[[], tuple[SimulatedModel, ...]] = catalog
    visible_cards: tuple[int, ...] | None = None
    """Cards the engine may use; None is all of them."""
    slice_index: int | None = None
    """MIG slice the engine runs on."""
    integrated: bool = False
    """Card and host share one memory."""
    host_total_bytes: int = 64 * GIBIBYTE


def small_card() -> SimulatedCards:
    """A 12 GiB card."""
    return SimulatedCards(
        [
            SimulatedCard(
                name="NVIDIA GeForce RTX 3060",
                uuid="GPU-7b1d0c52-1f4a-4e0f-9a63-2c5d8e7f9011",
                memory_total_bytes=12288 * MEBIBYTE,
                memory_reserved_bytes=280 * MEBIBYTE,
                power_limit_milliwatts=170_000,
            )
        ]
    )


def several_cards(count: int, name: str, total_mebibytes: int, watts: int) -> SimulatedCards:
    """Equal cards on consecutive bus numbers."""
    return SimulatedCards(
        [
            SimulatedCard(
                index=index,
                name=name,
                uuid=f"GPU-{index:08x}-51d0-4c3b-9e2a-7f6e5d4c3b2a",
                memory_total_bytes=total_mebibytes * MEBIBYTE,
                pci_bus_id=f"00000000:{index + 1:02X}:00.0",
                power_limit_milliwatts=watts * 1000,
                temperature_celsius=39 + index % 3,
            )
            for index in range(count)
        ]
    )


def windows_card() -> SimulatedCards:
    """A card under WSL, where no process tells its memory."""
    cards = one_card()
    cards.cards[0].process_memory_available = False
    return cards


def unified_card() -> SimulatedCards:
    """A GB10: the card's memory is the host's, and NVML has no number for it."""
    card = SimulatedCard(
        name="NVIDIA GB10",
        uuid="GPU-c0ffee00-6b10-4d5e-8f70-9a0b1c2d3e4f",
        memory_total_bytes=119 * GIBIBYTE,
        memory_reserved_bytes=0,
        power_limit_milliwatts=140_000,
        fan_percent=None,
    )
    card.errors = {"nvmlDeviceGetMemoryInfo": NOT_SUPPORTED, "nvmlDeviceGetPowerManagementLimit": NOT_SUPPORTED}
    return SimulatedCards([card])


def mig_card() -> SimulatedCards:
    """A data-center card cut into slices."""
    slices = [
        SimulatedSlice(0, "MIG-1d0f2a3b-0000-5c4d-8e6f-000000000000", "MIG 3g.40gb", 39936 * MEBIBYTE, 58 * MEBIBYTE),
        SimulatedSlice(1, "MIG-1d0f2a3b-0001-5c4d-8e6f-000000000001", "MIG 2g.20gb", 19968 * MEBIBYTE, 29 * MEBIBYTE),
        SimulatedSlice(2, "MIG-1d0f2a3b-0002-5c4d-8e6f-000000000002", "MIG 1g.10gb", 9984 * MEBIBYTE, 12 * MEBIBYTE),
    ]
    card = SimulatedCard(
        name="NVIDIA H100 80GB HBM3",
        uuid="GPU-80b4f3a2-11c7-4d5e-9f60-7a8b9c0d1e2f",
        memory_total_bytes=81559 * MEBIBYTE,
        memory_reserved_bytes=616 * MEBIBYTE,
        power_limit_milliwatts=700_000,
        slices=slices,
    )
    return SimulatedCards([card])


def _three_loaded(stage: Stage) -> None:
    stage.desktop()
    stage.loaded("qwen3:14b", keep_alive=-1, num_ctx=8192)
    stage.loaded("qwen2.5-coder:1.5b", keep_alive=1800, num_ctx=4096, idle=320)
    stage.loaded("nomic-embed-text:latest", keep_alive=-1)


def _pinned(stage: Stage) -> None:
    _three_loaded(stage)
    stage.enliven()
    stage.every(7, lambda: stage.ask("qwen2.5-coder:1.5b", num_ctx=4096, tokens=24), first=3)


def _load_hangs(stage: Stage) -> None:
    stage.desktop()
    stage.enliven()
    stage.loaded("qwen2.5-coder:1.5b", keep_alive=-1, num_ctx=4096)
    stage.server.scheduler.loads_hang = True
    stage.at(5, lambda: stage.ask("qwen3:14b", num_ctx=8192, tokens=64))


def _idle(stage: Stage) -> None:
    stage.desktop()
    stage.enliven()


def _unified(stage: Stage) -> None:
    stage.desktop()
    stage.loaded("gpt-oss:20b", keep_alive=-1, num_ctx=32768)
    stage.loaded("nomic-embed-text:latest", keep_alive=300)
    stage.enliven()


def _no_models() -> tuple[SimulatedModel, ...]:
    return ()


def _bench(stage: Stage) -> None:
    _three_loaded(stage)


SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario("coding", "Chat, autocomplete and embedding on one card, and a busy afternoon.", working_day),
        Scenario("pinned", "Three models, two of them forever, nothing disturbs them.", _pinned),
        Scenario("editor-resets-keep-alive", "An editor turns forever into 30 minutes.", editor_resets),
        Scenario("context-ping-pong", "Two clients want one model with different contexts.", ping_pong),
        Scenario("spill", "A model that does not fit goes to the processor in part.", spill, cards=small_card),
        Scenario("load-hangs", "A load starts and never gets anywhere.", _load_hangs),
        Scenario("lost-gpu", "The card falls off the bus and comes back.", lost_gpu),
        Scenario("hot-card", "The fans stop under load, and the card slows itself down.", hot_card),
        Scenario("server-dies", "Ollama goes away in the middle of a load and comes back.", server_dies),
        Scenario("game", "A game takes six gibibytes and leaves again.", game),
        Scenario("idle", "A desktop, and nothing loaded.", _idle),
        Scenario("no-process-memory", "Windows or WSL: no process tells its memory.", _pinned, cards=windows_card),
        Scenario(
            "many", "Eight cards, two hundred processes, twenty models loaded, five hundred installed.", many,
            cards=lambda: several_cards(8, "NVIDIA RTX 6000 Ada Generation", 49140, 300),
            models=lambda: synthetic(500), host_total_bytes=512 * GIBIBYTE,
        ),
        Scenario(
            "two-cards", "Two cards, one model over both.", two_cards,
            cards=lambda: several_cards(2, "NVIDIA GeForce RTX 3090", 24576, 350),
        ),
        Scenario("mig", "A card cut into slices.", mig, cards=mig_card, slice_index=0),
        Scenario("unified", "Card and host share one memory.", _unified, cards=unified_card, integrated=True,
                 host_total_bytes=119 * GIBIBYTE),
        Scenario("bench", "One card, three models loaded, forty installed, nothing moves.", _bench, models=small),
        Scenario("empty", "A fresh computer: no desktop, no models.", lambda _stage: None, models=_no_models),
    )
}  # fmt: skip
"""Every scenario by name."""
