"""Weights, tensor by tensor, and which of them never enter a card.

Source: llama.cpp src/llama-model.cpp at b10488 (`load_tensors`: the input layer stays on the CPU, a tied embedding is
loaded a second time as the output) and src/llama-arch.cpp (`LLM_TENSOR_INFOS`: which tensors are input, output or of a
layer). Ollama before 0.30 places them the same way (ml/backend/ggml/ggml.go at v0.24.0).
"""

from __future__ import annotations

from collections.abc import Iterable

from gpudesk.fit.architectures import ENCODERS, canonical
from gpudesk.fit.blocks import blocks_of
from gpudesk.fit.identity import ByIdentity
from gpudesk.fit.metadata import ModelMetadata, Tensor
from gpudesk.fit.tensor_sizes import tensor_bytes, total_bytes
from gpudesk.records import dataclass

INPUT_TENSORS = frozenset(["token_embd", "token_embd_norm", "token_types", "position_embd", "per_layer_token_embd"])
"""First part of the name of what llama.cpp's input layer loads (`LLM_TENSOR_LAYER_INPUT`)."""
PREDICTION_PREFIX = "mtp."
"""Of tensors that draft further tokens in files that Ollama made; llama.cpp has them in blocks after the last."""


@dataclass(frozen=True, slots=True)
class WeightLayout:
    """Bytes of weights by where they may lie."""

    layers: tuple[int, ...]
    """Each repeating layer."""
    output_bytes: int
    """The output layer: norm, projection to the vocabulary (a tied embedding counts here), classifier."""
    host_bytes: int
    """What never enters a card: input embeddings."""
    input_bytes: int
    """Of `host_bytes`, the token embedding."""
    experts: tuple[int, ...]
    """Of `layers`, what is in expert tensors."""
    prediction_bytes: int = 0
    """Blocks that draft further tokens: beside `layers`, loaded only when they are used."""
    listed_bytes: int = 0
    """All tensors as the file has them, each once."""
    known: bool = True
    """False when only the size of the file was known."""

    @property
    def card_bytes(self) -> int:
        """All that enters the cards when every layer does."""
        return sum(self.layers) + self.output_bytes


def _weights(metadata: ModelMetadata) -> WeightLayout:
    if not metadata.tensors:
        return _from_file_size(metadata)
    count = metadata.layer_count
    layers = [0] * count
    experts = [0] * count
    output = host = embedding = prediction = 0
    blocks = blocks_of(metadata)
    sizes = [
        (total_bytes(kind), total_bytes(tensor for tensor in kind if "_exps." in tensor.name)) for kind in blocks.kinds
    ]
    for block, kind in blocks.kind_of.items():
        size, in_experts = sizes[kind]
        if block >= count:
            prediction += size
            continue
        layers[block] += size
        experts[block] += in_experts
    has_output = False
    for tensor in blocks.others:
        size = tensor_bytes(tensor)
        if tensor.name.startswith(PREDICTION_PREFIX):
            prediction += size
            continue
        stem = tensor.name.partition(".")[0]
        if stem in INPUT_TENSORS:
            host += size
            if stem == "token_embd":
                embedding += size
            continue
        has_output = has_output or tensor.name == "output.weight"
        output += size
    listed = sum(layers) + output + host + prediction
    if not has_output and canonical(metadata.architecture) not in ENCODERS:
        output += embedding
    return WeightLayout(tuple(layers), output, host, embedding, tuple(experts), prediction, listed_bytes=listed)


weights = ByIdentity(_weights)
"""Sum the tensors of a model by layer."""


def _from_file_size(metadata: ModelMetadata) -> WeightLayout:
    """Spread the file over the layers when no tensor is known: more on the card than there will be, never less."""
    size = metadata.file_bytes or 0
    count = metadata.layer_count
    each, rest = divmod(size, count)
    return WeightLayout((each,) * count, rest, 0, 0, (0,) * count, known=False)


def adapter_bytes(adapters: Iterable[Iterable[Tensor]]) -> int:
    """Return what LoRA adapters add: their tensors, all beside the layers they change (src/llama-adapter.cpp)."""
    return sum(tensor_bytes(tensor) for adapter in adapters for tensor in adapter)
