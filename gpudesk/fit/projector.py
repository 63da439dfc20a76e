"""What seeing takes: the projector's weights and the buffer of the encoder that reads an image.

Sources: llama.cpp tools/mtmd/clip.cpp at b10488 (graph reserved at the largest image an encoder of a fixed size takes,
flash attention where there is; one of any size takes only so many tokens, `set_limit_image_tokens`), Ollama
fs/ggml/ggml.go `VisionGraphSize` at v0.12.6 (attention over all patches in f32), llm/llama_server.go:670
(`shouldDisableMMProjOffload`) at v0.33.0-rc2.
"""

from __future__ import annotations

from collections.abc import Iterable

from gpudesk.domain.engine import Era
from gpudesk.fit.identity import ByIdentity
from gpudesk.fit.metadata import ModelMetadata
from gpudesk.fit.tensor_sizes import total_bytes
from gpudesk.units import GIBIBYTE, MEBIBYTE

WIDTHS_LIVE = 12
"""Embedding widths per patch that live at once: residual, norm, query, key, value, and a feed-forward four wide."""
UNKNOWN_GRAPH_BYTES = 192 * MEBIBYTE
HEADROOM_BYTES = GIBIBYTE
"""What Ollama with llama-server wants free beside the weights of a projector before it goes on a card."""
MOST_PATCHES = 1 << 15
MOST_PATCHES_AT_ONCE = 64 * 64
"""In llama.cpp: as many as an encoder of a fixed size has (gemma 3), and as many as an encoder of any size may get
(pixtral: 1024 tokens of four patches), though its file names a larger image."""


def _weights_bytes(metadata: ModelMetadata) -> int:
    if metadata.projector_tensors:
        return total_bytes(metadata.projector_tensors)
    return metadata.projector_bytes or 0


weights_bytes = ByIdentity(_weights_bytes)
"""Return the projector's tensors; its file's size when they are not known; 0 without a projector."""


def graph_bytes(metadata: ModelMetadata, era: Era) -> int:
    """Return the buffer of the image encoder at its own image size."""
    size, patch = metadata.vision_image_size, metadata.vision_patch_size
    width = metadata.vision_embedding_length
    if not size or not patch or not width:
        return UNKNOWN_GRAPH_BYTES
    patches = _patches(size, patch, era)
    pixels = 4 * 3 * patches * patch * patch
    live = 4 * patches * width * WIDTHS_LIVE
    heads = metadata.vision_head_count or 16
    scores = 4 * patches * patches * heads
    if era is Era.LLAMA_SERVER:
        return pixels + live
    return pixels + max(live, scores + 4 * width * patch)


def projector(metadata: ModelMetadata, era: Era, held: int | None = None) -> int:
    """Return all that seeing takes on the card; 0 for a model without a projector.

    Args:
        metadata: the model.
        era: of the engine.
        held: the projector's weights, where they are summed already.
    """
    held = weights_bytes(metadata) if held is None else held
    return held + graph_bytes(metadata, era) if held else 0


def stays_on_host(held: int, free: Iterable[int], layers_on_gpu: int | None, layers_total: int) -> bool:
    """Tell whether Ollama with llama-server leaves a projector in host memory, wherever there would be room for it.

    Args:
        held: the projector's weights.
        free: free memory of each card the model goes on.
        layers_on_gpu: how many layers somebody asked for; None: nobody did.
        layers_total: with the output layer.
    """
    if layers_on_gpu is not None and layers_on_gpu < layers_total:
        return True
    return any(card < held + HEADROOM_BYTES for card in free)


def projector_high(metadata: ModelMetadata, era: Era, held: int | None = None) -> int:
    """Return what it takes when the encoder's attention is computed over all patches at once."""
    held = weights_bytes(metadata) if held is None else held
    if not held:
        return 0
    size, patch = metadata.vision_image_size, metadata.vision_patch_size
    if not size or not patch:
        return held + 6 * UNKNOWN_GRAPH_BYTES
    usual = projector(metadata, era, held)
    if era is not Era.LLAMA_SERVER and metadata.vision_embedding_length:
        # It is counted already.
        return usual
    patches = _patches(size, patch, era)
    return usual + 4 * patches * patches * (metadata.vision_head_count or 16)


def _patches(size: int, patch: int, era: Era) -> int:
    """Return how many patches of an image are read at once."""
    most = MOST_PATCHES_AT_ONCE if era is Era.LLAMA_SERVER else MOST_PATCHES
    return min(most, (size // patch) ** 2)
