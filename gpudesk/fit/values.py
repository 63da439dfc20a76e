"""What is asked of the planner and what it answers. All sizes in bytes, all contexts in tokens."""

from __future__ import annotations

from enum import StrEnum

from gpudesk.domain.engine import Era
from gpudesk.fit.metadata import ModelMetadata, Tensor
from gpudesk.records import dataclass


class Verdict(StrEnum):
    """How a plan ends on a card, or on all of them (the worst counts)."""

    FITS = "fits"
    TIGHT = "tight"
    """Fits, but the upper end of the band does not, or less than the margin stays free."""
    SPILLS = "spills"
    """Some layers would run on the CPU."""
    DOES_NOT_FIT = "does not fit"


class Basis(StrEnum):
    """Where an estimate comes from."""

    CALCULATED = "calculated"
    CALIBRATED = "calibrated"
    MEASURED = "measured"


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a model would be loaded. None = as the engine chooses."""

    context_length: int | None = None
    """Per slot."""
    parallel: int | None = None
    kv_cache_type_k: str = "f16"
    kv_cache_type_v: str = "f16"
    flash_attention: bool | None = None
    batch_size: int | None = None
    """Logical and physical batch (`-b`, `-ub`): the tokens one graph computes."""
    layers_on_gpu: int | None = None
    """`-ngl`; None = as many as fit."""
    draft: ModelMetadata | None = None
    drafted_tokens: int | None = None
    """Tokens drafted ahead (`draft_num_predict`, `--spec-draft-n-max`); 0: no drafting."""
    lora: tuple[tuple[Tensor, ...], ...] = ()
    """Tensors of each adapter."""
    swa_full: bool = False
    unified_kv: bool = False
    """llama-server's own default: all slots share the context's cells."""


@dataclass(frozen=True, slots=True)
class EngineProfile:
    """Which engine would load it, and how that engine is set."""

    kind: str = "ollama"
    """`ollama`, `llama-server`."""
    version: str | None = None
    era: Era = Era.LLAMA_SERVER
    backend: str = "cuda"
    """`cuda`, `rocm`, `vulkan`, `metal`: decides the overhead per process."""
    max_loaded_models: int | None = None
    parallel: int = 0
    """Slots it was told to have; 0: nobody told it, and it chooses."""
    kv_cache_type: str = "f16"
    flash_attention: bool | None = None
    default_context: int | None = None
    gpu_overhead_bytes: int = 0
    spread: bool = False


@dataclass(frozen=True, slots=True)
class Parts:
    """What a model takes, by kind. Recurrent state is in `kv_cache_bytes`."""

    weights_bytes: int = 0
    kv_cache_bytes: int = 0
    compute_bytes: int = 0
    projector_bytes: int = 0
    overhead_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """The sum."""
        return (
            self.weights_bytes + self.kv_cache_bytes + self.compute_bytes + self.projector_bytes + self.overhead_bytes
        )


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one model would take, all its cards together and apart."""

    name: str
    parts: Parts
    """On the cards."""
    low_bytes: int
    high_bytes: int
    """The band: the measured value is expected between, 95 times of 100."""
    by_card: tuple[Parts, ...]
    """One per card of the plan, in its order."""
    host_bytes: int
    """What stays in host memory: input embeddings, layers that do not fit."""
    layers_total: int
    """Repeating layers plus the output layer, as `-ngl` counts."""
    layers_on_gpu: int
    context_length: int
    parallel: int
    basis: Basis = Basis.CALCULATED
    points: int = 0
    """Measured points behind it."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CardBudget:
    """A card as the planner sees it."""

    index: int
    name: str
    memory_total_bytes: int
    available_bytes: int
    """Free now, or total less what others hold; the reserve is already taken off."""
    bandwidth_bytes_per_second: float | None = None
    reserve_bytes: int = 0
    """What was taken off for the user's reserve, which no engine knows of."""


@dataclass(frozen=True, slots=True)
class Resident:
    """A model that is loaded now and would stay or be evicted."""

    name: str
    memory_bytes: int
    by_card: tuple[int, ...]
    keep_alive_seconds: float | None
    """Session duration as the engine counts it, not what is left of it; None is forever."""
    keep_alive_bounds: tuple[float, float] | None = None
    """Least and most it may be where `keep_alive_seconds` is only likely; None: it is exact."""
    blob_digest: str | None = None
    busy: bool = False
    pinned: bool = False
    claimed_by_card: tuple[int, ...] | None = None
    """What the engine itself counts per card; None: taken to be `by_card`."""
    free_at_load: tuple[int, ...] | None = None
    """Free memory per card when it was loaded, on which Ollama with llama-server goes on counting; None: unknown."""
    context_length: int | None = None
    """Per slot; a request for another context loads it again."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One model of the combination."""

    name: str
    metadata: ModelMetadata
    options: LoadOptions = LoadOptions()
    blob_digest: str | None = None
    """64 hex digits of the weights, by which measured points are found again; None when not known."""


@dataclass(frozen=True, slots=True)
class FreeEntry:
    """Something that is no language model: a game, a renderer, speech; declared or measured."""

    name: str
    idle_bytes: int
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class ServerForecast:
    """What this engine version will do, which may differ from what would be possible."""

    would_evict: tuple[str, ...] = ()
    context_length: int | None = None
    parallel: int | None = None
    batch_size: int | None = None
    spills: bool = False
    on_cards: tuple[tuple[str, int], ...] = ()
    """What those that spill would hold on the cards, by name."""
    notes: tuple[str, ...] = ()
    evicts_because: str | None = None
    """The rule by which the first of `would_evict` go, with its figures: `it keeps at most 3 models loaded`."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """A change that would help, with what it would come to."""

    key: str
    """Stable id: `context:16384`, `kv:q8_0`, `kv:q8_0+context:16384`, `parallel:1`, `model:qwen3:8b`,
    `offload:40`, `swap`."""
    description: str
    verdict: Verdict
    total_bytes: int
    free_bytes: int
    seconds: float | None = None
    """What a swap costs."""
    model: str | None = None
    """Which model of the combination it changes; None: all of them, or none."""
    wanted: tuple[Wanted, ...] = ()
    """The combination after the change; for a swap what is loaded at one time, the largest first."""
    slowdown: float | None = None
    """How many times slower answers come, where layers stay on the CPU."""


@dataclass(frozen=True, slots=True)
class CardPlan:
    """One card under the plan."""

    budget: CardBudget
    planned_bytes: int
    high_bytes: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer."""

    verdict: Verdict
    models: tuple[Estimate, ...]
    cards: tuple[CardPlan, ...]
    total_bytes: int
    server: ServerForecast
    alternatives: tuple[Alternative, ...] = ()
    longest_context: int | None = None
    """Longest context the first model could have with all others as planned."""
    notes: tuple[str, ...] = ()
    longest_is_tight: bool = False
    """With none it fits well: the longest context is that of a tight plan."""
    longest_is_trained: bool = False
    """There would be room for more; it was not trained for a longer one."""
