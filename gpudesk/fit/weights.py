"""Weights, tensor by tensor, and which of them never enter a card.

Source: llama.cpp src/llama-model.cpp at b10488 (`load_tensors`: the input layer stays on the CPU, a tied embedding is
loaded a second time as the output) and src/llama-arch.cpp (`LLM_TENSOR_INFOS`: which tensors are input, output or of a
layer). Ollama before 0.30 places them the same way (ml/backend/ggml/ggml.go at v0.24.0).
"""

from __future__ import annotations

from collections.abc import Iterable

from gpudesk.fit.architectures import ENCODERS, canonical
from gpudesk.fit.metadata import ModelMetadata, Tensor
from gpudesk.fit.tensor_sizes import tensor_bytes
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
    known: bool = True
    """False when only the size of the file was known."""

    @property
    def card_bytes(self) -> int:
        """All that enters the cards when every layer does."""
        return sum(self.layers) + self.output_bytes


def weights(metadata: ModelMetadata) -> WeightLayout:
    """Sum the tensors of a model by layer."""
    if not metadata.tensors:
        return _from_file_size(metadata)
    count = metadata.layer_count
    layers = [0] * count
    experts = [0] * count
    output = host = embedding = prediction = 0
    has_output = False
    sizes: dict[tuple[str, tuple[int, ...]], int] = {}
    for tensor in metadata.tensors:
        alike = (tensor.kind, tensor.shape)
        size = sizes.get(alike, -1)
        if size < 0:
            size = sizes[alike] = tensor_bytes(tensor)
        layer = _layer(tensor.name)
        if layer is not None:
            if layer >= count:
                prediction += size
                continue
            layers[layer] += size
            if "_exps." in tensor.name:
                experts[layer] += size
            continue
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
    if not has_output and canonical(metadata.architecture) not in ENCODERS:
        output += embedding
    return WeightLayout(tuple(layers), output, host, embedding, tuple(experts), prediction)


def _layer(name: str) -> int | None:
    """Return the block a tensor belongs to."""
    if not name.startswith("blk."):
        return None
    number = name[4:].partition(".")[0]
    return int(number) if number.isdecimal() and number.isascii() else None


def _from_file_size(metadata: ModelMetadata) -> WeightLayout:
    """Spread the file over the layers when no tensor is known: more on the card than there will be, never less."""
    size = metadata.file_bytes or 0
    count = metadata.layer_count
    each, rest = divmod(size, count)
    return WeightLayout((each,) * count, rest, 0, 0, (0,) * count, known=False)


def adapter_bytes(adapters: Iterable[Iterable[Tensor]]) -> int:
    """Return what LoRA adapters add: their tensors, all beside the layers they change (src/llama-adapter.cpp)."""
    return sum(tensor_bytes(tensor) for adapter in adapters for tensor in adapter)
