"""The simulated workstation's scenarios as they are told, read by the real sources."""

from __future__ import annotations

from functools import partial

import pytest

from gpudesk.config.settings import EngineAddress
from gpudesk.domain.reading import Failure, Reading, Sample
from gpudesk.sim.clock import SteppedClock
from gpudesk.sim.workstation import SimulatedWorkstation
from gpudesk.sources.base import Source
from gpudesk.sources.nvml import NvmlSource
from gpudesk.sources.ollama import OllamaCatalogSource, OllamaDetailsSource, OllamaSource
from gpudesk.sources.ollama_client import OllamaClient
from gpudesk.sources.processes import ProcessSource
from gpudesk.watch.look import look
from gpudesk.watch.store import initial, reduce
from gpudesk.watch.wakes import wakes


class Reader:
    """Reads the sources of a workstation whose time is stepped, each at its turn or when another wakes it."""

    def __init__(self, workstation: SimulatedWorkstation) -> None:
        self.clock = workstation.clock
        client = OllamaClient(EngineAddress(workstation.url))
        self.sources: list[Source] = [
            NvmlSource(self.clock, process_exists=lambda pid: True),
            OllamaSource(client, self.clock),
            ProcessSource(workstation.process_table, clock=self.clock),
            OllamaCatalogSource(client, self.clock),
            OllamaDetailsSource(client, self.clock),
        ]
        self.watched = initial(self.clock.now())
        self.sequence = 0
        self.due = dict.fromkeys((source.name for source in self.sources), 0.0)

    def read(self, second: int) -> None:
        for source in self.sources:
            if self.due[source.name] <= second:
                self.due[source.name] = second + source.interval_seconds
                look(source, self.watched.desk, partial(self.fold, source))

    def fold(self, source: Source, value: Sample | None, failure: Failure | None) -> None:
        self.sequence += 1
        before = self.watched.desk
        reading = Reading(source.name, self.sequence, self.clock.now(), value, failure)
        self.watched = reduce(self.watched, reading, source.interval_seconds)
        wanted = wakes(before, self.watched.desk)
        self.due.update(dict.fromkeys(wanted.once | wanted.brisk, 0.0))


def told(scenario: str, seconds: int) -> list[str]:
    """Watch a scenario for so long, as the poller would, and return the messages of its events."""
    return told_with_alarms(scenario, seconds)[0]


def told_with_alarms(scenario: str, seconds: int) -> tuple[list[str], list[tuple[str, ...]]]:
    """Do the same, and tell which alarms went on in each second."""
    timeline = SteppedClock()
    with SimulatedWorkstation(scenario, timeline) as workstation:
        reader = Reader(workstation)
        alarms = []
        for second in range(seconds):
            reader.read(second)
            alarms.append(tuple(alarm.kind.value for alarm in reader.watched.desk.alarms))
            timeline.step(1.0)
        for source in reader.sources:
            source.close()
        return [event.message.replace(workstation.url, "URL") for event in reader.watched.desk.events], alarms


@pytest.mark.slow
def test_a_busy_afternoon() -> None:
    assert told("coding", 92) == [
        "keep-alive of qwen3:14b changed from forever to 30m (Continue sends 30m by default)",
        "qwen3:14b reloaded with context 16384 instead of context 8192",
        "keep-alive of qwen3:14b changed from 30m to 5m",
        "qwen3:14b reloaded with context 8192 instead of context 16384",
        "keep-alive of qwen3:14b changed from 5m to forever",
        "bg3 took 6.0 GiB on card 0",
        "qwen2.5-coder:1.5b unloaded 29m 57s before its time: asked for, or its process ended",
        "qwen3:14b unloaded although its keep-alive was forever: asked for, or its process ended",
    ]


def test_an_editor_that_resets_a_keep_alive() -> None:
    assert told("editor-resets-keep-alive", 30) == [
        "keep-alive of qwen3:14b changed from forever to 30m (Continue sends 30m by default)"
    ]


def test_two_clients_with_two_contexts() -> None:
    assert told("context-ping-pong", 40) == [
        "qwen3:14b reloaded with context 16384 instead of context 8192",
        "keep-alive of qwen3:14b changed from forever to 5m",
        "qwen3:14b reloaded with context 8192 instead of context 16384",
    ]


def test_a_game() -> None:
    assert told("game", 80) == ["bg3 took 6.0 GiB on card 0", "bg3 released 6.0 GiB on card 0"]


def test_a_lost_card() -> None:
    assert told("lost-gpu", 45) == [
        "NVIDIA GeForce RTX 4090 is gone: the driver lost the card: it fell off the bus or hangs",
        "NVIDIA GeForce RTX 4090 is back",
    ]


def test_a_card_that_gets_too_hot_and_cools_down() -> None:
    messages, alarms = told_with_alarms("hot-card", 110)
    assert messages == [
        "NVIDIA GeForce RTX 4090 is at 85 °C, where it slows itself down; look at its fans and the air around it",
    ]
    began, ended = alarms.index(("hot_card",)), len(alarms) - alarms[::-1].index(("hot_card",))
    assert 20 < began < 60
    assert 70 < ended < 100


def test_a_server_that_dies_and_comes_back() -> None:
    messages = told("server-dies", 60)
    assert [message.partition(":")[0] for message in messages][-3:] == [
        "URL is gone",
        "nomic-embed-text",
        "URL answers",
    ]


@pytest.mark.parametrize("scenario", ["pinned", "idle", "empty", "mig", "unified", "no-process-memory", "two-cards"])
def test_where_nothing_happens_nothing_is_told(scenario: str) -> None:
    assert told(scenario, 30) == []
