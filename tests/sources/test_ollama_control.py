from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gpudesk.actions.values import Load
from gpudesk.cancellation import CanceledError, Cancellation
from gpudesk.config.settings import EngineAddress
from gpudesk.domain.keep_alive import FOREVER, KeepAliveWish
from gpudesk.errors import EngineBusyError, FailureKind, NotInstalledError, OutOfMemoryError, SourceError
from gpudesk.sources.ollama_control import OllamaControl
from tests.servers import (
    TLS_CERTIFICATE,
    UNRESOLVABLE_URL,
    Behavior,
    Exchange,
    Server,
    by_path,
    close_silently,
    closed_port_url,
    drip,
    garbage,
    hang,
    html,
    in_turn,
    json_body,
    raw_body,
    redirect,
    reset,
    reset_mid_body,
    serving,
    status,
    truncated,
)
from tests.waiting import until

NAME = "qwen3:14b"
DONE = json_body({"model": NAME, "done": True, "done_reason": "load"})
EMBEDDED = json_body({"model": NAME, "embeddings": []})


@contextmanager
def controlling(behavior: Behavior, seconds: float = 5.0) -> Iterator[tuple[OllamaControl, Server]]:
    """The writing side of an engine that behaves like this."""
    with serving(behavior) as server:
        control = OllamaControl(EngineAddress(server.url), load_seconds=seconds, order_seconds=seconds)
        yield control, server
        control.close()


def wanted(**fields: Any) -> Load:
    """A model as it shall be loaded."""
    return Load("http://unused", NAME, **fields)


def failure_of(order: Callable[[], None], url: str) -> SourceError:
    """Return how an order failed."""
    with pytest.raises(SourceError) as raised:
        order()
    assert url in raised.value.message
    assert raised.value.message.isprintable()
    return raised.value


class Background:
    """An order given in another thread, which must end with a cancellation."""

    def __init__(self, order: Callable[[], object]) -> None:
        self._order = order
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._order()
        except (CanceledError, SourceError) as error:
            self.failure = error

    def check_canceled(self) -> None:
        self._thread.join(5)
        assert isinstance(self.failure, CanceledError)


# What is sent


@pytest.mark.parametrize(
    ("load", "fields"),
    [
        (wanted(), {}),
        (wanted(keep_alive=FOREVER), {"keep_alive": -1}),
        (wanted(keep_alive=KeepAliveWish(90.2)), {"keep_alive": 91}),
        (wanted(context_length=8192), {"options": {"num_ctx": 8192}}),
    ],
)
@pytest.mark.parametrize("order", ["load", "keep_alive"])
def test_a_load_and_a_keep_alive_are_the_same_request(order: str, load: Load, fields: dict[str, Any]) -> None:
    with controlling(DONE) as (control, server):
        getattr(control, order)(load, Cancellation())
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/api/generate")
    assert request.json == {"model": NAME, "stream": False, **fields}
    assert request.headers["content-type"] == "application/json"


@pytest.mark.parametrize("order", ["load", "keep_alive"])
def test_a_model_that_only_embeds_goes_through_embed(order: str) -> None:
    with controlling(EMBEDDED) as (control, server):
        getattr(control, order)(wanted(embedding=True, keep_alive=FOREVER, context_length=512), Cancellation())
    (request,) = server.requests
    assert request.path == "/api/embed"
    assert request.json == {"model": NAME, "input": "", "keep_alive": -1, "options": {"num_ctx": 512}}


def test_embed_is_tried_when_generate_is_not_supported() -> None:
    behavior = by_path({"/api/generate": status(400, f'"{NAME}" does not support generate'), "/api/embed": EMBEDDED})
    with controlling(behavior) as (control, server):
        control.load(wanted(keep_alive=FOREVER), Cancellation())
    assert [request.path for request in server.requests] == ["/api/generate", "/api/embed"]
    assert server.requests[1].json == {"model": NAME, "input": "", "keep_alive": -1}


def test_no_other_refusal_is_taken_for_a_model_that_only_embeds() -> None:
    with controlling(status(400, f'"{NAME}" does not support thinking')) as (control, server):
        failure_of(lambda: control.load(wanted(), Cancellation()), server.url)
    assert len(server.requests) == 1


@pytest.mark.parametrize("embedding", [False, True])
@pytest.mark.parametrize("order", ["unload", "keep_alive"])
def test_an_unload_goes_through_generate_whatever_the_model(order: str, embedding: bool) -> None:
    with controlling(json_body({"done": True, "done_reason": "unload"})) as (control, server):
        load = wanted(embedding=embedding, keep_alive=KeepAliveWish(0), context_length=512)
        getattr(control, order)(load, Cancellation())
    (request,) = server.requests
    assert request.path == "/api/generate"
    assert request.json == {"model": NAME, "keep_alive": 0, "stream": False}


def test_a_load_that_would_unload_is_not_sent() -> None:
    with controlling(DONE) as (control, server):
        with pytest.raises(SourceError) as raised:
            control.load(wanted(keep_alive=KeepAliveWish(0)), Cancellation())
        assert "unloads" in raised.value.message
    assert server.requests == []


def test_a_delete_names_the_model_in_its_body() -> None:
    with controlling(raw_body(b"")) as (control, server):
        control.delete(NAME, Cancellation())
    (request,) = server.requests
    assert (request.method, request.path, request.json) == ("DELETE", "/api/delete", {"model": NAME})


def test_the_key_of_the_engine_is_sent() -> None:
    with serving(DONE) as server:
        control = OllamaControl(EngineAddress(server.url, api_key="secret"))
        control.load(wanted(), Cancellation())
    assert server.requests[0].headers["authorization"] == "Bearer secret"


def test_every_order_has_a_connection_of_its_own() -> None:
    entered = threading.Semaphore(0)
    may_answer = threading.Event()

    def both_at_once(exchange: Exchange) -> None:
        entered.release()
        if exchange.request.json["model"] == "slow":
            may_answer.wait(5)
        DONE(exchange)

    with controlling(both_at_once) as (control, server):
        slow = threading.Thread(target=lambda: control.load(Load(control.url, "slow"), Cancellation()))
        slow.start()
        assert entered.acquire(timeout=5)
        control.unload(wanted(), Cancellation())
        may_answer.set()
        slow.join(5)
        assert not slow.is_alive()
    assert server.connections == 2


# What is answered


@pytest.mark.parametrize(
    ("code", "said", "kind", "type_", "words"),
    [
        (404, f"model '{NAME}' not found", FailureKind.MISSING, NotInstalledError, "not installed"),
        (404, f'model "{NAME}" not found, try pulling it', FailureKind.MISSING, NotInstalledError, "not installed"),
        (400, "invalid model name", FailureKind.INVALID, SourceError, "invalid model name"),
        (499, "request canceled", FailureKind.FAILED, SourceError, "gave up"),
        (
            503,
            "server busy, please try again.  maximum pending requests exceeded",
            FailureKind.FAILED,
            EngineBusyError,
            "too busy to load",
        ),
        (500, "something else", FailureKind.FAILED, SourceError, "would not load"),
        (
            500,
            "llama runner process has terminated: cudaMalloc failed: out of memory",
            FailureKind.FAILED,
            OutOfMemoryError,
            "no room",
        ),
        (
            500,
            "model requires more system memory (20.1 GiB) than is available (7.9 GiB)",
            FailureKind.FAILED,
            OutOfMemoryError,
            "20.1 GiB",
        ),
        (
            500,
            "model requires 30 GiB but only 20 GiB are available (after 1 GiB overhead)",
            FailureKind.FAILED,
            OutOfMemoryError,
            "no room",
        ),
        (500, "unable to allocate CUDA0 buffer", FailureKind.FAILED, OutOfMemoryError, "no room"),
        (500, "x" * 5000 + " ErrorOutOfDeviceMemory", FailureKind.FAILED, OutOfMemoryError, "no room"),
    ],
)  # fmt: skip
def test_refusals_are_told_apart(code: int, said: str, kind: FailureKind, type_: type[SourceError], words: str) -> None:
    with controlling(status(code, said)) as (control, server):
        error = failure_of(lambda: control.load(wanted(), Cancellation()), server.url)
    assert type(error) is type_
    assert error.kind is kind
    assert words in error.message
    assert NAME in error.message
    assert len(error.message) < 400
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("said", "advised"),
    [
        ("timed out waiting for llama-server to start - x", "OLLAMA_LOAD_TIMEOUT"),
        ("unable to load model: /m/blobs/sha256-0", "pull it again"),
        ("this model may be incompatible with your version of Ollama", "Update Ollama"),
        ("llama runner process has terminated: signal: killed", "main memory"),
        ("who knows", "journalctl"),
    ],
)
def test_a_failed_load_says_what_may_help(said: str, advised: str) -> None:
    with controlling(status(500, said)) as (control, server):
        error = failure_of(lambda: control.load(wanted(), Cancellation()), server.url)
    assert advised in (error.hint or "")


@pytest.mark.parametrize(
    ("behavior", "kind", "words"),
    [
        (status(401, "unauthorized"), FailureKind.DENIED, "401"),
        (redirect("http://127.0.0.1:1/"), FailureKind.INVALID, "redirects"),
        (html(), FailureKind.INVALID, "web page"),
        (html(502), FailureKind.FAILED, "502"),
        (html(503), FailureKind.FAILED, "503"),
        (html(404), FailureKind.INVALID, "no such page"),
        (raw_body(b""), FailureKind.INVALID, "nothing"),
        (raw_body(b"\xff\xfe\x00"), FailureKind.INVALID, "not JSON"),
        (json_body([1]), FailureKind.INVALID, "not an object"),
        (json_body({"model": NAME, "done": False}), FailureKind.INVALID, "did not say that it was done"),
        (json_body({"error": "odd"}), FailureKind.INVALID, "did not say that it was done"),
        (raw_body(b'{"done":true,"x":"' + b"y" * (2 << 20) + b'"}'), FailureKind.INVALID, "more than 1 MiB"),
        (truncated({"model": NAME, "done": True}), FailureKind.INVALID, "breaks off"),
        (garbage(), FailureKind.INVALID, "does not speak HTTP"),
        (close_silently(), FailureKind.LOST, "broke off"),
        (reset(), FailureKind.LOST, "broke off"),
        (reset_mid_body(), FailureKind.LOST, "broke off"),
    ],
)
def test_whatever_comes_back_is_a_failure_in_words_and_nothing_is_sent_twice(
    behavior: Behavior, kind: FailureKind, words: str
) -> None:
    with controlling(behavior) as (control, server):
        error = failure_of(lambda: control.load(wanted(), Cancellation()), server.url)
    assert error.kind is kind
    assert words in error.message
    assert "asked again" not in (error.hint or "")
    assert len(server.requests) == 1


def test_an_engine_that_dies_between_two_orders_is_not_asked_twice() -> None:
    with controlling(in_turn(DONE, close_silently())) as (control, server):
        control.load(wanted(), Cancellation())
        error = failure_of(lambda: control.load(wanted(), Cancellation()), server.url)
    assert error.kind is FailureKind.LOST
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("url", "kind", "words"),
    [
        (closed_port_url(), FailureKind.UNREACHABLE, "refused"),
        (UNRESOLVABLE_URL, FailureKind.UNREACHABLE, "could not be resolved"),
    ],
    ids=["nothing listens", "no such name"],
)
@pytest.mark.parametrize("order", ["load", "unload", "delete", "pull", "derive"])
def test_an_engine_that_is_not_there_is_said_to_be_so(order: str, url: str, kind: FailureKind, words: str) -> None:
    control = OllamaControl(EngineAddress(url))
    orders: dict[str, Callable[[], None]] = {
        "load": lambda: control.load(wanted(), Cancellation()),
        "unload": lambda: control.unload(wanted(), Cancellation()),
        "delete": lambda: control.delete(NAME, Cancellation()),
        "pull": lambda: control.pull(NAME, lambda _progress: None, Cancellation()),
        "derive": lambda: control.derive("new:8k", NAME, 8192, Cancellation()),
    }
    error = failure_of(orders[order], url)
    assert error.kind is kind
    assert words in error.message


@pytest.mark.parametrize("behavior", [hang(), drip(bytes_per_second=20)], ids=["hang", "drip"])
def test_an_order_has_an_end_however_slowly_it_is_answered(behavior: Behavior) -> None:
    with controlling(behavior, seconds=0.2) as (control, server):
        error = failure_of(lambda: control.load(wanted(), Cancellation()), server.url)
        assert error.kind is FailureKind.TIMEOUT
        assert "0.2 s" in error.message
        assert failure_of(lambda: control.unload(wanted(), Cancellation()), server.url).kind is FailureKind.TIMEOUT


def test_control_characters_of_an_answer_go_nowhere() -> None:
    with controlling(status(500, "\x1b[2Jout\u202eside\nnext")) as (control, server):
        error = failure_of(lambda: control.load(wanted(), Cancellation()), server.url)
    assert "[2Joutside next" in error.message


# Taking it back


@pytest.mark.parametrize("order", ["load", "unload", "keep_alive", "delete", "pull", "derive"])
def test_a_cancellation_ends_the_wait_and_closes_the_connection(order: str) -> None:
    closed = threading.Event()

    def wait_for_the_end(exchange: Exchange) -> None:
        exchange.connection.settimeout(5)
        if not exchange.connection.recv(1):
            closed.set()

    cancel = Cancellation()
    with controlling(wait_for_the_end) as (control, server):
        orders: dict[str, Callable[[], None]] = {
            "load": lambda: control.load(wanted(), cancel),
            "unload": lambda: control.unload(wanted(), cancel),
            "keep_alive": lambda: control.keep_alive(wanted(keep_alive=FOREVER), cancel),
            "delete": lambda: control.delete(NAME, cancel),
            "pull": lambda: control.pull(NAME, lambda _progress: None, cancel),
            "derive": lambda: control.derive("new:8k", NAME, 8192, cancel),
        }
        background = Background(orders[order])
        until(lambda: len(server.requests) == 1)
        cancel.cancel()
        background.check_canceled()
        assert closed.wait(5)


def test_a_cancellation_ends_the_wait_for_the_rest_of_an_answer() -> None:
    cancel = Cancellation()

    def half(exchange: Exchange) -> None:
        exchange.send_head(200, {"Content-Length": "100"})
        exchange.send(b"{")
        cancel.cancel()
        exchange.wait(None)

    with controlling(half) as (control, _server), pytest.raises(CanceledError):
        control.load(wanted(), cancel)


def test_a_cancellation_ends_a_name_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    looking, released = threading.Event(), threading.Event()

    def look_up(*_arguments: object, **_options: object) -> list[Any]:
        looking.set()
        released.wait(10)
        raise OSError("too late")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    cancel = Cancellation()
    control = OllamaControl(EngineAddress("http://far.example:11434"))
    background = Background(lambda: control.load(wanted(), cancel))
    assert looking.wait(5)
    cancel.cancel()
    background.check_canceled()
    released.set()


def test_a_name_lookup_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: released.wait(10))
    control = OllamaControl(EngineAddress("http://far.example:11434"), load_seconds=0.1)
    error = failure_of(lambda: control.load(wanted(), Cancellation()), "http://far.example:11434")
    released.set()
    assert error.kind is FailureKind.TIMEOUT


def test_a_connection_made_too_late_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    looking, released = threading.Event(), threading.Event()
    real = socket.getaddrinfo

    def look_up(*arguments: Any, **options: Any) -> Any:
        looking.set()
        released.wait(10)
        return real(*arguments, **options)

    cancel = Cancellation()
    with controlling(DONE) as (control, server):
        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        background = Background(lambda: control.load(wanted(), cancel))
        assert looking.wait(5)
        cancel.cancel()
        background.check_canceled()
        released.set()
        until(lambda: not any(thread.name == "gpudesk connect" for thread in threading.enumerate()))
    assert server.requests == []


def test_a_cancellation_ends_a_tls_handshake() -> None:
    cancel = Cancellation()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        control = OllamaControl(EngineAddress(f"https://127.0.0.1:{listener.getsockname()[1]}", verify=False))
        background = Background(lambda: control.load(wanted(), cancel))
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(5)
            assert connection.recv(1) == b"\x16", "its hello has come; it waits for ours"
            cancel.cancel()
            background.check_canceled()


def test_an_order_over_tls_is_carried_out_and_can_be_canceled() -> None:
    cancel = Cancellation()
    with serving(in_turn(DONE, hang()), tls=True) as server:
        control = OllamaControl(EngineAddress(server.url, ca_file=str(TLS_CERTIFICATE)))
        control.load(wanted(), Cancellation())
        background = Background(lambda: control.load(wanted(), cancel))
        until(lambda: len(server.requests) == 2)
        cancel.cancel()
        background.check_canceled()
        control.close()


def test_one_cancellation_leaves_other_orders_alone() -> None:
    answer_now = threading.Event()
    cancel = Cancellation()

    def wait_then_answer(exchange: Exchange) -> None:
        answer_now.wait(5)
        DONE(exchange)

    results: list[str] = []
    with controlling(wait_then_answer) as (control, server):

        def stays() -> None:
            control.load(wanted(), Cancellation())
            results.append("done")

        other = threading.Thread(target=stays)
        other.start()
        background = Background(lambda: control.load(wanted(), cancel))
        until(lambda: len(server.requests) == 2)
        cancel.cancel()
        background.check_canceled()
        answer_now.set()
        other.join(5)
    assert results == ["done"]


def test_a_cancellation_after_the_end_changes_nothing() -> None:
    cancel = Cancellation()
    with controlling(DONE) as (control, server):
        control.load(wanted(), cancel)
        cancel.cancel()
        with pytest.raises(CanceledError):
            control.load(wanted(), cancel)
    assert len(server.requests) == 1


# Deriving

SUCCESS = [{"status": "using existing layer sha256:0"}, {"status": "writing manifest"}, {"status": "success"}]


class Maker:
    """An engine that makes models."""

    def __init__(self, *, old: bool = False, context: int | None = 8192, lines: list[Any] | None = None) -> None:
        self.old = old
        self.context = context
        self.lines = SUCCESS if lines is None else lines
        self.made: list[dict[str, Any]] = []

    def __call__(self, exchange: Exchange) -> None:
        body = exchange.request.json
        if exchange.request.path == "/api/show":
            self._show(exchange, body["model"])
        elif self.old and "modelfile" not in body:
            status(400, "path or Modelfile are required")(exchange)
        else:
            self.made.append(body)
            raw_body(b"".join(json.dumps(line).encode() + b"\n" for line in self.lines))(exchange)

    def _show(self, exchange: Exchange, name: str) -> None:
        if name not in {NAME, "qwen3-desk:14b"}:
            status(404, f"model '{name}' not found")(exchange)
            return
        context = f"num_ctx                        {self.context}\n" if name != NAME and self.context else ""
        json_body({"parameters": f'stop                           "<|num_ctx|>"\n{context}'})(exchange)


def test_a_model_is_derived_in_the_form_of_today() -> None:
    maker = Maker()
    with controlling(maker) as (control, _server):
        control.derive("qwen3-desk:14b", NAME, 8192, Cancellation())
    assert maker.made == [{"model": "qwen3-desk:14b", "from": NAME, "parameters": {"num_ctx": 8192}}]


def test_a_model_is_derived_in_the_form_before_0_5_5() -> None:
    maker = Maker(old=True)
    with controlling(maker) as (control, _server):
        control.derive("qwen3-desk:14b", NAME, 8192, Cancellation())
    assert maker.made == [{"model": "qwen3-desk:14b", "modelfile": f"FROM {NAME}\nPARAMETER num_ctx 8192\n"}]


def test_nothing_is_made_of_what_is_not_installed_because_that_would_download_it() -> None:
    maker = Maker()
    with controlling(maker) as (control, server):
        error = failure_of(lambda: control.derive("new:8k", "gone:1b", 8192, Cancellation()), server.url)
    assert isinstance(error, NotInstalledError)
    assert "gone:1b" in error.message
    assert maker.made == []


@pytest.mark.parametrize("name", [NAME, NAME.upper(), f"library/{NAME}", f"registry.ollama.ai/library/{NAME}"])
def test_a_model_is_never_derived_over_its_source(name: str) -> None:
    maker = Maker()
    with controlling(maker) as (control, server), pytest.raises(SourceError) as raised:
        control.derive(name, NAME, 8192, Cancellation())
    assert "itself" in raised.value.message
    assert server.requests == []


@pytest.mark.parametrize(("context", "words"), [(4096, "context of 4096"), (None, "no length of its own")])
def test_a_derived_model_without_the_context_is_a_failure(context: int | None, words: str) -> None:
    with controlling(Maker(context=context)) as (control, server):
        error = failure_of(lambda: control.derive("qwen3-desk:14b", NAME, 8192, Cancellation()), server.url)
    assert words in error.message
    assert "not 8192" in error.message


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("lines", "kind", "words"),
    [
        ([{"status": "using"}, {"error": "open /x: permission denied"}], FailureKind.FAILED, "permission denied"),
        ([{"error": "no space left on device"}], FailureKind.FAILED, "no space left"),
        ([{"status": "writing manifest"}], FailureKind.LOST, "without saying"),
        ([], FailureKind.LOST, "without saying"),
        ([17], FailureKind.INVALID, "not an object"),
    ],
)
def test_a_model_that_could_not_be_made_is_a_failure(
    old: bool, lines: list[Any], kind: FailureKind, words: str
) -> None:
    with controlling(Maker(old=old, lines=lines)) as (control, server):
        error = failure_of(lambda: control.derive("qwen3-desk:14b", NAME, 8192, Cancellation()), server.url)
    assert error.kind is kind
    assert words in error.message


def test_what_a_model_was_trained_for_is_asked_once_per_digest() -> None:
    shown = json_body({"model_info": {"general.architecture": "bert", "bert.context_length": 512}})
    with controlling(shown) as (control, server):
        assert [control.trained_context(wanted(digest="a" * 64), Cancellation()) for _ in range(3)] == [512] * 3
        assert [(each.path, json.loads(each.body)) for each in server.requests] == [("/api/show", {"model": NAME})]
        assert control.trained_context(wanted(digest="b" * 64), Cancellation()) == 512
        assert len(server.requests) == 2


@pytest.mark.parametrize("behavior", [garbage(), status(404, "model not found"), html()])
def test_a_training_that_is_not_told_is_asked_again(behavior: Behavior) -> None:
    with controlling(behavior) as (control, server):
        for _ in range(2):
            with pytest.raises(SourceError):
                control.trained_context(wanted(digest="a" * 64), Cancellation())
        assert len(server.requests) == 2


def test_a_header_without_a_context_is_no_failure() -> None:
    with controlling(json_body({"model_info": {}})) as (control, _server):
        assert control.trained_context(wanted(), Cancellation()) is None
