"""The runners that are there: who uses them, when they go, and what `/api/ps` shows of them.

Source: ollama server/sched.go:367-475 (`processCompleted`, `useLoadedRunner`), :1664-1785 at v0.33.0-rc2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from gpudesk.sim.engine_keep_alive import SECOND
from gpudesk.sim.engine_runner import EngineError, EngineRequest, RequestState, Runner

if TYPE_CHECKING:
    from gpudesk.sim.clock import SimulatedClock
    from gpudesk.sim.engine_cards import EngineCards
    from gpudesk.sim.engine_settings import EngineSettings
    from gpudesk.sim.models import SimulatedModel
    from gpudesk.sim.processes import SimulatedProcessTable

RECOVERY_SECONDS = 0.25
"""First look whether the card's memory came back (sched.go:1441)."""
MOST_RECOVERY_SECONDS = 5.0
"""After so long the server goes on as if the memory were back (sched.go:1441)."""
PIECES = 32
"""In how many pieces an answer arrives; a real one comes token by token."""
OUT_OF_MEMORY = "an error was encountered while running the model: CUDA error: out of memory"
RUNNER_GONE = "an error was encountered while running the model: unexpected EOF"


class Residents:
    """Loaded runners and their timers. Every method runs under `clock.changed`."""

    def __init__(
        self,
        clock: SimulatedClock,
        cards: EngineCards,
        processes: SimulatedProcessTable,
        settings: EngineSettings,
        unloaded: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._cards = cards
        self._processes = processes
        self._settings = settings
        self._unloaded = unloaded
        """Called when a runner is gone and its memory is free again."""
        self.runners: dict[str, Runner] = {}
        """By file digest. In the third era a runner appears here once its load is over, before that at its start."""
        self.ps_blocked_until = 0.0
        """Simulated seconds until which `/api/ps` does not get the lock."""
        self.memory_delay: Callable[[Runner], float | None] = lambda _runner: 0.0
        """Asked when a runner goes: after how many seconds the driver gives its memory back; None is never."""
        self.observers: list[Callable[[str, str], None]] = []
        """Called with what happened (`loaded`, `unloaded`) and the model's name; tests look here."""

    # -- use -----------------------------------------------------------------------------------------------------

    def use(self, runner: Runner, request: EngineRequest) -> None:
        """Give a runner to a request; a keep_alive in the request replaces the runner's (sched.go:475)."""
        self._stop_timer(runner)
        if request.keep_alive is not None:
            runner.session_nanoseconds = request.keep_alive
        self.run(runner, request)

    def run(self, runner: Runner, request: EngineRequest) -> None:
        """Let a runner serve a request, in a free slot or behind others."""
        runner.references += 1
        request.runner = runner
        request.state = RequestState.RUNNING
        request.ready_seconds = self._clock.elapsed()
        if request.tokens <= 0:
            self._complete(runner, request)
        elif len(runner.running) >= runner.parallel:
            runner.backlog.append(request)
        else:
            self._generate(runner, request)

    def _generate(self, runner: Runner, request: EngineRequest) -> None:
        runner.running.append(request)
        speed = self._settings.tokens_per_second or runner.tokens_per_second()
        piece = max(1, request.tokens // PIECES)
        prompt_seconds = request.prompt_tokens / (speed * 20)

        def produce() -> None:
            request.tokens_done = min(request.tokens, request.tokens_done + piece)
            if request.tokens_done >= request.tokens:
                self._complete(runner, request)
            else:
                left = request.tokens - request.tokens_done
                request.timer = self._clock.call_later(min(piece, left) / speed, produce)
            self.changed()

        request.timer = self._clock.call_later(prompt_seconds + piece / speed, produce)

    def _complete(self, runner: Runner, request: EngineRequest) -> None:
        request.state = RequestState.DONE
        request.finished_seconds = self._clock.elapsed()
        self.end(runner, request)

    def end(self, runner: Runner, request: EngineRequest) -> None:
        """Account for the end of a request: only now, and only when idle, is the expiry written (sched.go:367)."""
        if request.timer is not None:
            request.timer.cancel()
        if request in runner.running:
            runner.running.remove(request)
        if request in runner.backlog:
            runner.backlog.remove(request)
        while runner.backlog and len(runner.running) < runner.parallel:
            self._generate(runner, runner.backlog.popleft())
        runner.references -= 1
        if runner.references > 0:
            return
        if runner.session_nanoseconds <= 0:
            self.unload(runner)
        else:
            self.arm(runner)

    def arm(self, runner: Runner, idle_seconds: float = 0.0) -> None:
        """Start the timer of an idle runner, as if it had been idle for a while already."""
        self._stop_timer(runner)
        left = runner.session_nanoseconds - int(idle_seconds * SECOND)
        runner.expires_at = self._later(left)
        runner.expiry = self._clock.call_later(left / SECOND, lambda: self.unload(runner))

    @staticmethod
    def _stop_timer(runner: Runner) -> None:
        if runner.expiry is not None:
            runner.expiry.cancel()
            runner.expiry = None

    # -- going ---------------------------------------------------------------------------------------------------

    def victim(self) -> Runner:
        """Choose who must go: the shortest keep-alive among the idle, ties by file; else the shortest at all.

        Neither use nor size nor "forever" protects anybody (sched.go:1664 `findRunnerToUnload`).
        """
        runners = sorted(self.runners.values(), key=lambda r: (r.session_nanoseconds % (1 << 64), r.key))
        return next((runner for runner in runners if runner.references == 0), runners[0])

    def mark(self, runner: Runner) -> None:
        """Make a runner go when it is idle. A request with a keep-alive until then brings it back (issue 17408)."""
        self._stop_timer(runner)
        runner.session_nanoseconds = 0
        if runner.references <= 0 and not runner.loading:
            self.unload(runner)

    def expire(self, model: SimulatedModel) -> None:
        """Unload as soon as idle; nothing happens when it is not loaded (sched.go:1713 `expireRunner`)."""
        runner = self.runners.get(model.blob_digest)
        if runner is not None:
            runner.expires_at = self._server_now()
            self.mark(runner)
        self.changed()

    def unload(self, runner: Runner) -> None:
        """Kill an idle runner; `unloaded` follows once its memory is seen to be free."""
        if self.runners.get(runner.key) is not runner:
            return
        del self.runners[runner.key]
        self._stop_timer(runner)
        late = self.kill(runner)
        self.stall_ps()
        self.tell("unloaded", runner)
        waits = bool(runner.placement.cards) and not self._cards.integrated
        wait = math.inf if late is None else late
        self._clock.call_later(
            min(max(wait, RECOVERY_SECONDS), MOST_RECOVERY_SECONDS) if waits else 0.0, self._unloaded
        )

    def crash(self, runner: Runner) -> None:
        """Kill a runner's process behind the scheduler's back; it stays listed until somebody wants it."""
        runner.dead = True
        self.kill(runner)
        for request in [*runner.running, *runner.backlog]:
            self.fail(request, EngineError(500, RUNNER_GONE))
            self.end(runner, request)
        self.changed()

    def run_out_of_memory(self, runner: Runner) -> None:
        """Let a generation fail for want of memory: every runner goes, pinned or not (sched.go:1632)."""
        for request in [*runner.running, *runner.backlog]:
            self.fail(request, EngineError(500, OUT_OF_MEMORY))
            self.end(runner, request)
        for other in list(self.runners.values()):
            self.mark(other)
        self.changed()

    def kill(self, runner: Runner) -> float | None:
        """Let a runner's process be gone, and return after how many seconds its memory is; None is never."""
        late = self.memory_delay(runner) if runner.placement.cards else 0.0
        self._processes.end(runner.pid)
        if late == 0:
            self._cards.release(runner.pid)
            return late
        kept = self._cards.disown(runner.pid)
        if late is not None:
            self._clock.call_later(late, lambda: self._cards.give_back(kept))
        return late

    def leave(self, runner: Runner) -> None:
        """Let a runner live on without its server, as the child of init."""
        self._processes.adopt(runner.pid)

    def close(self, *, leaves_runners: bool = False) -> None:
        """End every runner, as the server does when it is told to stop (sched.go:1695), or leave them."""
        for runner in self.runners.values():
            self._stop_timer(runner)
            for request in [*runner.running, *runner.backlog, *runner.waiters]:
                if request.timer is not None:
                    request.timer.cancel()
                self.fail(request, EngineError(499, "request canceled"))
            self.leave(runner) if leaves_runners else self.kill(runner)
        self.runners.clear()
        self.changed()

    # -- being seen ----------------------------------------------------------------------------------------------

    def visible(self) -> list[tuple[Runner, datetime]]:
        """Return what `/api/ps` lists: the latest expiry first, by whole seconds (sched.go:1745, routes.go:2300)."""
        listed = [
            (runner, runner.expires_at or self._later(runner.session_nanoseconds)) for runner in self.runners.values()
        ]
        return sorted(listed, key=lambda pair: -int(pair[1].timestamp()))

    def stall_ps(self) -> None:
        """Hold the lock that `/api/ps` needs for as long as the settings say."""
        if self._settings.ps_stall_seconds > 0:
            self.ps_blocked_until = self._clock.elapsed() + self._settings.ps_stall_seconds
            self._clock.call_later(self._settings.ps_stall_seconds, self.changed)

    def fail(self, request: EngineRequest, error: EngineError) -> None:
        """End a request with an error."""
        if not request.over:
            request.error = error
            request.state = RequestState.FAILED
            request.finished_seconds = self._clock.elapsed()

    def changed(self) -> None:
        """Wake everybody who waits for something."""
        self._clock.changed.notify_all()

    def tell(self, what: str, runner: Runner) -> None:
        """Tell the observers."""
        for observer in self.observers:
            observer(what, runner.model.name)

    def _server_now(self) -> datetime:
        return self._clock.now() + timedelta(seconds=self._settings.clock_skew_seconds)

    def _later(self, nanoseconds: int) -> datetime:
        return self._server_now() + timedelta(microseconds=nanoseconds // 1000)
