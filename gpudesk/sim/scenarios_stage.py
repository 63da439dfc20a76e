"""What a scenario works with: a computer with cards, an engine, other programs, and a way to let things happen."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from gpudesk.sim.cards import MEBIBYTE, SimulatedProcess
from gpudesk.sim.engine_keep_alive import FOREVER, SECOND
from gpudesk.sim.engine_runner import EngineRequest
from gpudesk.sim.ollama_inference import options_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpudesk.sim.cards import SimulatedCard, SimulatedCards
    from gpudesk.sim.clock import SimulatedClock
    from gpudesk.sim.engine_runner import Runner
    from gpudesk.sim.ollama_server import OllamaServer
    from gpudesk.sim.processes import SimulatedProcessTable

SEED = 20260302
_IDLE_WATTS = 24.0
_IDLE_CELSIUS = 38.0
_UNCOOLED_CELSIUS = 80
"""Above idle, where a busy card without fans would end."""


class Stage:
    """Everything a scenario may move, and shorthands to move it."""

    def __init__(
        self, clock: SimulatedClock, cards: SimulatedCards, processes: SimulatedProcessTable, server: OllamaServer
    ) -> None:
        self.clock = clock
        self.cards = cards
        self.processes = processes
        self.server = server
        self.random = Random(SEED)  # noqa: S311 - the same numbers every time are the point
        self.other_load: dict[int, float] = {}
        """Card index to how busy something that is no model keeps it, 0..1."""
        self.still_fans: set[int] = set()
        """Cards whose fans do not turn, by index."""
        self._warmth: dict[int, float] = {}

    # -- time ----------------------------------------------------------------------------------------------------

    def at(self, seconds: float, action: Callable[[], object]) -> None:
        """Let something happen `seconds` after the start, or after now."""

        def run() -> None:
            action()

        self.clock.call_later(seconds, run)

    def every(self, seconds: float, action: Callable[[], object], *, first: float | None = None) -> None:
        """Let something happen again and again."""

        def run() -> None:
            self.clock.call_later(seconds, run)
            action()

        self.clock.call_later(seconds if first is None else first, run)

    # -- the engine ----------------------------------------------------------------------------------------------

    def request(
        self,
        name: str,
        *,
        keep_alive: float | None = None,
        num_ctx: int | None = None,
        tokens: int = 0,
        prompt_tokens: int = 0,
        num_gpu: int | None = None,
    ) -> EngineRequest:
        """Make a request as a client would send it; `keep_alive` in seconds, negative is forever."""
        model = self.server.store.find(name)
        assert model is not None, name
        options = {"num_ctx": num_ctx, "num_gpu": num_gpu}
        merged = options_for(self.server, model, {"options": options})
        nanoseconds = None if keep_alive is None else FOREVER if keep_alive < 0 else int(keep_alive * SECOND)
        return EngineRequest(model, merged, nanoseconds, tokens, prompt_tokens)

    def loaded(
        self, name: str, *, keep_alive: float | None = None, num_ctx: int | None = None, idle: float = 0.0
    ) -> Runner:
        """Let a model be loaded already, idle for so many seconds."""
        request = self.request(name, keep_alive=keep_alive, num_ctx=num_ctx)
        return self.server.scheduler.place_now(request, idle_seconds=idle)

    def ask(
        self,
        name: str,
        *,
        keep_alive: float | None = None,
        num_ctx: int | None = None,
        tokens: int = 0,
        prompt_tokens: int = 600,
    ) -> EngineRequest | None:
        """Send a request now, like an editor does; nobody listens to the answer. None while the server is down."""
        if not self.server.running:
            return None
        request = self.request(name, keep_alive=keep_alive, num_ctx=num_ctx, tokens=tokens, prompt_tokens=prompt_tokens)
        self.server.scheduler.submit(request)
        return request

    # -- other programs ------------------------------------------------------------------------------------------

    def program(
        self,
        name: str,
        argv: tuple[str, ...],
        memory_bytes: int,
        *,
        card: int = 0,
        user: str = "dev",
        compute: bool = False,
        resident_bytes: int = 300 * MEBIBYTE,
        pid: int | None = None,
        slice_index: int | None = None,
    ) -> int:
        """Let a program that is no model hold memory on a card, and return its number."""
        pid = self.processes.spawn(
            name=name, argv=argv, user=user, resident_bytes=resident_bytes, pid=pid, age_seconds=40_000
        )
        with self.cards.lock:
            self._card(card).processes[pid] = SimulatedProcess(
                pid, memory_bytes, compute=compute, graphics=not compute, slice_index=slice_index
            )
        return pid

    def quit(self, pid: int) -> None:
        """Let a program end."""
        with self.cards.lock:
            for card in self.cards.cards:
                card.processes.pop(pid, None)
        self.processes.end(pid)

    def desktop(self, *, card: int = 0) -> None:
        """Put the usual programs of a Linux desktop on a card."""
        self.program("Xorg", ("/usr/lib/xorg/Xorg", ":0", "-auth", "/run/user/1000/gdm/Xauthority"), 386 * MEBIBYTE,
                     card=card, user="root")  # fmt: skip
        self.program("gnome-shell", ("/usr/bin/gnome-shell",), 218 * MEBIBYTE, card=card)
        self.program("firefox", ("/usr/lib/firefox/firefox", "-contentproc"), 412 * MEBIBYTE, card=card,
                     resident_bytes=1400 * MEBIBYTE)  # fmt: skip
        self.program("code", ("/usr/share/code/code", "--type=gpu-process"), 148 * MEBIBYTE, card=card,
                     resident_bytes=900 * MEBIBYTE)  # fmt: skip

    def _card(self, index: int) -> SimulatedCard:
        return next(card for card in self.cards.cards if card.index == index)

    # -- the life of the cards -------------------------------------------------------------------------------------

    def enliven(self, *, interval_seconds: float = 1.0) -> None:
        """Let utilization, clocks, power and temperature follow what the cards do."""
        self.every(interval_seconds, self.beat, first=0.0)

    def beat(self) -> None:
        """Move every card's gauges by one second."""
        busy = self._busy()
        with self.cards.lock:
            for card in self.cards.cards:
                self._move(card, max(busy.get(card.index, 0.0), self.other_load.get(card.index, 0.0)))
        self.processes.load_ratio = round(0.05 + 0.4 * max(busy.values(), default=0.0) + self.random.random() * 0.04, 3)

    def _busy(self) -> dict[int, float]:
        found: dict[int, float] = {}
        scheduler = self.server.scheduler
        for runner in scheduler.loaded.values():
            if not runner.running:
                continue
            on_cards = runner.placement.layers_on_cards / runner.placement.layer_count
            for part in runner.placement.cards:
                found[part.card] = max(found.get(part.card, 0.0), 0.25 + 0.7 * on_cards)
        loading = scheduler.loading
        if loading is not None:
            for part in loading.placement.cards:
                found.setdefault(part.card, 0.18)
        return found

    def _move(self, card: SimulatedCard, load: float) -> None:
        noise = self.random.random()
        utilization = load * 100 - noise * 8 if load else noise * 4
        card.utilization_percent = max(0, min(100, round(0.35 * card.utilization_percent + 0.65 * utilization)))
        level = card.utilization_percent / 100
        limit = card.power_limit_milliwatts / 1000
        card.power_draw_milliwatts = round((_IDLE_WATTS + (limit * 0.78 - _IDLE_WATTS) * level + noise * 3) * 1000)
        warmth = self._warmth.get(card.index, float(card.temperature_celsius))
        cooled = card.index not in self.still_fans
        warmth += (_IDLE_CELSIUS + (34 if cooled else _UNCOOLED_CELSIUS) * level - warmth) * 0.08
        if not cooled:
            # It slows itself down and gets no hotter than this.
            warmth = min(warmth, card.temperature_limit_celsius + 2.0)
        self._warmth[card.index] = warmth
        card.temperature_celsius = round(warmth)
        card.graphics_clock_megahertz = 210 if level < 0.05 else round(1200 + 1380 * level)
        card.memory_clock_megahertz = 405 if level < 0.05 else 10_501
        if card.fan_percent is not None:
            card.fan_percent = 0 if warmth < 45 or not cooled else round(min(100.0, 20 + (warmth - 45) * 1.6))
