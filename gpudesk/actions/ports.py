"""What actions need of the world, as protocols; `build` hands in the real ones, tests the simulation or a stub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gpudesk.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from gpudesk.actions.values import JournalEntry, Load, Preview
    from gpudesk.cancellation import Cancellation
    from gpudesk.clock import Clock
    from gpudesk.domain.desk import Desk
    from gpudesk.domain.pin import PinWish


class Watch(Protocol):
    """The running watch, as far as actions look at it."""

    @property
    def desk(self) -> Desk:
        """The newest desk."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock of every time on the desk."""
        ...

    def dismissing(self, engine_url: str, names: Sequence[str]) -> None:
        """Take note that a model is being asked to go, so that its leaving is told as that and not as an eviction."""
        ...

    def fresh(self, timeout_seconds: float, *, installed: bool = False) -> Desk:
        """Read cards, processes and engines now; return a desk on which each of them was read after this call began.

        With `installed`, what the engines have installed is read as well. Blocks, at most `timeout_seconds`; a source
        that does not answer in time is on the desk with its failure, or with its last value. Never called on the
        screen's thread.
        """
        ...


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far a download is."""

    status: str
    """In the engine's words."""
    completed_bytes: int | None = None
    """Of all layers announced so far."""
    total_bytes: int | None = None


class EngineControl(Protocol):
    """The writing side of one engine. Every member blocks and raises `SourceError` in plain words.

    A cancellation closes the connection, which is what makes Ollama give up a load or a download, and raises
    `CanceledError`.
    """

    @property
    def url(self) -> str:
        """Which engine."""
        ...

    def load(self, load: Load, cancel: Cancellation) -> None:
        """Load it and return when the engine says it is resident; a loaded one with the same options stays."""
        ...

    def unload(self, load: Load, cancel: Cancellation) -> None:
        """Ask for it to go; returns at once, a busy one goes when its requests have ended."""
        ...

    def keep_alive(self, load: Load, cancel: Cancellation) -> None:
        """Set `load.keep_alive` of a loaded model without loading it again."""
        ...

    def trained_context(self, load: Load, cancel: Cancellation) -> int | None:
        """Return the context a model was trained for, None where the engine does not tell; asked once per digest."""
        ...

    def pull(self, name: str, progress: Callable[[PullProgress], None], cancel: Cancellation) -> None:
        """Download a model; goes on where an earlier try ended."""
        ...

    def delete(self, name: str, cancel: Cancellation) -> None:
        """Delete an installed model."""
        ...

    def derive(self, name: str, source: str, context_length: int, cancel: Cancellation) -> None:
        """Make a model out of an installed one that has its context baked in."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


@dataclass(frozen=True, slots=True)
class Forecast:
    """What loading some models would come to, beside what stays."""

    verdict: str | None = None
    """`fits`, `tight`, `spills`, `does not fit`; None when it cannot be told."""
    needs_bytes: int | None = None
    by_model: tuple[tuple[str, int], ...] = ()
    """What each one to be loaded would take on the cards."""
    available_bytes: int | None = None
    """On the cards, with what leaves gone and nothing loaded yet."""
    would_evict: tuple[str, ...] = ()
    """Loaded models that the engine itself would unload to make room."""
    short_bytes: int | None = None
    """How much is missing on the card where most is missing; None or 0 when nothing is."""
    cpu_ratios: tuple[tuple[str, float], ...] = ()
    """Loads that would stay partly on the CPU, by name, with the share of their memory that would be there."""
    expected_seconds: float | None = None
    context_length: int | None = None
    """What the engine will choose for the first one when none is asked for."""
    same_weights: tuple[tuple[str, str], ...] = ()
    """Loads by name with the model of another name whose runner they would take over: loaded, or an earlier load."""
    notes: tuple[str, ...] = ()
    evicts_because: str | None = None
    """The engine's rule by which those in `would_evict` go, with its figures: `it keeps at most 3 models loaded`."""
    may_evict: tuple[str, ...] = ()
    """Where the cards cannot be seen: loaded models that the engine may unload, in its order."""
    may_evict_because: str | None = None
    """`memory unknown`."""
    advice: tuple[str, ...] = ()
    """What would help, best first: `context 8192 instead of 16384`."""


class Forecaster(Protocol):
    """Tells beforehand what loading comes to; answers in milliseconds from headers that are known already."""

    def forecast(self, desk: Desk, loads: Sequence[Load], leaving: Sequence[str] = ()) -> Forecast:
        """Tell what loading `loads` would come to once the loaded models named in `leaving` are gone."""
        ...


class PinStore(Protocol):
    """Where pins are kept."""

    def read(self) -> tuple[PinWish, ...]:
        """Return every pin."""
        ...

    def put(self, wish: PinWish) -> None:
        """Store a pin instead of an earlier one of the same model. Raises `StoreError`; the old file is then whole."""
        ...

    def remove(self, engine_url: str, name: str) -> bool:
        """Forget a pin; tell whether there was one."""
        ...


class Journal(Protocol):
    """Where actions are written down."""

    def append(self, entry: JournalEntry) -> None:
        """Write a line. Never raises: an action does not fail because of it."""
        ...

    def begin(self, preview: Preview) -> None:
        """Note that this is about to be carried out, so that a killed gpudesk can offer to finish or undo it.

        Raises `StoreError`: whoever acts goes on without.
        """
        ...

    def finish(self) -> None:
        """Forget what `begin` noted: it has ended, one way or the other. Raises `StoreError`."""
        ...


class Turn(Protocol):
    """Lets one gpudesk act at a time."""

    def take(self, what: str) -> AbstractContextManager[None]:
        """Hold the turn while `what` is done.

        Raises `RefusedError`, naming what another gpudesk is doing, and `StoreError` where no lock can be had.
        """
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything an action needs."""

    watch: Watch
    engines: tuple[EngineControl, ...]
    forecaster: Forecaster
    pins: PinStore
    journal: Journal
    turn: Turn

    def engine(self, url: str) -> EngineControl | None:
        """Return the engine at an address."""
        return next((engine for engine in self.engines if engine.url == url), None)
