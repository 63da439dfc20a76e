"""How wide the recurrent layers of a model are, from their tensors where these are known, from the keys where not."""

from __future__ import annotations

from gpudesk.fit.architectures import ArchitectureRules, Recurrence
from gpudesk.fit.graph_widths import LayerWidths, Mixer
from gpudesk.fit.metadata import ModelMetadata

F32 = 4
KIMI_HEAD = 128
RWKV_HEAD = 64


def recurrent_widths(
    metadata: ModelMetadata,
    shape: ArchitectureRules,
    layer: int,
    sequences: int,
    named: dict[str, tuple[int, ...]],
) -> LayerWidths:
    """Return what a recurrent layer makes; every slot has a state of its own in the graph."""
    embedding = metadata.embedding_length
    before = max(0, (metadata.ssm_conv_kernel or 1) - 1)
    match shape.recurrence:
        case Recurrence.SHORT_CONVOLUTION:
            kept = max(0, (metadata.shortconv_cache or 1) - 1)
            return LayerWidths(
                mixer=Mixer.CONVOLUTION, inner=embedding, convolution_bytes=F32 * kept * embedding * sequences
            )
        case Recurrence.KIMI_DELTA:
            return _kimi(metadata, layer, before, sequences, named)
        case Recurrence.RWKV:
            return LayerWidths(
                mixer=Mixer.RWKV,
                inner=embedding,
                channels=(6 if shape.name.endswith("rwkv7") else 5) * embedding,
                state_bytes=F32 * RWKV_HEAD * embedding * sequences,
                convolution_bytes=F32 * 2 * embedding * sequences,
            )
        case _:
            return _scan(metadata, shape, layer, before, sequences, named)


def _scan(
    metadata: ModelMetadata,
    shape: ArchitectureRules,
    layer: int,
    before: int,
    sequences: int,
    named: dict[str, tuple[int, ...]],
) -> LayerWidths:
    """A gated delta net, or one of the mambas: the first projects the parameters of its scan from what it convolved."""
    prefix = f"blk.{layer}."
    inner = metadata.ssm_inner_size or metadata.embedding_length
    state = metadata.ssm_state_size or 0
    groups = (metadata.ssm_group_count or 0) * state
    parameters = named.get(prefix + "ssm_x.weight")
    selective = parameters is not None or (not named and not groups)
    channels = inner if selective else inner + 2 * groups
    if shape.name.startswith("qwen3"):
        return LayerWidths(
            mixer=Mixer.DELTA_NET,
            inner=inner,
            channels=channels,
            groups=groups,
            steps=inner // state if state else 0,
            state_bytes=F32 * inner * state * sequences,
            convolution_bytes=F32 * before * channels * sequences,
        )
    projected = named.get(prefix + "ssm_in.weight")
    width = projected[1] if projected and len(projected) > 1 else inner + (inner if selective else channels)
    return LayerWidths(
        mixer=Mixer.MAMBA,
        inner=inner,
        channels=channels,
        groups=groups,
        projected=width,
        steps=parameters[1] if parameters and len(parameters) > 1 else max(0, width - inner - channels),
        selective=selective,
        state_bytes=F32 * inner * state * sequences,
        convolution_bytes=F32 * before * channels * sequences,
    )


def _kimi(
    metadata: ModelMetadata, layer: int, before: int, sequences: int, named: dict[str, tuple[int, ...]]
) -> LayerWidths:
    heads = max(metadata.head_count, default=0)
    convolution = named.get(f"blk.{layer}.ssm_conv1d_q.weight")
    inner = max(convolution) if convolution else heads * KIMI_HEAD
    return LayerWidths(
        mixer=Mixer.KIMI_DELTA,
        heads=heads,
        inner=inner,
        steps=inner // heads if heads else 0,
        state_bytes=F32 * (inner * inner // heads if heads else 0) * sequences,
        convolution_bytes=F32 * before * inner * sequences,
    )
