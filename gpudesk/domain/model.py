"""Models: installed on disk, loaded in an engine, and what the engine tells of each."""

from __future__ import annotations

from datetime import datetime

from gpudesk.domain.keep_alive import KeepAlive
from gpudesk.records import dataclass


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model on the engine's disk (`/api/tags`)."""

    name: str
    """As the engine names it, tag included: `qwen3:14b`. Cleaned for display."""
    engine_url: str
    digest: str | None = None
    """64 hex digits; the manifest's, not the weights'."""
    size_bytes: int | None = None
    """All layers on disk."""
    parameter_size: str | None = None
    """`14.8B`."""
    quantization: str | None = None
    """`Q4_K_M`."""
    family: str | None = None
    capabilities: tuple[str, ...] | None = None
    """`completion`, `tools`, `insert`, `vision`, `embedding`, `thinking`, …; None when the engine does not say."""
    modified_at: datetime | None = None
    remote_host: str | None = None
    """A cloud model: runs there, holds no memory here."""


@dataclass(frozen=True, slots=True)
class EngineModel:
    """A loaded model as its engine claims it (`/api/ps`), before it is compared with the driver."""

    name: str
    engine_url: str
    digest: str | None = None
    size_bytes: int | None = None
    """The engine's total, host share included."""
    size_vram_bytes: int | None = None
    """The engine's share on the cards: a guess, a report or log lines, depending on its version."""
    context_length: int | None = None
    """Per slot; absent before Ollama 0.9.7."""
    keep_alive: KeepAlive | None = None
    parameter_size: str | None = None
    quantization: str | None = None
    family: str | None = None

    @property
    def cpu_ratio(self) -> float | None:
        """Share of the model in host memory, 0..1, as `ollama ps` computes it: 1 - size_vram / size."""
        if self.size_bytes is None or self.size_vram_bytes is None or self.size_bytes <= 0:
            return None
        return min(1.0, max(0.0, 1 - self.size_vram_bytes / self.size_bytes))


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """What `/api/show` tells once per digest; the part the desk needs."""

    digest: str
    blob_digests: tuple[str, ...] = ()
    """Files the model is made of, from the `FROM`, `ADAPTER` and `DRAFT` lines of its modelfile; weights first."""
    capabilities: tuple[str, ...] | None = None
    family: str | None = None
    """`general.architecture`."""
    context_length_trained: int | None = None
    layer_count: int | None = None
    sliding_window: int | None = None
    """Window in tokens when some layers see only that far."""
    has_projector: bool = False
    has_draft: bool = False
    license: str | None = None
