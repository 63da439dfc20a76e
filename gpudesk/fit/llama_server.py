"""llama-server by itself: what its options mean for memory, and the command line that results.

Sources in llama.cpp at b10488: tools/server/server.cpp (`-np` left alone is 4 slots with a unified KV cache),
src/llama-context.cpp (the context is padded to 256 and, unless unified, divided by the slots), common/fit.cpp
(`--fit`: keep 1024 MiB free, first less context, then fewer layers; what the user set is never changed),
src/llama-model.cpp (`-ngl` counts the output layer and takes layers from the end).
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace

from gpudesk.domain.engine import Era
from gpudesk.fit.values import EngineProfile, LoadOptions
from gpudesk.records import dataclass
from gpudesk.units import MEBIBYTE

AUTO_PARALLEL = 4
"""Slots when `-np` is not given."""
FIT_TARGET_BYTES = 1024 * MEBIBYTE
"""`--fit-target`: what stays free on each card."""
FIT_CONTEXT = 4096
"""`--fit-ctx`: `--fit` never makes the context smaller."""
DEFAULT_BATCH = 512
"""`-ub`: tokens that one graph computes."""
_PADDING = 256

Projected = Callable[[int, int | None], Sequence[int]]
"""(context in cells, layers on cards or None for all) -> bytes per card, without the driver's context: the free memory
llama.cpp compares with is read when that context exists already."""


@dataclass(frozen=True, slots=True)
class LlamaServerOptions:
    """The options that decide about memory; None is the server's own choice."""

    context: int | None = None
    """`-c`: cells for all slots together; None is the trained context, 0 the same and never less (common/arg.cpp)."""
    parallel: int | None = None
    """`-np`."""
    layers_on_gpu: int | None = None
    """`-ngl`; None is `auto`."""
    unified_kv: bool | None = None
    """`--kv-unified`; None: only when `-np` is not given."""
    batch: int | None = None
    """`-ub`."""
    kv_cache_type_k: str = "f16"
    kv_cache_type_v: str = "f16"
    flash_attention: bool | None = None
    swa_full: bool = False
    fit: bool = True
    fit_target_bytes: tuple[int, ...] = (FIT_TARGET_BYTES,)
    """One for all cards, or one per card."""
    fit_context: int = FIT_CONTEXT

    @property
    def slots(self) -> int:
        """How many requests are answered at once."""
        return AUTO_PARALLEL if self.parallel is None else max(1, self.parallel)

    @property
    def unified(self) -> bool:
        """Whether all slots share the cells."""
        return self.parallel is None if self.unified_kv is None else self.unified_kv


@dataclass(frozen=True, slots=True)
class FitOutcome:
    """What `--fit` makes of the options."""

    context: int
    """Cells for all slots together."""
    layers_on_gpu: int | None
    """None is all."""
    projected_bytes: tuple[int, ...]
    """Per card, without the driver's context."""
    changed: bool
    fits: bool
    """The margin stays free on every card."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Offload:
    """What `-ngl N` really puts where."""

    blocks_on_card: int
    """Repeating layers."""
    output_on_card: bool
    blocks_on_host: int

    @property
    def host_ratio(self) -> float:
        """Share of the repeating layers that the processor computes."""
        total = self.blocks_on_card + self.blocks_on_host
        return self.blocks_on_host / total if total else 0.0


def offload(layers_on_gpu: int, layer_count: int) -> Offload:
    """Tell what `-ngl` of a model with so many repeating layers does: the output layer is the first to go.

    A card takes the output and the last `N - 1` repeating layers, so `-ngl 30` of 40 leaves 11 on the host, not 10.
    """
    wanted = max(0, min(layers_on_gpu, layer_count + 1))
    blocks = max(0, wanted - 1)
    return Offload(blocks, wanted > 0, layer_count - blocks)


def padded(context: int) -> int:
    """Round a context up to a multiple of 256."""
    return -(-context // _PADDING) * _PADDING


def cells(options: LlamaServerOptions, trained: int) -> int:
    """Return how many cells all slots have together."""
    streams = 1 if options.unified or not options.fit else options.slots
    context = options.context or trained * streams
    if options.unified or options.slots == 1:
        return padded(context)
    return padded(padded(context) // options.slots) * options.slots


def load_options(options: LlamaServerOptions, trained: int, base: LoadOptions | None = None) -> LoadOptions:
    """Say the same in the planner's terms.

    Args:
        options: the server's options.
        trained: context the model was trained for.
        base: where draft model and adapters come from.
    """
    total = cells(options, trained)
    return replace(
        base or LoadOptions(),
        context_length=total if options.unified else total // options.slots,
        parallel=options.slots,
        kv_cache_type_k=options.kv_cache_type_k,
        kv_cache_type_v=options.kv_cache_type_v,
        flash_attention=options.flash_attention,
        batch_size=options.batch or DEFAULT_BATCH,
        layers_on_gpu=options.layers_on_gpu,
        swa_full=options.swa_full,
        unified_kv=options.unified,
    )


def profile(options: LlamaServerOptions, *, version: str | None = None, backend: str = "cuda") -> EngineProfile:
    """Return the engine the planner has to think of."""
    return EngineProfile(
        kind="llama-server",
        version=version,
        era=Era.LLAMA_SERVER,
        backend=backend,
        parallel=options.slots,
        kv_cache_type=options.kv_cache_type_k,
        flash_attention=options.flash_attention,
    )


def fit(
    options: LlamaServerOptions, trained: int, layers_total: int, free_bytes: Sequence[int], projected: Projected
) -> FitOutcome:
    """Do what `--fit` does: keep the target free by a smaller context, then by fewer layers.

    Args:
        options: the server's options.
        trained: context the model was trained for.
        layers_total: repeating layers and the output layer.
        free_bytes: free on each card when the server starts.
        projected: what the model takes.
    """
    context = full = cells(options, trained)
    targets = [free - _target(options, card) for card, free in enumerate(free_bytes)]
    used = projected(context, options.layers_on_gpu)
    if not options.fit:
        return _outcome(context, options.layers_on_gpu, used, targets, ("--fit is off: taken as it is",))
    if _within(used, targets):
        return _outcome(context, options.layers_on_gpu, used, targets, ())
    notes: list[str] = []
    # On several cards every target may be missed singly though the sum fits: the context then stays.
    if sum(used) > sum(targets):
        if options.context is not None:
            notes.append(f"the context of {context} was set by hand and stays")
        else:
            smaller = _smaller_context(options, context, sum(used), targets, layers_total, projected)
            if smaller != context:
                notes.append(f"context reduced from {context} to {smaller}")
                context, used = smaller, projected(smaller, options.layers_on_gpu)
            if _within(used, targets):
                return _outcome(context, options.layers_on_gpu, used, targets, notes, changed=True)
    if options.layers_on_gpu is not None:
        notes.append(f"-ngl {options.layers_on_gpu} was set by hand: --fit gives up and the load may run out of memory")
        return _outcome(context, options.layers_on_gpu, used, targets, notes, changed=context != full)
    layers = _most_layers(context, layers_total, targets, projected)
    notes.append(f"--fit puts {layers} of {layers_total} layers on the card")
    return _outcome(context, layers, projected(context, layers), targets, notes, changed=True)


def _target(options: LlamaServerOptions, card: int) -> int:
    targets = options.fit_target_bytes
    return targets[card] if card < len(targets) else targets[-1] if targets else FIT_TARGET_BYTES


def _within(used: Sequence[int], targets: Sequence[int]) -> bool:
    return all(mine <= target for mine, target in zip(used, targets, strict=True))


def _outcome(
    context: int,
    layers: int | None,
    used: Sequence[int],
    targets: Sequence[int],
    notes: Sequence[str],
    *,
    changed: bool = False,
) -> FitOutcome:
    return FitOutcome(context, layers, tuple(used), changed, _within(used, targets), tuple(notes))


def _smaller_context(
    options: LlamaServerOptions,
    full: int,
    used: int,
    targets: Sequence[int],
    layers_total: int,
    projected: Projected,
) -> int:
    """Interpolate between the full and the least context; several cards pay half a layer each, and one more."""
    streams = 1 if options.unified else options.slots
    least = options.fit_context * streams
    if full <= least:
        return full
    target = sum(targets)
    if len(targets) > 1:
        per_layer = (used - sum(projected(full, 0))) // max(1, layers_total)
        target -= (len(targets) + 1) * max(0, per_layer) // 2
    used_least = sum(projected(least, options.layers_on_gpu))
    if not used_least < target or used <= used_least:
        return least
    context = least + (full - least) * (target - used_least) // (used - used_least)
    align = _PADDING * streams
    return min(full, max(least, context - context % align))


def _most_layers(context: int, layers_total: int, targets: Sequence[int], projected: Projected) -> int:
    """Return the most layers that leave the targets free: memory grows with layers, so halving finds it."""
    low, high = 0, layers_total
    while low < high:
        middle = (low + high + 1) // 2
        if _within(projected(context, middle), targets):
            low = middle
        else:
            high = middle - 1
    return low


def arguments(
    options: LlamaServerOptions,
    model_path: str,
    *,
    outcome: FitOutcome | None = None,
    projector_path: str | None = None,
) -> tuple[str, ...]:
    """Return the command line.

    With an outcome its numbers are written out and `--fit` is off, so that the server does exactly what was planned
    even when less is free by then; without one only what differs from the defaults is written.
    """
    words = ["llama-server", "-m", model_path]
    if projector_path:
        words += ["--mmproj", projector_path]
    context = outcome.context if outcome is not None else options.context
    layers = outcome.layers_on_gpu if outcome is not None else options.layers_on_gpu
    if context is not None:
        words += ["-c", str(context)]
    if outcome is not None:
        words += ["-ngl", "all" if layers is None else str(layers)]
    elif layers is not None:
        words += ["-ngl", str(layers)]
    if options.parallel is not None:
        words += ["-np", str(options.slots)]
    if options.unified and options.parallel is not None:
        words.append("--kv-unified")
    if options.batch is not None and options.batch != DEFAULT_BATCH:
        words += ["-b", str(max(options.batch, 2048)), "-ub", str(options.batch)]
    for flag, kind in (("-ctk", options.kv_cache_type_k), ("-ctv", options.kv_cache_type_v)):
        if kind != "f16":
            words += [flag, kind]
    if options.flash_attention is not None:
        words += ["-fa", "on" if options.flash_attention else "off"]
    if options.swa_full:
        words.append("--swa-full")
    return (*words, *_fit_words(options, planned=outcome is not None))


def _fit_words(options: LlamaServerOptions, *, planned: bool) -> tuple[str, ...]:
    if planned or not options.fit:
        return ("--fit", "off")
    words: list[str] = []
    if options.fit_target_bytes != (FIT_TARGET_BYTES,):
        words += ["--fit-target", ",".join(str(target // MEBIBYTE) for target in options.fit_target_bytes)]
    if options.fit_context != FIT_CONTEXT:
        words += ["--fit-ctx", str(options.fit_context)]
    return tuple(words)


def command_line(words: Sequence[str]) -> str:
    """Write a command line for a shell."""
    return shlex.join(words)
