from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from gpudesk.config.settings import EngineAddress
from gpudesk.domain.engine import EngineKind
from gpudesk.domain.keep_alive import KeepAliveState
from gpudesk.errors import FailureKind, SourceError
from gpudesk.sources.ollama import OllamaCatalogSource, OllamaSource
from gpudesk.sources.ollama_client import OllamaClient
from tests.servers import Server, hang, html, in_turn, json_body, raw_body, serving, status
from tests.sources.ollama_rig import START, Steps, TinyOllama, desk_of, digest_of

DESK = desk_of("")
ENTRY: dict[str, Any] = {
    "name": "qwen3:14b",
    "size": 100,
    "size_vram": 100,
    "digest": digest_of("qwen3:14b"),
    "expires_at": (START + timedelta(minutes=5)).isoformat(),
}


class Rig:
    """One engine and its sources."""

    def __init__(self, server: Server, ollama: TinyOllama) -> None:
        self.server, self.ollama, self.time = server, ollama, Steps()
        self.client = OllamaClient(EngineAddress(server.url), timeout_seconds=5)
        self.source = OllamaSource(self.client, self.time.clock)
        self.catalog = OllamaCatalogSource(self.client, self.time.clock)

    def asked(self, path: str) -> int:
        return sum(request.path == path for request in self.server.requests)


@pytest.fixture
def rig() -> Iterator[Rig]:
    ollama = TinyOllama(loaded=[ENTRY])
    with serving(ollama) as server:
        made = Rig(server, ollama)
        yield made
        made.client.close()


def test_a_sample_in_full(rig: Rig) -> None:
    sample = rig.source.read(DESK)
    assert sample.url == rig.server.url
    assert sample.kind is EngineKind.OLLAMA
    assert sample.version == "0.33.0"
    assert sample.local
    assert [model.name for model in sample.models] == ["qwen3:14b"]
    assert sample.clock_skew_seconds is None
    assert sample.problems == ()
    assert rig.source.name == f"ollama {rig.server.url}"
    assert rig.catalog.name == f"ollama-catalog {rig.server.url}"


def test_the_version_is_asked_at_first_every_minute_and_after_a_failure(rig: Rig) -> None:
    for _ in range(5):
        rig.source.read(DESK)
        rig.time.step(2)
    assert rig.asked("/api/version") == 1
    assert rig.asked("/api/ps") == 5
    rig.time.step(60)
    rig.ollama.version = "0.34.0"
    assert rig.source.read(DESK).version == "0.34.0"
    rig.ollama.broken["/api/ps"] = status(500)
    with pytest.raises(SourceError):
        rig.source.read(DESK)
    rig.ollama.broken.clear()
    rig.ollama.version = "0.35.0"
    assert rig.source.read(DESK).version == "0.35.0"


def test_an_engine_that_hides_its_version_is_still_read(rig: Rig) -> None:
    rig.ollama.broken["/api/version"] = status(404)
    sample = rig.source.read(DESK)
    assert sample.version is None
    assert len(sample.models) == 1
    rig.source.read(DESK)
    assert rig.asked("/api/version") == 1, "not at every poll"
    rig.ollama.broken.clear()
    rig.time.step(11)
    assert rig.source.read(DESK).version == "0.33.0"


def test_a_failure_is_raised_and_the_next_success_is_whole(rig: Rig) -> None:
    good = rig.source.read(DESK)
    for behavior, kind in ((status(500), FailureKind.FAILED), (html(), FailureKind.INVALID)):
        rig.ollama.broken["/api/ps"] = behavior
        with pytest.raises(SourceError) as raised:
            rig.source.read(DESK)
        assert raised.value.kind is kind
    rig.ollama.broken.clear()
    assert rig.source.read(DESK) == good


def test_a_stalled_ps_is_a_timeout() -> None:
    ollama = TinyOllama(broken={"/api/ps": hang()})
    with serving(ollama) as server:
        client = OllamaClient(EngineAddress(server.url), timeout_seconds=0.2)
        with pytest.raises(SourceError) as raised:
            OllamaSource(client).read(DESK)
        client.close()
    assert raised.value.kind is FailureKind.TIMEOUT


def test_the_same_bytes_give_the_same_models_until_a_timer_runs_out(rig: Rig) -> None:
    first = rig.source.read(DESK)
    rig.time.step(299)
    second = rig.source.read(DESK)
    assert second.models is first.models
    rig.time.step(2)
    third = rig.source.read(DESK)
    assert third.models[0].keep_alive is not None
    assert third.models[0].keep_alive.state is KeepAliveState.STOPPING
    rig.time.step(-200)
    back = rig.source.read(DESK).models[0].keep_alive
    assert back is not None
    assert back.state is KeepAliveState.TIMED
    rig.ollama.loaded = []
    assert rig.source.read(DESK).models == ()


def test_a_clock_that_is_off_is_taken_out_and_does_not_wander(rig: Rig) -> None:
    rig.ollama.loaded = [ENTRY | {"expires_at": (START + timedelta(hours=1, minutes=5)).isoformat()}]
    rig.ollama.date = "Sat, 21 Nov 2026 10:00:00 GMT"
    sample = rig.source.read(DESK)
    assert sample.clock_skew_seconds == 3600.5
    keep_alive = sample.models[0].keep_alive
    assert keep_alive is not None
    assert keep_alive.remaining_seconds(START) == pytest.approx(299.5)
    rig.time.step(0.9)
    assert rig.source.read(DESK).models[0].keep_alive == keep_alive
    rig.ollama.date = "Sat, 21 Nov 2026 09:00:01 GMT"
    assert rig.source.read(DESK).clock_skew_seconds is None


def test_an_entry_left_out_is_a_problem_that_ends(rig: Rig) -> None:
    rig.ollama.loaded = [ENTRY, None, 5]
    sample = rig.source.read(DESK)
    assert len(sample.models) == 1
    assert "2 entries" in sample.problems[0].message
    assert sample.problems[0].source == rig.source.name
    assert rig.source.read(DESK).problems == sample.problems
    rig.ollama.loaded = [ENTRY, None]
    assert "1 entry " in rig.source.read(DESK).problems[0].message
    rig.ollama.loaded = [ENTRY]
    assert rig.source.read(DESK).problems == ()


def test_the_catalog_is_the_same_object_while_nothing_changes(rig: Rig) -> None:
    rig.ollama.installed = [{"name": "a"}, {"name": "b"}]
    first = rig.catalog.read(DESK)
    assert [model.name for model in first.installed] == ["a", "b"]
    assert rig.catalog.read(DESK) is first
    rig.ollama.broken["/api/tags"] = status(500)
    with pytest.raises(SourceError):
        rig.catalog.read(DESK)
    rig.ollama.broken.clear()
    assert rig.catalog.read(DESK) is first
    rig.ollama.installed = [{"name": "a"}, {}]
    changed = rig.catalog.read(DESK)
    assert [model.name for model in changed.installed] == ["a"]
    assert "1 entry" in changed.problems[0].message


def test_an_engine_that_comes_and_goes() -> None:
    steps = Steps()
    with serving(TinyOllama(loaded=[ENTRY])) as server:
        client = OllamaClient(EngineAddress(server.url), timeout_seconds=2)
        source = OllamaSource(client, steps.clock)
        assert source.read(DESK).models
    with pytest.raises(SourceError) as raised:
        source.read(DESK)
    assert raised.value.kind is FailureKind.UNREACHABLE
    source.close()


def test_a_remote_engine_is_not_local() -> None:
    client = OllamaClient(EngineAddress("http://192.0.2.1:11434"))
    assert not client.local


def test_a_500_without_a_word_is_asked_again_once(rig: Rig) -> None:
    """What 0.5.4 answers while a model is being unloaded: its handler panics over the vanished runner."""
    silent = raw_body(b"", code=500)
    rig.ollama.broken["/api/ps"] = in_turn(silent, json_body({"models": [ENTRY]}))
    assert [model.name for model in rig.source.read(DESK).models] == ["qwen3:14b"]
    rig.ollama.broken["/api/ps"] = silent
    before = rig.asked("/api/ps")
    with pytest.raises(SourceError, match="answered 500"):
        rig.source.read(DESK)
    assert rig.asked("/api/ps") == before + 2, "once more and not for ever"


def test_a_500_with_words_is_believed_at_once(rig: Rig) -> None:
    rig.ollama.broken["/api/ps"] = status(500, "out of luck")
    with pytest.raises(SourceError, match="out of luck"):
        rig.source.read(DESK)
    assert rig.asked("/api/ps") == 1
