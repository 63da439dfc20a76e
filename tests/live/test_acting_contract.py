"""What gpudesk tells an engine to do, and what the engine then does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from gpudesk.actions.ports import PullProgress
from gpudesk.actions.values import Load
from gpudesk.cancellation import CanceledError, Cancellation
from gpudesk.config.settings import EngineAddress
from gpudesk.domain.keep_alive import FOREVER, KeepAliveWish
from gpudesk.errors import FailureKind, NotInstalledError, SourceError
from gpudesk.sources.ollama_control import OllamaControl
from tests.live.models import CHAT, CODE, EMBED, PREFIX, WIDE, WIDE_CONTEXT
from tests.live.registry import Registry
from tests.live.residency import (
    FIVE_MINUTES,
    check_forever,
    check_stay,
    load,
    remaining_seconds,
    renewal,
    settle,
    talking,
)
from tests.live.subject import Machine, Subject

TEN_MINUTES = KeepAliveWish(600)
UNKNOWN = f"{PREFIX}unknown:latest"
DERIVED = f"{PREFIX}derived:4m"
LOAD_SECONDS = 20.0


@pytest.fixture
def control(own_models: Subject) -> Iterator[OllamaControl]:
    """The writing side under test."""
    control = OllamaControl(EngineAddress(own_models.api.url), load_seconds=LOAD_SECONDS)
    yield control
    control.close()


@pytest.fixture
def derived(own_models: Subject) -> Iterator[str]:
    """A name for a new model, which is deleted again."""
    yield DERIVED
    if DERIVED in own_models.api.installed():
        own_models.api.unload(DERIVED)
        own_models.api.request("DELETE", "/api/delete", {"model": DERIVED})


@pytest.fixture
def registry(own_models: Subject, machine: Machine) -> Iterator[Registry]:
    """A registry with one model, which is gone from the engine afterwards."""
    with machine.registry() as opened:
        yield opened
        own_models.api.request("DELETE", "/api/delete", {"model": opened.installed_name})


def asked(
    control: OllamaControl, name: str, keep_alive: KeepAliveWish | None = None, context: int | None = None
) -> Load:
    """A model as it shall be loaded."""
    return Load(control.url, name, context, keep_alive, embedding=name == EMBED)


def obeyed(subject: Subject, control: OllamaControl, wanted: Load) -> None:
    """Load, and wait until the engine has done with the request."""
    control.load(wanted, Cancellation())
    settle(subject)


class Background:
    """An order given in another thread."""

    def __init__(self, order: Callable[[], object]) -> None:
        self.failure: BaseException | None = None
        self._order = order
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._order()
        except BaseException as error:
            self.failure = error

    def wait(self, seconds: float = 20.0) -> None:
        """Wait for its end."""
        self._thread.join(seconds)
        assert not self._thread.is_alive()


# Loading and unloading


def test_a_load_returns_when_the_model_is_there(own_models: Subject, control: OllamaControl) -> None:
    control.load(asked(control, CHAT), Cancellation())
    assert list(own_models.loaded()) == [CHAT]
    check_stay(own_models, CHAT, FIVE_MINUTES)


@pytest.mark.parametrize("name", [CHAT, EMBED])
def test_a_load_sets_how_long_it_stays(own_models: Subject, control: OllamaControl, name: str) -> None:
    control.load(asked(control, name, TEN_MINUTES), Cancellation())
    check_stay(own_models, name, 600)


@pytest.mark.parametrize("name", [CHAT, EMBED])
def test_forever_is_forever(own_models: Subject, control: OllamaControl, name: str) -> None:
    control.load(asked(control, name, FOREVER), Cancellation())
    check_forever(own_models, name)


def test_a_load_has_the_context_it_was_asked_for(own_models: Subject, control: OllamaControl, machine: Machine) -> None:
    obeyed(own_models, control, asked(control, CHAT, context=512))
    (before,) = machine.runners()
    load(own_models, CHAT, options={"num_ctx": 512})
    assert machine.runners() == (before,)
    assert own_models.loaded()[CHAT].get("context_length", 512) == 512


def test_a_model_that_only_embeds_is_loaded_even_when_that_was_not_known(
    own_models: Subject, control: OllamaControl
) -> None:
    control.load(Load(control.url, EMBED, keep_alive=FOREVER, embedding=False), Cancellation())
    check_forever(own_models, EMBED)


def test_a_chat_model_taken_for_one_that_only_embeds_is_loaded_all_the_same(
    own_models: Subject, control: OllamaControl
) -> None:
    control.load(Load(control.url, CHAT, keep_alive=TEN_MINUTES, embedding=True), Cancellation())
    check_stay(own_models, CHAT, 600)


def test_loading_what_is_loaded_in_the_same_way_starts_nothing(
    own_models: Subject, control: OllamaControl, machine: Machine
) -> None:
    wanted = asked(control, CHAT, TEN_MINUTES, 512)
    obeyed(own_models, control, wanted)
    before = machine.runners()
    obeyed(own_models, control, wanted)
    assert machine.runners() == before


@pytest.mark.parametrize("name", [CHAT, EMBED])
def test_an_unload_is_obeyed(own_models: Subject, control: OllamaControl, name: str) -> None:
    obeyed(own_models, control, asked(control, name, FOREVER))
    control.unload(asked(control, name), Cancellation())
    own_models.api.wait_until(lambda: not own_models.loaded(), "the model is gone")


def test_unloading_what_is_not_loaded_is_no_failure(own_models: Subject, control: OllamaControl) -> None:
    control.unload(asked(control, CHAT), Cancellation())
    assert own_models.loaded() == {}


def test_unloading_a_busy_model_returns_at_once_and_it_goes_later(own_models: Subject, control: OllamaControl) -> None:
    obeyed(own_models, control, asked(control, CHAT, FOREVER))
    with talking(own_models, CHAT):
        control.unload(asked(control, CHAT), Cancellation())
        assert remaining_seconds(own_models, CHAT) <= 0, "shown as stopping"
    own_models.api.wait_until(lambda: not own_models.loaded(), "the model is gone")


# How long it stays


@pytest.mark.parametrize("name", [CHAT, EMBED])
def test_a_changed_keep_alive_loads_nothing_anew(
    own_models: Subject, control: OllamaControl, machine: Machine, name: str
) -> None:
    obeyed(own_models, control, asked(control, name, context=256))
    before = machine.runners()
    for wish in (FOREVER, TEN_MINUTES, FOREVER):
        with renewal(own_models, name):
            control.keep_alive(asked(control, name, wish, 256), Cancellation())
    assert machine.runners() == before
    check_forever(own_models, name)


def test_the_keep_alive_of_a_model_loaded_without_a_context_loads_nothing_anew(
    own_models: Subject, control: OllamaControl, machine: Machine
) -> None:
    load(own_models, CHAT)
    before = machine.runners()
    context = own_models.loaded()[CHAT].get("context_length")
    control.keep_alive(asked(control, CHAT, FOREVER, context), Cancellation())
    check_forever(own_models, CHAT)
    assert machine.runners() == before


@pytest.mark.parametrize("name", [CHAT, EMBED])
def test_a_keep_alive_of_nothing_unloads(own_models: Subject, control: OllamaControl, name: str) -> None:
    obeyed(own_models, control, asked(control, name, FOREVER))
    control.keep_alive(asked(control, name, KeepAliveWish(0)), Cancellation())
    own_models.api.wait_until(lambda: not own_models.loaded(), "the model is gone")


# What gets in the way


@pytest.mark.parametrize("name", [UNKNOWN, "no name at all"])
@pytest.mark.parametrize("order", ["load", "unload", "keep_alive", "embed", "delete"])
def test_an_unknown_model_is_named(control: OllamaControl, order: str, name: str) -> None:
    wanted = Load(control.url, name, keep_alive=FOREVER, embedding=order == "embed")
    orders: dict[str, Callable[[], None]] = {
        "load": lambda: control.load(wanted, Cancellation()),
        "embed": lambda: control.load(wanted, Cancellation()),
        "unload": lambda: control.unload(wanted, Cancellation()),
        "keep_alive": lambda: control.keep_alive(wanted, Cancellation()),
        "delete": lambda: control.delete(name, Cancellation()),
    }
    with pytest.raises(SourceError) as raised:
        orders[order]()
    assert name in raised.value.message
    if name == UNKNOWN:
        assert isinstance(raised.value, NotInstalledError)
        assert raised.value.kind is FailureKind.MISSING
        assert "not installed" in raised.value.message


@pytest.mark.usefixtures("machine")
def test_a_third_load_evicts_a_model_that_should_stay_forever(own_models: Subject, control: OllamaControl) -> None:
    obeyed(own_models, control, asked(control, CHAT, FOREVER))
    obeyed(own_models, control, asked(control, CODE, FOREVER))
    obeyed(own_models, control, asked(control, EMBED, FOREVER))
    assert len(own_models.loaded()) == own_models.max_loaded == 2
    assert EMBED in own_models.loaded()


def test_after_a_restart_nothing_is_loaded_and_orders_are_taken(
    own_models: Subject, control: OllamaControl, machine: Machine
) -> None:
    obeyed(own_models, control, asked(control, CHAT, FOREVER))
    machine.restart()
    assert own_models.loaded() == {}
    obeyed(own_models, control, asked(control, CHAT, FOREVER))
    check_forever(own_models, CHAT)


def test_a_model_whose_runner_was_killed_is_loaded_again_by_the_next_order(
    own_models: Subject, control: OllamaControl, machine: Machine
) -> None:
    obeyed(own_models, control, asked(control, CHAT, FOREVER))
    (killed,) = machine.runners()
    machine.kill_runner(killed.pid)
    own_models.api.wait_until(lambda: not machine.runners(), "the runner is gone")
    obeyed(own_models, control, asked(control, CHAT, TEN_MINUTES))
    (again,) = machine.runners()
    assert again.pid != killed.pid
    check_stay(own_models, CHAT, 600)


def test_a_runner_killed_while_it_loads_is_a_failure_in_plain_words(
    own_models: Subject, control: OllamaControl, machine: Machine
) -> None:
    with machine.stalled_loads():
        background = Background(lambda: control.load(asked(control, CHAT), Cancellation()))
        own_models.api.wait_until(lambda: bool(machine.runners()), "the load begins")
        machine.kill_runner(machine.runners()[0].pid)
        background.wait()
    failure = background.failure
    assert isinstance(failure, SourceError)
    assert failure.kind is FailureKind.FAILED
    assert failure.message.startswith(f"{control.url} would not load {CHAT}: ")
    assert failure.hint
    assert own_models.loaded() == {}


# Taking it back


def test_a_canceled_load_is_given_up_by_the_engine(
    own_models: Subject, control: OllamaControl, machine: Machine
) -> None:
    cancel = Cancellation()
    with machine.stalled_loads():
        background = Background(lambda: control.load(asked(control, CHAT, FOREVER), cancel))
        own_models.api.wait_until(lambda: bool(machine.runners()), "the load begins")
        cancel.cancel()
        background.wait()
        assert isinstance(background.failure, CanceledError)
        own_models.api.wait_until(lambda: not machine.runners(), "its runner is gone")
        own_models.api.wait_until(lambda: not own_models.loaded(), "the model is gone")
    obeyed(own_models, control, asked(control, CHAT))
    assert list(own_models.loaded()) == [CHAT]


def test_a_load_that_was_canceled_while_it_waited_for_another_never_comes(
    own_models: Subject, control: OllamaControl, machine: Machine
) -> None:
    first, second = Cancellation(), Cancellation()
    with machine.stalled_loads():
        loading = Background(lambda: control.load(asked(control, CHAT), first))
        own_models.api.wait_until(lambda: bool(machine.runners()), "the first load begins")
        waiting = Background(lambda: control.load(asked(control, EMBED, FOREVER), second))
        second.cancel()
        waiting.wait()
        first.cancel()
        loading.wait()
    assert isinstance(waiting.failure, CanceledError)
    obeyed(own_models, control, asked(control, CODE))  # loads are served one after the other
    assert list(own_models.loaded()) == [CODE]


def test_what_was_canceled_before_is_not_even_sent(own_models: Subject, control: OllamaControl) -> None:
    cancel = Cancellation()
    cancel.cancel()
    with pytest.raises(CanceledError):
        control.load(asked(control, CHAT), cancel)
    assert own_models.loaded() == {}


def test_the_list_is_answered_while_a_load_is_waited_for(
    own_models: Subject, control: OllamaControl, machine: Machine
) -> None:
    cancel = Cancellation()
    load(own_models, CODE)
    with machine.stalled_loads():
        background = Background(lambda: control.load(asked(control, CHAT), cancel))
        own_models.api.wait_until(lambda: len(machine.runners()) == 2, "the load begins")
        control.keep_alive(asked(control, CODE, FOREVER), Cancellation())
        check_forever(own_models, CODE)
        cancel.cancel()
        background.wait()


# What is installed


def test_a_deleted_model_is_gone(own_models: Subject, control: OllamaControl, derived: str) -> None:
    own_models.api.post("/api/copy", source=CHAT, destination=derived)
    assert derived in own_models.api.installed()
    control.delete(derived, Cancellation())
    assert derived not in own_models.api.installed()
    assert CHAT in own_models.api.installed(), "the file both share is there still"
    control.load(asked(control, CHAT), Cancellation())


def test_a_derived_model_has_its_context_whoever_loads_it(
    own_models: Subject, control: OllamaControl, derived: str
) -> None:
    control.derive(derived, CHAT, 768, Cancellation())
    shown = own_models.api.post("/api/show", model=derived).json
    assert shown["parameters"].split() == ["num_ctx", "768"]
    weights = [line for line in shown["modelfile"].splitlines() if line.startswith("FROM ")]
    source = own_models.api.post("/api/show", model=CHAT).json["modelfile"]
    assert set(weights) <= set(source.splitlines()), "the same file"
    load(own_models, derived)
    assert own_models.loaded()[derived].get("context_length", 768) == 768


def test_deriving_from_a_derived_model_changes_only_the_context(
    own_models: Subject, control: OllamaControl, derived: str
) -> None:
    control.derive(derived, WIDE, WIDE_CONTEXT * 2, Cancellation())
    shown = own_models.api.post("/api/show", model=derived).json
    assert shown["parameters"].split() == ["num_ctx", str(WIDE_CONTEXT * 2)]


def test_deriving_again_replaces_it(own_models: Subject, control: OllamaControl, derived: str) -> None:
    for context in (512, 1024):
        control.derive(derived, CHAT, context, Cancellation())
    assert own_models.api.post("/api/show", model=derived).json["parameters"].split() == ["num_ctx", "1024"]


def test_nothing_is_derived_from_what_is_not_there(own_models: Subject, control: OllamaControl, derived: str) -> None:
    with pytest.raises(NotInstalledError) as raised:
        control.derive(derived, UNKNOWN, 512, Cancellation())
    assert UNKNOWN in raised.value.message
    assert derived not in own_models.api.installed()


@pytest.mark.parametrize("name", ["", "a b", "x\nSYSTEM y", "../up", ":tag", "a/b/c/d", "-begins", "x" * 81])
def test_a_name_that_is_none_is_said_before_anything_is_asked(control: OllamaControl, name: str) -> None:
    with pytest.raises(SourceError) as raised:
        control.derive(name, CHAT, 512, Cancellation())
    assert raised.value.kind is FailureKind.INVALID
    assert "no name" in raised.value.message


@pytest.mark.slow
def test_a_pulled_model_is_installed_and_every_byte_was_told(
    own_models: Subject, control: OllamaControl, registry: Registry
) -> None:
    told: list[PullProgress] = []
    control.pull(registry.name, told.append, Cancellation(), insecure=True)
    assert registry.installed_name in own_models.api.installed()
    last = told[-1]
    assert (last.status, last.completed_bytes) == ("success", last.total_bytes)
    assert last.total_bytes == own_models.api.installed()[registry.installed_name]["size"]


@pytest.mark.slow
def test_a_canceled_pull_ends_and_goes_on_later_where_it_was(
    own_models: Subject, control: OllamaControl, registry: Registry
) -> None:
    cancel = Cancellation()
    registry.hold()
    reached: list[int] = []

    def half(progress: PullProgress) -> None:
        if progress.total_bytes and progress.completed_bytes and progress.completed_bytes * 3 > progress.total_bytes:
            reached.append(progress.completed_bytes)
            cancel.cancel()

    with pytest.raises(CanceledError):
        control.pull(registry.name, half, cancel, insecure=True)
    assert registry.installed_name not in own_models.api.installed()
    registry.let_go()
    told: list[PullProgress] = []
    control.pull(registry.name, told.append, Cancellation(), insecure=True)
    first = next(progress.completed_bytes for progress in told if progress.completed_bytes)
    assert first >= reached[0]
    assert registry.installed_name in own_models.api.installed()


def test_a_pull_of_an_unknown_model_is_a_failure_although_the_answer_is_200(
    control: OllamaControl, registry: Registry
) -> None:
    told: list[PullProgress] = []
    with pytest.raises(SourceError) as raised:
        control.pull(registry.unknown, told.append, Cancellation(), insecure=True)
    assert raised.value.kind is FailureKind.MISSING
    assert raised.value.message == f"The registry has no model {registry.unknown}"
    assert raised.value.hint
    assert [progress.status for progress in told] == ["pulling manifest"]


def test_a_name_that_is_none_cannot_be_pulled(control: OllamaControl) -> None:
    with pytest.raises(SourceError) as raised:
        control.pull("a b", lambda _progress: None, Cancellation())
    assert raised.value.kind is FailureKind.INVALID
