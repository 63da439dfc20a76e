"""How a request is resolved and its parts are put together."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from gpudesk.domain.engine import Era
from gpudesk.fit.estimate import estimate
from gpudesk.fit.metadata import Tensor
from gpudesk.fit.resolved_load import reserves_all_outputs
from gpudesk.fit.values import CardBudget, EngineProfile, Estimate, LoadOptions, Wanted
from gpudesk.units import GIBIBYTE, MEBIBYTE
from tests.fit import rebuild, report

QWEN3 = report.HEADERS["Qwen3-8B"]().metadata(name="qwen3:8b")
CARD = CardBudget(0, "RTX 4090", 24 * GIBIBYTE, 23 * GIBIBYTE)


def made(
    options: LoadOptions = LoadOptions(context_length=8192),  # noqa: B008
    profile: EngineProfile = EngineProfile(),  # noqa: B008
    *cards: CardBudget,
) -> Estimate:
    return estimate(Wanted("qwen3:8b", QWEN3, options), profile, cards or (CARD,))


def test_all_layers_on_a_card_with_room() -> None:
    found = made()
    assert (found.layers_on_gpu, found.layers_total) == (37, 37)
    assert found.parts.kv_cache_bytes == 1152 * MEBIBYTE
    assert found.host_bytes / MEBIBYTE == pytest.approx(333.84, abs=0.01)
    assert found.low_bytes < found.parts.total_bytes < found.high_bytes


def test_what_does_not_fit_stays_on_the_host() -> None:
    found = made(LoadOptions(context_length=8192), EngineProfile(), CardBudget(0, "RTX 3050", 6 << 30, 5 << 30))
    assert 0 < found.layers_on_gpu < 37
    assert found.parts.total_bytes <= 5 << 30
    assert found.host_bytes > made().host_bytes


def test_a_context_beyond_what_was_trained_is_limited_and_said() -> None:
    found = made(LoadOptions(context_length=1_000_000))
    assert found.context_length == QWEN3.context_length_trained == 131072
    assert any("limited to the 131072 tokens" in note for note in found.notes)


def test_a_quantized_cache_without_flash_attention() -> None:
    options = LoadOptions(context_length=8192, kv_cache_type_k="q8_0", kv_cache_type_v="q8_0", flash_attention=False)
    ignored = made(options)
    assert ignored.parts.kv_cache_bytes == made().parts.kv_cache_bytes
    assert any("ignores" in note for note in ignored.notes)
    refused = made(options, EngineProfile(kind="llama-server"))
    assert any("refuses" in note for note in refused.notes)


@pytest.mark.parametrize(
    ("profile", "every_token"),
    [
        (EngineProfile(era=Era.ESTIMATE), True),
        (EngineProfile(era=Era.LAYOUT), True),
        (EngineProfile(version="0.30.1"), True),
        (EngineProfile(version="0.33.0-rc2"), False),
        (EngineProfile(), False),
        (EngineProfile(kind="llama-server"), False),
        (EngineProfile(kind="llama-server", version="b9294"), True),
        (EngineProfile(kind="llama-server", version="b9849"), False),
        (EngineProfile(kind="ik_llama.cpp"), True),
    ],
)
def test_which_builds_reserve_logits_for_every_token(profile: EngineProfile, every_token: bool) -> None:
    assert reserves_all_outputs(profile) is every_token


def test_some_families_get_one_slot_from_ollama() -> None:
    hybrid = report.HEADERS["Qwen3.5-4B"]().metadata()
    options = LoadOptions(context_length=8192, parallel=4, batch_size=512)
    one = estimate(Wanted("hybrid", hybrid, options), EngineProfile(), (CARD,))
    four = estimate(Wanted("hybrid", hybrid, options), EngineProfile(kind="llama-server"), (CARD,))
    assert (one.parallel, four.parallel) == (1, 4)
    assert four.parts.kv_cache_bytes == 4 * one.parts.kv_cache_bytes


def test_an_unknown_architecture_says_so_and_is_less_sure() -> None:
    novel = replace(QWEN3, architecture="novel")
    found = estimate(Wanted("novel", novel, LoadOptions(context_length=8192)), EngineProfile(), (CARD,))
    assert found.parts.kv_cache_bytes == made().parts.kv_cache_bytes
    assert found.parts.weights_bytes == made().parts.weights_bytes
    assert found.high_bytes - found.parts.total_bytes > made().high_bytes - made().parts.total_bytes
    assert any("unknown architecture" in note for note in found.notes)


def test_a_draft_model_comes_whole_with_the_targets_context() -> None:
    draft = rebuild.dense(
        "qwen3", layers=28, embedding=1024, heads=16, heads_kv=8, head=128, width=3072, vocabulary=151936, tied=True
    ).metadata()
    found = made(LoadOptions(context_length=8192, draft=draft))
    alone = estimate(Wanted("draft", draft, LoadOptions(context_length=8192)), EngineProfile(), (CARD,))
    plain = made()
    assert found.parts.weights_bytes - plain.parts.weights_bytes == alone.parts.weights_bytes
    assert found.parts.kv_cache_bytes - plain.parts.kv_cache_bytes == alone.parts.kv_cache_bytes


def test_adapters_add_their_tensors() -> None:
    adapter = (Tensor("blk.0.attn_q.weight.lora_a", "F16", (4096, 16)),) * 3
    found = made(LoadOptions(context_length=8192, lora=(adapter,)))
    assert found.parts.weights_bytes - made().parts.weights_bytes == 3 * 4096 * 16 * 2


def test_an_encoder_has_no_cache_and_a_buffer_of_its_own() -> None:
    nomic = rebuild.bert(
        "nomic-bert", layers=12, embedding=768, heads=12, width=3072, vocabulary=30522, positions=2048,
        kind=rebuild.uniform("F16"), gated=True,
    ).metadata()  # fmt: skip
    found = estimate(Wanted("nomic-embed-text", nomic), EngineProfile(), (CARD,))
    assert found.parts.kv_cache_bytes == 0
    assert found.context_length == 2048
    assert 20 * MEBIBYTE < found.parts.compute_bytes < 400 * MEBIBYTE


def test_no_card_means_everything_on_the_host() -> None:
    found = estimate(Wanted("qwen3:8b", QWEN3, LoadOptions(context_length=8192)), EngineProfile(), ())
    assert found.layers_on_gpu == 0
    assert found.parts.total_bytes == 0
    assert found.by_card == ()


def test_an_estimate_takes_less_than_a_third_of_a_millisecond() -> None:
    wanted = Wanted("qwen3:8b", QWEN3, LoadOptions(context_length=8192))
    estimate(wanted, EngineProfile(), (CARD,))
    best = min(_seconds(wanted) for _ in range(20))
    assert best < 0.0003


def _seconds(wanted: Wanted) -> float:
    started = time.perf_counter()
    for _ in range(10):
        estimate(wanted, EngineProfile(), (CARD,))
    return (time.perf_counter() - started) / 10


SEEING = replace(
    QWEN3, projector_bytes=800 * MEBIBYTE, vision_image_size=896, vision_patch_size=14, vision_embedding_length=1152,
)  # fmt: skip


@pytest.mark.parametrize(
    ("profile", "free", "layers", "on_card"),
    [
        (EngineProfile(), 23 * GIBIBYTE, None, True),
        (EngineProfile(), 4 * GIBIBYTE, None, True),
        (EngineProfile(), 800 * MEBIBYTE + GIBIBYTE - 1, None, False),
        (EngineProfile(), 23 * GIBIBYTE, 37, True),
        (EngineProfile(), 23 * GIBIBYTE, 36, False),
        (EngineProfile(kind="llama-server"), 23 * GIBIBYTE, 36, True),
        (EngineProfile(era=Era.LAYOUT), 23 * GIBIBYTE, 36, True),
    ],
)
def test_a_projector_stays_in_host_memory_where_ollama_leaves_it(
    profile: EngineProfile, free: int, layers: int | None, on_card: bool
) -> None:
    card = CardBudget(0, "RTX 4090", 24 * GIBIBYTE, free)
    wanted = Wanted("seeing", SEEING, LoadOptions(context_length=4096, layers_on_gpu=layers))
    found = estimate(wanted, profile, (card,))
    assert bool(found.parts.projector_bytes) is on_card
    assert any("sees runs on the CPU" in note for note in found.notes) is not on_card
    blind = replace(wanted, metadata=QWEN3)
    if not on_card and layers:
        assert found.parts == estimate(blind, profile, (card,)).parts
        assert found.host_bytes - estimate(blind, profile, (card,)).host_bytes > 800 * MEBIBYTE


def test_the_users_reserve_is_free_to_ollama() -> None:
    card = CardBudget(0, "RTX 4090", 24 * GIBIBYTE, 2 * GIBIBYTE - 1, reserve_bytes=GIBIBYTE)
    wanted = Wanted("seeing", replace(SEEING, projector_bytes=GIBIBYTE), LoadOptions(context_length=4096))
    with_reserve = estimate(wanted, EngineProfile(), (card,))
    without = estimate(wanted, EngineProfile(), (replace(card, reserve_bytes=0),))
    assert not any("sees" in note for note in with_reserve.notes)
    assert any("sees" in note for note in without.notes)
