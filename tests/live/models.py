"""Tiny models with random but fixed weights, made on the spot: real GGUF files of a few megabytes.

They answer nonsense within milliseconds, and to an engine they are models like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gguf import GGUFWriter
    from numpy.random import Generator

PREFIX = "gpudesk-test-"
"""Begins every name the tests give a model, so that none is ever mistaken for a user's."""

CHAT = f"{PREFIX}chat:latest"
CODE = f"{PREFIX}code:latest"
EMBED = f"{PREFIX}embed:latest"
ALIAS = f"{PREFIX}alias:latest"
"""A copy of CHAT: another name, the same manifest, the same file."""
WIDE = f"{PREFIX}wide:latest"
"""Made from CHAT with its own `num_ctx`: another manifest, the same file."""
WIDE_CONTEXT = 1024

F16 = 1
"""`general.file_type` of a file with 16-bit weights."""
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
"""Token types (llama.cpp include/llama.h, llama_token_type)."""
SCALE = 0.02
END_TOKEN = 2
"""Its output row is zero, so that it is never the likeliest: at temperature 0 a model talks until it is stopped."""


@dataclass(frozen=True, slots=True)
class TinyModel:
    """The shape of a tiny model, named like the GGUF keys it becomes."""

    name: str
    architecture: str
    seed: int
    block_count: int
    embedding_length: int
    feed_forward_length: int
    head_count: int
    head_count_kv: int
    context_length: int
    vocabulary: int


TINY_CHAT = TinyModel(CHAT, "llama", 1, 4, 256, 512, 4, 2, 4096, 1200)
"""Its vocabulary has more entries than any server version lists unless asked to be verbose."""
TINY_CODE = TinyModel(CODE, "llama", 2, 6, 256, 512, 4, 4, 4096, 512)
TINY_EMBED = TinyModel(EMBED, "bert", 3, 2, 128, 256, 4, 4, 512, 400)
TINY_MODELS = (TINY_CHAT, TINY_CODE, TINY_EMBED)


def write_model(model: TinyModel, path: Path) -> None:
    """Write the model as a GGUF file; the same shape and seed give the same bytes."""
    import gguf
    import numpy

    writer = gguf.GGUFWriter(path, model.architecture)
    writer.add_name(model.name)
    writer.add_file_type(F16)
    writer.add_context_length(model.context_length)
    writer.add_embedding_length(model.embedding_length)
    writer.add_block_count(model.block_count)
    writer.add_feed_forward_length(model.feed_forward_length)
    writer.add_head_count(model.head_count)
    weights = _Weights(writer, numpy.random.default_rng(model.seed))
    if model.architecture == "bert":
        _write_bert(writer, weights, model)
    else:
        _write_llama(writer, weights, model)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class _Weights:
    """Adds tensors to a file."""

    def __init__(self, writer: GGUFWriter, random: Generator) -> None:
        self._writer = writer
        self._random = random

    def matrix(self, name: str, *shape: int, half: bool = True, zero_row: int | None = None) -> None:
        import numpy

        values = self._random.standard_normal(shape, dtype=numpy.float32) * numpy.float32(SCALE)
        if zero_row is not None:
            values[zero_row] = 0
        self._writer.add_tensor(name, values.astype(numpy.float16) if half else values)

    def vector(self, name: str, size: int, value: float = 1.0) -> None:
        import numpy

        self._writer.add_tensor(name, numpy.full(size, value, dtype=numpy.float32))


def _write_llama(writer: GGUFWriter, weights: _Weights, model: TinyModel) -> None:
    width, inner = model.embedding_length, model.feed_forward_length
    head = width // model.head_count
    writer.add_vocab_size(model.vocabulary)
    writer.add_head_count_kv(model.head_count_kv)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(head)
    special = [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)]
    every_byte = [(f"<0x{byte:02X}>", BYTE) for byte in range(256)]
    words = [(f"▁w{number}", NORMAL) for number in range(model.vocabulary - len(special) - len(every_byte))]
    tokens = [*special, *every_byte, *words]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text for text, _ in tokens])
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([kind for _, kind in tokens])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(END_TOKEN)
    weights.matrix("token_embd.weight", model.vocabulary, width)
    for number in range(model.block_count):
        block = f"blk.{number}"
        weights.vector(f"{block}.attn_norm.weight", width)
        for part, rows in (("q", width), ("k", head * model.head_count_kv), ("v", head * model.head_count_kv)):
            weights.matrix(f"{block}.attn_{part}.weight", rows, width)
        weights.matrix(f"{block}.attn_output.weight", width, width)
        weights.vector(f"{block}.ffn_norm.weight", width)
        weights.matrix(f"{block}.ffn_gate.weight", inner, width)
        weights.matrix(f"{block}.ffn_up.weight", inner, width)
        weights.matrix(f"{block}.ffn_down.weight", width, inner)
    weights.vector("output_norm.weight", width)
    weights.matrix("output.weight", model.vocabulary, width, zero_row=END_TOKEN)


def _write_bert(writer: GGUFWriter, weights: _Weights, model: TinyModel) -> None:
    import gguf

    width, inner = model.embedding_length, model.feed_forward_length
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    special = [("[PAD]", CONTROL), ("[UNK]", UNKNOWN), ("[CLS]", CONTROL), ("[SEP]", CONTROL), ("[MASK]", CONTROL)]
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pieces = [*(f"▁{letter}" for letter in letters), *letters]
    pieces += [f"▁w{number}" for number in range(model.vocabulary - len(special) - len(pieces))]
    tokens = [*special, *((piece, NORMAL) for piece in pieces)]
    writer.add_tokenizer_model("bert")
    writer.add_token_type_count(2)
    writer.add_token_list([text for text, _ in tokens])
    writer.add_token_types([kind for _, kind in tokens])
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(3)
    writer.add_sep_token_id(3)
    writer.add_mask_token_id(4)
    weights.matrix("token_embd.weight", model.vocabulary, width)
    weights.matrix("position_embd.weight", model.context_length, width, half=False)
    weights.matrix("token_types.weight", 2, width, half=False)
    _norm(weights, "token_embd_norm", width)
    for number in range(model.block_count):
        block = f"blk.{number}"
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            weights.matrix(f"{block}.{part}.weight", width, width)
            weights.vector(f"{block}.{part}.bias", width, 0.0)
        _norm(weights, f"{block}.attn_output_norm", width)
        weights.matrix(f"{block}.ffn_up.weight", inner, width)
        weights.vector(f"{block}.ffn_up.bias", inner, 0.0)
        weights.matrix(f"{block}.ffn_down.weight", width, inner)
        weights.vector(f"{block}.ffn_down.bias", width, 0.0)
        _norm(weights, f"{block}.layer_output_norm", width)


def _norm(weights: _Weights, name: str, width: int) -> None:
    weights.vector(f"{name}.weight", width)
    weights.vector(f"{name}.bias", width, 0.0)
