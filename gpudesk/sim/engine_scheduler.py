"""Who is loaded next, and who must go for it: Ollama's scheduler on simulated time.

Source: ollama server/sched.go at v0.33.0-rc2 (fb3076099); line numbers below are from there. What the goroutines of
the original do one after the other are here timers and calls under the clock's one lock. One load at a time; whatever
needs a load waits in the queue behind it, requests to a loaded runner that suits them do not (sched.go:169).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from gpudesk.domain.engine import Era
from gpudesk.sim.cards import MEBIBYTE
from gpudesk.sim.engine_keep_alive import keep_alive_from_environment
from gpudesk.sim.engine_loading import MAX_PER_CARD, LoadPlan, OutOfMemoryError, out_of_memory_text, plan_load
from gpudesk.sim.engine_residents import Residents
from gpudesk.sim.engine_runner import EngineError, EngineRequest, RequestState, Runner

if TYPE_CHECKING:
    from datetime import datetime

    from gpudesk.sim.clock import SimulatedClock, Timer
    from gpudesk.sim.engine_cards import EngineCards
    from gpudesk.sim.engine_settings import EngineSettings
    from gpudesk.sim.models import SimulatedModel
    from gpudesk.sim.processes import SimulatedProcessTable

LOAD_STEPS = 4
"""In how many pieces a load's bytes arrive on the card."""
LOAD_TIMEOUT_SECONDS = 300.0
"""OLLAMA_LOAD_TIMEOUT: how long a load may show no progress."""
RUNNER_BASE_BYTES = 180 * MEBIBYTE
"""Host memory of a runner before it has loaded anything."""
BUSY = "server busy, please try again.  maximum pending requests exceeded"
"""With two spaces (sched.go:88)."""
RUNNER_KILLED = {
    True: "llama-server process has terminated: signal: killed",
    False: "llama runner process has terminated: signal: killed",
}
"""With llama-server, and before."""
STALLED = "timed out waiting for llama-server to start - waiting for the model to load"


class Scheduler:
    """The queue and the one load in progress; public methods may be called from any thread."""

    def __init__(
        self, clock: SimulatedClock, cards: EngineCards, processes: SimulatedProcessTable, settings: EngineSettings
    ) -> None:
        self._clock = clock
        self._cards = cards
        self._processes = processes
        self._settings = settings
        self.residents = Residents(clock, cards, processes, settings, self._unloaded)
        self._queue: deque[EngineRequest] = deque()
        self._current: EngineRequest | None = None
        self._unloads_awaited = 0
        self._load: Runner | None = None
        self._load_timers: list[Timer] = []
        self._rest_seconds = 0.0
        self.next_load_error: str | None = None
        """When set, the next load ends with this text instead of a runner."""
        self.loads_hang = False
        """Loads start and show no progress until they time out."""
        self.trouble: Callable[[EngineRequest], str] = lambda _request: ""
        """Asked once for every load: which trouble it is to get into (`sim.ollama_faults.LOAD_KINDS`), or none."""
        self.server_pid = 0

    @property
    def loaded(self) -> dict[str, Runner]:
        """Runners by file digest."""
        return self.residents.runners

    @property
    def loading(self) -> Runner | None:
        """The runner that is being started."""
        return self._load

    @property
    def runners(self) -> tuple[Runner, ...]:
        """Every runner there is, the one that is being started included."""
        found = {runner.pid: runner for runner in self.loaded.values()}
        if self._load is not None:
            found[self._load.pid] = self._load
        return tuple(found.values())

    @property
    def goes_on(self) -> bool:
        """A load is in progress and does not wait half-way."""
        return self._load is not None and self._current is not None and not self._current.stops_halfway

    @property
    def waiting(self) -> int:
        """How many requests wait behind the one being worked on."""
        return len(self._queue)

    def suits(self, request: EngineRequest) -> bool:
        """Tell whether a request would be served by a runner as it is."""
        runner = self.loaded.get(request.model.blob_digest)
        return runner is not None and not runner.loading and not self._needs_reload(runner, request)

    def half_loaded(self, request: EngineRequest) -> bool:
        """Tell whether half of the load that a request waits for has arrived."""
        load = self._load
        return load is not None and load.key == request.model.blob_digest and load.arrived >= 0.5

    def visible(self) -> list[tuple[Runner, datetime]]:
        """Return what `/api/ps` lists."""
        return self.residents.visible()

    # -- requests ------------------------------------------------------------------------------------------------

    def submit(self, request: EngineRequest) -> None:
        """Take a request: to its runner at once when that is loaded and suits, else into the queue (sched.go:169)."""
        with self._clock.changed:
            request.submitted_seconds = self._clock.elapsed()
            self._dispatch(request)
            self._clock.changed.notify_all()

    def _dispatch(self, request: EngineRequest) -> None:
        runner = self.loaded.get(request.model.blob_digest)
        if runner is not None and runner.loading:
            runner.waiters.append(request)
            request.state = RequestState.LOADING
        elif runner is not None and not self._needs_reload(runner, request):
            self.residents.use(runner, request)
        elif len(self._queue) >= self._settings.max_queue:
            self.residents.fail(request, EngineError(503, BUSY))
        else:
            self._queue.append(request)
            self._next()

    def cancel(self, request: EngineRequest) -> None:
        """Let go of a request whose client is gone; a load that only it wanted is aborted (llama_server.go:1047)."""
        with self._clock.changed:
            if request.over:
                return
            before = request.state
            request.state = RequestState.CANCELED
            if before is RequestState.RUNNING and request.runner is not None:
                self.residents.end(request.runner, request)
            elif request is self._current and self._load is not None:
                self._abort_load(EngineError(499, "request canceled"))
            self._clock.changed.notify_all()

    def expire(self, model: SimulatedModel) -> None:
        """Unload a model as soon as it is idle."""
        with self._clock.changed:
            self.residents.expire(model)

    def _needs_reload(self, runner: Runner, request: EngineRequest) -> bool:
        """Tell whether a loaded runner cannot serve this request as it is (sched.go:1381)."""
        if runner.dead or runner.model.projector_digest != request.model.projector_digest:
            return True
        automatic = self._settings.era is Era.LLAMA_SERVER
        return request.options.differs_from(runner.options, remembers_automatic=automatic)

    # -- the queue -----------------------------------------------------------------------------------------------

    def _next(self) -> None:
        while self._current is None and self._queue:
            request = self._queue.popleft()
            if not request.over:
                self._current = request
                self._schedule(request)

    def _schedule(self, request: EngineRequest) -> None:
        """One turn of `processPending` for the request at its head (sched.go:225)."""
        runner = self.loaded.get(request.model.blob_digest)
        if request.over:
            self._current = None
        elif runner is not None and not self._needs_reload(runner, request):
            self._current = None
            self.residents.use(runner, request)
        elif runner is not None:
            self._evict(runner)
        elif len(self.loaded) >= self.max_loaded:
            self._evict(self.residents.victim())
        else:
            self._plan(request)

    @property
    def max_loaded(self) -> int:
        """How many runners there may be, over all cards (sched.go:86, 280)."""
        if self._settings.max_loaded_models > 0:
            return self._settings.max_loaded_models
        return MAX_PER_CARD * max(1, len(self._cards.indexes))

    def _plan(self, request: EngineRequest) -> None:
        if request.trouble is None:
            request.trouble = self.trouble(request)
        try:
            plan = plan_load(request, list(self.loaded.values()), self._cards, self._processes, self._settings)
        except OutOfMemoryError as error:
            self._out_of_memory(request, error)
            return
        if plan is None:
            self._evict(self.residents.victim())
        elif request.trouble == "out-of-memory":
            self._out_of_memory(request, OutOfMemoryError(out_of_memory_text(plan.placement, self._settings)))
        else:
            self._start(request, plan)

    def _evict(self, *runners: Runner) -> None:
        """Make runners go and wait for as many unloads; any that happen count, as they do in the original."""
        self._unloads_awaited = len(runners)
        for runner in runners:
            self.residents.mark(runner)

    def _unloaded(self) -> None:
        if self._unloads_awaited == 0:
            return
        self._unloads_awaited -= 1
        if self._unloads_awaited == 0:
            if self._current is not None:
                self._schedule(self._current)
            self._next()

    def _out_of_memory(self, request: EngineRequest, error: OutOfMemoryError) -> None:
        """Try once more with a smaller context nobody asked for, and without all the others (sched.go:620-660, 757)."""
        if self._settings.era is Era.LLAMA_SERVER and not request.out_of_memory_retried:
            smaller = _smaller_context(request) if request.options.num_ctx_auto else None
            if smaller is not None:
                request.options = replace(request.options, num_ctx=smaller)
            if smaller is not None or self.loaded:
                request.out_of_memory_retried = True
                if self.loaded:
                    self._evict(*self.loaded.values())
                else:
                    self._schedule(request)
                return
        self._current = None
        self.residents.fail(request, EngineError(500, str(error)))

    # -- loading -------------------------------------------------------------------------------------------------

    def _start(self, request: EngineRequest, plan: LoadPlan) -> None:
        request.state = RequestState.LOADING
        runner = self._spawn(request, plan)
        self._load = runner
        if self._settings.era is not Era.LLAMA_SERVER:
            self.loaded[runner.key] = runner
        self.residents.stall_ps()
        later = self._clock.call_later
        if request.trouble == "crash":
            self.next_load_error = RUNNER_KILLED[self._settings.era is Era.LLAMA_SERVER]
        if self.loads_hang or request.trouble == "stall":
            timers = [later(LOAD_TIMEOUT_SECONDS, partial(self._abort_load, EngineError(500, STALLED)))]
        elif self.next_load_error is not None:
            error, self.next_load_error = EngineError(500, self.next_load_error), None
            timers = [later(plan.seconds / 2, partial(self._abort_load, error))]
        else:
            timers = self._arrivals(plan.seconds, 0, LOAD_STEPS // 2 if request.stops_halfway else LOAD_STEPS)
            self._rest_seconds = plan.seconds
        self._load_timers = timers

    def _arrivals(self, seconds: float, first: int, last: int) -> list[Timer]:
        """Let the pieces of a load arrive that come after the first so many, up to the last."""
        later, pace = self._clock.call_later, seconds / LOAD_STEPS
        timers = [
            later(pace * (step - first), partial(self._arrive, step / LOAD_STEPS))
            for step in range(first + 1, min(last, LOAD_STEPS - 1) + 1)
        ]
        if last == LOAD_STEPS:
            timers.append(later(pace * (last - first), self._loaded))
        return timers

    def go_on(self, request: EngineRequest) -> None:
        """Let a load go on that was to stop half-way."""
        with self._clock.changed:
            if request is self._current and self._load is not None and request.stops_halfway:
                request.stops_halfway = False
                self._load_timers = self._arrivals(self._rest_seconds, LOAD_STEPS // 2, LOAD_STEPS)

    def _spawn(self, request: EngineRequest, plan: LoadPlan) -> Runner:
        session = request.keep_alive
        if session is None:
            session = keep_alive_from_environment(self._settings.keep_alive)
        name = plan.argv[0].rpartition("/")[2]
        pid = self._processes.spawn(name=name, argv=plan.argv, parent_pid=self.server_pid, user="ollama")
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
        """Let so much of a load have arrived."""
        runner.arrived = ratio
        for part in runner.placement.cards:
            held = part.context + int((part.total - part.context) * ratio)
            self._cards.hold(runner.pid, part.card, held)
        self._processes.set_resident(runner.pid, RUNNER_BASE_BYTES + int(runner.placement.host_bytes * ratio))

    def _arrive(self, ratio: float) -> None:
        if self._load is not None:
            self._grow(self._load, ratio)
            self.residents.changed()

    def _settle(self, runner: Runner) -> None:
        self._grow(runner, 1.0)
        runner.loading = False
        self.loaded[runner.key] = runner
        self.residents.tell("loaded", runner)

    def _loaded(self) -> None:
        runner, request = self._load_ended()
        self._settle(runner)
        self.residents.run(runner, request)
        self._serve_waiters(runner)
        self._next()

    def _abort_load(self, error: EngineError) -> None:
        runner, request = self._load_ended()
        self.loaded.pop(runner.key, None)
        self.residents.kill(runner)
        self.residents.fail(request, error)
        self._serve_waiters(runner)
        self._next()
        self.residents.changed()

    def _load_ended(self) -> tuple[Runner, EngineRequest]:
        runner, request = self._load, self._current
        assert runner is not None
        assert request is not None
        for timer in self._load_timers:
            timer.cancel()
        self._load, self._current, self._load_timers = None, None, []
        return runner, request

    def _serve_waiters(self, runner: Runner) -> None:
        waiters, runner.waiters = runner.waiters, []
        for waiter in waiters:
            if not waiter.over:
                waiter.state = RequestState.QUEUED
                self._dispatch(waiter)

    # -- for scenarios -------------------------------------------------------------------------------------------

    def place_now(self, request: EngineRequest, *, idle_seconds: float = 0.0) -> Runner:
        """Load without taking time and without asking who is there, idle for `idle_seconds` already."""
        plan = plan_load(request, [], self._cards, self._processes, self._settings)
        assert plan is not None
        runner = self._spawn(request, plan)
        self._settle(runner)
        request.state = RequestState.DONE
        self.residents.arm(runner, idle_seconds)
        return runner

    def crash(self, runner: Runner) -> None:
        """Kill a runner's process behind the scheduler's back."""
        with self._clock.changed:
            if runner is self._load:
                self._abort_load(EngineError(500, RUNNER_KILLED[self._settings.era is Era.LLAMA_SERVER]))
            else:
                self.residents.crash(runner)

    def run_out_of_memory(self, runner: Runner) -> None:
        """Let a runner's generations fail for want of memory on the card."""
        with self._clock.changed:
            self.residents.run_out_of_memory(runner)

    def close(self, *, leaves_runners: bool = False) -> None:
        """End everything, as the server does when it is told to stop; a killed one leaves its runners behind."""
        with self._clock.changed:
            for request in [*self._queue, *([self._current] if self._current else [])]:
                self.residents.fail(request, EngineError(499, "request canceled"))
            self._queue.clear()
            if self._load is not None:
                runner, _request = self._load_ended()
                self.loaded.pop(runner.key, None)
                self.residents.leave(runner) if leaves_runners else self.residents.kill(runner)
            self._current, self._unloads_awaited = None, 0
            self.residents.close(leaves_runners=leaves_runners)


def _smaller_context(request: EngineRequest) -> int | None:
    """Return the next lower context the server tries by itself (sched.go:917)."""
    context = request.options.num_ctx
    return 32768 if context > 32768 else 4096 if context > 4096 else None
