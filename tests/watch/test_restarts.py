"""An engine's server that ends, told by its process."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gpudesk.domain.alarm import Alarm, AlarmKind
from gpudesk.domain.engine import DetailsSample
from gpudesk.domain.event import EventKind, Severity
from gpudesk.domain.model import ModelDetails
from gpudesk.domain.pin import Pin, PinCause, PinSample, PinState, PinWish
from gpudesk.domain.process import Process, ProcessSample, ServerProcess
from gpudesk.records import replace
from gpudesk.watch.pins import EXAMINED_WITHIN
from tests.watch.build import ENGINE, GIB, START, URL, Watch, card, engine, failure, forever, messages, model, timer
from tests.watch.build import runner as runner_of

NAME, OTHER = "qwen3:14b", "gemma3:12b"
BLOB = "b" * 64
HERE = (("127.0.0.1", 11434),)
RESTARTED = f"{URL} was restarted"


def server(
    pid: int = 900, *, started: float = 0.0, listens: tuple[tuple[str, int], ...] | None = HERE
) -> ServerProcess:
    return ServerProcess(pid, START + timedelta(seconds=started), listens)


def runner(
    pid: int = 10, *, parent: int = 900, orphaned: bool = False, started: float = 0.0, context: int = 4096
) -> Process:
    made = runner_of(pid, BLOB, started=started, context=context)
    return replace(made, parent_pid=parent, orphaned=orphaned)


class Restarts(Watch):
    """A watch of one engine with a pinned model whose runner and server were seen."""

    def __init__(self, *, told: bool = True) -> None:
        super().__init__()
        self.listens = HERE if told else None
        self.started: dict[int, float] = {}
        self.give("pins", PinSample((PinWish(URL, NAME),)), 0)
        self.give(f"ollama-details {URL}", DetailsSample(URL, (ModelDetails(model(NAME).digest or "", (BLOB,)),)), 0)
        self.fail("nvml", 0)
        self.engine(0, model(NAME, forever()))
        self.table(1, runner())
        assert self.desk.models[0].pids == (10,)
        self.told.clear()

    def table(self, at: float, *runners: Process, server_pid: int | None = 900) -> list[str]:
        """Show the process table; return what is told."""
        if server_pid is not None and server_pid not in self.started:
            self.started[server_pid] = at - 0.5
        servers = (
            () if server_pid is None else (server(server_pid, started=self.started[server_pid], listens=self.listens),)
        )
        return messages(self.give("processes", ProcessSample(runners, servers=servers), at))

    @property
    def pin(self) -> PinState:
        (state,) = self.desk.pins
        return state


@pytest.mark.parametrize("told", [True, False], ids=["own", "another user's"])
def test_processes_first(told: bool) -> None:
    watch = Restarts(told=told)
    watch.table(2, server_pid=901)
    watch.engine(3)
    assert messages(watch.told) == [
        RESTARTED,
        f"{NAME} unloaded: {RESTARTED}",
        f"the pin of {NAME} is lost: {RESTARTED}",
    ]
    assert (watch.pin.cause, watch.pin.reason) == (PinCause.RESTARTED, RESTARTED)
    assert watch.told[0].severity is Severity.WARNING


@pytest.mark.parametrize("told", [True, False], ids=["own", "another user's"])
def test_the_engine_first(told: bool) -> None:
    watch = Restarts(told=told)
    watch.engine(2)
    assert watch.pin.pin is Pin.HELD
    watch.table(2.1, server_pid=901)
    watch.engine(4)
    assert [event.message for event in watch.desk.events if event.kind is EventKind.UNLOADED] == (
        [f"{NAME} unloaded: {RESTARTED}"] if told else [f"{NAME} unloaded: the server at {URL} ended"]
    )
    assert (watch.pin.cause, watch.pin.reason) == (PinCause.RESTARTED, RESTARTED)
    lost = [event.message for event in watch.told if event.kind is EventKind.PIN_LOST]
    assert lost == [f"the pin of {NAME} is lost: {RESTARTED if told else f'the server at {URL} ended'}"]
    assert RESTARTED in messages(watch.told)


def test_a_server_that_lives_is_no_restart_whatever_leaves() -> None:
    watch = Restarts()
    watch.engine(2)
    watch.table(2.1)
    watch.engine(4)
    early = "unloaded although its keep-alive was forever: asked for, or its process ended"
    assert messages(watch.told) == [f"{NAME} {early}", f"the pin of {NAME} is lost: {early}"]
    assert watch.pin.cause is PinCause.UNLOADED


def test_an_eviction_is_no_restart() -> None:
    watch = Restarts()
    watch.engine(2, model(OTHER, timer(302, at=2)))
    watch.table(2.1, replace(runner_of(11, "c" * 64), parent_pid=900))
    assert watch.pin.cause is PinCause.EVICTED
    assert EventKind.ENGINE_RESTARTED not in [event.kind for event in watch.told]


def test_a_model_that_left_before_the_server_was_last_seen_left_by_itself() -> None:
    watch = Restarts()
    watch.engine(2)
    watch.table(3)
    watch.table(8, server_pid=901)
    watch.engine(9)
    assert watch.pin.cause is PinCause.UNLOADED
    assert messages(watch.told)[-1] == RESTARTED


def test_a_timer_that_was_over_is_told_as_such() -> None:
    watch = Restarts()
    watch.engine(2, model(NAME, timer(4, at=2)))
    watch.table(5, server_pid=901)
    watch.engine(6)
    assert f"{NAME} unloaded: its keep-alive was over" in messages(watch.told)


def test_a_server_that_ends_for_good_is_not_called_restarted() -> None:
    watch = Restarts()
    watch.table(2, server_pid=None)
    watch.give(ENGINE, failure(), 3)
    told = messages(watch.told)
    assert not any("restarted" in message for message in told)
    assert f"{NAME} unloaded: the server at {URL} ended" in told
    assert watch.pin.reason == f"{URL} does not run"
    watch.engine(9)
    assert messages(watch.told)[-1] == f"{URL} answers"
    assert RESTARTED not in messages(watch.told), "its outage was told"
    assert (watch.pin.cause, watch.pin.reason) == (PinCause.RESTARTED, RESTARTED)


def test_a_restart_with_nothing_loaded_is_told_once() -> None:
    watch = Watch()
    watch.fail("nvml", 0)
    watch.engine(0)
    watch.give("processes", ProcessSample(servers=(server(900),)), 1)
    for second in range(2, 20, 2):
        watch.give("processes", ProcessSample(servers=(server(901, started=1.5),)), second)
        watch.engine(second + 1)
    assert messages(watch.told) == [RESTARTED]


def test_two_restarts_are_two_lines() -> None:
    watch = Restarts()
    for turn, pid in enumerate((901, 902)):
        watch.table(10 * turn + 5, server_pid=pid)
        watch.engine(10 * turn + 6)
    assert messages(watch.told).count(RESTARTED) == 2


def test_while_processes_cannot_be_read_nothing_is_called_ended() -> None:
    watch = Restarts()
    watch.fail("processes", 2)
    watch.engine(3)
    assert not any("restarted" in message for message in messages(watch.told))
    assert watch.pin.cause is PinCause.UNLOADED


def test_a_loss_waits_for_the_process_table_only_so_long() -> None:
    watch = Restarts()
    watch.engine(2)
    assert watch.pin.pin is Pin.HELD
    watch.engine(2 + EXAMINED_WITHIN.total_seconds())
    assert (watch.pin.pin, watch.pin.cause) == (Pin.LOST, PinCause.UNLOADED)


@pytest.mark.parametrize(
    ("context", "reason"),
    [
        (4096, f"keep-alive changed from forever to 30m: {RESTARTED}"),
        (0, f"{RESTARTED}, and it was loaded again without forever"),
    ],
    ids=["command line tells", "engine alone tells"],
)
def test_a_model_loaded_again_at_once_is_told_to_be_reloaded_by_the_restart(context: int, reason: str) -> None:
    watch = Restarts()
    watch.table(2, runner(11, parent=901, started=1.8, context=context), server_pid=901)
    watch.engine(3, model(NAME, timer(1803, at=3)))
    told = messages(watch.told)
    assert f"{NAME} reloaded with the same settings: {RESTARTED}" in told
    assert f"keep-alive of {NAME} changed from forever to 30m: {RESTARTED}" in told
    assert not any("Continue" in message for message in told)
    assert watch.pin.reason == reason


def test_a_change_of_keep_alive_long_after_a_restart_has_its_own_cause() -> None:
    watch = Restarts()
    watch.table(2, server_pid=901)
    watch.engine(3)
    watch.engine(5, model(NAME, forever()))
    watch.table(6, runner(11, parent=901, started=4.5), server_pid=901)
    assert watch.pin.pin is Pin.HELD
    watch.engine(7, model(NAME, forever()))
    watch.engine(9, model(NAME, timer(1809, at=9)))
    assert watch.pin.reason == "keep-alive changed from forever to 30m (Continue sends 30m by default)"


def test_a_restart_long_after_a_loss_does_not_become_its_cause() -> None:
    watch = Restarts()
    watch.engine(2)
    watch.table(3)
    for second in range(10, 70, 10):
        watch.table(second)
        watch.engine(second + 1)
    early = watch.pin.reason
    assert early is not None
    watch.table(70, server_pid=None)
    watch.give(ENGINE, failure(), 71)
    assert (watch.pin.cause, watch.pin.reason) == (PinCause.UNLOADED, early)
    watch.table(75, server_pid=901)
    watch.engine(76)
    assert (watch.pin.cause, watch.pin.reason) == (PinCause.UNLOADED, early)


def test_another_version_tells_a_restart_where_no_process_can_be_seen() -> None:
    watch = Watch()
    watch.give("pins", PinSample((PinWish(URL, NAME),)), 0)
    watch.engine(0, model(NAME, forever()), model(OTHER, timer(300)), version="0.12.6")
    watch.engine(2, version="0.12.6")
    watch.engine(4, version="0.13.0")
    unloaded = [event.message for event in watch.desk.events if event.kind is EventKind.UNLOADED]
    assert unloaded == [f"{NAME} unloaded: {RESTARTED}", f"{OTHER} unloaded: {RESTARTED}"]
    (state,) = watch.desk.pins
    assert (state.cause, state.reason) == (PinCause.RESTARTED, RESTARTED)


def test_another_version_does_not_explain_what_left_one_after_the_other() -> None:
    watch = Watch()
    watch.engine(0, model(NAME, forever()), model(OTHER, timer(300)))
    watch.engine(2, model(NAME, forever()))
    watch.engine(20)
    watch.engine(22, version="0.13.0")
    assert not [event for event in watch.desk.events if event.kind is EventKind.UNLOADED and "restart" in event.message]


def test_a_silent_engines_model_whose_runner_was_left_behind_is_gone() -> None:
    watch = Restarts()
    watch.table(2, runner(parent=1, orphaned=True), server_pid=None)
    watch.give(ENGINE, failure(), 3)
    assert watch.desk.models == ()
    assert f"{NAME} unloaded: the server at {URL} ended" in messages(watch.told)


def test_a_server_that_was_there_before_did_not_come_in_its_place() -> None:
    """Another user's, with a runner of the same weights: nobody may see who listens where."""
    watch = Restarts(told=False)
    servers = (server(900, started=0.5, listens=None), server(950, started=-100, listens=None))
    watch.give("processes", ProcessSample((runner(), runner(60, parent=950)), servers=servers), 2)
    assert watch.desk.models[0].pids == (10,)
    watch.give("processes", ProcessSample((runner(60, parent=950),), servers=servers[1:]), 30)
    assert RESTARTED not in messages(watch.told)
    watch.give(ENGINE, failure(), 31)
    assert RESTARTED not in messages(watch.told)
    assert watch.desk.models == ()


def test_the_end_of_another_server_with_the_same_weights_is_no_restart() -> None:
    watch = Restarts(told=False)
    servers = (server(900, started=0.5, listens=None), server(950, listens=None))
    watch.give("processes", ProcessSample((runner(60, parent=950),), servers=servers), 2)
    watch.give("processes", ProcessSample(servers=servers[:1]), 3)
    watch.engine(4, model(NAME, forever()))
    assert RESTARTED not in messages(watch.told)


def test_a_server_that_is_gone_has_no_runners_of_another_meanwhile() -> None:
    watch = Restarts()
    other = ServerProcess(950, START, (("127.0.0.1", 11500),))
    gone = replace(server(900, started=watch.started[900]), exists=False)
    watch.give("processes", ProcessSample((runner(60, parent=950),), servers=(other, gone)), 2)
    assert watch.desk.models[0].pids == ()
    watch.give(ENGINE, failure(), 3)
    assert watch.desk.models == ()
    assert messages(watch.told)[-2:] == [
        f"{NAME} unloaded: the server at {URL} ended",
        f"the pin of {NAME} is lost: {URL} does not run",
    ]
    assert not alarms(watch, AlarmKind.STUCK_LOAD)


@pytest.mark.parametrize("told", [1024, 0], ids=["by its command line", "by the engine alone"])
def test_a_reload_is_told_once_with_what_the_engine_says_of_it(told: int) -> None:
    watch = Restarts()
    again = runner(11, started=1.8, context=told)
    watch.table(2, again)
    assert watch.told == [], "the engine was asked before"
    watch.table(3, again)
    watch.engine(3.5, model(NAME, timer(303.5, at=3.5), context_length=1024))
    watch.table(4, again)
    assert [event.message for event in watch.told if event.kind is EventKind.RELOADED] == [
        f"{NAME} reloaded with context 1024 instead of context 4096"
    ]


def test_a_reload_with_the_same_settings_is_told_when_they_are_known() -> None:
    message = f"{NAME} reloaded with the same settings: its process ended, or it was asked for"
    by_command_line = Restarts()
    assert by_command_line.table(12, runner(11, started=11.8)) == [message]
    by_engine = Restarts()
    assert by_engine.table(12, runner(11, started=11.8, context=0)) == []
    assert messages(by_engine.engine(13, model(NAME, forever()))) == [message]


def test_an_eviction_after_a_restart_has_its_own_cause() -> None:
    watch = Restarts()
    watch.table(2, server_pid=901)
    watch.engine(3)
    watch.engine(5, model(NAME, forever()))
    watch.table(6, runner(11, parent=901, started=4.5), server_pid=901)
    watch.engine(7, model(NAME, forever()))
    watch.engine(49, model(OTHER, timer(349, at=49)))
    watch.table(50, server_pid=901)
    assert watch.pin.cause is PinCause.EVICTED
    assert watch.pin.reason == f"evicted for {OTHER}, although its keep-alive was forever"


def test_a_loss_while_the_engine_was_away_is_a_restart_however_long_that_took() -> None:
    watch = Watch()
    watch.give("pins", PinSample((PinWish(URL, NAME),)), 0)
    watch.engine(0, model(NAME, forever()))
    for second in range(2, 100, 2):
        watch.give(ENGINE, failure(), second)
    watch.engine(101)
    (state,) = watch.desk.pins
    assert (state.cause, state.reason) == (PinCause.RESTARTED, RESTARTED)


def test_restarts_are_no_fight() -> None:
    watch = Restarts()
    for turn in range(4):
        at = 20 * turn
        watch.table(at + 5, server_pid=901 + turn)
        watch.engine(at + 6)
        assert watch.pin.pin is Pin.LOST
        watch.engine(at + 8, model(NAME, forever()))
        watch.table(at + 9, runner(11 + turn, parent=901 + turn, started=at + 7.5), server_pid=901 + turn)
    assert watch.pin.losses == ()
    assert not alarms(watch, AlarmKind.THRASH)


def test_an_unload_some_seconds_after_another_load_is_no_eviction() -> None:
    watch = Watch()
    watch.engine(0, model(NAME, forever()))
    watch.engine(2, model(NAME, forever()), model(OTHER, timer(302, at=2)))
    watch.engine(8, model(OTHER, timer(302, at=2)))
    assert messages(watch.told)[-1].endswith("asked for, or its process ended")


def test_an_eviction_for_a_load_that_takes_long_is_not_blamed_on_the_one_before_it() -> None:
    watch = Watch()
    watch.engine(0, model(NAME, forever()))
    watch.engine(2, model(NAME, forever()), model(OTHER, timer(302, at=2)))
    watch.engine(4, model(OTHER, timer(302, at=2)))
    assert "probably evicted for gemma3:12b" in messages(watch.told)[-1]
    watch.engine(6, model(OTHER, timer(302, at=2)), model("gpt-oss:20b", timer(306, at=6)))
    evicted = [event.message for event in watch.desk.events if event.kind is EventKind.EVICTED]
    assert evicted == [f"{NAME} evicted for gpt-oss:20b, although its keep-alive was forever"]


def alarms(watch: Watch, kind: AlarmKind) -> list[Alarm]:
    return [alarm for alarm in watch.desk.alarms if alarm.kind is kind]


def test_a_runner_left_behind_is_an_alarm_with_its_size_and_no_stuck_load() -> None:
    watch = Watch()
    watch.give(ENGINE, engine(), 0)
    left = runner(4711, parent=1, orphaned=True)
    for second in (1, 5, 12, 400):
        watch.cards(second, card(0, (4711, 3 * GIB)))
        watch.give("processes", ProcessSample((left,), servers=(server(),)), second)
        assert bool(alarms(watch, AlarmKind.LEFT_BEHIND)) is (second >= 11)
    assert not alarms(watch, AlarmKind.STUCK_LOAD)
    (alarm,) = alarms(watch, AlarmKind.LEFT_BEHIND)
    assert "holds 3.0 GiB" in alarm.message
    assert "kill 4711" in alarm.advice
    watch.cards(401, card(0))
    watch.give("processes", ProcessSample(servers=(server(),)), 401)
    assert not watch.desk.alarms


def test_the_runner_of_an_engine_that_is_not_watched_is_no_stuck_load() -> None:
    watch = Watch()
    watch.give(ENGINE, engine(), 0)
    servers = (server(), ServerProcess(901, START, (("127.0.0.1", 11500),)))
    sample = ProcessSample((runner(77, parent=901), runner(78, parent=900)), servers=servers)
    watch.give("processes", sample, 400)
    assert [alarm.subject for alarm in alarms(watch, AlarmKind.STUCK_LOAD)] == ["process 78"]
