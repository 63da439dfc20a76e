"""How each part of an estimate came about, with the source of its rule: `gpudesk fit --explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.fit.values import Basis
from gpudesk.units import MEBIBYTE

if TYPE_CHECKING:
    from gpudesk.fit.values import Estimate, Plan
    from gpudesk.output.status_text import Style

_RULES = (
    (
        "weights_bytes",
        "weights",
        "every tensor of the header; the input embedding stays in host memory unless it is the output layer too",
        "llama.cpp src/llama-model.cpp (dev_input) at b10488",
    ),
    (
        "kv_cache_bytes",
        "KV cache",
        "per layer: KV heads x (key + value length) x cells x bytes per element; only the window where there is one",
        "llama.cpp src/llama-kv-cache.cpp, src/llama-kv-cache-iswa.cpp, src/llama-hparams.cpp at b10488",
    ),
    (
        "compute_bytes",
        "compute",
        "the largest graph of one batch on each card",
        "llama.cpp ggml/src/ggml-alloc.c, src/llama-context.cpp (graph_reserve) at b10488",
    ),
    (
        "projector_bytes",
        "projector",
        "the vision tensors and the encoder's graph",
        "llama.cpp tools/mtmd/clip.cpp at b10488; ollama llm/llama_server.go:722 at v0.33.0-rc2",
    ),
    (
        "overhead_bytes",
        "overhead",
        "the process itself on each card: context, kernels, workspaces",
        "llama.cpp pull request 23604; ollama ml/device.go:359 at v0.33.0-rc2",
    ),
)


def explanation(plan: Plan, style: Style) -> list[str]:
    """Write every part of every model with its rule and where that comes from."""
    lines: list[str] = []
    for estimate in plan.models:
        lines += ["", *_model(estimate, style)] if lines else _model(estimate, style)
    return lines


def _mebibytes(size_bytes: int) -> str:
    return f"{size_bytes / MEBIBYTE:,.2f} MiB"


def _model(estimate: Estimate, style: Style) -> list[str]:
    heading = f"how {estimate.name} comes to {_mebibytes(estimate.parts.total_bytes)}"
    lines = [style.heading(heading)]
    for name, word, rule, source in _RULES:
        size_bytes = getattr(estimate.parts, name)
        if not size_bytes and name == "projector_bytes":
            continue
        lines += [f"  {word:<9} {_mebibytes(size_bytes):>15}", f"      {rule}", f"      source: {source}"]
    cards = [
        f"card {position}: {_mebibytes(parts.total_bytes)}"
        for position, parts in enumerate(estimate.by_card)
        if parts.total_bytes
    ]
    if len(cards) > 1:
        lines.append(f"  of that on {', '.join(cards)}")
    band = f"{_mebibytes(estimate.low_bytes)} to {_mebibytes(estimate.high_bytes)}"
    host = f"  host      {_mebibytes(estimate.host_bytes):>15}"
    return [
        *lines,
        host,
        "      input embedding, layers that do not fit",
        f"  band      {band}",
        f"      {_basis(estimate)}",
    ]


def _basis(estimate: Estimate) -> str:
    if estimate.basis is Basis.MEASURED:
        return f"this very load was measured by the driver ({estimate.points}x) on this kind of card"
    if estimate.basis is Basis.CALIBRATED:
        return f"overhead and compute corrected from {estimate.points} loads measured on this kind of card"
    return "calculated alone; gpudesk corrects overhead and compute once it has watched three different loads"
