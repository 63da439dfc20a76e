"""Who is loaded, who must go: Ollama's scheduler on simulated time.

Source: ollama server/sched.go at v0.33.0-rc2 (fb3076099); line numbers below are from there. What the goroutines of
the original do one after the other are here timers and calls under the clock's one lock. One load at a time; whatever
needs a load waits in the queue behind it, requests to a loaded runner that suits them do not (sched.go:169).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from gpudesk.domain.engine import Era
from gpudesk.sim.engine_keep_alive import FOREVER, SECOND, keep_alive_from_environment
from gpudesk.sim.engine_loading import MAX_PER_CARD, LoadPlan, OutOfMemoryError, plan_load
from gpudesk.sim.engine_runner import EngineError, EngineRequest, RequestState, Runner

if TYPE_CHECKING:
    from gpudesk.sim.clock import SimulatedClock, Timer
    from gpudesk.sim.engine_cards import EngineCards
    from gpudesk.sim.engine_settings import EngineSettings
    from gpudesk.sim.models import SimulatedModel
    from gpudesk.sim.processes import SimulatedProcessTable

RECOVERY_SECONDS = 0.25
"""First look whether the card's memory came back (sched.go:1441); the simulated driver is never late."""
LOAD_STEPS = 4
"""In how many pieces a load's bytes arrive on the card."""
LOAD_TIMEOUT_SECONDS = 300.0
"""OLLAMA_LOAD_TIMEOUT: how long a load may show no progress."""


class Scheduler:
    """Loaded runners, the queue, and the one load in progress. Every method runs under `clock.changed`."""

    def __init__(
        self, clock: SimulatedClock, cards: EngineCards, processes: SimulatedProcessTable, settings: EngineSettings
    ) -> None:
        self._clock = clock
        self._cards = cards
        self._processes = processes
        self._settings = settings
        self.loaded: dict[str, Runner] = {}
        """By file digest. In the third era a runner appears here once its load is over, before that at its start."""
        self._queue: deque[EngineRequest] = deque()
        self._current: EngineRequest | None = None
        self._waits_for_unload = False
        self._evicting_all = 0
        self._load: Runner | None = None
        self._load_timers: list[Timer] = []
        self.ps_blocked_until = 0.0
        """Simulated seconds until which `/api/ps` does not get the lock."""
        self.next_load_error: str | None = None
        """When set, the next load ends with this text instead of a runner."""
        self.loads_hang = False
        """Loads start and show no progress until they time out."""
        self.server_pid = 0
        self.observers: list[Callable[[str, str], None]] = []
        """Called with what happened (`loaded`, `unloaded`) and the model's name; scenarios and tests look here."""

    # -- requests ------------------------------------------------------------------------------------------------

    def submit(self, request: EngineRequest) -> None:
        """Take a request: to its runner at once when that is loaded and suits, else into the queue (sched.go:169)."""
        request.submitted_seconds = self._clock.elapsed()
        runner = self.loaded.get(request.model.blob_digest)
        if runner is not None and runner.loading:
            runner.waiters.append(request)
            request.state = RequestState.LOADING
            return
        if runner is not None and not self._needs_reload(runner, request):
            self._use(runner, request)
        elif len(self._queue) >= self._settings.max_queue:
            self._fail(request, EngineError(503, BUSY))
        else:
            self._queue.append(request)
            self._next()
        self._changed()

    def cancel(self, request: EngineRequest) -> None:
        """Let go of a request whose client is gone; a load that only it wanted is aborted (llama_server.go:1047)."""
        if request.over:
            return
        before = request.state
        request.state = RequestState.CANCELED
        if before is RequestState.RUNNING and request.runner is not None:
            self._end(request.runner, request)
        elif request is self._current and self._load is not None:
            self._abort_load(EngineError(499, "request canceled"))
        self._changed()

    def expire(self, model: SimulatedModel) -> None:
        """Unload as soon as idle; nothing happens when it is not loaded (sched.go:1713 `expireRunner`)."""
        runner = self.loaded.get(model.blob_digest)
        if runner is None:
            return
        runner.expires_at = self._server_now()
        self._mark(runner)
        self._changed()

    def _needs_reload(self, runner: Runner, request: EngineRequest) -> bool:
        """Tell whether a loaded runner cannot serve this request as it is (sched.go:1381)."""
        if runner.dead:
            return True
        if runner.model.projector_digest != request.model.projector_digest:
            return True
        automatic = self._settings.era is Era.LLAMA_SERVER
        return request.options.differs_from(runner.options, remembers_automatic=automatic)

    # -- the queue -----------------------------------------------------------------------------------------------

    def _next(self) -> None:
        while self._current is None and self._queue:
            request = self._queue.popleft()
            if request.over:
                continue
            self._current = request
            self._schedule(request)

    def _schedule(self, request: EngineRequest) -> None:
        """One turn of `processPending` for the request at its head (sched.go:225)."""
        runner = self.loaded.get(request.model.blob_digest)
        if request.state is RequestState.CANCELED:
            self._current = None
        elif runner is not None and not self._needs_reload(runner, request):
            self._current = None
            self._use(runner, request)
        elif runner is not None:
            self._evict(runner)
        elif len(self.loaded) >= self.max_loaded:
            self._evict(self.victim())
        else:
            self._plan(request)

    @property
    def max_loaded(self) -> int:
        """How many runners there may be, over all cards (sched.go:86, 280)."""
        if self._settings.max_loaded_models > 0:
            return self._settings.max_loaded_models
        return MAX_PER_CARD * max(1, len(self._cards.indexes))

    def _plan(self, request: EngineRequest) -> None:
        try:
            plan = plan_load(request, list(self.loaded.values()), self._cards, self._processes, self._settings)
        except OutOfMemoryError as error:
            self._out_of_memory(request, error)
            return
        if plan is None:
            self._evict(self.victim())
        else:
            self._start(request, plan)

    def victim(self) -> Runner:
        """Choose who must go: the shortest keep-alive among the idle, ties by file; else the shortest at all.

        Neither use nor size nor "forever" protects anybody (sched.go:1664 `findRunnerToUnload`).
        """
        runners = sorted(self.loaded.values(), key=lambda r: (r.session_nanoseconds % (1 << 64), r.key))
        return next((runner for runner in runners if runner.references == 0), runners[0])

    def _evict(self, runner: Runner) -> None:
        self._waits_for_unload = True
        self._mark(runner)

    def _mark(self, runner: Runner) -> None:
        """Make a runner go when it is idle. A request with a keep-alive until then brings it back (issue 17408)."""
        if runner.expiry is not None:
            runner.expiry.cancel()
            runner.expiry = None
        runner.session_nanoseconds = 0
        if runner.references <= 0 and not runner.loading:
            self._unload(runner)

    def _unload(self, runner: Runner) -> None:
        if self.loaded.get(runner.key) is not runner:
            return
        del self.loaded[runner.key]
        self._kill(runner)
        self._stall_ps()
        self._tell("unloaded", runner)
        waits = bool(runner.placement.cards) and not self._cards.integrated
        self._clock.call_later(RECOVERY_SECONDS if waits else 0.0, self._unloaded)

    def _unloaded(self) -> None:
        if self._evicting_all > 0:
            self._evicting_all -= 1
            if self._evicting_all > 0:
                return
        elif not self._waits_for_unload:
            return
        self._waits_for_unload = False
        if self._current is not None:
            self._schedule(self._current)
        self._next()

    # -- loading -------------------------------------------------------------------------------------------------

    def _start(self, request: EngineRequest, plan: LoadPlan) -> None:
        request.state = RequestState.LOADING
        runner = self._spawn(request, plan)
        self._load = runner
        if self._settings.era is not Era.LLAMA_SERVER:
            self.loaded[runner.key] = runner
        self._stall_ps()
        later = self._clock.call_later
        if self.loads_hang:
            text = "timed out waiting for llama-server to start - waiting for the model to load"
            self._load_timers = [later(LOAD_TIMEOUT_SECONDS, lambda: self._abort_load(EngineError(500, text)))]
            return
        if self.next_load_error is not None:
            text, self.next_load_error = self.next_load_error, None
            self._load_timers = [later(plan.seconds / 2, lambda: self._abort_load(EngineError(500, text)))]
            return
        self._load_timers = [
            later(plan.seconds * step / LOAD_STEPS, lambda part=step / LOAD_STEPS: self._grow(runner, part))  # type: ignore[misc]
            for step in range(1, LOAD_STEPS)
        ]
        self._load_timers.append(later(plan.seconds, self._loaded))

    def _spawn(self, request: EngineRequest, plan: LoadPlan) -> Runner:
        session = request.keep_alive
        if session is None:
            session = keep_alive_from_environment(self._settings.keep_alive)
        pid = self._processes.spawn(
            name=plan.argv[0].rpartition("/")[2], argv=plan.argv, parent_pid=self.server_pid, user="ollama"
        )
        runner = Runner(
            model=request.model,
            options=plan.options,
            run=plan.run,
            placement=plan.placement,
            claim=plan.claim,
            pid=pid,
            argv=plan.argv,
            session_nanoseconds=session,
            parallel=plan.run.parallel,
            free_at_load=plan.free,
        )
        self._grow(runner, 0.0)
        return runner

    def _grow(self, runner: Runner, ratio: float) -> None:
        for part in runner.placement.cards:
            held = part.context + int((part.total - part.context) * ratio)
            self._cards.hold(runner.pid, part.card, held)
        self._processes.set_resident(runner.pid, 180 * (1 << 20) + int(runner.placement.host_bytes * ratio))

    def _loaded(self) -> None:
        runner, request = self._load, self._current
        assert runner is not None
        assert request is not None
        self._load, self._current, self._load_timers = None, None, []
        self._grow(runner, 1.0)
        runner.loading = False
        self.loaded[runner.key] = runner
        self._tell("loaded", runner)
        runner.references += 1
        self._run(runner, request)
        self._serve_waiters(runner)
        self._next()

    def _serve_waiters(self, runner: Runner) -> None:
        waiters, runner.waiters = runner.waiters, []
        for waiter in waiters:
            if not waiter.over:
                waiter.state = RequestState.QUEUED
                self.submit(waiter)

    def _abort_load(self, error: EngineError) -> None:
        runner, request = self._load, self._current
        assert runner is not None
        assert request is not None
        for timer in self._load_timers:
            timer.cancel()
        self._load, self._current, self._load_timers = None, None, []
        self.loaded.pop(runner.key, None)
        self._kill(runner)
        if not request.over:
            self._fail(request, error)
        self._serve_waiters(runner)
        self._next()
        self._changed()

    def _out_of_memory(self, request: EngineRequest, error: OutOfMemoryError) -> None:
        """Evict everybody else and try once more; then give up (sched.go:620-660, 1590)."""
        if self.loaded and not request.out_of_memory_retried and self._settings.era is Era.LLAMA_SERVER:
            request.out_of_memory_retried = True
            self._waits_for_unload = True
            runners = list(self.loaded.values())
            self._evicting_all = len(runners)
            for runner in runners:
                self._mark(runner)
            return
        self._current = None
        self._fail(request, EngineError(500, str(error)))

    # -- running -------------------------------------------------------------------------------------------------

    def _use(self, runner: Runner, request: EngineRequest) -> None:
        """Give a loaded runner to a request; a keep_alive in the request replaces the runner's (sched.go:475)."""
        runner.references += 1
        if runner.expiry is not None:
            runner.expiry.cancel()
            runner.expiry = None
        if request.keep_alive is not None:
            runner.session_nanoseconds = request.keep_alive
        self._run(runner, request)

    def _run(self, runner: Runner, request: EngineRequest) -> None:
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
        piece = max(1, request.tokens // 32)
        prompt_seconds = request.prompt_tokens / (speed * 20)

        def produce() -> None:
            request.tokens_done = min(request.tokens, request.tokens_done + piece)
            if request.tokens_done >= request.tokens:
                self._complete(runner, request)
            else:
                request.timer = self._clock.call_later(piece / speed, produce)
            self._changed()

        request.timer = self._clock.call_later(prompt_seconds + piece / speed, produce)

    def _complete(self, runner: Runner, request: EngineRequest) -> None:
        request.state = RequestState.DONE
        request.finished_seconds = self._clock.elapsed()
        self._end(runner, request)

    def _end(self, runner: Runner, request: EngineRequest) -> None:
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
            self._unload(runner)
            return
        self._arm(runner)

    def _arm(self, runner: Runner) -> None:
        if runner.expiry is not None:
            runner.expiry.cancel()
        runner.expires_at = self._later(runner.session_nanoseconds)
        runner.expiry = self._clock.call_later(runner.session_nanoseconds / SECOND, lambda: self._unload(runner))

    # -- what others see and do ----------------------------------------------------------------------------------

    def visible(self) -> list[tuple[Runner, datetime]]:
        """Return what `/api/ps` lists, the latest expiry first (sched.go:1745, routes.go:2271)."""
        listed = [
            (runner, runner.expires_at or self._later(runner.session_nanoseconds)) for runner in self.loaded.values()
        ]
        return sorted(listed, key=lambda pair: pair[1], reverse=True)

    @property
    def loading(self) -> Runner | None:
        """The runner that is being started."""
        return self._load

    @property
    def waiting(self) -> int:
        """How many requests wait behind the one being worked on."""
        return len(self._queue)

    def place_now(self, request: EngineRequest, *, idle_seconds: float = 0.0) -> Runner:
        """Load without taking time, as if the load had ended `idle_seconds` ago; for the start of a scenario."""
        plan = plan_load(request, [], self._cards, self._processes, self._settings)
        assert plan is not None
        runner = self._spawn(request, plan)
        self._grow(runner, 1.0)
        runner.loading = False
        self.loaded[runner.key] = runner
        request.state = RequestState.DONE
        if runner.session_nanoseconds < FOREVER:
            runner.session_nanoseconds -= int(idle_seconds * SECOND)
            self._arm(runner)
            runner.session_nanoseconds += int(idle_seconds * SECOND)
        else:
            self._arm(runner)
        return runner

    def crash(self, runner: Runner) -> None:
        """Kill a runner's process behind the scheduler's back; it stays listed until somebody wants it."""
        runner.dead = True
        self._kill(runner)
        for request in [*runner.running, *runner.backlog]:
            self._fail(request, EngineError(500, RUNNER_GONE))
            self._end(runner, request)
        self._changed()

    def close(self) -> None:
        """End every runner, as the server does when it is told to stop (sched.go:1695)."""
        for request in self._requests():
            if not request.over:
                self._fail(request, EngineError(499, "request canceled"))
        for timer in self._load_timers:
            timer.cancel()
        for runner in [*self.loaded.values(), *([self._load] if self._load else [])]:
            if runner.expiry is not None:
                runner.expiry.cancel()
            for request in runner.running:
                if request.timer is not None:
                    request.timer.cancel()
            self._kill(runner)
        self.loaded.clear()
        self._queue.clear()
        self._load, self._current, self._load_timers = None, None, []
        self._waits_for_unload, self._evicting_all = False, 0
        self._changed()

    def _requests(self) -> list[EngineRequest]:
        found = [*self._queue, *([self._current] if self._current else [])]
        for runner in self.loaded.values():
            found += [*runner.running, *runner.backlog, *runner.waiters]
        return found

    def _kill(self, runner: Runner) -> None:
        self._cards.release(runner.pid)
        self._processes.end(runner.pid)

    def _fail(self, request: EngineRequest, error: EngineError) -> None:
        request.error = error
        request.state = RequestState.FAILED
        request.finished_seconds = self._clock.elapsed()

    def _stall_ps(self) -> None:
        if self._settings.ps_stall_seconds > 0:
            self.ps_blocked_until = self._clock.elapsed() + self._settings.ps_stall_seconds
            self._clock.call_later(self._settings.ps_stall_seconds, self._changed)

    def _server_now(self) -> datetime:
        return self._clock.now() + timedelta(seconds=self._settings.clock_skew_seconds)

    def _later(self, nanoseconds: int) -> datetime:
        return self._server_now() + timedelta(microseconds=nanoseconds // 1000)

    def _changed(self) -> None:
        self._clock.changed.notify_all()

    def _tell(self, what: str, runner: Runner) -> None:
        for observer in self.observers:
            observer(what, runner.model.name)


BUSY = "server busy, please try again.  maximum pending requests exceeded"
"""With two spaces (sched.go:88)."""
RUNNER_GONE = "an error was encountered while running the model: unexpected EOF"
