from __future__ import annotations

import pytest

from gpudesk.fit.from_keys import metadata_from_keys
from gpudesk.fit.gguf import HeaderError, SkippedArray
from gpudesk.fit.metadata import ModelMetadata, Tensor
from tests.fit.headers import LLAMA_KEYS, LLAMA_TENSORS

KEYS: dict[str, object] = {
    "general.architecture": "llama",
    "llama.block_count": 4,
    "llama.embedding_length": 256,
    "llama.attention.head_count": 8,
}


def read(changes: dict[str, object] | None = None, tensors: tuple[Tensor, ...] = ()) -> ModelMetadata:
    keys = KEYS | (changes or {})
    return metadata_from_keys({key: value for key, value in keys.items() if value is not None}, tensors)


def refused(changes: dict[str, object], tensors: tuple[Tensor, ...] = ()) -> HeaderError:
    with pytest.raises(HeaderError) as caught:
        read(changes, tensors)
    return caught.value


def attention(layer: int, **widths: int) -> tuple[Tensor, ...]:
    return tuple(Tensor(f"blk.{layer}.{name}.weight", "F16", (256, width)) for name, width in widths.items())


def norm(layer: int, width: int) -> Tensor:
    return Tensor(f"blk.{layer}.attn_k_norm.weight", "F32", (width,))


def test_a_small_model() -> None:
    found = metadata_from_keys(LLAMA_KEYS, LLAMA_TENSORS, file_bytes=12345, name="tiny\x1b[m")
    assert found == ModelMetadata(
        architecture="llama",
        layer_count=2,
        embedding_length=256,
        head_count=(8, 8),
        head_count_kv=(2, 2),
        key_length=32,
        value_length=32,
        vocabulary_size=4,
        feed_forward_length=(512, 512),
        context_length_trained=2048,
        rope_dimension_count=32,
        tensors=LLAMA_TENSORS,
        file_bytes=12345,
        name="tiny[m",
    )


def test_every_key_that_a_formula_reads() -> None:
    found = read(
        {
            "llama.context_length": 131_072,
            "llama.feed_forward_length": 1024,
            "llama.attention.head_count_kv": 2,
            "llama.attention.key_length": 64,
            "llama.attention.value_length": 48,
            "llama.attention.key_length_swa": 40,
            "llama.attention.value_length_swa": 41,
            "llama.attention.key_length_mla": 42,
            "llama.attention.value_length_mla": 43,
            "llama.attention.kv_lora_rank": 512,
            "llama.rope.dimension_count": 44,
            "llama.attention.sliding_window": 1024,
            "llama.attention.sliding_window_pattern": 6,
            "llama.attention.shared_kv_layers": 2,
            "llama.full_attention_interval": 4,
            "llama.attention.recurrent_layers": (True, False, True, False),
            "llama.ssm.conv_kernel": 45,
            "llama.ssm.inner_size": 46,
            "llama.ssm.state_size": 47,
            "llama.ssm.group_count": 0,
            "llama.shortconv.l_cache": 3,
            "llama.expert_count": 48,
            "llama.expert_used_count": 8,
            "llama.expert_feed_forward_length": 49,
            "llama.pooling_type": 0,
            "llama.attention.causal": False,
            "llama.vision.block_count": 27,
            "llama.vision.embedding_length": 1152,
            "llama.vision.attention.head_count": 16,
            "llama.vision.image_size": 896,
            "llama.vision.patch_size": 14,
            "llama.vocab_size": 32_000,
        }
    )
    assert found == ModelMetadata(
        architecture="llama",
        layer_count=4,
        embedding_length=256,
        head_count=(8,) * 4,
        head_count_kv=(2,) * 4,
        key_length=64,
        value_length=48,
        vocabulary_size=32_000,
        feed_forward_length=(1024,) * 4,
        context_length_trained=131_072,
        key_length_swa=40,
        value_length_swa=41,
        key_length_mla=42,
        value_length_mla=43,
        kv_lora_rank=512,
        rope_dimension_count=44,
        sliding_window=1024,
        sliding_window_pattern=6,
        shared_kv_layers=2,
        full_attention_interval=4,
        recurrent_layers=(True, False, True, False),
        ssm_conv_kernel=45,
        ssm_inner_size=46,
        ssm_state_size=47,
        ssm_group_count=0,
        shortconv_cache=3,
        expert_count=48,
        expert_used_count=8,
        expert_feed_forward_length=49,
        pooling_type=0,
        causal=False,
        vision_block_count=27,
        vision_embedding_length=1152,
        vision_head_count=16,
        vision_image_size=896,
        vision_patch_size=14,
    )


def test_the_keys_of_the_own_architecture_count() -> None:
    found = metadata_from_keys(
        {
            "general.architecture": "gptoss",
            "gptoss.block_count": 2,
            "gptoss.embedding_length": 64,
            "gptoss.attention.head_count": 4,
            "gpt-oss.attention.head_count": 99,
        },
        (),
    )
    assert found.architecture == "gptoss"
    assert found.head_count == (4, 4)


def test_head_lengths_follow_from_the_embedding_when_they_are_not_told() -> None:
    assert (read().key_length, read().value_length) == (32, 32)
    assert read({"llama.attention.key_length": 128}).value_length == 32


def test_kv_heads_are_heads_when_not_told() -> None:
    assert read().head_count_kv == (8,) * 4


def test_values_per_layer() -> None:
    found = read(
        {
            "llama.attention.head_count": (8, 0, 8, 4),
            "llama.attention.head_count_kv": [2, 0, 2, 1],
            "llama.feed_forward_length": (1, 2, 3, 4),
            "llama.attention.sliding_window_pattern": (1, 0, 1, 1),
        }
    )
    assert found.head_count == (8, 0, 8, 4)
    assert found.head_count_kv == (2, 0, 2, 1)
    assert found.feed_forward_length == (1, 2, 3, 4)
    assert found.sliding_window_pattern == (True, False, True, True)
    assert found.key_length == 32


def test_prediction_blocks_are_counted_apart() -> None:
    found = read({"llama.nextn_predict_layers": 1, "llama.attention.head_count_kv": (2, 2, 2, 1)})
    assert (found.layer_count, found.prediction_layers) == (3, 1)
    assert found.head_count_kv == (2, 2, 2)


def test_prediction_blocks_that_were_left_out_of_the_file_are_not_loaded() -> None:
    trunk = tuple(tensor for layer in range(3) for tensor in attention(layer, attn_q=256))
    found = read({"llama.nextn_predict_layers": 1}, trunk)
    assert (found.layer_count, found.prediction_layers) == (3, 0)
    found = read({"llama.nextn_predict_layers": 1}, (*trunk, *attention(3, attn_q=256)))
    assert (found.layer_count, found.prediction_layers) == (3, 1)


def test_tensors_of_a_projector_in_the_same_file_are_kept_apart() -> None:
    own = attention(0, attn_q=256)
    seen = (Tensor("v.blk.0.attn_q.weight", "F16", (8, 8)), Tensor("mm.0.weight", "F16", (8, 8)))
    heard = (Tensor("a.conv.weight", "F32", (8,)),)
    found = read({}, (*seen, *own, *heard))
    assert found.tensors == own
    assert found.projector_tensors == (*seen, *heard)


def test_the_vocabulary_is_as_large_as_the_output() -> None:
    tokens: dict[str, object] = {"tokenizer.ggml.tokens": SkippedArray("STRING", 100)}
    table = Tensor("token_embd.weight", "F16", (256, 120))
    assert read(tokens, (table,)).vocabulary_size == 120
    assert read(tokens, (table, Tensor("output.weight", "F16", (256, 128)))).vocabulary_size == 128
    assert read(tokens).vocabulary_size == 100
    assert read({"tokenizer.ggml.tokens": ("a", "b")}).vocabulary_size == 2
    assert read({"llama.vocab_size": 90}).vocabulary_size == 90
    assert read().vocabulary_size is None


def test_an_unknown_architecture_without_keys_is_read_from_its_tensors() -> None:
    tensors = (
        Tensor("token_embd.weight", "F16", (256, 100)),
        *attention(0, attn_q=512, attn_k=128, ffn_up=700),
        *attention(1, attn_q=512, attn_k=64, ffn_up=800),
    )
    found = metadata_from_keys(
        {"general.architecture": "novel", "novel.attention.key_length": 64, "novel.attention.value_length": 64}, tensors
    )
    assert (found.layer_count, found.embedding_length) == (2, 256)
    assert found.head_count == (8, 8)
    assert found.head_count_kv == (2, 1)
    assert found.feed_forward_length == (700, 800)
    assert [note.split(" ")[0] for note in found.notes] == [
        "novel.block_count",
        "novel.embedding_length",
        "novel.attention.head_count",
        "novel.attention.head_count_kv",
    ]


def test_kv_heads_by_the_width_of_k() -> None:
    layers = tuple(tensor for layer in range(4) for tensor in attention(layer, attn_q=256, attn_k=64))
    found = read({}, layers)
    assert found.head_count_kv == (2,) * 4
    assert "llama.attention.head_count_kv" in found.notes[0]


def test_kv_heads_by_the_width_of_q_k_and_v_in_one() -> None:
    layers = tuple(tensor for layer in range(4) for tensor in attention(layer, attn_qkv=256 + 2 * 64))
    assert read({}, layers).head_count_kv == (2,) * 4


def test_layers_without_k_have_no_attention() -> None:
    found = read({}, attention(1, attn_q=256, attn_k=64) + attention(3, attn_q=256, attn_k=64))
    assert found.head_count_kv == (0, 2, 0, 2)


def test_layers_of_two_key_lengths_tell_which_slide() -> None:
    tensors = tuple(
        tensor
        for layer, width in enumerate((32, 32, 64, 32))
        for tensor in (*attention(layer, attn_q=8 * width, attn_k=2 * width), norm(layer, width))
    )
    found = read({"llama.attention.key_length": 64, "llama.attention.key_length_swa": 32}, tensors)
    assert found.head_count_kv == (2,) * 4
    assert found.sliding_window_pattern == (True, True, False, True)


def test_a_model_without_attention() -> None:
    found = read({"llama.attention.head_count": None}, (Tensor("blk.0.ssm_in.weight", "F16", (256, 512)),))
    assert found.head_count == (0,) * 4
    assert found.head_count_kv == (0,) * 4
    assert (found.key_length, found.value_length) == (0, 0)


@pytest.mark.parametrize("architecture", [None, 7, "", "\x1b\x07"])
def test_no_architecture(architecture: object) -> None:
    assert refused({"general.architecture": architecture}).field == "general.architecture"


@pytest.mark.parametrize(
    "changes",
    [
        {"general.architecture": "clip"},
        {"general.type": "mmproj"},
        {"general.type": "adapter"},
        {"adapter.type": "lora"},
    ],
)
def test_files_that_are_no_model(changes: dict[str, object]) -> None:
    assert "not a model" in refused(changes).message


@pytest.mark.parametrize("key", ["block_count", "embedding_length"])
def test_a_missing_key_is_named(key: str) -> None:
    caught = refused({f"llama.{key}": None})
    assert caught.field == f"llama.{key}"
    assert "missing" in caught.message


def test_missing_heads_with_attention() -> None:
    caught = refused({"llama.attention.head_count": None}, attention(0, attn_q=256))
    assert caught.field == "llama.attention.head_count"


@pytest.mark.parametrize("count", [0, 1 << 20, 5000])
def test_layers_that_cannot_be(count: int) -> None:
    assert refused({"llama.block_count": count}).field == "llama.block_count"


def test_tensors_beyond_the_last_layer() -> None:
    caught = refused({}, attention(4, attn_q=256))
    assert caught.field == "llama.block_count"
    assert "layer 4" in caught.message


def test_more_prediction_blocks_than_layers() -> None:
    assert refused({"llama.nextn_predict_layers": 4}).field == "llama.nextn_predict_layers"


@pytest.mark.parametrize("value", ["8", True, 1.5, -1, 1 << 62, (1, 2), ("a",) * 4, SkippedArray("UINT32", 9)])
@pytest.mark.parametrize("key", ["attention.head_count", "attention.head_count_kv", "feed_forward_length"])
def test_values_of_the_wrong_kind_name_the_key(key: str, value: object) -> None:
    assert refused({f"llama.{key}": value}).field == f"llama.{key}"


@pytest.mark.parametrize("value", ["8", True, 1.5, -1, 1 << 62, float("nan"), float("inf")])
@pytest.mark.parametrize(
    "key", ["embedding_length", "attention.sliding_window", "ssm.inner_size", "expert_count", "attention.kv_lora_rank"]
)
def test_single_values_of_the_wrong_kind_name_the_key(key: str, value: object) -> None:
    assert refused({f"llama.{key}": value}).field == f"llama.{key}"


@pytest.mark.parametrize("value", [(True, False), ("yes",) * 4, 1, "x"])
def test_recurrent_layers_of_the_wrong_kind(value: object) -> None:
    caught = refused({"llama.attention.recurrent_layers": value})
    assert caught.field == "llama.attention.recurrent_layers"


def test_numbers_written_with_a_point_and_unset_ones() -> None:
    found = read({"llama.attention.head_count": 8.0, "llama.attention.sliding_window": 0, "llama.expert_count": 0})
    assert found.head_count == (8,) * 4
    assert found.sliding_window is None
    assert found.expert_count is None


def test_a_tensor_without_a_size_is_refused() -> None:
    caught = refused({}, (Tensor("blk.0.odd", "Q9_Z", (256,)),))
    assert caught.field == "tensor blk.0.odd"
