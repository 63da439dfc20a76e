"""What seeing takes: the projector's weights and the buffer of the encoder that reads an image.

Sources: llama.cpp tools/mtmd/clip.cpp at b10488 (graph reserved at the largest image, flash attention where there is),
Ollama fs/ggml/ggml.go `VisionGraphSize` at v0.12.6 (attention over all patches in f32).
"""

from __future__ import annotations

from gpudesk.domain.engine import Era
from gpudesk.fit.metadata import ModelMetadata
from gpudesk.fit.tensor_sizes import total_bytes
from gpudesk.units import MEBIBYTE

WIDTHS_LIVE = 12
"""Embedding widths per patch that live at once: residual, norm, query, key, value, and a feed-forward four wide."""
UNKNOWN_GRAPH_BYTES = 192 * MEBIBYTE
MOST_PATCHES = 1 << 15


def weights_bytes(metadata: ModelMetadata) -> int:
    """Return the projector's tensors; its file's size when they are not known; 0 without a projector."""
    if metadata.projector_tensors:
        return total_bytes(metadata.projector_tensors)
    return metadata.projector_bytes or 0


def graph_bytes(metadata: ModelMetadata, era: Era) -> int:
    """Return the buffer of the image encoder at its own image size."""
    size, patch = metadata.vision_image_size, metadata.vision_patch_size
    width = metadata.vision_embedding_length
    if not size or not patch or not width:
        return UNKNOWN_GRAPH_BYTES
    patches = min(MOST_PATCHES, (size // patch) ** 2)
    pixels = 4 * 3 * size * size
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


def projector_high(metadata: ModelMetadata, era: Era, held: int | None = None) -> int:
    """Return what it takes when the encoder's attention is computed over all patches at once."""
    held = weights_bytes(metadata) if held is None else held
    if not held:
        return 0
    size, patch = metadata.vision_image_size, metadata.vision_patch_size
    if not size or not patch:
        return held + 6 * UNKNOWN_GRAPH_BYTES
    patches = min(MOST_PATCHES, (size // patch) ** 2)
    return projector(metadata, era, held) + 4 * patches * patches * (metadata.vision_head_count or 16)
