"""What holds for every estimate: more never takes less, parts add up, splitting loses nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from hypothesis import given, settings
from hypothesis import strategies as st

from gpudesk.domain.engine import Era
from gpudesk.fit.estimate import estimate, total_of
from gpudesk.fit.metadata import ModelMetadata
from gpudesk.fit.values import CardBudget, EngineProfile, LoadOptions, Wanted
from gpudesk.units import GIBIBYTE
from tests.fit import rebuild, report

MODELS = ("Qwen3-8B", "Qwen3-30B-A3B", "gemma-4-12B-it QAT", "Qwen3.5-4B", "gemma-4-E2B-it QAT", "qwen2.5-coder:7b")
KINDS = ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "f16", "f32")
"""From small to large."""


@lru_cache(maxsize=32)
def metadata_of(name: str) -> ModelMetadata:
    if name == "encoder":
        return rebuild.bert(
            layers=12, embedding=768, heads=12, width=3072, vocabulary=30522, positions=2048,
            kind=rebuild.uniform("F16"),
        ).metadata()  # fmt: skip
    return report.HEADERS[name]().metadata()


def card(gibibytes: int = 512, index: int = 0) -> CardBudget:
    return CardBudget(index, "RTX 4090", gibibytes * GIBIBYTE, gibibytes * GIBIBYTE)


models = st.sampled_from((*MODELS, "encoder"))
contexts = st.integers(min_value=4, max_value=262144)
profiles = st.sampled_from(
    [
        EngineProfile(),
        EngineProfile(era=Era.LAYOUT, version="0.24.0"),
        EngineProfile(era=Era.ESTIMATE, version="0.5.7"),
        EngineProfile(kind="llama-server"),
    ]
)


def total(name: str, options: LoadOptions, profile: EngineProfile = EngineProfile()) -> int:  # noqa: B008
    return estimate(Wanted(name, metadata_of(name), options), profile, (card(),)).parts.total_bytes


@settings(max_examples=60, deadline=None)
@given(models, contexts, contexts, profiles, st.sampled_from([None, 256, 512, 2048]))
def test_more_context_never_takes_less(
    name: str, one: int, other: int, profile: EngineProfile, batch: int | None
) -> None:
    small, large = sorted((one, other))
    options = LoadOptions(context_length=small, batch_size=batch)
    assert total(name, options, profile) <= total(name, replace(options, context_length=large), profile)


def test_more_context_takes_no_less_where_tensors_pack_better() -> None:
    """How tensors are packed into one buffer does not grow evenly with their sizes."""
    profile = EngineProfile(era=Era.LAYOUT, version="0.24.0")
    options = LoadOptions(context_length=8449, batch_size=2048)
    name = "gemma-4-E2B-it QAT"
    assert total(name, options, profile) <= total(name, replace(options, context_length=9985), profile)


@settings(max_examples=40, deadline=None)
@given(models, contexts, st.integers(1, 8), st.integers(1, 8), profiles)
def test_more_slots_never_take_less(name: str, context: int, one: int, other: int, profile: EngineProfile) -> None:
    few, many = sorted((one, other))
    options = LoadOptions(context_length=context, parallel=few, batch_size=512)
    assert total(name, options, profile) <= total(name, replace(options, parallel=many), profile)


@settings(max_examples=40, deadline=None)
@given(models, contexts, st.sampled_from(KINDS), st.sampled_from(KINDS))
def test_a_larger_type_of_cache_never_has_a_smaller_cache(name: str, context: int, one: str, other: str) -> None:
    small, large = sorted((one, other), key=KINDS.index)

    def cache(kind: str) -> int:
        options = LoadOptions(context_length=context, kv_cache_type_k=kind, kv_cache_type_v=kind, batch_size=512)
        return estimate(Wanted(name, metadata_of(name), options), EngineProfile(), (card(),)).parts.kv_cache_bytes

    assert cache(small) <= cache(large)


@settings(max_examples=60, deadline=None)
@given(models, contexts, st.lists(st.integers(1, 64), min_size=1, max_size=4), profiles, st.booleans())
def test_parts_add_up_and_splitting_loses_nothing(
    name: str, context: int, sizes: list[int], profile: EngineProfile, spread: bool
) -> None:
    cards = tuple(card(size, index) for index, size in enumerate(sizes))
    wanted = Wanted(name, metadata_of(name), LoadOptions(context_length=context, batch_size=512))
    made = estimate(wanted, replace(profile, spread=spread), cards)
    assert len(made.by_card) == len(cards)
    assert total_of(made.by_card) == made.parts
    assert made.low_bytes <= made.parts.total_bytes <= made.high_bytes
    assert 0 <= made.layers_on_gpu <= made.layers_total
    whole = estimate(wanted, profile, (card(),))
    if made.layers_on_gpu == made.layers_total and not made.host_bytes > whole.host_bytes:
        assert made.parts.weights_bytes == whole.parts.weights_bytes
        assert made.parts.kv_cache_bytes == whole.parts.kv_cache_bytes
    on_cards = made.parts.weights_bytes + made.parts.kv_cache_bytes + made.host_bytes
    assert on_cards == whole.parts.weights_bytes + whole.parts.kv_cache_bytes + whole.host_bytes
