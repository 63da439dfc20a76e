"""A simulated workstation that listens, with a client and a thread for requests that block."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx

from gpudesk.sim.clock import SteppedClock
from gpudesk.sim.engine_runner import Runner
from gpudesk.sim.engine_settings import EngineSettings
from gpudesk.sim.scenarios import Scenario
from gpudesk.sim.workstation import SimulatedWorkstation
from tests.waiting import until

CHAT, COMPLETE, EMBED = "qwen3:14b", "qwen2.5-coder:1.5b", "nomic-embed-text:latest"


class Desk:
    """A workstation with nothing loaded, a client, and a thread for requests that block."""

    def __init__(self, **settings: object) -> None:
        values: dict[str, Any] = {"load_seconds": 2.0, "tokens_per_second": 10.0, "utc_offset_minutes": 0, **settings}
        scenario = Scenario("desk", "", lambda _stage: None, settings=lambda: EngineSettings(**values))
        self.station = SimulatedWorkstation(scenario, SteppedClock(), driver=False)
        self.station.__enter__()
        self.client = httpx.Client(base_url=self.station.url, timeout=10, trust_env=False)
        self._pool = ThreadPoolExecutor(4)

    def close(self) -> None:
        self.station.__exit__(None, None, None)
        self.client.close()
        self._pool.shutdown(wait=True)

    def post(self, path: str, **body: object) -> httpx.Response:
        return self.client.post(path, json=body)

    def submit(self, path: str, **body: object) -> Future[httpx.Response]:
        """Send a request in a thread of its own, and wait for nothing."""
        return self._pool.submit(self.post, path, **body)

    def start(self, path: str, **body: object) -> Future[httpx.Response]:
        """Send a request that blocks, and return when the scheduler has it."""
        scheduler = self.station.server.scheduler
        before = self.station.server.requests.get(path, 0)
        future = self._pool.submit(self.post, path, **body)
        until(lambda: self.station.server.requests.get(path, 0) > before)
        until(lambda: future.done() or scheduler.loading is not None or scheduler.waiting > 0 or bool(self.busy()))
        return future

    def step_until(self, future: Future[httpx.Response]) -> bool:
        """Let a second pass unless the answer is there."""
        if not future.done():
            self.station.step(1)
        return future.done()

    def busy(self) -> list[Runner]:
        """Runners that are answering somebody."""
        return [runner for runner in self.station.server.scheduler.loaded.values() if runner.running]

    def load(self, name: str, **body: object) -> None:
        future = self.start("/api/embed" if name == EMBED else "/api/generate", model=name, **body)
        self.station.step(3)
        assert future.result(5).status_code == 200

    def ps(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.client.get("/api/ps").json()["models"]
        return rows

    def names(self) -> list[str]:
        return [row["name"] for row in self.ps()]
