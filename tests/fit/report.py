"""The fit report: every measured case beside what gpudesk, other tools and rules of thumb say of it.

`python -m tests.fit.report` prints the table as Markdown. Only rows measured by the driver or by the engine's own
buffer lines are scored; what an engine estimated or reported of itself is listed and never compared as truth.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median

from gpudesk.domain.engine import Era
from gpudesk.fit.estimate import estimate
from gpudesk.fit.metadata import ModelMetadata
from gpudesk.fit.server_rules import predicted_bytes
from gpudesk.fit.tensor_sizes import total_bytes
from gpudesk.fit.values import CardBudget, EngineProfile, Estimate, LoadOptions, Wanted
from gpudesk.units import GIBIBYTE, MEBIBYTE
from tests.fit import rebuild as r

CASES = Path(__file__).parent.parent / "fixtures" / "fit" / "cases.csv"
HEADING = (
    "| case | model | by | context | KV | weights | compute | total | measured | error | in band | gguf-parser |"
    " Ollama 0.33 | size x 1.2 |"
)
SCORED = ("driver", "buffers")
OTHERS: dict[str, float] = {
    "F001": 19757 * 1.007, "F002": 20331 * 1.006, "F003": 21809, "F004": 24387 * 1.005, "F029": 4711, "F059": 37235,
    "F064": 6922,
}  # fmt: skip
"""What gpustack/gguf-parser-go at 8dc7a62 answers, in MiB, with the footprint where the row is the driver's."""

_q4 = r.uniform("Q4_0", embedding="Q6_K")


def _qwen35(**dims: int) -> Callable[[], r.Header]:
    return lambda: r.qwen35(kind=r.uniform("Q4_K"), **dims)  # type: ignore[arg-type]


HEADERS: dict[str, Callable[[], r.Header]] = {
    "qwen2.5-coder:32b": lambda: r.dense(
        "qwen2", layers=64, embedding=5120, heads=40, heads_kv=8, head=128, width=27648, vocabulary=152064
    ),
    "qwen2.5-coder:7b": lambda: r.dense(
        "qwen2", layers=28, embedding=3584, heads=28, heads_kv=4, head=128, width=18944, vocabulary=152064
    ),
    "Qwen3-Coder-30B-A3B-Instruct": lambda: r.qwen3moe(
        layers=48, embedding=2048, heads=32, heads_kv=4, head=128, width=768, count=128, used=8, vocabulary=151936,
        kind=r.uniform("Q8_0"),
    ),
    "Qwen3-8B": lambda: r.dense(
        "qwen3", layers=36, embedding=4096, heads=32, heads_kv=8, head=128, width=12288, vocabulary=151936
    ),
    "gemma-4-26B-A4B-it QAT": lambda: r.gemma4(
        layers=30, embedding=2816, heads=16, heads_kv=8, heads_kv_global=2, width=2112, count=128, used=8,
        expert_width=704, kind=_q4,
    ),
    "gemma-4-E2B-it QAT": lambda: r.gemma4(
        layers=35, embedding=1536, heads=8, heads_kv=1, heads_kv_global=1, width=6144, wide=12288, per_layer=256,
        shared=20, period=5, window=512, kind=_q4,
    ),
    "gemma-4-E4B-it QAT": lambda: r.gemma4(
        layers=42, embedding=2560, heads=8, heads_kv=2, heads_kv_global=2, width=10240, per_layer=256, shared=18,
        window=512, kind=_q4,
    ),
    "gemma-4-12B-it QAT": lambda: r.gemma4(
        layers=48, embedding=3840, heads=16, heads_kv=8, heads_kv_global=1, width=15360, kind=_q4
    ),
    "Ministral-3-8B-Instruct-2512": lambda: r.dense(
        "mistral3", layers=34, embedding=4096, heads=32, heads_kv=8, head=128, width=14336, vocabulary=131072
    ),
    "Qwen3-30B-A3B": lambda: r.qwen3moe(
        layers=48, embedding=2048, heads=32, heads_kv=4, head=128, width=768, count=128, used=8, vocabulary=151936,
        kind=r.q4_k_m,
    ),
    "Qwen3.5-2B": _qwen35(layers=24, embedding=2048, heads=8, heads_kv=2, width=6144, inner=2048),
    "Qwen3.5-4B": _qwen35(layers=32, embedding=2560, heads=16, heads_kv=4, width=9216, inner=4096),
    "Qwen3.5-35B-A3B": _qwen35(
        layers=40, embedding=2048, heads=16, heads_kv=2, width=512, inner=4096, count=256, used=8, shared=512
    ),
    "Granite-4.1-8B": lambda: r.dense(
        "granite", layers=40, embedding=4096, heads=32, heads_kv=8, head=128, width=12800, vocabulary=100352
    ),
    "Qwen3.8-27B": _qwen35(layers=64, embedding=5120, heads=24, heads_kv=4, width=17408, inner=6144),
    "Qwen3.6-27B": _qwen35(layers=64, embedding=5120, heads=24, heads_kv=4, width=17408, inner=6144),
    "GLM-Z1-32B-0414": lambda: r.glm4(
        layers=61, embedding=6144, heads=48, heads_kv=2, head=128, width=23040, vocabulary=151552,
        kind=r.uniform("IQ4_XS", output="Q6_K"),
    ),
}  # fmt: skip

MIX_UNKNOWN = frozenset(
    {"Qwen3.5-2B", "Qwen3.5-4B", "Qwen3.5-35B-A3B", "Qwen3.8-27B", "Qwen3.6-27B", "GLM-Z1-32B-0414",
     "gemma-4-26B-A4B-it QAT", "gemma-4-E2B-it QAT", "gemma-4-E4B-it QAT"}
)  # fmt: skip
"""Files whose mix of types is the publisher's own: their weights are taken as printed, everything else is computed."""


@dataclass(frozen=True)
class Case:
    """One measured case and our answer. Sizes in MiB."""

    row: dict[str, str]
    estimate: Estimate
    metadata: ModelMetadata

    @property
    def name(self) -> str:
        return self.row["id"]

    @property
    def by_driver(self) -> bool:
        return self.row["basis"].startswith("driver")

    @property
    def measured(self) -> float:
        return float(self.row["vram_mib"] if self.by_driver else self.row["total_mib"])

    @property
    def shift(self) -> float:
        """What is added because the weights are those printed, and taken off because buffers have no overhead."""
        parts = self.estimate.parts
        shift = 0.0
        if self.weights_given:
            shift += float(self.row["weights_mib"]) - parts.weights_bytes / MEBIBYTE
        if not self.by_driver:
            shift -= parts.overhead_bytes / MEBIBYTE
        return shift

    @property
    def weights_given(self) -> bool:
        return self.row["model"] in MIX_UNKNOWN

    @property
    def predicted(self) -> float:
        return self.estimate.parts.total_bytes / MEBIBYTE + self.shift

    @property
    def error(self) -> float:
        return self.predicted - self.measured

    @property
    def in_band(self) -> bool:
        low, high = (each / MEBIBYTE + self.shift for each in (self.estimate.low_bytes, self.estimate.high_bytes))
        return low <= self.measured <= high


def rows() -> list[dict[str, str]]:
    """Return every row, traps included."""
    with CASES.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def is_scored(row: dict[str, str]) -> bool:
    return row["basis"].split("+")[0] in SCORED


@lru_cache(maxsize=1)
def cases() -> tuple[Case, ...]:
    """Return the scored cases."""
    return tuple(_case(row) for row in rows() if is_scored(row))


def _case(row: dict[str, str]) -> Case:
    metadata = HEADERS[row["model"]]().metadata(name=row["model"])
    slots = int(row["num_parallel"] or 1)
    options = LoadOptions(
        context_length=int(row["ctx"]),
        parallel=slots,
        batch_size=int(row["batch"] or 512),
        flash_attention="on" in row["flash_attn"],
        unified_kv=slots > 1,
    )
    backend = "vulkan" if "Vulkan" in row["engine"] else "cuda"
    card = CardBudget(0, row["gpu"] or "not stated", 48 * GIBIBYTE, 47 * GIBIBYTE)
    made = estimate(Wanted(row["model"], metadata, options), _profile(row, backend), (card,))
    return Case(row, made, metadata)


def _profile(row: dict[str, str], backend: str) -> EngineProfile:
    engine = row["engine"]
    if engine == "ollama":
        early = row["engine_version"].startswith("0.5")
        return EngineProfile(
            version="0.5.7" if early else "0.24.0", era=Era.ESTIMATE if early else Era.LAYOUT, backend=backend
        )
    if engine.startswith("ik"):
        return EngineProfile(kind="ik_llama.cpp", backend=backend)
    version = row["engine_version"] if row["engine_version"].startswith("b") else "b7200"
    return EngineProfile(kind="llama-server", version=version, backend=backend)


def summary(found: tuple[Case, ...]) -> dict[str, float]:
    """Return the figures that the issue bounds."""
    shares = [abs(case.error) / case.measured for case in found]
    return {
        "cases": len(found),
        "median_percent": 100 * median(shares),
        "worst_percent": 100 * max(shares),
        "worst_mib": max(abs(case.error) for case in found),
        "worst_under_mib": max(0.0, *(-case.error for case in found)),
        "in_band_percent": 100 * sum(case.in_band for case in found) / len(found),
    }


def table(found: tuple[Case, ...]) -> str:
    """Return the report as Markdown."""
    lines = [
        HEADING,
        "|---|---|---|--:|--:|--:|--:|--:|--:|--:|---|--:|--:|--:|",
    ]
    for case in found:
        parts = case.estimate.parts
        size = float(case.row["weights_mib"] or 0) + float(case.row["host_mib"] or 0)
        size = size or total_bytes(case.metadata.tensors) / MEBIBYTE
        ollama = predicted_bytes(case.metadata, int(case.row["ctx"]), round(size * MEBIBYTE)) / MEBIBYTE
        weights = float(case.row["weights_mib"]) if case.weights_given else parts.weights_bytes / MEBIBYTE
        other = OTHERS.get(case.name)
        lines.append(
            f"| {case.name} | {case.row['model']} | {case.row['basis']} | {case.row['ctx']}"
            f" | {parts.kv_cache_bytes / MEBIBYTE:.2f} | {weights:.2f}{' (given)' if case.weights_given else ''}"
            f" | {parts.compute_bytes / MEBIBYTE:.2f} | {case.predicted:.1f} | {case.measured:.1f}"
            f" | {100 * case.error / case.measured:+.2f} % | {'yes' if case.in_band else 'NO'}"
            f" | {_percent(other, case.measured)} | {_percent(ollama, case.measured)}"
            f" | {_percent(size * 1.2, case.measured)} |"
        )
    lines += ["", *(f"- {name}: {value:.2f}" for name, value in summary(found).items())]
    return "\n".join(lines)


def _percent(answer: float | None, measured: float) -> str:
    return "" if answer is None else f"{100 * (answer - measured) / measured:+.1f} %"


def main() -> None:
    print(table(cases()))


if __name__ == "__main__":
    main()
