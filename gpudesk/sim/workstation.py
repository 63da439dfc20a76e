"""The simulated workstation as one thing: cards below the driver, processes, and an engine that listens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from gpudesk.sim.clock import RunningClock, SimulatedClock, SteppedClock
from gpudesk.sim.engine_cards import EngineCards
from gpudesk.sim.ollama_server import OllamaServer
from gpudesk.sim.processes import SimulatedProcessTable
from gpudesk.sim.scenarios import SCENARIOS, Scenario
from gpudesk.sim.scenarios_stage import Stage

if TYPE_CHECKING:
    from types import TracebackType

    from gpudesk.clock import Clock
    from gpudesk.domain.host import Host
    from gpudesk.sim.cards import SimulatedCards
    from gpudesk.sim.nvml import SimulatedDriver


class SimulatedWorkstation:
    """A computer that plays a scenario: use it as a context manager.

    Args:
        scenario: a name from `gpudesk.sim.scenarios.SCENARIOS`, or a scenario of one's own.
        clock: a `SteppedClock` to step by hand, a `RunningClock`, or None for real time.
        driver: put the simulated driver below pynvml; without it only the server runs.
        port: where to listen; 0 lets the system choose.
        version: version of the engine, instead of the scenario's.

    Raises:
        ValueError: there is no such scenario.
    """

    def __init__(
        self,
        scenario: str | Scenario = "coding",
        clock: SimulatedClock | None = None,
        *,
        driver: bool = True,
        port: int = 0,
        version: str | None = None,
    ) -> None:
        if isinstance(scenario, str):
            if scenario not in SCENARIOS:
                raise ValueError(f"no scenario called {scenario!r}; there are: {', '.join(SCENARIOS)}")
            scenario = SCENARIOS[scenario]
        self.scenario = scenario
        self.timeline: SimulatedClock = clock or RunningClock()
        self.clock: Clock = self.timeline.clock
        self.cards: SimulatedCards = scenario.cards()
        self.process_table = SimulatedProcessTable(self.timeline, host_total_bytes=scenario.host_total_bytes)
        settings = scenario.settings()
        if version is not None:
            settings.version = version
        engine_cards = EngineCards(
            self.cards,
            visible=scenario.visible_cards,
            slice_index=scenario.slice_index,
            integrated=scenario.integrated,
        )
        self.server = OllamaServer(self.timeline, engine_cards, self.process_table, settings, scenario.models())
        self.driver: SimulatedDriver | None = None
        self._port = port
        if driver:
            from gpudesk.sim.nvml import SimulatedDriver

            self.driver = SimulatedDriver(self.cards)
        self.server.start_process()
        self.stage = Stage(self.timeline, self.cards, self.process_table, self.server)
        with self.timeline.changed:
            scenario.script(self.stage)

    def __enter__(self) -> Self:
        """Begin: listen, install the driver, let time run."""
        self.server.start(self._port)
        if self.driver is not None:
            self.driver.install()
        if isinstance(self.timeline, RunningClock):
            self.timeline.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End: nothing of it stays behind, and the real driver is back."""
        if self.driver is not None:
            self.driver.release()
            self.driver.uninstall()
        self.timeline.stop()
        self.server.stop()

    @property
    def url(self) -> str:
        """Where the engine listens."""
        return self.server.url

    def host(self) -> Host:
        """Return the computer around the cards."""
        return self.process_table.host()

    def step(self, seconds: float = 1.0) -> None:
        """Let simulated time pass; only on a stepped clock.

        Raises:
            TypeError: time runs by itself here.
        """
        if not isinstance(self.timeline, SteppedClock):
            raise TypeError("only a SteppedClock can be stepped")
        self.timeline.step(seconds)
