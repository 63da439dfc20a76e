"""vLLM instances on one card: each takes a fraction of the total memory, whatever its model needs.

The share is `ceil(total * gpu_memory_utilization)` and has to be free when the instance starts, or it refuses
(vLLM vllm/v1/worker/utils.py, `request_memory`); weights, the peak of a test run and what is not torch's come out of
it, and all of the rest becomes KV cache (vllm/v1/worker/gpu_worker.py, `determine_available_memory`; one card of
23.58 GiB at 0.99: 23.35 = 21.21 weights + 0.20 + 0.37 + 1.57 KV, vllm-project/vllm#14447). CUDA graphs and the
driver's context may come on top: measured processes held 0 to 0.8 GB more than their share. Profiling measures the
whole card, so instances have to be started one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum

from gpudesk.fit.metadata import ModelMetadata
from gpudesk.fit.values import Verdict
from gpudesk.records import dataclass
from gpudesk.units import GIBIBYTE

ABOVE_SHARE_BYTES = (0, 400_000_000, 800_000_000)
"""Low, expected, high: what a process holds beyond its share (22.08 GB budgeted: 22.10 and 22.87; 22.80: 23.60)."""

NOT_TORCH_BYTES = 205 << 20
"""Allocations outside torch: 0.20 GiB in vllm-project/vllm#14447."""

ACTIVATION_BYTES = 379 << 20
"""Peak of the test run: 0.37 GiB there; it grows with `--max-num-batched-tokens` and the vocabulary."""

BLOCK_TOKENS = 16
"""Tokens in one block of the KV cache (vllm/config/cache.py)."""

SUM_LIMIT = 0.95
"""More than this together leaves nothing for contexts and graphs."""

_BITS = {"fp32": 32.0, "fp16": 16.0, "bf16": 16.0, "fp8": 8.0, "int8": 8.0, "awq": 4.156, "gptq": 4.156, "int4": 4.156}
"""Bits per weight of the layers; 4 bits with one 16-bit scale and one 4-bit zero point per 128 weights."""


class Start(StrEnum):
    """Whether an instance starts, given what started before it."""

    STARTS = "starts"
    MAY_REFUSE = "may refuse to start"
    """It depends on how much the ones before hold beyond their shares."""
    REFUSES = "refuses to start"


@dataclass(frozen=True, slots=True)
class VllmInstance:
    """One instance as it would be started."""

    name: str
    fraction: float
    """`--gpu-memory-utilization`."""
    weights_bytes: int | None = None
    kv_bytes_per_token: int | None = None
    max_model_len: int | None = None
    lora_slots: int = 0
    """`--max-loras`: reserved when it starts, used or not."""
    lora_slot_bytes: int = 0
    activation_bytes: int = ACTIVATION_BYTES


@dataclass(frozen=True, slots=True)
class VllmShare:
    """What one instance gets; None where its model is not known well enough."""

    instance: VllmInstance
    share_bytes: int
    free_at_start_bytes: tuple[int, int]
    """Least and most that can be free when it starts."""
    start: Start
    kv_bytes: int | None
    """Left for the KV cache; negative: that much is missing."""
    kv_tokens: int | None
    max_concurrency: float | None
    """Requests of `max_model_len` at once."""
    held_bytes: tuple[int, int, int]
    """Low, expected, high of what the process holds once it runs."""
    notes: tuple[str, ...] = ()

    @property
    def works(self) -> bool:
        """Whether it can start and has room for one request of full length."""
        enough = self.max_concurrency is None or self.max_concurrency >= 1
        return self.start is not Start.REFUSES and (self.kv_bytes is None or self.kv_bytes > 0) and enough


@dataclass(frozen=True, slots=True)
class VllmPlan:
    """All instances of one card, in the order they are started."""

    shares: tuple[VllmShare, ...]
    fraction_sum: float
    verdict: Verdict
    notes: tuple[str, ...] = ()


def share_bytes(fraction: float, memory_total_bytes: int) -> int:
    """Return what an instance asks for.

    Raises:
        ValueError: a fraction that vLLM refuses.
    """
    if not (math.isfinite(fraction) and 0 < fraction <= 1):
        raise ValueError(f"gpu-memory-utilization {fraction!r}, expected above 0 and at most 1")
    return math.ceil(memory_total_bytes * fraction)


def plan_instances(
    instances: Sequence[VllmInstance], memory_total_bytes: int, available_bytes: int | None = None
) -> VllmPlan:
    """Start instances one after the other on one card.

    Args:
        instances: in the order they are started.
        memory_total_bytes: of the card, as CUDA reports it.
        available_bytes: free before the first starts; None is an empty card.
    """
    least = most = memory_total_bytes if available_bytes is None else available_bytes
    shares: list[VllmShare] = []
    for instance in instances:
        share = _share(instance, memory_total_bytes, least, most)
        shares.append(share)
        if share.start is not Start.REFUSES:
            least, most = least - share.held_bytes[2], most - share.held_bytes[0]
    total = math.fsum(instance.fraction for instance in instances)
    return VllmPlan(tuple(shares), total, _verdict(shares, least), _plan_notes(shares, total, least))


def _verdict(shares: Sequence[VllmShare], least_left: int) -> Verdict:
    if not all(share.works for share in shares):
        return Verdict.DOES_NOT_FIT
    unsure = least_left < 0 or any(share.start is not Start.STARTS for share in shares)
    return Verdict.TIGHT if unsure else Verdict.FITS


def _plan_notes(shares: Sequence[VllmShare], total: float, least_left: int) -> tuple[str, ...]:
    notes = []
    if len(shares) > 1:
        notes.append("start them one after the other: each measures the whole card while it starts")
    if total > SUM_LIMIT:
        notes.append(
            f"the fractions add up to {total:.2f}; above {SUM_LIMIT} nothing is left for CUDA contexts and graphs"
        )
    if least_left < 0:
        notes.append(f"once all run, up to {_gib(-least_left)} more than the card has may be asked for")
    return tuple(notes)


def _share(instance: VllmInstance, total: int, least: int, most: int) -> VllmShare:
    share = share_bytes(instance.fraction, total)
    start = Start.STARTS if least >= share else Start.MAY_REFUSE if most >= share else Start.REFUSES
    notes = []
    if start is not Start.STARTS:
        free = max(0, least)
        notes.append(
            f"Free memory on device ({_plain(free)}/{_plain(total)} GiB) on startup is less than desired GPU memory "
            f"utilization ({instance.fraction:g}, {_plain(share)} GiB)"
        )
    kv = tokens = concurrency = None
    if instance.weights_bytes is not None:
        adapters = instance.lora_slots * instance.lora_slot_bytes
        fixed = instance.weights_bytes + adapters + NOT_TORCH_BYTES + instance.activation_bytes
        kv = share - fixed
        if instance.weights_bytes > share:
            notes.append(f"{_gib(instance.weights_bytes)} of weights do not fit its share of {_gib(share)}")
        elif kv <= 0:
            notes.append(f"nothing is left for the KV cache: {_gib(-kv)} too little")
        tokens, concurrency = _capacity(instance, max(0, kv))
        if kv > 0 and concurrency is not None and concurrency < 1:
            notes.append(f"no request of {instance.max_model_len} tokens fits: set --max-model-len {tokens} or less")
    low, expected, high = (share + extra for extra in ABOVE_SHARE_BYTES)
    return VllmShare(
        instance, share, (least, most), start, kv, tokens, concurrency, (low, expected, high), tuple(notes)
    )


def _capacity(instance: VllmInstance, kv_bytes: int) -> tuple[int | None, float | None]:
    """Return tokens and concurrency: whole blocks, and a request takes whole blocks too (kv_cache_utils.py)."""
    if not instance.kv_bytes_per_token:
        return None, None
    blocks = kv_bytes // (instance.kv_bytes_per_token * BLOCK_TOKENS)
    if not instance.max_model_len:
        return blocks * BLOCK_TOKENS, None
    return blocks * BLOCK_TOKENS, blocks / math.ceil(instance.max_model_len / BLOCK_TOKENS)


def weights_bytes(parameters_billion: float, kind: str, *, wide_parameters_billion: float = 0.0) -> int:
    """Return the size of weights as vLLM loads them.

    Args:
        parameters_billion: all of them.
        kind: `fp16`, `bf16`, `fp8`, `awq`, `gptq`, …
        wide_parameters_billion: of these, what stays 16 bits wide: embedding and output in AWQ and GPTQ files.

    Raises:
        ValueError: a kind that is not known.
    """
    bits = _BITS.get(kind.lower())
    if bits is None:
        raise ValueError(f"weights of kind {kind!r}, expected one of {', '.join(_BITS)}")
    narrow = parameters_billion - wide_parameters_billion
    return round((narrow * bits + wide_parameters_billion * max(bits, 16.0)) / 8 * 1e9)


def kv_bytes_per_token(metadata: ModelMetadata, *, bytes_per_value: int = 2) -> int:
    """Return the KV cache of one token, every layer counted in full.

    A latent cache (MLA) keeps one vector per layer. Layers that see only a window pay less in long requests, so for
    those models the concurrency is a lower bound.
    """
    if metadata.kv_lora_rank:
        return metadata.layer_count * (metadata.kv_lora_rank + (metadata.rope_dimension_count or 0)) * bytes_per_value
    heads = sum(metadata.head_count_kv[: metadata.layer_count - metadata.shared_kv_layers])
    return heads * (metadata.key_length + metadata.value_length) * bytes_per_value


def lora_slot_bytes(metadata: ModelMetadata, rank: int, *, bytes_per_value: int = 2) -> int:
    """Return what one LoRA slot reserves: two thin matrices beside each projection, rank * (inputs + outputs).

    vLLM reserves them for `--max-loras` slots at `--max-lora-rank`, whatever the adapters target.
    """
    width = metadata.embedding_length
    total = 0
    for layer in range(metadata.layer_count):
        heads, heads_kv = metadata.head_count[layer], metadata.head_count_kv[layer]
        inner = metadata.feed_forward_length[layer] if layer < len(metadata.feed_forward_length) else 4 * width
        query, attended = heads * metadata.key_length, heads * metadata.value_length
        total += (width + query) + (attended + width) + 3 * (width + inner)
        total += (width + heads_kv * metadata.key_length) + (width + heads_kv * metadata.value_length)
    return total * rank * bytes_per_value


def _plain(size_bytes: int) -> str:
    return f"{size_bytes / GIBIBYTE:.2f}"


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / GIBIBYTE:.1f} GiB"
