"""What a load will look like before it begins: which cards, how many slots, which batch, or who must go first.

Source: ollama server/sched.go:496-960, :972-1125 (`load`, `selectLlamaServerPlacement`), :1295 (`updateFreeSpace`)
and llm/llama_server.go:2600 (`GetDeviceInfos`) at v0.33.0-rc2; server/sched.go `pickBestFullFitByLibrary` at v0.9.6
for the older eras.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gpudesk.domain.engine import Era
from gpudesk.sim.cards import GIBIBYTE, MEBIBYTE
from gpudesk.sim.engine_argv import Launch, runner_argv, uses_ollama_engine
from gpudesk.sim.engine_memory import RunOptions
from gpudesk.sim.engine_placement import Placement, fit, place, predicted_bytes
from gpudesk.sim.engine_reported import Reported, estimate, reported
from gpudesk.sim.engine_tensors import weights_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpudesk.fit.values import CardBudget
    from gpudesk.sim.engine_cards import EngineCards
    from gpudesk.sim.engine_options import RunnerOptions
    from gpudesk.sim.engine_runner import EngineRequest, Runner
    from gpudesk.sim.engine_settings import EngineSettings
    from gpudesk.sim.models import SimulatedModel
    from gpudesk.sim.processes import SimulatedProcessTable

MAX_PER_CARD = 3
SINGLE_SLOT = frozenset(
    ("mllama", "qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe", "qwen3next", "lfm2", "lfm2moe", "nemotron_h",
     "nemotron_h_moe", "nemotron_h_omni")
)  # fmt: skip
"""Architectures that get one slot whatever OLLAMA_NUM_PARALLEL says (sched.go:504-509)."""
FLASH_ATTENTION_DEFAULT = frozenset(("gemma3", "gptoss", "qwen3", "qwen3moe"))
"""Architectures with flash attention by default before llama-server (v0.12.6)."""


class OutOfMemoryError(Exception):
    """A load that cannot work; the text is what the server answers."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """Everything decided about a load."""

    options: RunnerOptions
    run: RunOptions
    placement: Placement
    claim: Reported
    argv: tuple[str, ...]
    seconds: float
    free: dict[int, int]
    """Free memory of the used cards as the driver told it at the start."""


def plan_load(
    request: EngineRequest,
    runners: Sequence[Runner],
    cards: EngineCards,
    processes: SimulatedProcessTable,
    settings: EngineSettings,
) -> LoadPlan | None:
    """Decide about a load; None means that a runner must go first.

    Raises:
        OutOfMemoryError: it cannot be loaded whoever goes.
    """
    decided = _decide(request, runners, cards, settings)
    if decided is None:
        return None
    options, run, placement = decided.options, decided.run, decided.placement
    _check_host(placement, processes, settings)
    launch = Launch(
        model=request.model,
        options=options,
        parallel=run.parallel,
        port=32000 + (int(request.model.blob_digest[:6], 16) + len(processes.pids()) * 131) % 28000,
        flash_attention=_flash_argument(settings, run),
        cache_type=run.cache_type,
        layers_on_cards=placement.layers_on_cards,
        on_cards=bool(placement.cards),
        main_gpu=0 if decided.single else None,
        projector_on_card=any(part.projector for part in placement.cards),
        integrated=cards.integrated,
        tensor_split=tuple(max(1, part.weights // (64 * MEBIBYTE)) for part in placement.cards),
    )
    return LoadPlan(
        options=options,
        run=run,
        placement=placement,
        claim=reported(placement, settings.era, decided.estimated),
        argv=runner_argv(settings, launch),
        seconds=_seconds(request.model, settings),
        free={card: cards.free_bytes(card) for card in decided.chosen},
    )


def _seconds(model: SimulatedModel, settings: EngineSettings) -> float:
    if settings.load_seconds is not None:
        return settings.load_seconds
    weights = weights_of(model)
    return settings.load_base_seconds + (weights.file + weights.projector_file) / settings.load_bytes_per_second


@dataclass(frozen=True, slots=True)
class _Decision:
    """Which cards and how much on them."""

    options: RunnerOptions
    run: RunOptions
    chosen: tuple[int, ...]
    placement: Placement
    estimated: Reported | None = None
    single: bool = False
    """llama-server is held to one of several cards."""


def _decide(
    request: EngineRequest, runners: Sequence[Runner], cards: EngineCards, settings: EngineSettings
) -> _Decision | None:
    """Choose cards and layers; None means that a runner must go first."""
    usable = () if request.options.num_gpu == 0 or request.trouble == "cpu" else cards.indexes
    available = {card: _accounted_free(card, runners, cards, settings) for card in usable}
    if settings.era is not Era.LLAMA_SERVER:
        decision = _older(request, runners, available, cards, settings)
        if decision is not None:
            _check_cards(decision.placement, {card: cards.free_bytes(card) for card in decision.chosen}, settings)
        return decision
    chosen, options, single = _select(request, available, settings)
    run = _run_options(request.model, options, settings)
    if runners and chosen and not _preflight(request.model, options, run, [available[card] for card in chosen]):
        return None
    placement = _placement(request.model, options, run, chosen, cards, settings)
    return _Decision(options, run, chosen, placement, single=single)


def _accounted_free(card: int, runners: Sequence[Runner], cards: EngineCards, settings: EngineSettings) -> int:
    """Return what the server believes to be free on a card.

    From v0.30 it does not ask the driver while it has a runner there but takes what was free when one of them was
    loaded, less that one's claim (llama_server.go:2600, discover/runner.go:265-320; here the latest, there whichever
    its map yields first). So it sees neither who took memory since nor a model that has gone since, and evicts too
    few or too many (issue 12247). Before, it asked the driver. In both cases the sum of all claims is the limit
    (sched.go:1295).
    """
    claims = [(runner, dict(runner.claim.by_card).get(card)) for runner in runners]
    there = [(runner, claim) for runner, claim in claims if claim is not None]
    total = cards.total_bytes(card)
    if there and settings.era is Era.LLAMA_SERVER:
        runner, claim = there[-1]
        believed = min(total, runner.free_at_load.get(card, total)) - claim
    else:
        believed = cards.free_bytes(card)
    return max(0, min(believed, total - sum(claim for _runner, claim in there)))


def _slots(model: SimulatedModel, settings: EngineSettings) -> int:
    if not model.can("completion") or model.shape.architecture in SINGLE_SLOT:
        return 1
    return settings.default_parallel


def _flash(model: SimulatedModel, settings: EngineSettings) -> bool:
    if settings.flash_attention is not None:
        return settings.flash_attention
    if settings.era is Era.LLAMA_SERVER:
        return True
    return settings.version_key >= (0, 12, 4) and model.shape.architecture in FLASH_ATTENTION_DEFAULT


def _flash_argument(settings: EngineSettings, run: RunOptions) -> str:
    if settings.era is Era.LLAMA_SERVER and settings.flash_attention is None:
        return "auto"
    return "on" if run.flash_attention else "off"


def _run_options(
    model: SimulatedModel, options: RunnerOptions, settings: EngineSettings, parallel: int | None = None
) -> RunOptions:
    flash = _flash(model, settings)
    keeps_type = flash or settings.era is Era.LLAMA_SERVER
    return RunOptions(
        context_length=options.num_ctx,
        parallel=parallel or _slots(model, settings),
        batch=options.num_batch,
        cache_type=settings.kv_cache_type if keeps_type else "",
        flash_attention=flash,
        version=settings.version,
    )


# -- llama-server ------------------------------------------------------------------------------------------------------


def _surcharge(batch: int) -> int:
    if batch >= 2048:
        return 2 * GIBIBYTE
    return 768 * MEBIBYTE if batch >= 1024 else 0


def automatic_batch(context_total: int, predicted: int, available: int, *, flash: bool, free: Sequence[int]) -> int:
    """Return the batch the server picks when nobody asked for one (sched.go:822-905)."""
    if not flash and free:
        return 256 if context_total > 4096 and min(free) <= 8 * GIBIBYTE else 512
    batch = 2048 if context_total > 32768 else 1024 if context_total > 4096 else 512
    while batch > 512:
        threshold = available * 80 // 100
        headroom = available * (60 if batch >= 2048 else 75) // 100
        if not available or (predicted <= headroom and predicted + _surcharge(batch) <= threshold):
            break
        batch //= 2
    return batch


def _select(
    request: EngineRequest, available: dict[int, int], settings: EngineSettings
) -> tuple[tuple[int, ...], RunnerOptions, bool]:
    """Choose the card or cards, and the batch; the last value tells whether llama-server is held to one of several."""
    options, cards = request.options, tuple(available)
    context_total = options.num_ctx * _slots(request.model, settings)
    predicted = predicted_bytes(request.model, context_total)
    single = False
    if len(cards) > 1:
        if options.main_gpu is not None and 0 <= options.main_gpu < len(cards):
            cards, single = (cards[options.main_gpu],), True
        elif options.main_gpu is None and not settings.sched_spread:
            fitting = [card for card in cards if predicted <= available[card] * 80 // 100]
            if fitting:
                cards, single = (max(fitting, key=lambda card: (available[card], -card)),), True
    if options.num_batch_auto and request.model.can("completion"):
        free = [available[card] for card in cards]
        batch = automatic_batch(context_total, predicted, sum(free), flash=_flash(request.model, settings), free=free)
        options = replace(options, num_batch=batch)
    return cards, options, single or (options.main_gpu is not None and len(available) == 1)


def _preflight(model: SimulatedModel, options: RunnerOptions, run: RunOptions, free: Sequence[int]) -> bool:
    """Tell whether the server believes that the model fits beside the others (sched.go:527-560)."""
    if 0 < options.num_gpu < model.shape.block_count + 1:
        return True
    surcharge = _surcharge(options.num_batch) if model.can("completion") else 0
    return predicted_bytes(model, run.context_length * run.parallel) + surcharge <= sum(free) * 80 // 100


def _placement(
    model: SimulatedModel,
    options: RunnerOptions,
    run: RunOptions,
    chosen: Sequence[int],
    cards: EngineCards,
    settings: EngineSettings,
) -> Placement:
    budgets = [cards.budget(card, cards.free_bytes(card)) for card in chosen]
    if not chosen:
        return place(model, run, 0, ())
    if options.num_gpu < 0:
        return fit(model, run, budgets, settings.era)
    layers = min(options.num_gpu, model.shape.block_count + 1)
    placement = place(model, run, layers, budgets, projector_on_card=layers == model.shape.block_count + 1)
    _check_cards(placement, {card.index: card.available_bytes for card in budgets}, settings)
    return placement


# -- before llama-server -----------------------------------------------------------------------------------------------


def _older(
    request: EngineRequest,
    runners: Sequence[Runner],
    available: dict[int, int],
    cards: EngineCards,
    settings: EngineSettings,
) -> _Decision | None:
    """Look for the fewest cards that take everything; with nobody loaded, take what fits."""
    slots = _slots(request.model, settings)
    choices = [slots, 1] if settings.parallel_is_automatic and slots > 1 else [slots]
    order = sorted(available, key=lambda card: (-available[card], card))
    groups: list[tuple[int, ...]] = [(card,) for card in order] if not settings.sched_spread else []
    groups += [tuple(sorted(order[:count])) for count in range(2, len(order) + 1)]
    for parallel in choices:
        run = _run_options(request.model, request.options, settings, parallel)
        for group in groups or [tuple(sorted(order))]:
            claim, placement = _try(request, run, [cards.budget(card, available[card]) for card in group], settings)
            if placement.complete:
                return _Decision(request.options, run, group, placement, claim)
    run = _run_options(request.model, request.options, settings, choices[-1])
    if runners and available and request.options.num_gpu < 0:
        return None
    group = tuple(sorted(order))
    claim, placement = _try(request, run, [cards.budget(card, available[card]) for card in group], settings)
    return _Decision(request.options, run, group if placement.cards else (), placement, claim)


def _try(
    request: EngineRequest, run: RunOptions, group: Sequence[CardBudget], settings: EngineSettings
) -> tuple[Reported | None, Placement]:
    model, wanted = request.model, request.options.num_gpu
    count = model.shape.block_count + 1
    if settings.era is Era.ESTIMATE and not _reports_allocations(model, settings):
        indexes, free = [card.index for card in group], [card.available_bytes for card in group]
        claim, layers = estimate(model, run, indexes, free, settings.gpu_overhead_bytes)
        layers = layers if wanted < 0 else min(wanted, count)
        return claim, place(model, run, layers, group if layers else ())
    if wanted >= 0:
        return None, place(model, run, min(wanted, count), group)
    return None, fit(model, run, group, settings.era, gpu_overhead=settings.gpu_overhead_bytes)


def _reports_allocations(model: SimulatedModel, settings: EngineSettings) -> bool:
    """From v0.11.11 the server's own engine told what it had allocated (ollama eb10390de)."""
    return settings.version_key >= (0, 11, 11) and uses_ollama_engine(model, settings)


# -- limits ------------------------------------------------------------------------------------------------------------


def out_of_memory_text(placement: Placement, settings: EngineSettings) -> str:
    """Return what the server answers when a card does not give what a runner wants of it."""
    if settings.era is not Era.LLAMA_SERVER:
        return "llama runner process has terminated: cudaMalloc failed: out of memory"
    part = placement.cards[0] if placement.cards else None
    wanted = (part.weights + part.kv_full + part.kv_sliding) / MEBIBYTE if part else 0
    device = part.card if part else 0
    return (
        "llama-server reported out-of-memory during startup: "
        f"ggml_backend_cuda_buffer_type_alloc_buffer: allocating {wanted:.2f} MiB on device {device}: "
        "cudaMalloc failed: out of memory"
    )


def _check_cards(placement: Placement, free: dict[int, int], settings: EngineSettings) -> None:
    if any(part.total > free[part.card] for part in placement.cards):
        raise OutOfMemoryError(out_of_memory_text(placement, settings))


def _check_host(placement: Placement, processes: SimulatedProcessTable, settings: EngineSettings) -> None:
    needed, there = placement.host_bytes, processes.host_available_bytes
    if needed <= there:
        return
    if settings.era is Era.LLAMA_SERVER:
        raise OutOfMemoryError(
            "llama-server process has terminated: exit status 1: ggml_aligned_malloc: insufficient memory "
            f"(attempted to allocate {needed / MEBIBYTE:.2f} MB)"
        )
    raise OutOfMemoryError(
        f"model requires more system memory ({needed / GIBIBYTE:.1f} GiB) "
        f"than is available ({there / GIBIBYTE:.1f} GiB)"
    )
