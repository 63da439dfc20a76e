"""The guard on a simulated workstation: pins put right, fights avoided, news told, one guard at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from gpudesk.acting.guarding import Guard, why_not
from gpudesk.actions.ports import Forecast
from gpudesk.actions.values import ActionId, Ending, Origin, Preview
from gpudesk.cancellation import Cancellation
from gpudesk.domain.keep_alive import KeepAliveWish
from gpudesk.domain.pin import Pin, PinCause, PinState, PinWish
from gpudesk.stores.process_lock import guard_lock
from tests.actions.rig import BIG, CHAT, Rig, until


class Guarded:
    """A guard over a rig, looked through by hand."""

    def __init__(self, rig: Rig, folder: Path, *, acts: bool = True) -> None:
        self.rig = rig
        self.said: list[str] = []
        self.told: list[str] = []
        self.guard = Guard(rig.ports, lock=guard_lock(folder), tell=self._tell, said=self.said.append, acts=acts)

    def _tell(self, texts: Sequence[str]) -> None:
        self.told.extend(texts)

    def looks(self, condition: Callable[[], object], seconds: float = 15.0) -> bool:
        """Look again and again until it is so."""

        def look() -> object:
            self.rig.look()
            self.guard.look()
            return condition()

        return until(look, seconds)

    def pin(self, name: str) -> Pin | None:
        return next((state.pin for state in self.rig.poller.desk.pins if state.wish.name == name), None)


def pinned(rig: Rig, name: str = CHAT, *, restore: bool = True) -> None:
    rig.pins.put(PinWish(rig.url, name, context_length=8192, restore=restore))
    assert until(lambda: any(state.pin is Pin.HELD for state in rig.look().pins))


def editor(rig: Rig, keep_alive: int = 1800) -> None:
    """Send what Continue sends: its own keep-alive with every request."""
    rig.control.keep_alive(rig.as_load(CHAT, 8192, KeepAliveWish(keep_alive)), Cancellation())


def test_a_pin_that_an_editor_undid_is_put_right_without_a_reload(tmp_path: Path) -> None:
    with Rig((CHAT, 8192, -1)) as rig:
        pinned(rig)
        pids = rig.pids(CHAT)
        guarded = Guarded(rig, tmp_path)
        guarded.guard.look()
        editor(rig)
        assert guarded.looks(lambda: any("is lost" in line for line in guarded.said))
        assert guarded.looks(lambda: rig.session_seconds(CHAT) > 1e9)
        assert rig.pids(CHAT) == pids
        assert guarded.looks(lambda: guarded.pin(CHAT) is Pin.HELD)
        (entry,) = rig.journal.entries
        assert (entry.who, entry.ending, entry.action) == (Origin.GUARD, Ending.DONE, "pin")
        assert "keep-alive changed from forever to 30m" in (entry.why or "")
        assert any("is lost: keep-alive changed from forever to 30m (Continue" in text for text in guarded.told)


def test_without_the_wish_a_lost_pin_is_told_and_left(tmp_path: Path) -> None:
    with Rig((CHAT, 8192, -1)) as rig:
        pinned(rig, restore=False)
        guarded = Guarded(rig, tmp_path)
        guarded.guard.look()
        editor(rig)
        assert guarded.looks(lambda: guarded.pin(CHAT) is Pin.LOST and guarded.told)
        for _ in range(5):
            rig.look()
            guarded.guard.look()
        assert rig.journal.entries == []


def test_three_losses_are_a_fight_that_is_not_fought(tmp_path: Path) -> None:
    with Rig((CHAT, 8192, -1)) as rig:
        pinned(rig)
        guarded = Guarded(rig, tmp_path)
        guarded.guard.look()
        for number in (1, 2):
            editor(rig)
            assert guarded.looks(lambda number=number: len(rig.journal.entries) == number)  # type: ignore[misc]
            assert guarded.looks(lambda: guarded.pin(CHAT) is Pin.HELD)
        editor(rig)
        assert guarded.looks(lambda: any("3 times in ten minutes" in text for text in guarded.told))
        for _ in range(5):
            rig.look()
            guarded.guard.look()
        assert len(rig.journal.entries) == 2


def test_a_pin_is_never_put_right_at_the_cost_of_another_model(tmp_path: Path) -> None:
    with Rig((CHAT, 8192, -1)) as rig:
        pinned(rig)
        guarded = Guarded(rig, tmp_path)
        guarded.guard.look()
        rig.control.unload(rig.as_load(CHAT), Cancellation())
        rig.control.load(rig.as_load(BIG, 8192), Cancellation())
        rig.oracle.answer = Forecast(verdict="does not fit", short_bytes=1 << 30, would_evict=(BIG,))
        assert guarded.looks(lambda: any("left as it is" in line for line in guarded.said))
        assert set(rig.loaded()) == {BIG}


@pytest.mark.parametrize(("cause", "left"), [(PinCause.EVICTED, True), (PinCause.CRASHED, False)])
def test_where_no_card_is_seen_what_made_room_once_is_not_pushed_out(cause: PinCause, left: bool) -> None:
    state = PinState(PinWish("http://127.0.0.1:1", CHAT, restore=True), Pin.LOST, cause=cause)
    preview = Preview(ActionId.PIN, CHAT, loses=("memory unknown",), may_evict=(BIG,))
    assert (why_not(preview, state) is not None) is left


def test_a_guard_that_may_not_act_only_tells(tmp_path: Path) -> None:
    with Rig((CHAT, 8192, -1)) as rig:
        pinned(rig)
        guarded = Guarded(rig, tmp_path, acts=False)
        guarded.guard.look()
        editor(rig)
        assert guarded.looks(lambda: guarded.told)
        for _ in range(5):
            rig.look()
            guarded.guard.look()
        assert rig.journal.entries == []


def test_of_two_guards_one_guards_and_the_other_takes_over(tmp_path: Path) -> None:
    with Rig((CHAT, 8192, -1)) as rig:
        first, second = Guarded(rig, tmp_path), Guarded(rig, tmp_path)
        first.guard.look()
        second.guard.look()
        assert (first.guard.guarding, second.guard.guarding) == (True, False)
        first.guard.release()
        second.guard.look()
        assert second.guard.guarding


@pytest.mark.slow
def test_a_started_guard_ends_when_told_and_lets_go_of_the_lock(tmp_path: Path) -> None:
    with Rig((CHAT, 8192, -1)) as rig:
        guarded = Guarded(rig, tmp_path)
        guarded.guard.start()
        assert until(lambda: guarded.guard.guarding)
        guarded.guard.stop()
        assert until(lambda: not guarded.guard.guarding)
