"""What previews say beside what happens: a simulated server whose scheduler knows nothing of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gpudesk.acting.forecast import ActionForecaster
from gpudesk.actions import previews
from gpudesk.actions.lookup import find_loaded
from gpudesk.actions.values import Ending, Load, Preview, StepKind
from gpudesk.cancellation import Cancellation
from gpudesk.config.settings import EngineAddress, Settings
from gpudesk.domain.desk import Desk
from gpudesk.domain.pin import PinWish
from gpudesk.domain.working_set import SetModel, WorkingSet
from gpudesk.planning.desk_planner import DeskPlanner
from gpudesk.records import replace
from gpudesk.sources.model_metadata import ModelMetadataSource
from gpudesk.sources.ollama_client import OllamaClient
from tests.actions.rig import Rig, until

CHAT, CODER, EMBED = "qwen3:14b", "qwen2.5-coder:1.5b", "nomic-embed-text:latest"
GIB = 1 << 30

pytestmark = pytest.mark.slow


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    for name in ("OLLAMA_MAX_LOADED_MODELS", "OLLAMA_CONTEXT_LENGTH", "OLLAMA_NUM_PARALLEL", "OLLAMA_KV_CACHE_TYPE"):
        monkeypatch.delenv(name, raising=False)
    with Rig((CHAT, 8192, -1), (CODER, 4096, 1800), (EMBED, 2048, 300), scale=60.0) as rig:
        rig.pins.put(PinWish(rig.url, CHAT))
        yield rig


@pytest.fixture
def forecaster(rig: Rig) -> Iterator[ActionForecaster]:
    source = ModelMetadataSource([OllamaClient(EngineAddress(rig.url))])
    yield ActionForecaster(DeskPlanner(replace(Settings(), reserve_bytes=0), lambda: source))
    source.close()


def look(rig: Rig) -> Desk:
    assert until(lambda: rig.poller.desk.pins or not rig.pins.read())
    return rig.look()


def carried_out(rig: Rig, preview: Preview) -> None:
    """Run it, and see that exactly what was said has gone and come."""
    before = set(rig.loaded())
    outcome = rig.run(preview)
    assert outcome.ending is Ending.DONE, outcome.message
    gone = {step.load.name for step in preview.steps if step.kind is StepKind.UNLOAD}
    come = {step.load.name for step in preview.steps if step.kind is StepKind.LOAD}
    assert set(rig.loaded()) == before - gone | come


@pytest.mark.parametrize(
    ("name", "context"),
    [("qwen3:4b", 4096), ("qwen2.5-coder:7b", 8192), ("llama3.1:8b", 16384), ("qwen3:8b", 32768), (CODER, 16384)],
)
def test_the_engine_unloads_nothing_but_what_was_said(
    rig: Rig, forecaster: ActionForecaster, name: str, context: int
) -> None:
    wish = Load(rig.url, name, context)
    desk = look(rig)
    assert forecaster.prepare(desk, [wish], 20)
    preview = previews.load(desk, wish, forecaster)
    assert preview.refusal is None
    carried_out(rig, preview)
    loaded = rig.loaded()
    assert CHAT in loaded
    assert loaded[name] == context
    after = look(rig)
    assert preview.needs_bytes is not None
    # What leaves is known by its claim only here: the driver has up to 0.6 GiB more back.
    leaving = sum(step.kind is StepKind.UNLOAD for step in preview.steps) + (name == CODER)
    tolerance = preview.needs_bytes // 10 + leaving * 6 * GIB // 10
    assert after.cards[0].free_bytes == pytest.approx(preview.free_after_bytes, abs=tolerance)
    assert previews.load(after, wish, forecaster).steps == ()


@pytest.mark.parametrize(("name", "context"), [("gpt-oss:20b", 8192), ("gemma3:12b", 32768), ("llama3.3:70b", 4096)])
def test_what_would_cost_the_pin_is_refused(rig: Rig, forecaster: ActionForecaster, name: str, context: int) -> None:
    wish = Load(rig.url, name, context)
    desk = look(rig)
    assert forecaster.prepare(desk, [wish], 20)
    preview = previews.load(desk, wish, forecaster)
    assert preview.refusal is not None
    assert CHAT in preview.refusal.message
    # The engine, asked all the same, does what was feared.
    rig.control.load(wish, Cancellation())
    assert CHAT not in rig.loaded()


def test_a_swap_and_the_way_back(rig: Rig, forecaster: ActionForecaster) -> None:
    desk = look(rig)
    wish = Load(rig.url, "gpt-oss:20b", 8192)
    assert forecaster.prepare(desk, [wish, *(Load(rig.url, name) for name in (CHAT, CODER, EMBED))], 20)
    preview = previews.swap(desk, [find_loaded(desk, CHAT)], wish, forecaster)
    assert preview.refusal is None
    carried_out(rig, preview)
    assert rig.pins.read() == ()
    assert until(lambda: not rig.look().pins)
    back = previews.restore(rig.look(), preview.before, forecaster)
    carried_out(rig, back)
    assert {CHAT, CODER, EMBED} <= set(rig.loaded())
    assert rig.loaded()[CHAT] == 8192
    assert [wish.name for wish in rig.pins.read()] == [CHAT]


def test_a_set_is_applied_once(rig: Rig, forecaster: ActionForecaster) -> None:
    desk = look(rig)
    working_set = WorkingSet("coding", (SetModel(CHAT, 4096, pinned=True), SetModel("qwen2.5-coder:7b", 8192)))
    loads = [Load(rig.url, model.name) for model in working_set.models]
    assert forecaster.prepare(desk, loads, 20)
    preview = previews.apply(desk, working_set, forecaster)
    assert preview.refusal is None
    carried_out(rig, preview)
    assert rig.loaded() == {CHAT: 4096, "qwen2.5-coder:7b": 8192}
    assert until(lambda: any(state.wish.context_length == 4096 for state in rig.look().pins))
    assert previews.apply(rig.look(), working_set, forecaster).steps == ()


def test_freeing_makes_as_much_room_as_it_says(rig: Rig) -> None:
    desk = look(rig)
    preview = previews.free(desk, 12 * GIB)
    assert CHAT not in [step.load.name for step in preview.steps]
    carried_out(rig, preview)
    free = look(rig).cards[0].free_bytes
    assert free is not None
    assert free >= 12 * GIB
