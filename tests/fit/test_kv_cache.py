"""KV cache and recurrent state against what engines print, to the printed digit, and each rule apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpudesk.domain.engine import Era
from gpudesk.fit.kv_cache import KvLayout, kv_cache
from gpudesk.fit.metadata import ModelMetadata
from gpudesk.fit.values import LoadOptions
from gpudesk.units import MEBIBYTE
from tests.fit import rebuild, report

E1, E2, E3 = Era.ESTIMATE, Era.LAYOUT, Era.LLAMA_SERVER


def layout(
    metadata: ModelMetadata, context: int, slots: int = 1, era: Era = E3, kind: str = "f16", batch: int = 512,
    unified: bool = False, swa_full: bool = False, flash: bool = True,
) -> KvLayout:  # fmt: skip
    options = LoadOptions(kv_cache_type_k=kind, kv_cache_type_v=kind, unified_kv=unified, swa_full=swa_full)
    return kv_cache(metadata, options, context, slots, era, batch=batch, flash_attention=flash)


def mebibytes(made: KvLayout) -> float:
    return round(made.total / MEBIBYTE, 2)


@pytest.mark.parametrize("case", report.cases(), ids=lambda case: case.name)
def test_the_cache_is_what_the_engine_prints(case: report.Case) -> None:
    printed = case.row["kv_mib"]
    if not printed:
        pytest.skip("the row has no KV cache")
    # Rows of hybrids are the sum of two printed, each rounded, figures.
    assert mebibytes(layout_of(case)) == pytest.approx(float(printed), abs=0.011)


def layout_of(case: report.Case) -> KvLayout:
    return KvLayout((case.estimate.parts.kv_cache_bytes,))


DEEPSEEK = ModelMetadata(
    architecture="deepseek2", layer_count=61, embedding_length=7168, head_count=(128,) * 61, head_count_kv=(1,) * 61,
    key_length=576, value_length=512, key_length_mla=192, value_length_mla=128, kv_lora_rank=512,
    rope_dimension_count=64,
)  # fmt: skip
LITE = replace(
    DEEPSEEK, layer_count=27, head_count=(16,) * 27, head_count_kv=(16,) * 27, key_length=192, value_length=128,
    key_length_mla=None, value_length_mla=None,
)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "context", "printed"), [("f16", 65536, 4392.00), ("q8_0", 65536, 2333.25)], ids=["f16", "q8_0"]
)
def test_latent_attention_keeps_one_row_for_all_heads(kind: str, context: int, printed: float) -> None:
    # ik_llama.cpp logs of DeepSeek-R1
    assert mebibytes(layout(DEEPSEEK, context, kind=kind)) == printed


def test_latent_attention_of_older_builds_stores_values_too() -> None:
    assert layout(DEEPSEEK, 4096, era=E2).total * 576 == layout(DEEPSEEK, 4096).total * (576 + 512)


def test_an_old_file_without_latent_attention_takes_all_heads() -> None:
    assert mebibytes(layout(LITE, 32768)) == 8640.00


GEMMA4 = report.HEADERS["gemma-4-12B-it QAT"]().metadata()


@pytest.mark.parametrize(
    ("slots", "unified", "printed"), [(1, False, 1088.0), (4, True, 128 + 1920)], ids=["np 1", "np 4, unified"]
)
def test_sliding_layers_keep_the_window_and_a_batch(slots: int, unified: bool, printed: float) -> None:
    assert mebibytes(layout(GEMMA4, 8192, slots, batch=2048, unified=unified)) == printed


def test_the_log_of_llama_server_keeps_only_the_cache_of_the_windows() -> None:
    both = layout(GEMMA4, 8192, batch=2048)
    assert both.untold_bytes == 128 << 20, "the full layers of the 1088 MiB above"
    plain = layout(rebuild.dense("llama", layers=4, embedding=256, heads=4, heads_kv=2, head=64, width=512,
                                 vocabulary=1000, tied=True).metadata(), 8192)  # fmt: skip
    assert plain.total > 0
    assert plain.untold_bytes == 0


def test_streams_multiply_both_caches() -> None:
    assert layout(GEMMA4, 8192, 4, batch=2048).total == 4 * layout(GEMMA4, 8192, 1, batch=2048).total


def test_a_full_sliding_cache_saves_nothing() -> None:
    full = layout(GEMMA4, 8192, swa_full=True)
    assert full.sliding_cells == full.cells == 8192


def test_a_short_context_is_below_the_window() -> None:
    assert layout(GEMMA4, 1024, batch=2048).sliding_cells == 1024


def gemma3_27b() -> ModelMetadata:
    return rebuild.dense(
        "gemma3", layers=62, embedding=5376, heads=32, heads_kv=16, head=128, width=21504, vocabulary=1000,
        tied=True, window=1024,
    ).metadata()  # fmt: skip


def test_gemma3_without_the_saving_is_what_koboldcpp_prints() -> None:
    assert mebibytes(layout(gemma3_27b(), 32768, swa_full=True)) == 15872.0


def test_gemma3_on_ollamas_own_engine() -> None:
    # 1.6 GiB at 2 slots of 4096 in Ollama's log
    assert f"{layout(gemma3_27b(), 4096, 2, era=E1).total / (1 << 30):.1f}" == "1.6"
    later = layout(gemma3_27b(), 4096, 2, era=E2)
    assert later.sliding_cells * 2 == 2816


def test_gemma2_on_the_old_llama_runner_saves_nothing() -> None:
    header = rebuild.dense(
        "gemma2", layers=4, embedding=256, heads=8, heads_kv=4, head=32, width=512, vocabulary=100, window=256
    )
    assert layout(header.metadata(), 8192, era=E2).total == 4 * 8192 * 2 * 4 * 32 * 2
    assert layout(header.metadata(), 8192, era=E3).total == 2 * (8192 + 768) * 2 * 4 * 32 * 2


@pytest.mark.parametrize("name", ["gptoss", "gpt-oss"])
def test_gpt_oss_on_ollamas_own_engine_keeps_more_than_its_window(name: str) -> None:
    # gpt-oss:120b at 8192 in Ollama's log
    metadata = rebuild.gpt_oss(layers=36, count=2, vocabulary=100, architecture=name).metadata()
    assert mebibytes(layout(metadata, 8192, era=E2)) == 450.0


def test_phi3_has_a_window_that_llama_cpp_does_not_use() -> None:
    header = rebuild.dense(
        "phi3", layers=32, embedding=3072, heads=32, heads_kv=32, head=96, width=8192, vocabulary=100, window=2047
    )
    assert mebibytes(layout(header.metadata(), 4096)) == 1536.0


def test_layers_that_share_have_no_cache_of_their_own() -> None:
    made = layout(report.HEADERS["gemma-4-E2B-it QAT"]().metadata(), 8192, batch=2048)
    assert sum(size > 0 for size in made.layers) == 15
    assert made.layers[15:] == (0,) * 20
    assert mebibytes(made) == 78.0


@pytest.mark.parametrize(
    ("kind", "block"),
    [("f32", 128), ("f16", 64), ("bf16", 64), ("q8_0", 34), ("q5_1", 24), ("q5_0", 22), ("q4_1", 20), ("q4_0", 18),
     ("iq4_nl", 18)],
)  # fmt: skip
def test_every_type_of_cache(kind: str, block: int) -> None:
    metadata = report.HEADERS["Qwen3-8B"]().metadata()
    assert layout(metadata, 4096, kind=kind).total == 36 * 4096 * 2 * (8 * 128 // 32) * block


def test_keys_and_values_may_differ_in_type() -> None:
    metadata = report.HEADERS["Qwen3-8B"]().metadata()
    mixed = kv_cache(metadata, LoadOptions(kv_cache_type_k="q8_0"), 4096, 1, E3)
    assert mixed.total == 36 * 4096 * (8 * 128 // 32) * (34 + 64)


def test_cells_are_padded() -> None:
    metadata = report.HEADERS["Qwen3-8B"]().metadata()
    assert layout(metadata, 4097).total == layout(metadata, 4352).total


@pytest.mark.parametrize(
    ("model", "printed"),
    [("Qwen3.5-2B", 19.27), ("Qwen3.5-4B", 50.25), ("Qwen3.5-35B-A3B", 62.81), ("Qwen3.8-27B", 149.62)],
)
def test_recurrent_state_is_what_the_engine_prints(model: str, printed: float) -> None:
    metadata = report.HEADERS[model]().metadata()
    made = layout(metadata, 8192)
    assert made.recurrent_bytes / MEBIBYTE == pytest.approx(printed, abs=0.006)
    # independent of context and of the type of the cache, one per slot
    assert layout(metadata, 65536, kind="q4_0").recurrent_bytes == made.recurrent_bytes
    assert layout(metadata, 8192, 4, unified=True).recurrent_bytes == 4 * made.recurrent_bytes


def test_qwen3_coder_next_at_long_context() -> None:
    # llama.cpp on an RTX 5090: 397 MiB at 4096 and 6445 at 262144, four sequences
    metadata = rebuild.qwen35(
        layers=48, embedding=2048, heads=16, heads_kv=2, width=512, inner=4096, count=2, used=2, shared=512,
        architecture="qwen3next", vocabulary=100,
    ).metadata()  # fmt: skip
    assert layout(metadata, 4096, 4, unified=True).total / MEBIBYTE == pytest.approx(397.5, abs=0.1)
    assert layout(metadata, 262144, 4, unified=True).total / MEBIBYTE == pytest.approx(6445.5, abs=0.1)


def test_drafting_keeps_a_state_for_each_drafted_token() -> None:
    metadata = report.HEADERS["Qwen3.8-27B"]().metadata()
    drafted = kv_cache(metadata, LoadOptions(draft=metadata), 8192, 1, E3)
    assert drafted.recurrent_bytes == 5 * layout(metadata, 8192).recurrent_bytes
    # llama.cpp prints 1795 MiB for four slots and two drafted tokens
    told = kv_cache(metadata, LoadOptions(drafted_tokens=2), 8192, 4, E3)
    assert told.recurrent_bytes // MEBIBYTE == 1795
    assert kv_cache(metadata, LoadOptions(draft=metadata, drafted_tokens=0), 8192, 1, E3) == layout(metadata, 8192)


def test_a_pure_mamba_has_no_cells() -> None:
    metadata = ModelMetadata(
        architecture="mamba2", layer_count=3, embedding_length=256, head_count=(0,) * 3, head_count_kv=(0,) * 3,
        key_length=0, value_length=0, ssm_conv_kernel=4, ssm_inner_size=512, ssm_state_size=16, ssm_group_count=1,
    )  # fmt: skip
    state = 4 * (3 * (512 + 2 * 16) + 16 * 512)
    assert layout(metadata, 4096, 2).layers == (2 * state,) * 3
    assert layout(metadata, 131072, 2).total == 3 * 2 * state


def test_lfm2_keeps_the_last_tokens_of_its_convolutions() -> None:
    metadata = ModelMetadata(
        architecture="lfm2", layer_count=3, embedding_length=1024, head_count=(16,) * 3, head_count_kv=(0, 8, 0),
        key_length=64, value_length=64, shortconv_cache=3,
    )  # fmt: skip
    assert layout(metadata, 1024).layers == (4 * 1024 * 2, 1024 * 2 * 8 * 64 * 2, 4 * 1024 * 2)


def test_falcon_h1_has_both_in_every_layer() -> None:
    metadata = ModelMetadata(
        architecture="falcon-h1", layer_count=2, embedding_length=256, head_count=(8,) * 2, head_count_kv=(2,) * 2,
        key_length=32, value_length=32, ssm_conv_kernel=4, ssm_inner_size=512, ssm_state_size=16, ssm_group_count=1,
    )  # fmt: skip
    state = 4 * (3 * (512 + 32) + 16 * 512)
    assert layout(metadata, 1024).layers == (state + 1024 * 2 * 2 * 32 * 2,) * 2


def test_an_encoder_has_no_cache() -> None:
    header = rebuild.bert(
        layers=2, embedding=64, heads=4, width=128, vocabulary=1000, positions=512, kind=rebuild.uniform("F16")
    )
    assert layout(header.metadata(), 512).total == 0


def test_an_unknown_window_is_counted_in_full() -> None:
    header = rebuild.dense(
        "novel", layers=4, embedding=256, heads=8, heads_kv=4, head=32, width=512, vocabulary=100, window=256
    )
    assert layout(header.metadata(), 8192).total == 4 * 8192 * 2 * 4 * 32 * 2
