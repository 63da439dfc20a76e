"""Every scenario: what is there at the start, what happens, and that it happens the same way every time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gpudesk.sim.cards import GIBIBYTE
from gpudesk.sim.clock import SteppedClock
from gpudesk.sim.scenarios import SCENARIOS
from gpudesk.sim.workstation import SimulatedWorkstation

CHAT, COMPLETE, EMBED = "qwen3:14b", "qwen2.5-coder:1.5b", "nomic-embed-text:latest"


def silent(name: str) -> SimulatedWorkstation:
    """A workstation that does not listen."""
    return SimulatedWorkstation(name, SteppedClock(), driver=False)


def loaded(station: SimulatedWorkstation) -> list[str]:
    return sorted(runner.model.name for runner in station.server.scheduler.loaded.values())


def facts(station: SimulatedWorkstation) -> Any:
    """Everything a driver and an engine could tell."""
    cards = [
        (
            card.index,
            {pid: process.memory_bytes for pid, process in card.processes.items()},
            (card.utilization_percent, card.temperature_celsius, card.power_draw_milliwatts, card.fan_percent),
            dict(card.errors),
        )
        for card in station.cards.cards
    ]
    models = [(runner.model.name, at, runner.claim) for runner, at in station.server.scheduler.visible()]
    return cards, models, station.process_table.pids(), station.host()


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_steps_lead_to_the_same_desk(name: str) -> None:
    first, second = silent(name), silent(name)
    for seconds in (0.0, 1.0, 4.5, 30.0, 7.25, 60.0):
        first.step(seconds)
        second.step(seconds)
        assert facts(first) == facts(second)


@pytest.mark.parametrize("name", SCENARIOS)
def test_big_steps_lead_where_small_ones_lead(name: str) -> None:
    one, many = silent(name), silent(name)
    one.step(50)
    for _ in range(200):
        many.step(0.25)
    assert facts(one) == facts(many)


@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_moves_unless_it_is_stepped(name: str) -> None:
    station = silent(name)
    station.step(3)
    before = facts(station)
    assert facts(station) == before


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_card_ever_holds_more_than_it_has(name: str) -> None:
    station = silent(name)
    for _ in range(100):
        station.step(2)
        for card in station.cards.cards:
            wanted = sum(process.memory_bytes for process in card.processes.values()) + card.memory_hidden_bytes
            assert wanted <= card.memory_total_bytes - card.memory_reserved_bytes
            for pid in card.processes:
                assert station.process_table.stamp(pid) is not None, "whoever holds memory exists"


def test_coding_starts_with_a_working_set_and_a_desktop() -> None:
    station = silent("coding")
    assert loaded(station) == sorted([CHAT, COMPLETE, EMBED])
    remaining = {
        runner.model.name: (at - station.clock.now()).total_seconds()
        for runner, at in station.server.scheduler.visible()
    }
    assert remaining[CHAT] > 1e9
    assert remaining[COMPLETE] == 1800 - 205
    names = {station.process_table.describe(pid).name for pid in station.cards.cards[0].processes}  # type: ignore[union-attr]
    assert {"Xorg", "gnome-shell", "firefox", "llama-server"} <= names


def happening(station: SimulatedWorkstation, seconds: float, look: Callable[[], object]) -> list[object]:
    """Step second by second and collect what is seen, each time it changes."""
    seen: list[object] = []
    for _ in range(int(seconds)):
        station.step(1)
        if not seen or look() != seen[-1]:
            seen.append(look())
    return seen


def test_coding_shows_in_three_minutes_what_a_desk_is_for() -> None:
    station = silent("coding")
    scheduler = station.server.scheduler
    happened: list[str] = []
    scheduler.residents.observers.append(lambda what, name: happened.append(f"{what} {name}"))
    sessions: set[float] = set()
    contexts: set[int] = set()
    spilled: set[str] = set()
    most = 0
    utilization: set[int] = set()
    for _ in range(180):
        station.step(1)
        for runner in scheduler.loaded.values():
            if runner.model.name == CHAT:
                sessions.add(runner.session_nanoseconds / 1e9)
                contexts.add(runner.run.context_length)
            if not runner.placement.complete:
                spilled.add(runner.model.name)
        card = station.cards.cards[0]
        utilization.add(card.utilization_percent)
        game = [p for p in card.processes.values() if p.graphics and p.memory_bytes > GIBIBYTE]
        most = max(most, *(process.memory_bytes for process in game), 0)
    assert 1800.0 in sessions, "an editor resets the pin"
    assert contexts == {8192, 16384}, "a second client wants another context"
    assert "mistral-small3.2:24b" in spilled
    assert most == 6 * GIBIBYTE, "a game takes six gibibytes"
    assert not [p for p in station.cards.cards[0].processes.values() if p.graphics and p.memory_bytes > GIBIBYTE]
    assert happened.count(f"unloaded {CHAT}") >= 2
    assert len(utilization) > 20, "the gauges move"
    assert loaded(station) == sorted([CHAT, COMPLETE, EMBED]), "and all is as it was"


def test_the_afternoon_fights_nobody_who_loads_something_else() -> None:
    station = silent("coding")
    station.step(18)
    other = "gpt-oss:20b"
    station.stage.ask(other, num_ctx=8192, keep_alive=-1)
    for _ in range(60):
        station.step(1)
        if other in loaded(station):
            break
    station.step(60)
    assert other in loaded(station), "an editor that asks while it is loading would push it out again"


def test_coding_goes_round() -> None:
    station = silent("coding")
    station.step(3 * 180 + 170)
    assert CHAT in loaded(station)


def test_an_editor_resets_the_keep_alive_after_ten_seconds() -> None:
    station = silent("editor-resets-keep-alive")
    (runner,) = [one for one in station.server.scheduler.loaded.values() if one.model.name == CHAT]
    station.step(9)
    assert runner.session_nanoseconds / 1e9 > 1e9
    station.step(11)
    assert runner.session_nanoseconds / 1e9 == 1800


def test_two_clients_play_ping_pong() -> None:
    station = silent("context-ping-pong")

    def context() -> int | None:
        return next((runner.run.context_length for runner in station.server.scheduler.loaded.values()), None)

    assert happening(station, 75, context) == [8192, None, 16384, None, 8192, None, 16384, None, 8192]


def test_a_spilled_model_is_in_both_memories() -> None:
    station = silent("spill")
    (runner,) = station.server.scheduler.loaded.values()
    assert 0 < runner.placement.layers_on_cards < runner.placement.layer_count
    resident = station.process_table.resident_bytes(runner.pid)
    assert resident is not None
    assert resident > 5 * GIBIBYTE
    assert runner.claim.size_vram < runner.claim.size


def test_a_load_hangs_and_times_out() -> None:
    station = silent("load-hangs")
    assert happening(station, 310, lambda: station.server.scheduler.loading is not None) == [False, True, False]
    assert loaded(station) == [COMPLETE]


def test_the_card_is_lost_and_found() -> None:
    station = silent("lost-gpu")
    assert happening(station, 60, lambda: dict(station.cards.cards[0].errors)) == [{}, {"*": 15}, {}]


def test_a_server_dies_in_the_middle_of_a_load_and_comes_back_empty() -> None:
    station = silent("server-dies")
    scheduler = station.server.scheduler
    seen = happening(station, 40, lambda: (station.server.running, scheduler.loading is not None, len(loaded(station))))
    assert seen == [
        (True, False, 2),
        (True, False, 1),
        (True, True, 1),
        (False, False, 0),
        (True, False, 0),
    ]
    assert len(station.cards.cards[0].processes) == 4, "only the desktop"


def test_the_game_comes_and_goes() -> None:
    station = silent("game")
    assert happening(station, 90, lambda: len(station.cards.cards[0].processes)) == [6, 7, 6]


def test_under_windows_no_process_tells_its_memory() -> None:
    assert silent("no-process-memory").cards.cards[0].process_memory_available is False


def test_many_is_many() -> None:
    station = silent("many")
    assert len(station.cards.cards) == 8
    assert sum(len(card.processes) for card in station.cards.cards) == 200
    assert len(loaded(station)) == 20
    assert len(station.server.store.listed()) == 500
    assert len({part.card for r in station.server.scheduler.loaded.values() for part in r.placement.cards}) == 8


def test_two_cards_carry_one_model_together() -> None:
    station = silent("two-cards")
    spread = [runner for runner in station.server.scheduler.loaded.values() if len(runner.placement.cards) == 2]
    assert len(spread) == 1
    assert all(spread[0].pid in card.processes for card in station.cards.cards)


def test_mig_processes_belong_to_slices_and_add_up() -> None:
    card = silent("mig").cards.cards[0]
    for part, own in zip(card.slices, (58, 29, 12), strict=True):
        held = sum(p.memory_bytes for p in card.processes.values() if p.slice_index == part.index)
        assert part.memory_used_bytes == held + own * 2**20
        assert part.memory_used_bytes <= part.memory_total_bytes
    assert {process.slice_index for process in card.processes.values()} == {0, 1}


def test_with_one_memory_the_driver_has_no_number_for_it() -> None:
    station = silent("unified")
    assert station.cards.cards[0].errors["nvmlDeviceGetMemoryInfo"] == 3
    assert station.host().memory_total_bytes == 119 * GIBIBYTE


def test_the_bench_is_one_card_three_models_and_forty_names() -> None:
    station = silent("bench")
    assert loaded(station) == sorted([CHAT, COMPLETE, EMBED])
    assert len(station.server.store.listed()) == 40
    before = facts(station)
    station.step(600)
    assert facts(station) == before, "nothing moves, so that nothing disturbs the measurement"


def test_idle_and_empty() -> None:
    assert loaded(silent("idle")) == []
    assert len(silent("idle").server.store.listed()) > 40
    assert silent("empty").server.store.listed() == []
    assert silent("empty").cards.cards[0].processes == {}
