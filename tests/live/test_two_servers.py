"""Two real servers on one computer with the same files: whose runner is whose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from gpudesk.clock import SYSTEM_CLOCK
from gpudesk.config.settings import EngineAddress
from gpudesk.domain.desk import Desk
from gpudesk.domain.event import EventKind
from gpudesk.domain.reading import Failure, Reading, Sample
from gpudesk.errors import FailureKind
from gpudesk.sources.base import Source
from gpudesk.sources.ollama import OllamaSource
from gpudesk.sources.ollama_client import OllamaClient
from gpudesk.sources.ollama_details import OllamaDetailsSource
from gpudesk.sources.processes import ProcessSource
from gpudesk.watch.look import look
from gpudesk.watch.names import CARDS
from gpudesk.watch.store import initial, reduce
from tests.environment import OUTER_ENVIRONMENT
from tests.live.api import Api
from tests.live.engine import OllamaProcess
from tests.live.installation import install
from tests.live.models import CHAT, CODE

pytestmark = [pytest.mark.live, pytest.mark.slow]


class Watching:
    """gpudesk's own sources and rules, without threads, over any number of servers."""

    def __init__(self, directory: Path, *servers: OllamaProcess) -> None:
        clients = [OllamaClient(EngineAddress(server.url)) for server in servers]
        self._sources: list[Source] = [
            ProcessSource(models_directories=[directory]),
            *(OllamaSource(client) for client in clients),
            *(OllamaDetailsSource(client) for client in clients),
        ]
        self._watched = initial(SYSTEM_CLOCK.now())
        self._sequence = 0
        no_card = Failure(FailureKind.MISSING, "no driver here")
        self._watched = reduce(self._watched, Reading(CARDS, 1, SYSTEM_CLOCK.now(), failure=no_card))

    def close(self) -> None:
        """Close every source."""
        for source in self._sources:
            source.close()

    def look(self) -> Desk:
        """Read every source twice: some follow others."""
        for source in self._sources * 2:
            self._sequence += 1
            look(source, self._watched.desk, partial(self._fold, source.name))
        return self._watched.desk

    def pids(self) -> dict[tuple[str, str], tuple[int, ...]]:
        """Look, and return each model's processes."""
        return {(model.engine_url, model.name): model.pids for model in self.look().models}

    def _fold(self, name: str, value: Sample | None, failure: Failure | None) -> None:
        assert failure is None, failure
        self._watched = reduce(self._watched, Reading(name, self._sequence, SYSTEM_CLOCK.now(), value, failure))


@pytest.fixture
def ours(real_ollama: OllamaProcess) -> Iterator[OllamaProcess]:
    """The suite's server, with nothing loaded."""
    api = Api(real_ollama.url)
    for name in api.loaded():
        api.unload(name)
    yield real_ollama
    for name in api.loaded():
        api.unload(name)
    api.close()


@pytest.fixture
def other(real_ollama: OllamaProcess, tmp_path: Path) -> Iterator[OllamaProcess]:
    """Another server over the same models."""
    models = {"OLLAMA_MODELS": str(real_ollama.models_directory)}
    server = OllamaProcess(install(OUTER_ENVIRONMENT), tmp_path / "other", models)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Callable[..., Watching]]:
    """Open watches that are closed in the end."""
    opened: list[Watching] = []

    def begin(*servers: OllamaProcess) -> Watching:
        opened.append(Watching(tmp_path, *servers))
        return opened[-1]

    yield begin
    for watching in opened:
        watching.close()


def load(server: OllamaProcess, name: str) -> int:
    """Load a model forever and return its runner's pid."""
    before = {runner.pid for runner in server.runners()}
    api = Api(server.url)
    assert api.post("/api/generate", model=name, keep_alive=-1).status == 200
    api.close()
    (pid,) = {runner.pid for runner in server.runners()} - before
    return pid


def test_each_engine_has_its_own_runner(
    ours: OllamaProcess, other: OllamaProcess, watch: Callable[..., Watching]
) -> None:
    theirs, mine = load(other, CHAT), load(ours, CHAT)
    watching = watch(ours, other)
    assert watching.pids() == {(ours.url, CHAT): (mine,), (other.url, CHAT): (theirs,)}
    servers = {url: server.pid for server in watching.look().servers for url in server.engine_urls}
    assert servers == {ours.url: ours.pid, other.url: other.pid}


def test_the_runner_of_a_server_that_is_not_watched_does_not_hide_a_crash(
    ours: OllamaProcess, other: OllamaProcess, watch: Callable[..., Watching]
) -> None:
    load(other, CHAT)
    mine = load(ours, CHAT)
    watching = watch(ours)
    assert watching.pids() == {(ours.url, CHAT): (mine,)}
    ours.kill_runner(mine)
    api = Api(ours.url)
    api.wait_until(lambda: not ours.runners(), "the runner is gone")
    api.wait_until(lambda: EventKind.RUNNER_ENDED in [event.kind for event in watching.look().events], "it is told")
    api.close()
    assert watching.pids() == {(ours.url, CHAT): ()}


def test_a_runner_left_behind_is_not_given_to_the_other_server(
    ours: OllamaProcess, other: OllamaProcess, watch: Callable[..., Watching]
) -> None:
    left, mine = load(other, CHAT), load(ours, CHAT)
    watching = watch(ours)
    watching.look()
    other.kill()
    assert watching.pids() == {(ours.url, CHAT): (mine,)}
    assert [process.pid for process in watching.look().processes if process.orphaned] == [left]
    late = watch(ours)
    assert late.pids() == {(ours.url, CHAT): (mine,)}


def test_a_restart_of_one_is_no_restart_of_the_other(
    ours: OllamaProcess, other: OllamaProcess, watch: Callable[..., Watching]
) -> None:
    mine = load(ours, CHAT)
    load(other, CODE)
    watching = watch(ours, other)
    watching.look()
    other.restart()
    desk = watching.look()
    assert [event.message for event in desk.events] == [
        f"{other.url} was restarted",
        f"{CODE} unloaded: {other.url} was restarted",
    ]
    assert watching.pids() == {(ours.url, CHAT): (mine,)}
