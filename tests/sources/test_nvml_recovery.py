"""Lost cards, reloaded drivers, hangs: the source comes back by itself, without asking too often."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from gpudesk.errors import FailureKind, SourceError
from gpudesk.sim.cards import SimulatedCard
from tests.sources.nvml_rig import EMPTY_DESK, Rig, busy_card, rig

if TYPE_CHECKING:
    from collections.abc import Callable

LOST = 15


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.001)


def reading_in_a_thread(desk: Rig) -> tuple[threading.Thread, list[object]]:
    results: list[object] = []

    def read() -> None:
        try:
            results.append(desk.source.read(EMPTY_DESK))
        except SourceError as error:
            results.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread, results


def test_a_lost_card_is_named_and_the_others_stay() -> None:
    with rig(busy_card(), busy_card(1)) as desk:
        before = desk.read().cards
        desk.cards.cards[0].errors["*"] = LOST
        first, second = desk.read(1).cards
        assert first.error == "the driver lost the card: it fell off the bus or hangs"
        assert (first.name, first.uuid) == (before[0].name, before[0].uuid)
        assert second == before[1]


def test_a_lost_card_is_not_asked_again_until_nvml_is_initialized_anew() -> None:
    with rig(busy_card(), busy_card(1)) as desk:
        desk.read()
        desk.cards.cards[0].errors["*"] = LOST
        desk.read(1)
        desk.driver.call_counts.clear()
        first, second = desk.read(1).cards
        assert first.error is not None
        assert second.error is None
        assert desk.driver.call_counts.total() == 5


def test_a_lost_card_comes_back_after_reinitialization() -> None:
    with rig() as desk:
        before = desk.card()
        desk.cards.cards[0].errors["*"] = LOST
        desk.card(1)
        desk.cards.cards[0].errors.clear()
        assert desk.card(1).error is not None, "first attempt after 2 s"
        assert desk.card(1) == before
        assert desk.driver.call_counts["nvmlInitWithFlags"] == 2


def test_attempts_to_get_a_lost_card_back_become_rare() -> None:
    with rig() as desk:
        desk.read()
        desk.cards.cards[0].errors["*"] = LOST
        attempts = []
        for _ in range(600):
            desk.read(1)
            attempts.append(desk.driver.call_counts["nvmlInitWithFlags"])
        assert attempts[-1] - 1 <= 5 + 10, "2, 4, 8, 16, 32 s, then every 60"
        assert attempts[-1] - attempts[-121] >= 1, "but never given up"
        desk.cards.cards[0].errors.clear()
        assert desk.card(61).error is None


def test_in_a_long_pause_a_lost_card_is_left_alone() -> None:
    with rig() as desk:
        desk.read()
        desk.cards.cards[0].errors["*"] = LOST
        attempts = 0
        while desk.driver.call_counts["nvmlInitWithFlags"] < 8:
            attempts += 1
            assert attempts < 1000
            desk.read(1)
        desk.driver.call_counts.clear()
        for _ in range(55):
            card = desk.card(1)
            assert card.error is not None
            assert card.name == "NVIDIA GeForce RTX 4090", "which card it is stays known"
        assert desk.driver.call_counts.total() == 0


def test_a_card_that_is_gone_from_the_bus_gives_its_name_to_nobody() -> None:
    with rig(busy_card(name="first"), busy_card(1, name="second")) as desk:
        desk.read()
        del desk.cards.cards[0]
        desk.cards.cards[0].errors["nvmlDeviceGetHandleByIndex"] = 4
        desk.driver.reload()
        with pytest.raises(SourceError):
            desk.read(1)
        desk.cards.cards[0].errors.clear()
        (card,) = desk.read(2).cards
        assert (card.index, card.name, card.error) == (0, "second", None)


def test_a_driver_that_fails_anew_is_tried_again_soon() -> None:
    with rig() as desk:
        desk.cards.errors["nvmlInitWithFlags"] = 9
        for _ in range(120):
            with pytest.raises(SourceError):
                desk.read(1)
        desk.cards.errors.clear()
        desk.read(31)
        desk.driver.reload()
        desk.cards.errors["nvmlInitWithFlags"] = 9
        for seconds in (1, 2):
            with pytest.raises(SourceError):
                desk.read(seconds)
        desk.cards.errors.clear()
        assert desk.card(1).error is None, "the long pauses of the morning are forgotten"


def test_a_new_card_that_cannot_be_read_is_not_named_after_the_one_that_was_there() -> None:
    with rig(busy_card(1, name="old")) as desk:
        desk.read()
        desk.cards.cards.insert(0, busy_card(0, name="new"))
        desk.cards.cards[0].errors["nvmlDeviceGetHandleByIndex"] = 4
        desk.driver.reload()
        with pytest.raises(SourceError):
            desk.read(1)
        live = ("MemoryInfo", "UtilizationRates", "Temperature", "ComputeRunningProcesses", "GraphicsRunningProcesses")
        desk.cards.cards[1].errors.update({f"nvmlDeviceGet{name}": 999 for name in live})
        first, second = desk.read(2).cards
        assert second.error is not None
        assert (first.name, second.name) == (None, "old")


def test_the_pauses_start_small_again_after_all_was_well() -> None:
    with rig() as desk:
        for _ in range(3):
            desk.cards.cards[0].errors["*"] = LOST
            for _ in range(200):
                desk.read(1)
            desk.cards.cards[0].errors.clear()
            for _ in range(70):
                desk.read(1)
            assert desk.card().error is None
            desk.cards.cards[0].errors["*"] = LOST
            desk.read(1)
            desk.cards.cards[0].errors.clear()
            assert desk.card(2).error is None


def test_a_card_that_needs_a_reset() -> None:
    with rig(busy_card(), busy_card(1)) as desk:
        desk.cards.cards[1].errors["*"] = 16
        first, second = desk.read().cards
        assert first.error is None
        assert second.error == "the card needs a reset"


def test_a_reloaded_driver_is_picked_up_again() -> None:
    with rig() as desk:
        before = desk.card()
        desk.driver.reload()
        with pytest.raises(SourceError) as raised:
            desk.read(1)
        assert raised.value.kind is FailureKind.LOST
        assert desk.card(2) == before


def test_a_driver_that_is_unloaded_and_comes_back() -> None:
    with rig() as desk:
        desk.read()
        desk.driver.reload()
        desk.cards.errors["nvmlInitWithFlags"] = 9
        with pytest.raises(SourceError):
            desk.read(1)
        with pytest.raises(SourceError, match="installed but not loaded"):
            desk.read(2)
        desk.cards.errors.clear()
        assert desk.card(31).error is None


def test_a_driver_that_is_not_there_is_looked_for_ever_more_rarely() -> None:
    with rig() as desk:
        desk.cards.library_present = False
        for _ in range(120):
            with pytest.raises(SourceError) as raised:
                desk.read(1)
        assert raised.value.kind is FailureKind.MISSING
        assert "libnvidia-ml.so.1" in raised.value.message
        desk.cards.errors["nvmlInitWithFlags"] = 9
        desk.cards.library_present = True
        desk.driver.call_counts.clear()
        for _ in range(120):
            with pytest.raises(SourceError):
                desk.read(1)
        assert desk.driver.call_counts["nvmlInitWithFlags"] <= 5
        desk.cards.errors.clear()
        assert desk.card(31).error is None, "installed while we were running"


def test_no_card_is_said_as_such() -> None:
    with rig(SimulatedCard()) as desk:
        desk.cards.cards.clear()
        with pytest.raises(SourceError, match="no card") as raised:
            desk.read()
        assert raised.value.kind is FailureKind.MISSING
        assert not desk.driver.initialized
        desk.cards.cards.append(busy_card())
        assert desk.card(2).error is None


@pytest.mark.parametrize(
    "function",
    ["nvmlInitWithFlags", "nvmlDeviceGetHandleByIndex", "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetPowerUsage"],
)
def test_a_call_that_hangs_and_comes_back(function: str) -> None:
    with rig() as desk:
        desk.cards.hang_seconds[function] = 60.0
        thread, results = reading_in_a_thread(desk)
        wait_until(lambda: desk.driver.hanging == 1)
        assert results == []
        desk.cards.hang_seconds.clear()
        desk.driver.release()
        thread.join(20)
        assert len(results) == 1
        assert not isinstance(results[0], SourceError)
        assert desk.card(1).memory_total_bytes == desk.cards.cards[0].memory_total_bytes


def test_closing_does_not_wait_for_a_call_that_hangs() -> None:
    with rig() as desk:
        desk.read()
        desk.cards.hang_seconds["nvmlDeviceGetMemoryInfo"] = 60.0
        desk.seconds += 1
        thread, results = reading_in_a_thread(desk)
        wait_until(lambda: desk.driver.hanging == 1)
        start = time.monotonic()
        desk.source.close()
        assert time.monotonic() - start < 1
        assert thread.is_alive()
        assert desk.driver.initialized, "the call that hangs still uses it"
        desk.driver.release()
        thread.join(20)
        assert len(results) == 1
        assert not desk.driver.initialized, "closed by the read that ended late"


def test_closing_during_a_hanging_init_leaves_nothing_open() -> None:
    with rig() as desk:
        desk.cards.hang_seconds["nvmlInitWithFlags"] = 60.0
        thread, _ = reading_in_a_thread(desk)
        wait_until(lambda: desk.driver.hanging == 1)
        desk.source.close()
        desk.driver.release()
        thread.join(20)
        assert not desk.driver.initialized


def test_reading_after_closing_is_a_source_error_and_closing_twice_is_nothing() -> None:
    with rig() as desk:
        desk.read()
        desk.source.close()
        desk.source.close()
        assert desk.driver.call_counts["nvmlShutdown"] == 1
        with pytest.raises(SourceError, match="ended"):
            desk.read(1)
        assert not desk.driver.initialized


def test_closing_before_the_first_read_touches_nothing() -> None:
    with rig() as desk:
        desk.source.close()
        assert desk.driver.call_counts.total() == 0


def test_a_shutdown_that_fails_is_nobodys_problem() -> None:
    with rig() as desk:
        desk.read()
        desk.cards.errors["nvmlShutdown"] = 999
        desk.source.close()
        desk.cards.errors.clear()
