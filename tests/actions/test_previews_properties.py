"""What holds for every preview, on any desk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudesk.actions import previews
from gpudesk.actions.lookup import is_pinned, loaded_as
from gpudesk.actions.values import Danger, Load, Preview, StepKind
from gpudesk.domain.desk import Desk
from gpudesk.domain.keep_alive import FOREVER as FOREVER_WISH
from gpudesk.domain.keep_alive import KeepAliveWish
from gpudesk.domain.working_set import SetModel, WorkingSet
from tests.actions.preview_desks import SIZES, Arithmetic, carry_out, desk, loaded, names, pins_that_go
from tests.desks import FOREVER, LOCAL, timed

CONTEXTS = st.sampled_from([None, 2048, 4096, 8192, 16384, 65536])
WISHES = st.sampled_from([None, FOREVER_WISH, KeepAliveWish(300), KeepAliveWish(1800)])
NAMES = st.sampled_from(sorted(SIZES))


@st.composite
def desks(draw: st.DrawFn) -> Desk:
    """A card on which what is loaded has room, some of it pinned."""
    chosen = draw(st.lists(NAMES.filter(lambda name: name != "huge:70b"), unique=True, max_size=4))
    timers = st.sampled_from([FOREVER, timed(300), timed(40), timed(1700)])
    contexts = st.sampled_from([2048, 4096, 8192])
    models = [loaded(name, draw(timers), context_length=draw(contexts)) for name in chosen]
    used = sum(model.memory_bytes or 0 for model in models) / (1 << 30)
    total = used + 1 + draw(st.floats(0, 24))
    return desk(*models, pins=draw(st.lists(st.sampled_from(chosen), unique=True)) if chosen else (), total=total)


@st.composite
def wishes(draw: st.DrawFn) -> Load:
    return Load(LOCAL, draw(NAMES), draw(CONTEXTS), draw(WISHES), pinned=draw(st.booleans()))


@st.composite
def working_sets(draw: st.DrawFn) -> WorkingSet:
    chosen = draw(st.lists(NAMES, unique=True, min_size=1, max_size=4))
    models = [SetModel(name, draw(CONTEXTS), draw(WISHES), pinned=draw(st.booleans())) for name in chosen]
    return WorkingSet("any", tuple(models), keeps_others=draw(st.booleans()))


MOST = st.integers(1, 9).map(lambda most: Arithmetic(most=most))


def holds(before: Desk, preview: Preview) -> Desk:
    """Check what every preview promises, and return the desk after it."""
    assert (preview.danger is Danger.NONE) == (preview.loses == ())
    if preview.refusal is not None:
        assert preview.steps == ()
        assert preview.refusal.message
        return before
    after, stages = carry_out(before, preview)
    if preview.verdict in ("fits", "tight"):
        for stage in stages:
            assert (stage.cards[0].free_bytes or 0) >= 0
    kinds = [step.kind for step in preview.steps]
    if StepKind.LOAD in kinds and StepKind.UNLOAD in kinds:
        assert max(i for i, kind in enumerate(kinds) if kind is StepKind.UNLOAD) < kinds.index(StepKind.LOAD)
    if preview.free_after_bytes is not None and preview.verdict in (None, "fits"):
        assert abs(preview.free_after_bytes - (after.cards[0].free_bytes or 0)) <= 2
    return after


@pytest.mark.slow
@given(desks(), wishes(), MOST)
def test_loads(before: Desk, wish: Load, forecaster: Arithmetic) -> None:
    preview = previews.load(before, wish, forecaster)
    assert pins_that_go(before, preview) == set()
    after = holds(before, preview)
    if preview.refusal is None:
        there = loaded_as(after, wish)
        assert there is not None
        assert wish.context_length in (None, there.context_length)
        assert previews.load(after, wish, forecaster).steps == ()
        assert all(
            model in after.models or not is_pinned(before, model) or model.name == wish.name for model in before.models
        )


@given(desks(), wishes(), MOST)
def test_nothing_is_left_to_the_engine(before: Desk, wish: Load, forecaster: Arithmetic) -> None:
    """What gpudesk does not unload itself, the engine does not unload either: no pin is at its mercy."""
    preview = previews.load(before, wish, forecaster)
    if names(preview, StepKind.LOAD) and preview.verdict == "fits":
        (load,) = (step.load for step in preview.steps if step.kind is StepKind.LOAD)
        assert forecaster.forecast(before, [load], names(preview, StepKind.UNLOAD)).would_evict == ()


@given(desks(), wishes(), st.data(), MOST)
def test_swaps(before: Desk, wish: Load, data: st.DataObject, forecaster: Arithmetic) -> None:
    leaving = data.draw(st.lists(st.sampled_from(before.models), unique=True)) if before.models else []
    preview = previews.swap(before, leaving, wish, forecaster)
    named = {model.name for model in leaving}
    assert pins_that_go(before, preview) <= named
    assert bool(pins_that_go(before, preview)) <= bool(preview.loses)
    after = holds(before, preview)
    if preview.refusal is None:
        assert preview.verdict in (None, "fits")
        assert {model.name for model in after.models} & named <= {wish.name}
        gone = [model for model in leaving if model in after.models]
        assert previews.swap(after, gone, wish, forecaster).steps == ()


@given(desks(), working_sets(), MOST)
def test_sets(before: Desk, working_set: WorkingSet, forecaster: Arithmetic) -> None:
    preview = previews.apply(before, working_set, forecaster)
    assert pins_that_go(before, preview) == set()
    after = holds(before, preview)
    if preview.refusal is not None:
        return
    loaded_names = {model.name for model in after.models}
    wanted = {model.name for model in working_set.models}
    assert wanted <= loaded_names
    if not working_set.keeps_others:
        assert all(model.name in wanted or is_pinned(after, model) for model in after.models)
    assert previews.apply(after, working_set, forecaster).steps == ()


@given(desks(), MOST)
def test_the_present_state_is_applied_already(before: Desk, forecaster: Arithmetic) -> None:
    preview = previews.apply(before, previews.present_set(before, "now"), forecaster)
    if before.models:
        assert [step for step in preview.steps if step.kind in (StepKind.LOAD, StepKind.UNLOAD)] == []


@given(desks(), st.integers(0, 40 << 30))
def test_freeing(before: Desk, need_bytes: int) -> None:
    preview = previews.free(before, need_bytes)
    after = holds(before, preview)
    if preview.refusal is not None:
        everything, _ = carry_out(before, previews.free(before))
        assert (everything.cards[0].free_bytes or 0) < need_bytes
        return
    assert (after.cards[0].free_bytes or 0) >= need_bytes
    unpinned = {model.name for model in before.models if not is_pinned(before, model)}
    if pins_that_go(before, preview):
        assert unpinned <= set(names(preview, StepKind.UNLOAD))
    back = previews.restore(after, preview.before, Arithmetic())
    there, _ = carry_out(after, back)
    assert back.refusal is None
    assert {(model.name, model.context_length) for model in there.models} == {
        (model.name, model.context_length) for model in before.models
    }
    assert {state.wish.name for state in there.pins} == {state.wish.name for state in before.pins}
