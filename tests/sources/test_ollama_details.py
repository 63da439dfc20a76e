from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gpudesk.config.settings import EngineAddress
from gpudesk.domain.desk import Desk
from gpudesk.sources.ollama import OllamaDetailsSource
from gpudesk.sources.ollama_cache import DetailsCache
from gpudesk.sources.ollama_client import OllamaClient
from tests.servers import Server, hang, html, reset, serving
from tests.sources.ollama_rig import START, Steps, TinyOllama, desk_of, digest_of, show_of

EMPTY = Desk(START)


class Rig:
    """One engine, its details source and a desk."""

    def __init__(self, server: Server, ollama: TinyOllama, cache: Path) -> None:
        self.server, self.ollama, self.cache, self.time = server, ollama, cache, Steps()
        self.client = OllamaClient(EngineAddress(server.url), timeout_seconds=5)
        self.source = self.anew()

    def anew(self, cache: Path | None = None) -> OllamaDetailsSource:
        return OllamaDetailsSource(self.client, self.time.clock, cache_directory=cache or self.cache)

    def desk(self, loaded: tuple[str, ...] = (), installed: tuple[str, ...] = ()) -> Desk:
        return desk_of(self.server.url, loaded, installed)

    @property
    def asked(self) -> list[str]:
        return [request.json["model"] for request in self.server.requests if request.path == "/api/show"]

    def known(self, desk: Desk) -> list[str]:
        return [details.digest for details in self.source.read(desk).details]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    ollama = TinyOllama()
    with serving(ollama) as server:
        made = Rig(server, ollama, tmp_path)
        yield made
        made.client.close()


def test_one_model_per_pass_loaded_first_each_once(rig: Rig) -> None:
    desk = rig.desk(loaded=("b",), installed=("a", "b", "c"))
    for _ in range(5):
        sample = rig.source.read(desk)
    assert rig.asked == ["b", "a", "c"]
    assert [details.digest for details in sample.details] == [digest_of(name) for name in ("b", "a", "c")]
    assert sample.details[0].blob_digests == (digest_of("weights of b"),)
    assert sample.url == rig.server.url
    assert sample.problems == ()
    assert rig.server.requests[0].json == {"model": "b", "verbose": True}
    assert rig.source.read(desk) is sample, "the same object while nothing is new"


def test_a_model_loaded_meanwhile_jumps_the_queue(rig: Rig) -> None:
    rig.source.read(rig.desk(installed=("a", "b", "c")))
    assert rig.source.interval_seconds == 3
    rig.source.read(rig.desk(loaded=("c", "d"), installed=("a", "b", "c")))
    assert rig.source.interval_seconds == 0.1, "another loaded model waits"
    rig.source.read(rig.desk(loaded=("c", "d"), installed=("a", "b", "c")))
    assert rig.asked == ["a", "c", "d"]
    assert rig.source.interval_seconds == 3


def test_two_names_of_one_digest_are_asked_once(rig: Rig) -> None:
    desk = rig.desk(installed=("a",))
    desk = replace(desk, installed=(*desk.installed, replace(desk.installed[0], name="alias")))
    for _ in range(3):
        rig.source.read(desk)
    assert rig.asked == ["a"]


def test_what_other_engines_clouds_or_nobody_has_is_not_asked(rig: Rig) -> None:
    desk = rig.desk(loaded=("a", "b"), installed=("c", "d", "e"))
    desk = replace(
        desk,
        models=(replace(desk.models[0], engine_url="http://elsewhere:1"), replace(desk.models[1], digest=None)),
        installed=(
            replace(desk.installed[0], engine_url="http://elsewhere:1"),
            replace(desk.installed[1], digest=None),
            replace(desk.installed[2], remote_host="https://ollama.com:443"),
        ),
    )
    assert rig.known(desk) == []
    assert rig.known(EMPTY) == []
    assert rig.asked == []


def test_a_second_start_asks_nothing_and_knows_at_once(rig: Rig) -> None:
    desk = rig.desk(loaded=("a",), installed=("a", "b"))
    for _ in range(2):
        sample = rig.source.read(desk)
    rig.source = rig.anew()
    assert sorted(rig.known(EMPTY)) == [digest_of("a"), digest_of("b")], "before any engine has answered"
    assert rig.source.read(desk).details == sample.details
    assert rig.asked == ["a", "b"]
    metadata = DetailsCache(rig.cache).metadata(digest_of("a"))
    assert metadata is not None
    assert metadata["model_info"]["qwen3.attention.head_count_kv"] == [8] * 40
    assert metadata["model_info"]["tokenizer.ggml.tokens"] == {"length": 3}


def test_a_broken_cache_is_asked_anew_and_mended(rig: Rig) -> None:
    desk = rig.desk(loaded=("a",))
    rig.source.read(desk)
    (rig.cache / "details" / f"{digest_of('a')}.json").write_bytes(b"\x00broken")
    rig.source = rig.anew()
    assert rig.known(EMPTY) == []
    assert rig.known(desk) == [digest_of("a")]
    assert rig.asked == ["a", "a"]
    assert DetailsCache(rig.cache).details(digest_of("a")) is not None


def test_without_a_writable_cache_everything_works_and_is_told(rig: Rig) -> None:
    (rig.cache / "file").write_text("")
    rig.source = rig.anew(rig.cache / "file")
    desk = rig.desk(loaded=("a", "b"))
    rig.source.read(desk)
    sample = rig.source.read(desk)
    assert len(sample.details) == 2
    assert len(sample.problems) == 1
    assert str(rig.cache / "file") in sample.problems[0].message


def test_a_failing_model_waits_longer_each_time_and_never_holds_up_the_rest(rig: Rig) -> None:
    rig.ollama.show = lambda name: 500 if name == "bad" else show_of(name)
    desk = rig.desk(loaded=("bad",), installed=("a", "b"))
    for _ in range(4):
        sample = rig.source.read(desk)
    assert rig.asked == ["bad", "a", "b"]
    assert "bad" in sample.problems[0].message
    assert "500" in sample.problems[0].message
    for pause in (30, 60, 120):
        rig.time.step(pause - 1)
        rig.source.read(desk)
        before = rig.asked.count("bad")
        rig.time.step(1.1)
        rig.source.read(desk)
        assert rig.asked.count("bad") == before + 1
    rig.time.step(7200)
    rig.ollama.show = show_of
    sample = rig.source.read(desk)
    assert digest_of("bad") in [details.digest for details in sample.details]
    assert sample.problems == ()


def test_the_failure_of_a_model_that_is_not_loaded_is_not_news(rig: Rig) -> None:
    rig.ollama.show = lambda _: 404
    sample = rig.source.read(rig.desk(installed=("a",)))
    assert sample.problems == ()
    assert rig.source.read(rig.desk(loaded=("a",), installed=("a",))).problems


def test_a_failure_is_forgotten_with_its_model(rig: Rig) -> None:
    rig.ollama.show = lambda _: 500
    rig.source.read(rig.desk(loaded=("a",)))
    assert rig.source.read(rig.desk(loaded=())).problems == ()
    rig.ollama.show = show_of
    assert rig.known(rig.desk(loaded=("a",))) == [digest_of("a")], "a new load is a new try"


@pytest.mark.parametrize("behavior", [html(), reset()])
def test_an_odd_answer_never_raises(rig: Rig, behavior: object) -> None:
    rig.ollama.broken["/api/show"] = behavior  # type: ignore[assignment]
    sample = rig.source.read(rig.desk(loaded=("a",)))
    assert sample.details == ()


def test_an_engine_that_is_gone_is_left_alone_for_a_while_and_no_model_is_blamed(tmp_path: Path) -> None:
    time, ollama = Steps(), TinyOllama()
    with serving(ollama) as server:
        url = server.url
        client = OllamaClient(EngineAddress(url), timeout_seconds=2)
        source = OllamaDetailsSource(client, time.clock, cache_directory=tmp_path)
        desk = desk_of(url, loaded=("a", "b"))
        source.read(desk)
    calls: list[str] = []
    original = client.post

    def counted(path: str, body: bytes, **bounds: object) -> object:
        calls.append(path)
        return original(path, body, **bounds)  # type: ignore[arg-type]

    client.post = counted  # type: ignore[method-assign,assignment]
    for _ in range(4):
        sample = source.read(desk)
        time.step(1)
    assert len(calls) == 1
    assert [details.digest for details in sample.details] == [digest_of("a")]
    assert sample.problems == ()
    time.step(5)
    source.read(desk)
    assert len(calls) == 2
    source.close()


def test_a_show_that_hangs_ends(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpudesk.sources.ollama_details.SHOW_SECONDS", 0.2)
    rig.ollama.broken["/api/show"] = hang()
    sample = rig.source.read(rig.desk(loaded=("a",)))
    assert "did not answer" in sample.problems[0].message


def test_a_thousand_installed_models_are_bounded(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpudesk.sources.ollama_details.MODELS_WANTED", 3)
    desk = rig.desk(installed=tuple(f"m{number}" for number in range(1000)))
    for _ in range(6):
        rig.source.read(desk)
    assert rig.asked == ["m0", "m1", "m2"], "the newest, in the engine's order"
