"""An engine on a stepped clock without HTTP, with shorthands for the rules that are tested on it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from gpudesk.sim.cards import GIBIBYTE, MEBIBYTE, SimulatedCard, SimulatedCards
from gpudesk.sim.clock import SteppedClock
from gpudesk.sim.engine_cards import EngineCards
from gpudesk.sim.engine_catalog import catalog
from gpudesk.sim.engine_keep_alive import FOREVER, SECOND
from gpudesk.sim.engine_runner import EngineRequest, RequestState, Runner
from gpudesk.sim.engine_settings import EngineSettings
from gpudesk.sim.models import SimulatedModel
from gpudesk.sim.ollama_inference import options_for
from gpudesk.sim.ollama_server import OllamaServer
from gpudesk.sim.processes import SimulatedProcessTable

CHAT, COMPLETE, EMBED = "qwen3:14b", "qwen2.5-coder:1.5b", "nomic-embed-text:latest"
SMALL = ("llama3.2:1b", "qwen3:0.6b", "gemma3:1b", "llama3.2:3b")
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Engine:
    """A server that does not listen; loads take `load_seconds`, answers one token per second."""

    def __init__(
        self,
        *,
        cards: int = 1,
        total_gibibytes: int = 24,
        integrated: bool = False,
        models: Iterable[SimulatedModel] | None = None,
        host_gibibytes: int = 64,
        **settings: object,
    ) -> None:
        self.clock = SteppedClock(START)
        self.cards = SimulatedCards(
            [
                SimulatedCard(
                    index=index,
                    memory_total_bytes=total_gibibytes * GIBIBYTE,
                    memory_reserved_bytes=400 * MEBIBYTE,
                    memory_hidden_bytes=100 * MEBIBYTE,
                )
                for index in range(cards)
            ]
        )
        self.processes = SimulatedProcessTable(self.clock, host_total_bytes=host_gibibytes * GIBIBYTE)
        self.settings = EngineSettings(
            **{"load_seconds": 2.0, "tokens_per_second": 1.0, "utc_offset_minutes": 0, **settings}  # type: ignore[arg-type]
        )
        self.server = OllamaServer(
            self.clock,
            EngineCards(self.cards, integrated=integrated),
            self.processes,
            self.settings,
            catalog() if models is None else models,
        )
        self.server.start_process()
        self.scheduler = self.server.scheduler
        self.happened: list[str] = []
        self.scheduler.residents.observers.append(lambda what, name: self.happened.append(f"{what} {name}"))

    def model(self, name: str) -> SimulatedModel:
        found = self.server.store.find(name)
        assert found is not None, name
        return found

    def request(
        self, name: str, *, keep_alive: float | None = None, tokens: int = 0, **options: object
    ) -> EngineRequest:
        model = self.model(name)
        nanoseconds = None if keep_alive is None else FOREVER if keep_alive < 0 else int(keep_alive * SECOND)
        merged = options_for(self.server, model, {"options": options})
        return EngineRequest(model, merged, nanoseconds, tokens)

    def ask(self, name: str, *, keep_alive: float | None = None, tokens: int = 0, **options: object) -> EngineRequest:
        request = self.request(name, keep_alive=keep_alive, tokens=tokens, **options)
        self.scheduler.submit(request)
        return request

    def load(self, name: str, *, keep_alive: float | None = None, **options: object) -> Runner:
        """Ask and let the load happen; it must end."""
        request = self.request(name, keep_alive=keep_alive, **options)  # type: ignore[arg-type]
        self.scheduler.submit(request)
        for _second in range(60):
            if request.over:
                break
            self.step(0.5)
        assert request.state is RequestState.DONE, (request.state, request.error)
        return self.runner(name)

    def runner(self, name: str) -> Runner:
        return self.scheduler.loaded[self.model(name).blob_digest]

    def step(self, seconds: float = 1.0) -> None:
        self.clock.step(seconds)

    @property
    def names(self) -> list[str]:
        """Loaded models, alphabetically."""
        return sorted(runner.model.name for runner in self.scheduler.loaded.values())

    def remaining(self, name: str) -> float:
        """Seconds until the expiry that `/api/ps` shows."""
        runner = self.runner(name)
        expires_at = next(at for listed, at in self.scheduler.visible() if listed is runner)
        return (expires_at - self.clock.now()).total_seconds()

    def held(self, card: int = 0) -> int:
        """Bytes that processes hold on a card."""
        return sum(process.memory_bytes for process in self.cards.cards[card].processes.values())
