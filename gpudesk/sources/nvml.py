"""The cards as the NVIDIA driver reports them, read through NVML.

What it costs, in NVML calls per card and second at the default cadence of one pass a second (counted by
tests/sources/test_nvml_cost.py): 5 every second (memory, compute list, graphics list, utilization, temperature) and 4
every fifth second (power, two clocks, fan), so 5.8, plus two a minute (power limit, MIG mode). Slices cost one call
each per second. Names, ids and limits are asked for once. Nothing is forked, ever.

A single value that cannot be read is None and costs nothing else; a card that cannot be read has `error` and the others
are unaffected; only a driver that cannot be used at all is a SourceError. After "GPU is lost" or a reloaded driver NVML
is initialized anew, in longer and longer intervals while that does not help.

A laptop's card that sleeps is never woken: the kernel is asked first (`power_state`), and while every card sleeps NVML
is not initialized. A card that could sleep but is idle is let go of for the same reason (`nvml_pauses.Rest`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from gpudesk.clock import SYSTEM_CLOCK, Clock
from gpudesk.domain.card import Card, CardsSample, Driver
from gpudesk.errors import FailureKind, SourceError
from gpudesk.sources.nvml_library import NvmlLibrary, NvmlRefusal
from gpudesk.sources.nvml_pauses import Backoff, Rest
from gpudesk.sources.nvml_processes import pid_exists
from gpudesk.sources.nvml_session import DriverSession
from gpudesk.sources.nvml_words import SOURCE_NAME, describe, driver_error, no_cards
from gpudesk.sources.power_state import DisplayDevice, nvidia_displays, supports_power_down

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpudesk.domain.desk import Desk
    from gpudesk.sources.nvml_card import HostMemory

_SCAN_SECONDS = 30.0
"""How often the PCI bus is looked over for cards that came or went."""


def _host_memory() -> HostMemory:
    import psutil

    memory = psutil.virtual_memory()
    return memory.total, memory.available


class NvmlSource:
    """Reads every NVIDIA card of this computer. Used from one thread; only `close` may come from another."""

    name = SOURCE_NAME

    def __init__(
        self,
        clock: Clock = SYSTEM_CLOCK,
        *,
        interval_seconds: float = 1.0,
        sysfs_root: Path = Path("/sys"),
        proc_root: Path = Path("/proc"),
        idle_seconds: float = 30.0,
        process_exists: Callable[[int], bool] = pid_exists,
        host_memory: Callable[[], HostMemory] = _host_memory,
    ) -> None:
        """Prepare; nothing is loaded or touched before the first read.

        Args:
            clock: only its monotonic side is used.
            interval_seconds: how often to read the cards.
            sysfs_root: where the kernel tells power states; another directory in tests.
            proc_root: where the NVIDIA driver tells whether a card can power down.
            idle_seconds: how long cards that can sleep must be idle before they are let go of.
            process_exists: tells whether a pid is known here, to notice structs that were read wrongly.
            host_memory: total and available bytes of the host, for cards that share its memory.
        """
        self.interval_seconds = interval_seconds
        self._clock = clock
        self._sysfs_root = sysfs_root
        self._proc_root = proc_root
        self._process_exists = process_exists
        self._host_memory = host_memory
        self._library: NvmlLibrary | None = None
        self._session: DriverSession | None = None
        self._open_backoff = Backoff(first_seconds=1.0, longest_seconds=30.0)
        self._reopen_backoff = Backoff(first_seconds=2.0, longest_seconds=60.0)
        self._failure: SourceError | None = None
        self._rest = Rest(idle_seconds)
        self._displays: tuple[DisplayDevice, ...] = ()
        self._scan_due_at: float | None = None
        self._last: dict[str, Card] = {}
        self._driver = Driver()
        self._reading = False
        self._closed = Event()

    def read(self, desk: Desk) -> CardsSample:
        """Look at every card once.

        Raises:
            SourceError: there is no driver, it cannot be used, or it went away; says what to do.
        """
        if self._closed.is_set():
            raise SourceError(FailureKind.FAILED, "the reading of the cards has ended")
        self._reading = True
        try:
            return self._read(desk, self._clock.monotonic())
        finally:
            self._reading = False
            if self._closed.is_set():
                self._end_session()

    def close(self) -> None:
        """Let go of NVML; returns at once while a driver call hangs (NVML is then closed when the call ends)."""
        self._closed.set()
        if not self._reading:
            self._end_session()

    def _read(self, desk: Desk, now: float) -> CardsSample:
        if self._library is not None:
            self._library.calls = 0
        rescanned = self._scan(now)
        if self._session is None:
            if self._displays and all(display.is_asleep() for display in self._displays):
                self._rest.is_over(now, asleep=True, wanted=False)
                return self._asleep()
            if self._rest.resting and not self._rest.is_over(now, asleep=False, wanted=_has_local_work(desk)):
                return self._asleep()
            self._open(now)
        elif rescanned or self._session.wants_new(now):
            self._end_session()
            self._open(now)
        return self._pass(now)

    def _pass(self, now: float) -> CardsSample:
        session, library = self._session, self._library
        assert session is not None
        assert library is not None
        cards = session.read(now)
        self._driver = session.read_driver(now)
        for card in cards:
            if card.pci_bus_id is not None and card.error is None:
                self._last[card.pci_bus_id] = card
        if any(card.error is not None and card.name is None for card in cards):
            cards = self._with_names(cards)
        if not session.is_broken:
            self._reopen_backoff.clear()
        elif session.reopen_at is None:
            self._reopen_backoff.fail(now)
            session.reopen_at = self._reopen_backoff.due_at
        if session.driver_gone is not None and all(card.error is not None for card in cards):
            raise SourceError(FailureKind.LOST, describe(session.driver_gone), "It is tried again by itself")
        if self._rest.is_due(now, idle=session.can_rest and _are_idle(cards)):
            self._end_session()
            self._rest.begin(now)
        return CardsSample(cards, self._driver, library.calls)

    def _with_names(self, cards: tuple[Card, ...]) -> tuple[Card, ...]:
        """Say which card it is that cannot be read, as far as the card last seen in its place is not elsewhere now."""
        present = {card.pci_bus_id for card in cards}
        before = {card.index: card for bus_id, card in self._last.items() if bus_id not in present}

        def named(card: Card) -> Card:
            last = before.get(card.index)
            if last is None or card.error is None or card.name is not None:
                return card
            return replace(card, name=last.name, uuid=last.uuid, pci_bus_id=last.pci_bus_id)

        return tuple(named(card) for card in cards)

    def _open(self, now: float) -> None:
        """Initialize NVML and find the cards.

        Raises:
            SourceError: it does not work, or did not a moment ago.
        """
        if self._failure is not None and now < self._open_backoff.due_at:
            raise self._failure
        try:
            if self._library is None:
                self._library = NvmlLibrary()
            self._session = self._begin_session(self._library, now)
        except SourceError as error:
            self._failure = error
            self._open_backoff.fail(now)
            raise
        self._failure = None
        self._open_backoff.clear()

    def _begin_session(self, library: NvmlLibrary, now: float) -> DriverSession:
        try:
            library.call(library.api.nvmlInit)
        except NvmlRefusal as refusal:
            raise driver_error(refusal.code) from None
        try:
            count = library.call(library.api.nvmlDeviceGetCount)
            if not count:
                raise no_cards()
            asleep = tuple(display for display in self._displays if display.is_asleep())
            awake = tuple(display for display in self._displays if display not in asleep)
            can_rest = bool(self._displays) and all(
                display.can_sleep() and supports_power_down(self._proc_root, display.bus_id) for display in awake
            )
            session = DriverSession(library, self._process_exists, self._host_memory, can_rest=can_rest)
            if asleep:
                session.find_awake(awake, asleep, self._asleep_card)
            else:
                session.find_all(count, now)
        except NvmlRefusal as refusal:
            self._shut_down(library)
            raise driver_error(refusal.code) from None
        except SourceError:
            self._shut_down(library)
            raise
        return session

    def _end_session(self) -> None:
        session, self._session = self._session, None
        if session is not None and self._library is not None:
            self._shut_down(self._library)

    def _shut_down(self, library: NvmlLibrary) -> None:
        try:
            library.call(library.api.nvmlShutdown)
        except NvmlRefusal:
            return  # whatever is wrong with it, we are done with it

    def _scan(self, now: float) -> bool:
        """Look over the PCI bus now and then; tell whether cards came or went."""
        if self._scan_due_at is not None and now < self._scan_due_at:
            return False
        first = self._scan_due_at is None
        self._scan_due_at = now + _SCAN_SECONDS
        before, self._displays = self._displays, nvidia_displays(self._sysfs_root)
        return not first and before != self._displays

    def _asleep(self) -> CardsSample:
        cards = (self._asleep_card(display, position) for position, display in enumerate(self._displays))
        return CardsSample(tuple(sorted(cards, key=lambda card: card.index)), self._driver, 0)

    def _asleep_card(self, display: DisplayDevice, position: int) -> Card:
        """Return what was last known of a card that is left alone, without what moves."""
        last = self._last.get(display.bus_id)
        if last is None:
            return Card(index=position, pci_bus_id=display.bus_id, asleep=True)
        return replace(
            last,
            utilization_ratio=None,
            temperature_celsius=None,
            power_draw_watts=None,
            graphics_clock_megahertz=None,
            memory_clock_megahertz=None,
            fan_ratio=None,
            asleep=True,
        )


def _are_idle(cards: tuple[Card, ...]) -> bool:
    """Tell whether nobody computes on any card. A desktop's own share does not keep a card awake by itself."""
    return all(
        card.error is None and not card.utilization_ratio and not any(process.compute for process in card.processes)
        for card in cards
        if not card.asleep
    )


def _has_local_work(desk: Desk) -> bool:
    """Tell whether an engine or the process table says that something should be on the cards."""
    return any(model.local and model.reported_vram_bytes != 0 for model in desk.models) or any(
        process.runner is not None for process in desk.processes
    )
