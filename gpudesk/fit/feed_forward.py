"""The widths of a layer's feed forward block, from its tensors or, without them, from the keys."""

from __future__ import annotations

from gpudesk.fit.architectures import ArchitectureRules
from gpudesk.fit.graph_widths import LayerWidths
from gpudesk.fit.metadata import ModelMetadata
from gpudesk.records import replace

POST_NORMS = frozenset(["gemma2", "gemma3", "gemma3n", "gemma4", "glm4", "olmo2", "exaone4", "gemma-embedding"])


def with_feed_forward(
    metadata: ModelMetadata,
    shape: ArchitectureRules,
    widths: LayerWidths,
    layer: int,
    named: dict[str, tuple[int, ...]],
) -> LayerWidths:
    """Return a layer's widths with those of its feed forward block: dense, experts, or both beside each other."""
    prefix = f"blk.{layer}."
    down = named.get(prefix + "ffn_down.weight")
    up = named.get(prefix + "ffn_up.weight")
    fused_experts = named.get(prefix + "ffn_gate_up_exps.weight")
    expert_down = named.get(prefix + "ffn_down_exps.weight")
    shared = named.get(prefix + "ffn_down_shexp.weight")
    dense = down[0] if down else 0
    used = count = width = 0
    if expert_down is not None:
        width, count = expert_down[0], expert_down[-1]
        used = metadata.expert_used_count or 1
    if not named:
        dense = metadata.feed_forward_length[layer] if layer < len(metadata.feed_forward_length) else 0
        if metadata.expert_count:
            count, used = metadata.expert_count, metadata.expert_used_count or 1
            width = metadata.expert_feed_forward_length or dense
            dense = 0
    return replace(
        widths,
        feed_forward=dense,
        fused=up is not None and down is not None and len(up) > 1 and up[1] == 2 * down[0],
        plain=down is not None and prefix + "ffn_gate.weight" not in named and up is not None and up[1] == down[0],
        experts=count,
        experts_used=used,
        expert_width=width,
        experts_fused=fused_experts is not None,
        shared_width=shared[0] if shared else 0,
        post_norms=prefix + "post_ffw_norm.weight" in named or (not named and shape.name in POST_NORMS),
        per_layer=per_layer_width(named),
        feed_forward_beside=bool(used and dense),
    )


def per_layer_width(named: dict[str, tuple[int, ...]]) -> int:
    """Return the width of the embeddings each layer has of its own; 0 without them."""
    norm = named.get("per_layer_proj_norm.weight")
    return norm[0] if norm else 0
