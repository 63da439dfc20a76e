"""What is said of a load where no card can be seen: who may have to go, and what the headers tell all the same."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from gpudesk.acting.forecast import ActionForecaster
from gpudesk.actions import previews
from gpudesk.actions.values import Danger, Load, StepKind
from gpudesk.domain.desk import Desk, LoadedModel
from gpudesk.domain.engine import Engine
from gpudesk.domain.host import Host
from gpudesk.domain.keep_alive import KeepAlive, KeepAliveState
from gpudesk.domain.model import InstalledModel, ModelDetails
from gpudesk.records import replace
from gpudesk.sources.model_metadata import FoundModel
from tests.acting.test_forecast import CHAT, CODER, EMBED, GIB, NAMES, Headers, blob_of, installed, over
from tests.acting.test_forecast import desk as desk_with_card
from tests.acting.test_forecast import loaded as on_card
from tests.desks import FOREVER, LOCAL, NOW, REMOTE, timed

SMALL, MIDDLE = "qwen3:8b", "gemma3:12b"
LIMIT = "at most {} models stay loaded, unless Ollama was told otherwise"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLLAMA_MAX_LOADED_MODELS", raising=False)


@pytest.fixture
def headers() -> Headers:
    return Headers()


@pytest.fixture
def forecaster(headers: Headers) -> ActionForecaster:
    forecaster = over(headers)
    assert forecaster.prepare(desk(), [Load(LOCAL, name) for name in NAMES], 20)
    return forecaster


def loaded(name: str, vram: float = 0.0, keep_alive: KeepAlive | None = None, url: str = LOCAL) -> LoadedModel:
    """A model of which only its engine tells."""
    model = on_card(name, 5.0, keep_alive, url)
    return replace(model, cards=(), memory_bytes=None, reported_vram_bytes=int(vram * GIB), local=url == LOCAL)


def desk(*models: LoadedModel, version: str = "0.33.0", pins: Sequence[str] = (), **changes: object) -> Desk:
    engines = (Engine(LOCAL, version=version, reachable=True),)
    return desk_with_card(*models, pins=pins, **{"cards": (), "engines": engines, **changes})  # type: ignore[arg-type]


def test_who_may_go_is_named_in_the_engine_s_order_and_asked_about(forecaster: ActionForecaster) -> None:
    before = desk(loaded(CHAT, 9, FOREVER), loaded(CODER, 1, timed(1500)), loaded(EMBED, 0.5, timed(2500)))
    preview = previews.load(before, Load(LOCAL, SMALL), forecaster)
    assert preview.loses == (f"memory unknown: Ollama may evict {CODER} (idle, leaves first)",)
    assert preview.danger is Danger.REVERSIBLE
    assert preview.may_evict == (CODER,)
    assert [(step.kind, step.load.name) for step in preview.steps] == [(StepKind.LOAD, SMALL)]
    assert preview.verdict is None


def test_a_pin_is_never_put_at_risk_unasked(forecaster: ActionForecaster) -> None:
    alone = previews.load(desk(loaded(CHAT, 9, FOREVER), pins=[CHAT]), Load(LOCAL, SMALL), forecaster)
    assert alone.loses == (f"memory unknown: Ollama may evict {CHAT} (pinned, idle, leaves first)",)
    answering = KeepAlive(KeepAliveState.STOPPING, NOW - timedelta(seconds=1))
    before = desk(loaded(CHAT, 9, FOREVER), loaded(CODER, 1, answering), pins=[CHAT])
    assert forecaster.forecast(before, [Load(LOCAL, SMALL)]).may_evict == (CHAT,), "idle, though it is kept forever"
    busy = previews.load(desk(loaded(CODER, 1, answering)), Load(LOCAL, SMALL), forecaster)
    assert busy.loses == (f"memory unknown: Ollama may evict {CODER} (answering now, leaves first)",)


def test_nothing_is_asked_where_nothing_can_go(forecaster: ActionForecaster) -> None:
    assert previews.load(desk(), Load(LOCAL, SMALL), forecaster).loses == ()
    other = desk(loaded(CHAT, 9, url=REMOTE), engines=(Engine(LOCAL, reachable=True), Engine(REMOTE, reachable=True)))
    assert previews.load(other, Load(LOCAL, SMALL), forecaster).loses == (), "another engine's models"
    on_processors = desk(loaded(CHAT), loaded(CODER))
    assert previews.load(on_processors, Load(LOCAL, SMALL), forecaster).loses == (), "no memory of a card is at stake"


def test_the_number_of_models_counts_on_processors_too(
    forecaster: ActionForecaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    three = desk(loaded(CHAT, 0, FOREVER), loaded(CODER), loaded(EMBED, 0, timed(3000)))
    preview = previews.load(three, Load(LOCAL, SMALL), forecaster)
    assert preview.loses == (f"{LIMIT.format(3)}: Ollama may evict {CODER} (idle, leaves first)",)
    assert previews.swap(three, [three.models[0]], Load(LOCAL, SMALL), forecaster).loses == ()
    # One that is loaded already comes to nothing more.
    assert previews.load(three, Load(LOCAL, CODER, 8192), forecaster).loses == ()
    monkeypatch.setenv("OLLAMA_MAX_LOADED_MODELS", "2")
    two = previews.load(desk(loaded(CHAT), loaded(CODER)), Load(LOCAL, SMALL), forecaster)
    assert two.loses[0].startswith(LIMIT.format(2))
    set_of_two = forecaster.forecast(desk(loaded(CHAT), loaded(CODER)), [Load(LOCAL, SMALL), Load(LOCAL, MIDDLE)])
    assert len(set_of_two.may_evict) == 2


def test_what_is_set_here_says_nothing_of_another_computer(
    forecaster: ActionForecaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_MAX_LOADED_MODELS", "1")
    far = (Engine(REMOTE, version="0.33.0", local=False, reachable=True),)
    known = (installed(CHAT, REMOTE), installed(SMALL, REMOTE))
    before = desk(loaded(CHAT, 0, url=REMOTE), engines=far, installed=known)
    assert previews.load(before, Load(REMOTE, SMALL), forecaster).loses == ()
    with_card = desk(loaded(CHAT, 9, url=REMOTE), engines=far, installed=known)
    (lost,) = previews.load(with_card, Load(REMOTE, SMALL), forecaster).loses
    assert lost == f"memory unknown: Ollama may evict {CHAT} (idle, leaves first)"


def test_a_swap_for_something_smaller_puts_nobody_at_risk(forecaster: ActionForecaster) -> None:
    def swapped(freed: float) -> tuple[str, ...]:
        before = desk(loaded(CHAT, freed), loaded(CODER, 1))
        return previews.swap(before, [before.models[0]], Load(LOCAL, SMALL), forecaster).loses

    assert swapped(12) == (), "8 GiB of weights take no more than has gone"
    assert swapped(9) == (f"memory unknown: Ollama may evict {CODER} (idle, leaves first)",)


@pytest.mark.parametrize(("version", "asks"), [("0.5.4", True), ("0.24.0", True), ("0.33.0", False)])
def test_older_engines_count_the_memory_of_the_host(forecaster: ActionForecaster, version: str, asks: bool) -> None:
    little = desk(loaded(CHAT), version=version, host=Host(memory_available_bytes=6 * GIB))
    assert bool(previews.load(little, Load(LOCAL, SMALL), forecaster).loses) is asks
    much = desk(loaded(CHAT), version=version, host=Host(memory_available_bytes=60 * GIB))
    assert previews.load(much, Load(LOCAL, SMALL), forecaster).loses == ()


def test_two_names_of_one_file_are_seen_before_anything_is_asked(headers: Headers) -> None:
    headers.twins["twin:latest"] = CHAT
    forecaster = over(headers)
    known = (installed(CHAT), installed("twin:latest"))
    before = desk(loaded(CHAT, 9, FOREVER), loaded(CODER, 1), pins=[CHAT], installed=known)
    assert forecaster.prepare(before, [Load(LOCAL, "twin:latest")], 20)
    preview = previews.swap(before, [before.models[0]], Load(LOCAL, "twin:latest"), forecaster)
    assert (preview.steps, preview.loses) == ((), ())
    assert any("one runner serves both" in note for note in preview.notes)
    # Where its process is not found, the engine has told what file the loaded one is.
    details = (ModelDetails(installed(CHAT).digest or "", (blob_of(CHAT),)),)
    unseen = replace(before, models=(replace(before.models[0], runner=None),), details=details)
    assert previews.swap(unseen, [unseen.models[0]], Load(LOCAL, "twin:latest"), forecaster).steps == ()


class Wide(Headers):
    """Headers of models that have a context of 1024 baked in, but for the first one."""

    def find_all(self, models: Sequence[InstalledModel]) -> tuple[tuple[FoundModel, ...], tuple[str, ...]]:
        found, failed = super().find_all(models)
        return tuple(
            each if each.name == CHAT else replace(each, parameters={"num_ctx": 1024}) for each in found
        ), failed


def test_a_name_with_another_context_baked_in_is_a_reload_of_the_same_runner() -> None:
    headers = Wide()
    headers.twins["wide:latest"] = CHAT
    forecaster = over(headers)
    before = desk(loaded(CHAT, 9), installed=(installed(CHAT), installed("wide:latest")))
    assert forecaster.prepare(before, [Load(LOCAL, "wide:latest")], 20)
    (step,) = previews.swap(before, [before.models[0]], Load(LOCAL, "wide:latest"), forecaster).steps
    assert (step.kind, step.load.name, step.load.context_length) == (StepKind.LOAD, "wide:latest", 1024)
