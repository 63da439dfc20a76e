"""The simulation set up like the real server of the fixture: same models, same settings, no card."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from gpudesk.sim.engine_settings import EngineSettings
from gpudesk.sim.models import Shape, SimulatedModel
from gpudesk.sim.ollama_faults import StepFault
from gpudesk.sim.ollama_server import OllamaServer
from gpudesk.sim.scenarios import Scenario
from gpudesk.sim.workstation import SimulatedWorkstation
from gpudesk.sources.process_table import ProcessTable
from tests.live.api import Api, version_of
from tests.live.engine import RunnerProcess
from tests.live.fixtures import MAX_LOADED_MODELS, NUM_PARALLEL
from tests.live.models import ALIAS, CHAT, TINY_CHAT, TINY_MODELS, WIDE, WIDE_CONTEXT, TinyModel
from tests.live.registry import REPOSITORY, Registry
from tests.live.subject import Subject

LOAD_SECONDS = 0.01
DAY_SECONDS = 86_400.0
TOKENS_PER_SECOND = 10.0
HURRIED_TOKENS_PER_SECOND = 10_000.0


class SimulatedMachine:
    """What can be done to the simulated server."""

    def __init__(self, workstation: SimulatedWorkstation) -> None:
        self._workstation = workstation

    def runners(self) -> tuple[RunnerProcess, ...]:
        """List its runners as its process table shows them."""
        candidates = self._workstation.process_table.runner_candidates()
        found = [RunnerProcess(one.pid, one.argv) for one in candidates if one.argv and "--model" in one.argv]
        return tuple(sorted(found, key=lambda runner: runner.pid))

    def kill_runner(self, pid: int) -> None:
        """Crash the runner with this pid."""
        server = self._workstation.server
        with server.clock.changed:
            (runner,) = [one for one in server.scheduler.runners if one.pid == pid]
            server.scheduler.crash(runner)

    def restart(self) -> None:
        """End the server and start it again on its port."""
        self._workstation.server.stop()
        self._workstation.server.start()

    @contextmanager
    def stalled_loads(self) -> Iterator[None]:
        """Let loads take a day."""
        server = self._workstation.server
        with server.clock.changed:
            server.settings.load_seconds = DAY_SECONDS
        try:
            yield
        finally:
            with server.clock.changed:
                server.settings.load_seconds = LOAD_SECONDS

    @contextmanager
    def hurried(self) -> Iterator[None]:
        """Talk a thousand times as fast."""
        server = self._workstation.server
        with server.clock.changed:
            server.settings.tokens_per_second = HURRIED_TOKENS_PER_SECOND
        try:
            yield
        finally:
            with server.clock.changed:
                server.settings.tokens_per_second = TOKENS_PER_SECOND

    def kill(self) -> None:
        """End the server and leave its runners."""
        self._workstation.server.kill()

    def start(self) -> None:
        """Start it again on its port."""
        self._workstation.server.restart()

    def end_orphan(self, pid: int) -> None:
        """End a runner that was left behind."""
        self._workstation.stage.quit(pid)

    @contextmanager
    def registry(self) -> Iterator[Registry]:
        """Publish a model under a name that looks like the real registry's."""
        server = self._workstation.server
        registry = SimulatedRegistry(server)
        server.store.publish(
            replace(_simulated(TINY_CHAT, 0), name=registry.installed_name, blob_key="pulled", license="MIT")
        )
        try:
            yield registry
        finally:
            registry.let_go()

    def now(self) -> datetime:
        """Tell the simulated time."""
        return self._workstation.clock.now()

    def process_table(self) -> ProcessTable:
        """Return the simulated process table."""
        return self._workstation.process_table


class SimulatedRegistry:
    """What the simulated server takes for a registry."""

    unknown = "http://127.0.0.1:5000/gpudesk-test/nowhere:latest"
    installed_name = f"127.0.0.1:5000/{REPOSITORY}:latest"
    name = f"http://{installed_name}"

    def __init__(self, server: OllamaServer) -> None:
        self._server = server
        self._fault: StepFault | None = None
        self.starts: list[int] = []

    def hold(self) -> None:
        """Stop half-way through the weights until `let_go`."""
        self._fault = self._server.fault("pull", "hang", moment="middle", times=None)

    def let_go(self) -> None:
        """Send everything at once."""
        if self._fault is not None:
            self._fault.remove()


@contextmanager
def simulated_subject(name: str, version: str) -> Iterator[Subject]:
    """Run the simulated server of this version."""
    settings = EngineSettings(
        version=version,
        max_loaded_models=MAX_LOADED_MODELS,
        num_parallel=NUM_PARALLEL,
        load_seconds=LOAD_SECONDS,
        tokens_per_second=TOKENS_PER_SECOND,
    )
    scenario = Scenario(
        "contract",
        "The tiny models of the contract suite.",
        lambda _stage: None,
        settings=lambda: settings,
        models=_models,
        visible_cards=(),
    )
    with SimulatedWorkstation(scenario, driver=False) as workstation:
        api = Api(workstation.url)
        try:
            yield Subject(name, api, version_of(version), SimulatedMachine(workstation))
        finally:
            api.close()


def _models() -> tuple[SimulatedModel, ...]:
    tiny = tuple(_simulated(model, age) for age, model in enumerate(TINY_MODELS, start=10))
    chat = next(model for model in tiny if model.name == CHAT)
    alias = replace(chat, name=ALIAS, blob_key=CHAT)
    wide = replace(chat, name=WIDE, blob_key=CHAT, parameters=(("num_ctx", WIDE_CONTEXT),))
    return (*tiny, alias, wide)


def _simulated(model: TinyModel, age_seconds: float) -> SimulatedModel:
    encoder = model.architecture == "bert"
    shape = Shape(
        architecture=model.architecture,
        block_count=model.block_count,
        embedding_length=model.embedding_length,
        feed_forward_length=model.feed_forward_length,
        head_count=model.head_count,
        head_count_kv=model.head_count_kv,
        vocabulary=model.vocabulary,
        context_length=model.context_length,
        pooling_type=1 if encoder else None,
        causal=not encoder,
        gated=not encoder,
    )
    capabilities = ("embedding",) if encoder else ("completion",)
    return SimulatedModel(
        model.name,
        shape,
        "F16",
        f"{model.block_count}M",
        capabilities,
        modified_seconds_ago=age_seconds,
        license="",
    )
