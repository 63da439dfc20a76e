from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gpudesk.actions.ports import PullProgress
from gpudesk.cancellation import CanceledError, Cancellation
from gpudesk.clock import Clock
from gpudesk.config.settings import EngineAddress
from gpudesk.errors import FailureKind, SourceError
from gpudesk.sources import ollama_channel, ollama_pull
from gpudesk.sources.ollama_control import OllamaControl
from gpudesk.sources.ollama_pull import Tally
from tests.servers import Behavior, Exchange, Server, json_lines, raw_body, serving, status
from tests.sources.ollama_rig import Steps

NAME = "qwen3:14b"
MANIFEST = {"status": "pulling manifest"}
SUCCESS = {"status": "success"}
REST = ({"status": "verifying sha256 digest"}, {"status": "writing manifest"}, SUCCESS)


def layer(letter: str, total: int, completed: int | None = None) -> dict[str, Any]:
    """A line about a layer; `completed` is left out while it is 0."""
    line = {"status": f"pulling {letter * 12}", "digest": f"sha256:{letter * 64}", "total": total}
    return line if completed is None else {**line, "completed": completed}


@contextmanager
def pulling(behavior: Behavior, clock: Clock | None = None) -> Iterator[tuple[Callable[..., None], Server]]:
    """A pull from an engine that behaves like this; every line is told unless a clock is given."""
    steps = Steps()

    def later() -> float:
        steps.step(1)
        return steps.seconds

    with serving(behavior) as server:
        control = OllamaControl(EngineAddress(server.url), clock=clock or Clock(monotonic=later))
        yield lambda tell, cancel=None: control.pull(NAME, tell, cancel or Cancellation()), server
        control.close()


def failure_of(behavior: Behavior) -> SourceError:
    with pulling(behavior) as (pull, _server), pytest.raises(SourceError) as raised:
        pull(lambda _progress: None)
    assert raised.value.message.isprintable()
    return raised.value


def test_the_layers_add_up() -> None:
    """The end of a layer is not told: another line means that it is there."""
    told: list[PullProgress] = []
    lines = (MANIFEST, layer("a", 100), layer("a", 100, 40), layer("a", 100, 90), layer("b", 10), layer("b", 10, 4))
    with pulling(json_lines(*lines, *REST)) as (pull, server):
        pull(told.append)
    assert [(progress.completed_bytes, progress.total_bytes) for progress in told[:-4]] == [
        (None, None), (0, 100), (40, 100), (90, 100), (100, 110), (104, 110),
    ]  # fmt: skip
    assert [progress.status for progress in told[-4:]] == [
        "verifying sha256 digest", "writing manifest", "success", "success",
    ]  # fmt: skip
    assert told[-1] == PullProgress("success", 110, 110)
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/api/pull")
    assert request.json == {"model": NAME, "stream": True}


def test_plain_http_is_allowed_only_when_that_was_asked_for() -> None:
    with serving(json_lines(*REST)) as server:
        control = OllamaControl(EngineAddress(server.url))
        control.pull("http://far/a/b", lambda _progress: None, Cancellation())
        control.pull("http://far/a/b", lambda _progress: None, Cancellation(), insecure=True)
    assert [request.json.get("insecure") for request in server.requests] == [None, True]


def test_a_line_in_pieces_and_two_in_one_are_read_alike() -> None:
    def pieces(exchange: Exchange) -> None:
        exchange.send_head(200, {"Transfer-Encoding": "chunked"})
        for part in (
            b'{"status":"pull',
            b'ing x","total":5,"comp',
            b'leted":5}\n\n{"status":"a"}\n{"status":"success"}',
        ):
            exchange.send(b"%x\r\n%s\r\n" % (len(part), part))
        exchange.send(b"0\r\n\r\n")

    told: list[PullProgress] = []
    with pulling(pieces) as (pull, _server):
        pull(told.append)
    assert [progress.status for progress in told] == ["pulling x", "a", "success", "success"]
    assert told[-1].total_bytes == 5


def test_progress_is_told_now_and_then_however_many_lines_come() -> None:
    told: list[PullProgress] = []
    steps = Steps()
    lines = [layer("a", 1000, count) for count in range(1001)]
    with pulling(json_lines(MANIFEST, *lines, *REST), steps.clock) as (pull, _server):
        pull(told.append)
    assert len(told) < 100
    assert [progress.completed_bytes for progress in told[:3]] == [None, 11, 22]
    assert told[-1] == PullProgress("success", 1000, 1000)


@pytest.mark.parametrize(
    "line",
    [
        {},
        {"status": None},
        {"status": 7, "total": "many"},
        {"status": "x", "total": -1, "completed": 5},
        {"status": "x", "total": True},
        {"status": "x", "total": 1 << 80},
    ],
)
def test_what_cannot_be_a_size_counts_nothing(line: dict[str, Any]) -> None:
    tally = Tally()
    tally.add(layer("a", 10, 4))
    tally.add({**line, "digest": f"sha256:{'a' * 64}"})
    assert (tally.progress.completed_bytes, tally.progress.total_bytes) == (4, 10)


@pytest.mark.parametrize("completed", [11, -3, "x", None])
def test_a_layer_is_never_more_than_done_nor_less_than_begun(completed: object) -> None:
    tally = Tally()
    tally.add({**layer("a", 10), "completed": completed})
    assert tally.progress.completed_bytes == (10 if completed == 11 else 0)


@pytest.mark.slow
def test_layers_without_end_are_not_kept() -> None:
    tally = Tally()
    for number in range(10_000):
        tally.add({"status": "pulling", "digest": str(number), "total": 1})
    assert tally.progress.total_bytes == 4096


def test_a_status_is_cleaned() -> None:
    tally = Tally()
    tally.add({"status": "\x1b[31mpulling\n\u202e" + "x" * 1000})
    assert tally.progress.status.startswith("[31mpulling x")
    assert len(tally.progress.status) <= 256


def test_verifying_may_take_longer_than_a_download_may_be_silent() -> None:
    tally = Tally()
    begun = tally.patience_seconds
    tally.add(layer("a", 10, 10))
    assert tally.patience_seconds == begun
    tally.add(REST[0])
    assert tally.patience_seconds > 10 * begun


@pytest.mark.parametrize(
    ("said", "kind", "words", "advised"),
    [
        ("pull model manifest: file does not exist", FailureKind.MISSING, f"registry has no model {NAME}", "spelling"),
        ("write /m/blobs/x-partial: no space left on device", FailureKind.FAILED, "disk", "Free space"),
        ("max retries exceeded: write x: no space left on device", FailureKind.FAILED, "is full", "goes on"),
        ("write: There is not enough space on the disk.", FailureKind.FAILED, "is full", "Free space"),
        (
            'pull model manifest: Get "https://registry.ollama.ai/v2/": dial tcp: lookup it: no such host',
            FailureKind.FAILED,
            "could not download",
            "network",
        ),
        ("max retries exceeded: EOF", FailureKind.FAILED, "EOF", "goes on where it ended"),
        ("digest mismatch, file must be downloaded again: want a, got b", FailureKind.FAILED, "mismatch", "again"),
        ("pull model manifest: 412: requires a newer version of Ollama.", FailureKind.FAILED, "412", "Update Ollama"),
        ("unauthorized: access denied", FailureKind.FAILED, "access denied", "signin"),
        ("\x1b[2J\u202e", FailureKind.FAILED, "", ""),
        ("", FailureKind.FAILED, "did not say why", ""),
    ],
)
def test_an_error_in_the_stream_is_the_failure_although_the_answer_is_200(
    said: str, kind: FailureKind, words: str, advised: str
) -> None:
    error = failure_of(json_lines(MANIFEST, {"error": said}, *REST))
    assert error.kind is kind
    assert words in error.message
    assert advised in (error.hint or "")


def test_an_error_before_the_stream_is_a_failure_too() -> None:
    error = failure_of(status(400, "invalid model name"))
    assert error.kind is FailureKind.INVALID
    assert error.message.endswith(f"could not download {NAME}: invalid model name")


@pytest.mark.parametrize("lines", [(), (MANIFEST,), (MANIFEST, layer("a", 10, 10), REST[0]), (SUCCESS, MANIFEST)])
def test_a_stream_that_ends_without_success_is_a_failure(lines: tuple[Any, ...]) -> None:
    error = failure_of(json_lines(*lines))
    assert error.kind is FailureKind.LOST
    assert "goes on" in (error.hint or "")


def test_a_connection_lost_in_the_middle_is_a_failure() -> None:
    def lost(exchange: Exchange) -> None:
        exchange.send_head(200, {"Transfer-Encoding": "chunked"})
        line = json.dumps(layer("a", 10, 4)).encode() + b"\n"
        exchange.send(b"%x\r\n%s\r\n" % (len(line), line))
        exchange.reset()

    assert failure_of(lost).kind is FailureKind.LOST


@pytest.mark.parametrize("body", [b"<html></html>\n", b"{\n", b"[]\n", b'"x"\n', b"\xff\n", b"[" * 50_000 + b"\n"])
def test_a_line_that_is_no_object_is_a_failure(body: bytes) -> None:
    assert failure_of(raw_body(body)).kind is FailureKind.INVALID


def test_a_line_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollama_channel, "LINE_BYTES", 1000)
    error = failure_of(raw_body(b"x" * 1_000_000))
    assert "without end" in error.message


def test_lines_without_end_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollama_channel, "STREAM_BYTES", 10_000)
    error = failure_of(raw_body(b'{"status":"pulling"}\n' * 1000))
    assert "without end" in error.message


@pytest.mark.parametrize("trickle", [b"", b" "], ids=["silent", "dripping"])
def test_a_stream_that_stalls_is_a_failure(monkeypatch: pytest.MonkeyPatch, trickle: bytes) -> None:
    monkeypatch.setattr(ollama_pull, "STALL_SECONDS", 0.3)

    def stall(exchange: Exchange) -> None:
        exchange.send_head(200, {"Transfer-Encoding": "chunked"})
        exchange.send(b"b\r\n" + b'{"total":5}' + b"\r\n")
        while not exchange.wait(0.05):
            if trickle:
                exchange.send(b"1\r\n%s\r\n" % trickle)

    error = failure_of(stall)
    assert error.kind is FailureKind.TIMEOUT
    assert "nothing more for 0.3 s" in error.message


def test_lines_that_keep_coming_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollama_pull, "STALL_SECONDS", 0.4)

    def steady(exchange: Exchange) -> None:
        exchange.send_head(200, {})
        for count in range(8):
            exchange.send(json.dumps(layer("a", 8, count + 1)).encode() + b"\n")
            exchange.wait(0.1)
        exchange.send(json.dumps(SUCCESS).encode() + b"\n")

    told: list[PullProgress] = []
    with pulling(steady) as (pull, _server):
        pull(told.append)
    assert told[-1] == PullProgress("success", 8, 8)


def endless(exchange: Exchange) -> None:
    """Send lines until the client goes away."""
    exchange.send_head(200, {})
    while not exchange.wait(0.01):
        exchange.send(json.dumps(layer("a", 1000, 5)).encode() + b"\n")


def watched(behavior: Behavior, ended: threading.Event) -> Behavior:
    """Tell when a behavior ended because the client went away."""

    def behave(exchange: Exchange) -> None:
        try:
            behavior(exchange)
        except OSError:
            ended.set()
            raise

    return behave


def test_a_cancellation_ends_the_download() -> None:
    cancel, ended = Cancellation(), threading.Event()
    with pulling(watched(endless, ended)) as (pull, _server):
        with pytest.raises(CanceledError):
            pull(lambda _progress: cancel.cancel(), cancel)
        assert ended.wait(5)


def test_whatever_the_listener_throws_ends_the_download() -> None:
    ended = threading.Event()

    def tell(_progress: PullProgress) -> None:
        raise LookupError("the screen is gone")

    with pulling(watched(endless, ended)) as (pull, _server):
        with pytest.raises(LookupError):
            pull(tell)
        assert ended.wait(5)
