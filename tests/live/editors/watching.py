"""A desk that is looked at step by step while somebody else uses the engine."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from gpudesk.config.settings import EngineAddress
from gpudesk.domain.desk import Desk
from gpudesk.domain.pin import PinState, PinWish
from gpudesk.domain.reading import Failure, Reading, Sample
from gpudesk.sources.base import Source
from gpudesk.sources.ollama import OllamaSource
from gpudesk.sources.ollama_client import OllamaClient
from gpudesk.sources.pins import PinSource
from gpudesk.sources.processes import ProcessSource
from gpudesk.stores.pins import TomlPinStore
from gpudesk.watch.look import look
from gpudesk.watch.store import initial, reduce
from tests.live.subject import Machine, Subject


class WatchedEngine:
    """gpudesk's own sources and rules, without threads."""

    def __init__(self, subject: Subject, machine: Machine, directory: Path) -> None:
        self._subject = subject
        self._pins = TomlPinStore(directory)
        self._sources: tuple[Source, ...] = (
            PinSource(self._pins),
            ProcessSource(machine.process_table(), models_directories=[directory]),
            OllamaSource(OllamaClient(EngineAddress(subject.api.url))),
        )
        self._watched = initial(subject.now())
        self._sequence = 0

    @property
    def url(self) -> str:
        """The engine's address as gpudesk names it."""
        return EngineAddress(self._subject.api.url).url

    def close(self) -> None:
        """Close every source."""
        for source in self._sources:
            source.close()

    def pin(self, name: str, context_length: int | None) -> None:
        """Wish that a model stays, with this context."""
        self._pins.put(PinWish(self.url, name, context_length=context_length))

    def look(self, *kinds: type[Source]) -> Desk:
        """Read every source once, or those of some kinds alone."""
        for source in self._sources:
            if kinds and not isinstance(source, kinds):
                continue
            self._sequence += 1
            look(source, self._watched.desk, partial(self._fold, source.name))
        return self._watched.desk

    def pin_of(self, name: str) -> PinState:
        """Look, and return how a pin stands."""
        (state,) = [each for each in self.look().pins if each.wish.name == name]
        return state

    def _fold(self, name: str, value: Sample | None, failure: Failure | None) -> None:
        assert failure is None, failure
        reading = Reading(name, self._sequence, self._subject.now(), value, failure)
        self._watched = reduce(self._watched, reading)
