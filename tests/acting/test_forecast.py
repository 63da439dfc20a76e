"""What loading comes to, over the real formulas."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, cast

import pytest

from gpudesk.acting.forecast import ActionForecaster
from gpudesk.actions import previews
from gpudesk.actions.values import Load, StepKind
from gpudesk.config.settings import Settings
from gpudesk.domain.card import Card
from gpudesk.domain.desk import CardShare, CardState, Desk, LoadedModel
from gpudesk.domain.engine import Engine
from gpudesk.domain.keep_alive import KeepAlive
from gpudesk.domain.model import InstalledModel
from gpudesk.domain.pin import Pin, PinState, PinWish
from gpudesk.domain.process import Process, Runner, RunnerKind
from gpudesk.domain.working_set import SetModel, WorkingSet
from gpudesk.errors import FailureKind, SourceError
from gpudesk.planning.desk_planner import DeskPlanner
from gpudesk.records import replace
from gpudesk.sources.model_metadata import FoundModel
from tests.desks import FOREVER, LOCAL, NOW, REMOTE, timed
from tests.fit.models import metadata_of, simulated

if TYPE_CHECKING:
    from gpudesk.sources.model_metadata import ModelMetadataSource

GIB = 1 << 30
CHAT, CODER, EMBED, BIG = "qwen3:14b", "qwen2.5-coder:1.5b", "nomic-embed-text:latest", "llama3.3:70b"
NAMES = (CHAT, CODER, EMBED, BIG, "qwen3:8b", "gemma3:12b")
OTHER_URL = "http://127.0.0.1:11500"


class Headers:
    """Tells headers of simulated models, when it may."""

    def __init__(self) -> None:
        self.may_read = threading.Event()
        self.may_read.set()
        self.asked: list[str] = []
        self.broken: dict[str, str] = {}
        self.failure: Exception | None = None
        self.twins: dict[str, str] = {}

    def find_all(self, models: Sequence[InstalledModel]) -> tuple[tuple[FoundModel, ...], tuple[str, ...]]:
        self.asked += [model.name for model in models]
        assert self.may_read.wait(20)
        if self.failure is not None:
            raise self.failure
        found = [
            FoundModel(model.name, metadata_of(simulated(self.twins.get(model.name, model.name))), model.digest,
                       blob_of(self.twins.get(model.name, model.name)))
            for model in models if model.name not in self.broken
        ]  # fmt: skip
        return tuple(found), tuple(
            f"{model.name}: {self.broken[model.name]}" for model in models if model.name in self.broken
        )

    def close(self) -> None:
        """Nothing is open."""


def blob_of(name: str) -> str:
    return name.encode().hex()[::-1].ljust(64, "0")


def installed(name: str, url: str = LOCAL) -> InstalledModel:
    return InstalledModel(name, url, digest=name.encode().hex().ljust(64, "0"), size_bytes=8 * GIB)


def loaded(name: str, gibibytes: float, keep_alive: KeepAlive | None = None, url: str = LOCAL) -> LoadedModel:
    size = int(gibibytes * GIB)
    return LoadedModel(
        name, url, digest=installed(name).digest, memory_bytes=size, reported_vram_bytes=size,
        cards=(CardShare(0, size),), context_length=4096, keep_alive=keep_alive or timed(300),
        runner=Runner(RunnerKind.LLAMA_SERVER, blob_of(name)),
    )  # fmt: skip


def desk(*models: LoadedModel, total: float = 24.0, pins: Sequence[str] = (), **changes: object) -> Desk:
    free = int((total - 0.5) * GIB) - sum(model.memory_bytes or 0 for model in models)
    card = Card(0, name="NVIDIA GeForce RTX 4090", memory_total_bytes=int(total * GIB))
    values: dict[str, object] = {
        "cards": (CardState(card, (), free),),
        "models": tuple(replace(each, pin=Pin.HELD) if each.name in pins else each for each in models),
        "installed": tuple(installed(name) for name in NAMES),
        "engines": (Engine(LOCAL, version="0.33.0", reachable=True),),
        "pins": tuple(PinState(PinWish(LOCAL, name)) for name in pins),
    }
    return Desk(NOW, **{**values, **changes})  # type: ignore[arg-type]


def over(headers: Headers) -> ActionForecaster:
    """A forecaster that reads these headers and nothing else."""
    return ActionForecaster(
        DeskPlanner(replace(Settings(), reserve_bytes=0), lambda: cast("ModelMetadataSource", headers))
    )


@pytest.fixture
def headers() -> Headers:
    return Headers()


@pytest.fixture
def forecaster(headers: Headers) -> ActionForecaster:
    forecaster = over(headers)
    assert forecaster.prepare(desk(), [Load(LOCAL, name) for name in NAMES], 20)
    return forecaster


def test_what_has_room(forecaster: ActionForecaster) -> None:
    forecast = forecaster.forecast(desk(), [Load(LOCAL, CHAT, 8192)])
    assert forecast.verdict == "fits"
    assert forecast.needs_bytes is not None
    assert 9 * GIB < forecast.needs_bytes < 12 * GIB
    assert forecast.by_model == ((CHAT, forecast.needs_bytes),)
    assert forecast.available_bytes == int(23.5 * GIB)
    assert forecast.context_length == 8192
    assert forecast.would_evict == ()
    assert not forecast.short_bytes
    assert forecast.expected_seconds is not None


def test_what_spills_tells_the_whole_need_and_what_is_missing(forecaster: ActionForecaster) -> None:
    forecast = forecaster.forecast(desk(), [Load(LOCAL, BIG, 8192)])
    assert forecast.verdict == "spills"
    assert forecast.needs_bytes is not None
    assert 40 * GIB < forecast.needs_bytes < 48 * GIB
    assert forecast.short_bytes == forecast.needs_bytes - int(23.5 * GIB)


def test_what_stays_partly_on_the_cpu_tells_its_share(forecaster: ActionForecaster) -> None:
    forecast = forecaster.forecast(desk(), [Load(LOCAL, BIG, 8192)])
    ((name, ratio),) = forecast.cpu_ratios
    assert name == BIG
    assert 0.4 < ratio < 0.6
    assert forecaster.forecast(desk(), [Load(LOCAL, CHAT, 8192)]).cpu_ratios == ()
    # There is room for it all, but not for the margin that llama-server leaves free.
    refused = previews.swap(desk(total=10.7), (), Load(LOCAL, CHAT, 8192), forecaster).refusal
    assert refused is not None
    assert refused.message == f"{CHAT} would stay 7 % on the CPU"


def test_one_model_too_many_says_by_which_rule(forecaster: ActionForecaster) -> None:
    models = tuple(SetModel(name, 4096) for name in (CHAT, CODER, EMBED, "qwen3:8b"))
    refused = previews.apply(desk(total=80), WorkingSet("four", models), forecaster).refusal
    assert refused is not None
    assert refused.message == (
        f"four does not fit: qwen3:8b would make the engine unload {CHAT}: it keeps at most 3 models loaded"
    )
    assert refused.hint == "Choose fewer of them; OLLAMA_MAX_LOADED_MODELS of the engine says how many it keeps"


def test_what_leaves_makes_room(forecaster: ActionForecaster) -> None:
    before = desk(loaded("gemma3:12b", 14), loaded(EMBED, 1))
    here = forecaster.forecast(before, [Load(LOCAL, CHAT, 8192)])
    assert "gemma3:12b" in here.would_evict
    gone = forecaster.forecast(before, [Load(LOCAL, CHAT, 8192)], ["gemma3:12b"])
    assert gone.would_evict == ()
    assert gone.verdict == "fits"
    assert (gone.available_bytes or 0) - (here.available_bytes or 0) == 14 * GIB


def test_an_engine_does_not_evict_what_another_one_holds(forecaster: ActionForecaster) -> None:
    engines = (Engine(LOCAL, version="0.33.0", reachable=True), Engine(OTHER_URL, version="0.33.0", reachable=True))
    before = desk(loaded("gemma3:12b", 14, url=OTHER_URL), engines=engines)
    forecast = forecaster.forecast(before, [Load(LOCAL, CHAT, 8192)])
    assert forecast.would_evict == ()
    assert forecast.verdict == "spills"
    assert forecaster.forecast(before, [Load(LOCAL, CHAT, 8192)], ["gemma3:12b"]).verdict == "fits"


def test_a_model_that_is_loaded_anew_is_counted_once(forecaster: ActionForecaster) -> None:
    before = desk(loaded(CHAT, 10), total=14)
    forecast = forecaster.forecast(before, [Load(LOCAL, CHAT, 8192)])
    assert forecast.verdict in ("fits", "tight")
    assert forecast.available_bytes == int(13.5 * GIB)
    assert forecast.same_weights == ()


def test_another_name_of_the_same_weights_is_seen(headers: Headers) -> None:
    headers.twins["twin:latest"] = CHAT
    forecaster = over(headers)
    before = desk(loaded(CHAT, 10, FOREVER), pins=[CHAT], installed=(installed(CHAT), installed("twin:latest")))
    wish = Load(LOCAL, "twin:latest", 16384)
    assert forecaster.prepare(before, [wish], 20)
    assert forecaster.forecast(before, [wish]).same_weights == (("twin:latest", CHAT),)
    preview = previews.load(before, wish, forecaster)
    assert any("pinned" in text for text in preview.loses)


def test_a_header_that_is_not_known_yet_is_waited_for_briefly_and_once(headers: Headers) -> None:
    forecaster = over(headers)
    headers.may_read.clear()
    first = forecaster.forecast(desk(), [Load(LOCAL, CHAT)])
    assert first.verdict is None
    assert first.notes == (f"{CHAT}: its header is being read",)
    assert not forecaster.prepare(desk(), [Load(LOCAL, CHAT)], 0.01)
    assert forecaster.forecast(desk(), [Load(LOCAL, CHAT)]).verdict is None
    headers.may_read.set()
    assert forecaster.prepare(desk(), [Load(LOCAL, CHAT)], 20)
    assert forecaster.forecast(desk(), [Load(LOCAL, CHAT)]).verdict == "fits"
    assert headers.asked == [CHAT]


def test_a_header_that_cannot_be_had_is_said_and_not_asked_for_at_every_key_press(headers: Headers) -> None:
    headers.broken[CHAT] = "no header"
    forecaster = over(headers)
    assert forecaster.prepare(desk(), [Load(LOCAL, CHAT)], 20)
    for _ in range(3):
        assert forecaster.forecast(desk(), [Load(LOCAL, CHAT)]).notes == (f"{CHAT}: no header",)
    assert headers.asked == [CHAT]


@pytest.mark.parametrize(
    ("failure", "told"),
    [(SourceError(FailureKind.TIMEOUT, "no answer"), f"{CHAT}: no answer"),
     (ValueError("odd"), f"{CHAT}: its header cannot be read: ValueError: odd")],
)  # fmt: skip
def test_a_reader_that_fails_says_why_and_reads_on(headers: Headers, failure: Exception, told: str) -> None:
    forecaster = over(headers)
    headers.failure = failure
    assert forecaster.prepare(desk(), [Load(LOCAL, CHAT)], 20)
    assert forecaster.forecast(desk(), [Load(LOCAL, CHAT)]).notes == (told,)
    headers.failure = None
    assert forecaster.prepare(desk(), [Load(LOCAL, CODER)], 20)
    assert forecaster.forecast(desk(), [Load(LOCAL, CODER)]).verdict == "fits"


def test_the_number_of_models_counts_without_a_header(headers: Headers) -> None:
    headers.broken[BIG] = "no header"
    forecaster = over(headers)
    forecaster.prepare(desk(), [Load(LOCAL, BIG)], 20)
    three = desk(loaded(CHAT, 1, FOREVER), loaded(CODER, 1), loaded(EMBED, 1, FOREVER))
    assert forecaster.forecast(three, [Load(LOCAL, BIG)]).would_evict == (CODER,)
    assert forecaster.forecast(three, [Load(LOCAL, BIG)]).evicts_because == "it keeps at most 3 models loaded"
    assert forecaster.forecast(three, [Load(LOCAL, BIG)], [EMBED]).would_evict == ()
    (reason,) = [note for note in previews.load(three, Load(LOCAL, BIG), forecaster).notes if "at most" in note]
    assert reason == f"Ollama would make {CODER} go: it keeps at most 3 models loaded"


def test_what_cannot_be_told(forecaster: ActionForecaster) -> None:
    nothing = forecaster.forecast(desk(cards=()), [Load(LOCAL, CHAT)])
    assert nothing.verdict is None
    assert nothing.notes
    far = desk(engines=(Engine(REMOTE, local=False, reachable=True),), installed=(installed(CHAT, REMOTE),))
    assert "another computer" in forecaster.forecast(far, [Load(REMOTE, CHAT)]).notes[0]
    assert "is not installed" in forecaster.forecast(desk(), [Load(LOCAL, "nobody:1b")]).notes[0]
    assert forecaster.forecast(desk(), []).verdict is None


def test_previews_over_the_real_formulas(forecaster: ActionForecaster) -> None:
    before = desk(loaded(CHAT, 10, FOREVER), loaded("gemma3:12b", 10, timed(60)), pins=[CHAT])
    preview = previews.load(before, Load(LOCAL, "qwen3:8b", 8192), forecaster)
    assert [(step.kind, step.load.name) for step in preview.steps] == [
        (StepKind.UNLOAD, "gemma3:12b"), (StepKind.LOAD, "qwen3:8b"),
    ]  # fmt: skip
    assert preview.verdict == "fits"
    refusal = previews.load(before, Load(LOCAL, BIG, 8192), forecaster).refusal
    assert refusal is not None
    assert CHAT in refusal.message


THREE = (loaded(CHAT, 1, FOREVER), loaded(CODER, 1), loaded(EMBED, 1, FOREVER))
GO = f"there is memory enough, but Ollama would make {CODER} go:"


@pytest.mark.parametrize(
    ("models", "version", "wish", "reason"),
    [
        (THREE, "0.33.0", Load(LOCAL, "qwen3:8b", 4096), f"{GO} it keeps at most 3 models loaded"),
        ((loaded(CODER, 12),), "0.33.0", Load(LOCAL, CHAT, 8192),
         f"{GO} it predicts 9.6 GiB for it and allows itself 80 % of the 11.5 GiB it believes to be free"),
        ((loaded(CODER, 12.5),), "0.9.6", Load(LOCAL, "gemma3:12b", 4096),
         f"{GO} by its own estimate it has no room in the 11.0 GiB it believes to be free"),
        ((loaded(CODER, 18),), "0.33.0", Load(LOCAL, CHAT, 8192), f"{CHAT} takes 9.9 GiB, and 5.5 GiB is free"),
    ],
    ids=["number", "share", "estimate", "memory"],
)  # fmt: skip
def test_why_somebody_has_to_go_is_said_in_one_line(
    forecaster: ActionForecaster, models: tuple[LoadedModel, ...], version: str, wish: Load, reason: str
) -> None:
    before = desk(*models, engines=(Engine(LOCAL, version=version, reachable=True),))
    preview = previews.load(before, wish, forecaster)
    assert [step.load.name for step in preview.steps] == [CODER, wish.name]
    assert preview.notes[0] == reason


def test_an_engine_does_not_see_what_models_loaded_before_give_back(forecaster: ActionForecaster) -> None:
    """llama-server's engine counts from what was free when its newest model was loaded (llm/llama_server.go:2600)."""
    first, second = replace(loaded("gemma3:12b", 12), pids=(11,)), replace(loaded(EMBED, 1), pids=(12,))
    wish = Load(LOCAL, CHAT, 8192)

    def started(*order: int) -> tuple[Process, ...]:
        return tuple(Process(pid, "x", started_at=NOW + timedelta(seconds=at)) for at, pid in enumerate(order))

    newest_stays = desk(first, second, processes=started(11, 12))
    assert forecaster.forecast(newest_stays, [wish], ["gemma3:12b"]).would_evict == (EMBED,)
    newest_goes = desk(first, second, processes=started(12, 11))
    assert forecaster.forecast(newest_goes, [wish], ["gemma3:12b"]).would_evict == ()
    # Where the order is not known, the engine is taken to see everything.
    assert forecaster.forecast(desk(first, second), [wish], ["gemma3:12b"]).would_evict == ()


def test_two_names_of_one_file_wanted_together_are_seen(headers: Headers) -> None:
    headers.twins["twin:latest"] = CHAT
    forecaster = over(headers)
    before = desk(installed=(installed(CHAT), installed("twin:latest")))
    loads = [Load(LOCAL, CHAT), Load(LOCAL, "twin:latest")]
    assert forecaster.prepare(before, loads, 20)
    assert forecaster.forecast(before, loads).same_weights == (("twin:latest", CHAT),)


def test_a_model_that_is_on_no_card_yet_counts_and_can_be_freed(forecaster: ActionForecaster) -> None:
    before = desk(replace(loaded("gemma3:12b", 14), cards=()))
    here = forecaster.forecast(before, [Load(LOCAL, CHAT, 8192)])
    gone = forecaster.forecast(before, [Load(LOCAL, CHAT, 8192)], ["gemma3:12b"])
    assert here.would_evict == ("gemma3:12b",)
    assert gone.would_evict == ()
    assert (gone.available_bytes or 0) - (here.available_bytes or 0) == 14 * GIB
