"""One use of NVML between init and shutdown: which cards there are and what is bound to their handles."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gpudesk.domain.card import Card, Driver
from gpudesk.sources.nvml_card import CardReader
from gpudesk.sources.nvml_library import ONCE, NvmlLibrary, NvmlRefusal
from gpudesk.sources.nvml_processes import ProcessLists
from gpudesk.sources.nvml_words import CARD_GONE, DRIVER_GONE, describe
from gpudesk.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpudesk.sources.nvml_card import HostMemory
    from gpudesk.sources.power_state import DisplayDevice

_HANDLE_RETRY_SECONDS = 30.0


class DriverSession:
    """Reads all cards that are awake; void once `is_broken`."""

    def __init__(
        self,
        library: NvmlLibrary,
        process_exists: Callable[[int], bool],
        host_memory: Callable[[], HostMemory],
        *,
        can_rest: bool,
    ) -> None:
        self.can_rest = can_rest
        self.reopen_at: float | None = None
        self.driver_gone: int | None = None
        """The code that says so, when a call of the last pass did."""
        self.is_broken = False
        """A card or the driver is gone in a way only a new session can mend."""
        self._library = library
        self._lists = ProcessLists(library, process_exists)
        self._host_memory = host_memory
        self._readers: dict[int, CardReader] = {}
        self._refused: dict[int, Card] = {}
        """Cards without a handle, or whose handle is of no use any more."""
        self._retried: set[int] = set()
        """Those among them that may get a handle without a new session."""
        self._handles_due_at = 0.0
        self._sleeping: tuple[tuple[DisplayDevice, Card], ...] = ()
        self._versions = tuple(
            library.query(name, every=ONCE)
            for name in ("nvmlSystemGetDriverVersion", "nvmlSystemGetNVMLVersion", "nvmlSystemGetCudaDriverVersion")
        )
        self._version_values: tuple[Any, ...] = ()
        self._driver = Driver()

    def find_all(self, count: int, now: float) -> None:
        """Get the handles of all cards; one that is refused is tried again later."""
        for index in range(count):
            self._find(index)
        self._handles_due_at = now + _HANDLE_RETRY_SECONDS

    def find_awake(
        self,
        awake: tuple[DisplayDevice, ...],
        asleep: tuple[DisplayDevice, ...],
        describe_asleep: Callable[[DisplayDevice, int], Card],
    ) -> None:
        """Get the handles of the cards that are awake by bus id, which initializes no other (nvml.h)."""
        api = self._library.api
        for display in awake:
            try:
                handle = self._library.call(api.nvmlDeviceGetHandleByPciBusId, display.bus_id)
                index = self._library.call(api.nvmlDeviceGetIndex, handle)
            except NvmlRefusal:
                continue  # given to a virtual machine, or not NVML's
            self._add(index, handle)
        free = iter(sorted(set(range(len(awake) + len(asleep))) - set(self._readers)))
        self._sleeping = tuple((display, replace(describe_asleep(display, 0), index=next(free))) for display in asleep)

    def wants_new(self, now: float) -> bool:
        """Tell whether a new session is due: something was lost, or a card woke up."""
        if any(not display.is_asleep() for display, _ in self._sleeping):
            return True
        return self.reopen_at is not None and now >= self.reopen_at

    def read(self, now: float) -> tuple[Card, ...]:
        """Read every card once, in the driver's order."""
        if self._retried and now >= self._handles_due_at:
            self._handles_due_at = now + _HANDLE_RETRY_SECONDS
            for index in sorted(self._retried):
                self._find(index)
        cards = {card.index: card for _, card in self._sleeping}
        codes: set[int] = set()
        for index, reader in list(self._readers.items()):
            card = cards[index] = reader.read(now)
            codes |= reader.codes
            if reader.codes & CARD_GONE:  # asking again is slow and of no use before NVML is initialized anew
                del self._readers[index]
                self._refused[index] = card
                self.is_broken = True
        for index, card in self._refused.items():
            cards.setdefault(index, card)
        self.driver_gone = next(iter(codes & DRIVER_GONE), None)
        self.is_broken = self.is_broken or self.driver_gone is not None
        return tuple(cards[index] for index in sorted(cards))

    def read_driver(self, now: float) -> Driver:
        """Return the driver's versions; each is None until it could be read."""
        values = tuple(query.read(now) for query in self._versions)
        if values != self._version_values:
            self._version_values = values
            driver, nvml, cuda = values
            self._driver = Driver(
                clean(driver) if driver else None,
                clean(nvml) if nvml else None,
                f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else None,
            )
        return self._driver

    def _find(self, index: int) -> None:
        try:
            handle = self._library.call(self._library.api.nvmlDeviceGetHandleByIndex, index)
        except NvmlRefusal as refusal:
            self._refused[index] = Card(index=index, error=describe(refusal.code))
            if refusal.code in CARD_GONE | DRIVER_GONE:
                self.is_broken = True
                self._retried.discard(index)
            else:
                self._retried.add(index)
            return
        self._add(index, handle)

    def _add(self, index: int, handle: Any) -> None:
        self._refused.pop(index, None)
        self._retried.discard(index)
        self._readers[index] = CardReader(self._library, self._lists, handle, index, self._host_memory)
