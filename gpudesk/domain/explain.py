"""Why what the driver measures differs from what an engine claims, in words.

Sources: how `/api/ps` arrives at its figures in ollama llm/memory.go at v0.6.8, llm/server.go:1895 at v0.24.0 and
llm/llama_server.go:2638-2870 at v0.33.0-rc2; issues ollama#6160 and ollama#17251.
"""

from __future__ import annotations

from gpudesk.domain.engine import Era
from gpudesk.domain.keep_alive import KeepAliveState
from gpudesk.domain.model import EngineModel, ModelDetails
from gpudesk.domain.process import Runner
from gpudesk.units import MEBIBYTE, percent

AGREEMENT_BYTES = 64 * MEBIBYTE
"""Differences below this are not worth a word: less than a driver context, far less than a model."""

AGREEMENT_RATIO = 0.01
"""Nor are differences below this share of the claim."""

CONTEXT_MEBIBYTES = 457
"""What Ollama itself sets aside per CUDA card for context and libraries (ollama ml/device.go:359)."""


def explain_difference(
    claim: EngineModel,
    *,
    measured_bytes: int,
    era: Era | None,
    runner: Runner | None = None,
    details: ModelDetails | None = None,
    card_count: int = 1,
) -> tuple[str, ...]:
    """Say what explains measured minus claimed, most important first; nothing when the two agree.

    Args:
        claim: the engine's row.
        measured_bytes: the driver's figure for the model's processes on all cards.
        era: how this engine arrives at its figure.
        runner: what the command line tells.
        details: what `/api/show` tells.
        card_count: on how many cards the model is; each has a context.
    """
    claimed = claim.size_vram_bytes
    if claimed is None:
        return ()
    difference = measured_bytes - claimed
    if abs(difference) < max(AGREEMENT_BYTES, int(abs(claimed) * AGREEMENT_RATIO)):
        return ()
    reasons: list[str] = []
    if claim.keep_alive is not None and claim.keep_alive.state is KeepAliveState.STOPPING and difference < 0:
        reasons.append("the engine is unloading it: the claim stays until the memory is gone")
    if measured_bytes == 0:
        reasons.append("the driver lists its process on no card: it runs on the CPU, or on hardware not shown here")
    elif era is Era.ESTIMATE:
        reasons += _estimate(runner)
    elif era is Era.LAYOUT:
        reasons += _layout(difference, card_count)
    elif era is Era.LLAMA_SERVER:
        reasons += _llama_server(difference, runner, details, card_count)
    elif difference > 0:
        reasons.append(_context(card_count))
    if ratio := claim.cpu_ratio:
        reasons.append(f"{percent(ratio)} of it is in host memory, which is in neither figure")
    return tuple(reasons)


def _estimate(runner: Runner | None) -> list[str]:
    reasons = ["Ollama before 0.12.11 claims what it estimated before the load, for most models"]
    if runner is not None and (runner.kv_cache_type_k or "f16") not in ("f16", "f32"):
        reasons.append(f"the estimate rounds the {runner.kv_cache_type_k} context cache")
    return reasons


def _layout(difference: int, card_count: int) -> list[str]:
    reasons = ["depending on the model, the claim is what the runner allocated or an estimate"]
    if difference > 0:
        reasons.append(_context(card_count))
    else:
        reasons.append("with all layers on the card the claim includes buffers in host memory")
    return reasons


def _llama_server(difference: int, runner: Runner | None, details: ModelDetails | None, card_count: int) -> list[str]:
    """Explain a claim that is added up from llama-server's log lines, where a later line replaces an earlier one."""
    if difference < 0:
        return ["the claim is added up from what llama-server logged while loading; some of it has been released"]
    reasons: list[str] = []
    if (runner is not None and runner.draft_model) or (details is not None and details.has_draft):
        reasons.append("a draft model shares the process, and its log line replaces the main model's in the claim")
    if details is not None and details.sliding_window:
        reasons.append("sliding-window attention: two context caches are logged under one name, only one is counted")
    if (runner is not None and runner.projector_digest) or (details is not None and details.has_projector):
        reasons.append("the weights of the vision part are not in the claim")
    if runner is not None and runner.lora_count:
        reasons.append("adapter weights are not in the claim")
    reasons.append(_context(card_count))
    return reasons


def _context(card_count: int) -> str:
    each = " on each card" if card_count > 1 else ""
    return f"the driver's context and libraries, about {CONTEXT_MEBIBYTES} MiB{each}, are never in the claim"
