"""Which layers of a model lie on which card, and what stays in host memory.

Source: llama.cpp src/llama-model.cpp (`load_tensors`: layers from the end, the output layer counted in `-ngl`, split
by cumulative share of free memory), common/fit.cpp (`common_fit_params`: margin per device, experts to the host
before layers, cards filled back to front) at b10488; ollama server/sched.go:972 (`selectLlamaServerPlacement`) at
v0.33.0-rc2, llm/server.go (`assignLayers`) at v0.24.0, llm/memory.go:75 at v0.6.8.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate

from gpudesk.domain.engine import Era
from gpudesk.fit.values import CardBudget, EngineProfile, Parts
from gpudesk.records import dataclass
from gpudesk.units import MEBIBYTE

FIT_MARGIN_BYTES = 1024 * MEBIBYTE
"""What llama.cpp's `--fit` leaves free per device (common/common.h:468 at b10488)."""
OLDER_MARGIN_BYTES = 457 * MEBIBYTE
"""What Ollama before llama-server kept free per card (ollama ml/device.go:359)."""

NOTHING = Parts()


@dataclass(frozen=True, slots=True)
class Burden:
    """What of a model has to lie somewhere, by where it may lie."""

    layers: tuple[int, ...]
    """Weights of each repeating layer."""
    output_bytes: int
    """Weights of the output layer: the last of the layers as `-ngl` counts them."""
    kv: tuple[int, ...] = ()
    """KV cache and recurrent state of each repeating layer; it lies where the layer lies."""
    compute_bytes: int = 0
    """Compute buffer of each used card."""
    overhead_bytes: int | tuple[int, ...] = 0
    """What the process takes on each used card: the same everywhere, or one per card."""
    first_card: Parts = NOTHING
    """What lies whole on the first used card: projector, draft model, adapters."""
    host_bytes: int = 0
    """What never enters a card: the input embedding."""
    experts: tuple[int, ...] = ()
    """Of `layers`, the part in expert tensors, which may go to the host alone."""
    compute_partial_bytes: int | None = None
    """Compute buffer of a card when some layers are on the host; None: the same."""
    kv_untold_bytes: int = 0
    """Of `kv`, what Ollama with llama-server does not count: see `KvLayout.untold_bytes`."""

    @property
    def layers_total(self) -> int:
        """Repeating layers and the output layer."""
        return len(self.layers) + 1

    def layer_bytes(self, layer: int) -> int:
        """Weights of a layer, the output layer being the last."""
        return self.layers[layer] if layer < len(self.layers) else self.output_bytes

    def kv_bytes(self, layer: int) -> int:
        """KV of a layer; the output layer has none."""
        return self.kv[layer] if layer < len(self.kv) else 0

    def whole_on(self, position: int) -> Parts:
        """Return what one card holds that takes everything."""
        extra = self.first_card
        return Parts(
            weights_bytes=sum(self.layers) + self.output_bytes + extra.weights_bytes,
            kv_cache_bytes=sum(self.kv) + extra.kv_cache_bytes,
            compute_bytes=self.compute_bytes + extra.compute_bytes,
            projector_bytes=extra.projector_bytes,
            overhead_bytes=self.overhead_on(position) + extra.overhead_bytes,
        )

    def overhead_on(self, position: int) -> int:
        """What the process takes on the card at this position of the plan."""
        return self.overhead_bytes if isinstance(self.overhead_bytes, int) else self.overhead_bytes[position]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where everything of one model lies."""

    by_card: tuple[Parts, ...]
    """One per card of the plan, in its order; all zero on an unused card."""
    layers_on_gpu: int
    layers_total: int
    host_bytes: int
    fits: bool
    """Every card takes its share, the margin left free."""
    layers_by_card: tuple[int, ...] = ()
    expert_layers_on_host: int = 0
    """Layers whose expert tensors are in host memory while the rest of them is on a card."""

    @property
    def complete(self) -> bool:
        """Every layer is whole on a card."""
        return self.layers_on_gpu == self.layers_total and not self.expert_layers_on_host


def margin_bytes(profile: EngineProfile) -> int:
    """Return what the engine itself leaves free on a card when it decides how many layers go there."""
    if profile.kind == "ollama" and profile.era is not Era.LLAMA_SERVER:
        return OLDER_MARGIN_BYTES + profile.gpu_overhead_bytes
    return FIT_MARGIN_BYTES


def card_groups(cards: Sequence[CardBudget], profile: EngineProfile) -> tuple[tuple[int, ...], ...]:
    """Return the groups of cards the engine tries, as positions, in its order.

    Ollama with llama-server: the card with the most free memory alone, then all; earlier Ollama: the fewest cards;
    llama-server by itself: always all.
    """
    everything = tuple(range(len(cards)))
    if len(cards) <= 1 or profile.kind != "ollama" or profile.spread:
        return (everything,) if cards else ()
    order = sorted(everything, key=lambda position: (-cards[position].available_bytes, position))
    singles = tuple((position,) for position in order)
    if profile.era is Era.LLAMA_SERVER:
        return (*singles, everything)
    return (*singles, *(tuple(sorted(order[:count])) for count in range(2, len(cards) + 1)))


def split(layers: int, shares: Sequence[int]) -> tuple[int, ...]:
    """Return how many of `layers` each card gets when they are split by these shares.

    The layer at place `i` goes to the first card whose cumulative share is above `i / layers`
    (llama.cpp src/llama-model.cpp, `get_layer_buft_list` at b10488: `std::upper_bound` on the normalized sums).
    """
    if len(shares) <= 1:
        return (layers,) * len(shares)
    return _split(layers, tuple(shares))


@lru_cache(maxsize=1024)
def _split(layers: int, shares: tuple[int, ...]) -> tuple[int, ...]:
    usable = [max(0, share) for share in shares]
    if not any(usable):
        usable = [1] * len(usable)
    sums = list(accumulate(usable))
    counts = [0] * len(usable)
    for place_in_order in range(layers):
        card = bisect_right(sums, place_in_order * sums[-1] / layers)
        counts[min(card, len(usable) - 1)] += 1
    return tuple(counts)


def parts_of(
    burden: Burden,
    counts: Sequence[int],
    group: Sequence[int],
    cards: int,
    experts_on_host: int = 0,
    *,
    partial: bool = False,
) -> tuple[Parts, ...]:
    """Return what each of `cards` cards holds when those of `group` get `counts` layers, ending with the output layer.

    Args:
        burden: the model.
        counts: layers per card of the group, in its order.
        group: positions of the cards used.
        cards: how many cards the plan has.
        experts_on_host: the first so many layers on cards leave their expert tensors in host memory.
        partial: the compute buffer is that of a model with layers on the host.
    """
    compute = burden.compute_bytes
    if partial and burden.compute_partial_bytes is not None:
        compute = burden.compute_partial_bytes
    found = [NOTHING] * cards
    layer = burden.layers_total - sum(counts)
    keeps_experts = layer + experts_on_host
    first = True
    for position, count in zip(group, counts, strict=True):
        if not count:
            continue
        end = layer + count
        weights, kv = sum(burden.layers[layer:end]), sum(burden.kv[layer:end])
        if end == burden.layers_total:
            weights += burden.output_bytes
        if layer < keeps_experts:
            weights -= sum(burden.experts[layer : min(end, keeps_experts)])
        layer = end
        extra = burden.first_card if first else NOTHING
        first = False
        found[position] = Parts(
            weights_bytes=weights + extra.weights_bytes,
            kv_cache_bytes=kv + extra.kv_cache_bytes,
            compute_bytes=compute + extra.compute_bytes,
            projector_bytes=extra.projector_bytes,
            overhead_bytes=burden.overhead_on(position) + extra.overhead_bytes,
        )
    return tuple(found)


def place(
    burden: Burden,
    cards: Sequence[CardBudget],
    *,
    layers_on_gpu: int | None = None,
    groups: Sequence[Sequence[int]] | None = None,
    margin: int = 0,
    experts_to_host: bool = False,
) -> Placement:
    """Put a model on cards: whole on the first group that takes it, else as much of it as goes there.

    Args:
        burden: the model.
        cards: the cards of the plan.
        layers_on_gpu: `-ngl`; None is as many as fit.
        groups: positions to try, best first (`card_groups`); None is all cards at once. The last is used for a split
            and a spill.
        margin: bytes that have to stay free on each used card.
        experts_to_host: before whole layers, move expert tensors to the host, as `--fit` does for such models.
    """
    tried = [tuple(group) for group in groups] if groups is not None else [tuple(range(len(cards)))]
    if not cards or not tried or layers_on_gpu == 0:
        return _finish(burden, cards, (), (), margin)
    if layers_on_gpu is not None and layers_on_gpu < burden.layers_total:
        group = tried[-1]
        counts = split(max(0, layers_on_gpu), [cards[position].available_bytes for position in group])
        return _finish(burden, cards, counts, group, margin)
    whole = [_whole(burden, cards, group, margin) for group in tried]
    for placement in whole:
        if placement.fits:
            return placement
    if layers_on_gpu is not None:
        return whole[-1]
    return _fill(burden, cards, tried[-1], margin, experts_to_host=experts_to_host)


def _whole(burden: Burden, cards: Sequence[CardBudget], group: Sequence[int], margin: int) -> Placement:
    counts = split(burden.layers_total, [cards[position].available_bytes for position in group])
    return _finish(burden, cards, counts, group, margin)


def _finish(
    burden: Burden,
    cards: Sequence[CardBudget],
    counts: Sequence[int],
    group: Sequence[int],
    margin: int,
    experts_on_host: int = 0,
) -> Placement:
    placed = sum(counts)
    partial = placed < burden.layers_total or experts_on_host > 0
    by_card = parts_of(burden, counts, group, len(cards), experts_on_host, partial=partial)
    left = burden.layers_total - placed
    host = burden.host_bytes + sum(burden.layers[:left]) + sum(burden.kv[:left])
    if left == burden.layers_total:
        host += burden.output_bytes
    host += sum(burden.experts[left : left + experts_on_host])
    fits = all(
        parts.total_bytes + margin <= card.available_bytes
        for parts, card in zip(by_card, cards, strict=True)
        if parts.total_bytes
    )
    layers = [0] * len(cards)
    for position, count in zip(group, counts, strict=True):
        layers[position] = count
    return Placement(by_card, placed, burden.layers_total, host, fits, tuple(layers), experts_on_host)


def _fill(
    burden: Burden, cards: Sequence[CardBudget], group: Sequence[int], margin: int, *, experts_to_host: bool
) -> Placement:
    """Fill the cards back to front until nothing more goes in (common/fit.cpp at b10488, step 3)."""
    if experts_to_host and any(burden.experts):
        low, high = 1, len(burden.layers)
        best: Placement | None = None
        while low <= high:
            middle = (low + high) // 2
            placement = _packed(burden, cards, group, margin, middle)
            if placement.layers_on_gpu == burden.layers_total and placement.fits:
                best, high = placement, middle - 1
            else:
                low = middle + 1
        if best is not None:
            return best
    return _packed(burden, cards, group, margin, 0)


def _packed(
    burden: Burden, cards: Sequence[CardBudget], group: Sequence[int], margin: int, experts_on_host: int
) -> Placement:
    """Give every card, the last first, as many of the remaining layers as it takes.

    The first card of the group keeps room for what lies whole on the first used card.
    """
    compute = burden.compute_bytes if burden.compute_partial_bytes is None else burden.compute_partial_bytes
    counts = [0] * len(group)
    layer = burden.layers_total - 1
    for place_in_group in range(len(group) - 1, -1, -1):
        position = group[place_in_group]
        room = cards[position].available_bytes - margin - compute - burden.overhead_on(position)
        if place_in_group == 0:
            room -= burden.first_card.total_bytes
        while layer >= 0:
            size = burden.layer_bytes(layer) + burden.kv_bytes(layer)
            if layer < experts_on_host and layer < len(burden.experts):
                size -= burden.experts[layer]
            if size > room:
                break
            room -= size
            counts[place_in_group] += 1
            layer -= 1
    placement = _finish(burden, cards, counts, group, margin, experts_on_host if layer < 0 else 0)
    if placement.fits or not any(counts):
        return placement
    # What lies whole on the first used card ended on a later one, because the first took no layer: give room there.
    first_used = next(place for place, count in enumerate(counts) if count)
    while counts[first_used] and not placement.fits:
        counts[first_used] -= 1
        placement = _finish(burden, cards, counts, group, margin)
    return placement
