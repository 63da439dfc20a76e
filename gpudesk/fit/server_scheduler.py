"""One load played through Ollama's scheduler: who is evicted, on which cards it goes, whether it spills.

Source: ollama server/sched.go at v0.33.0-rc2 (`processPending` :225, `load` :496, `selectLlamaServerPlacement` :972,
`updateFreeSpace` :1295, `findRunnerToUnload` :1664) and llm/llama_server.go:2600 (`GetDeviceInfos`); for older versions
`pickBestFullFitByLibrary` of server/sched.go at v0.9.6 and `buildLayout` of llm/server.go:974 at v0.24.0.

This is the server's own view, wrong sizes included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gpudesk.domain.engine import Era
from gpudesk.fit.placement import Burden, card_groups, margin_bytes, place
from gpudesk.fit.projector import stays_on_host, weights_bytes
from gpudesk.fit.server_estimate import MINIMUM_BYTES, EstimateOptions, estimate_layers
from gpudesk.fit.server_rules import (
    SINGLE_SLOT_DEFAULT,
    Served,
    automatic_batch,
    batch_surcharge,
    is_embedding,
    is_estimated,
    predicted_bytes,
    served,
    version_key,
)
from gpudesk.fit.values import CardBudget, EngineProfile, Parts, Resident, Wanted
from gpudesk.records import dataclass, replace

MODELS_PER_CARD = 3
"""Default of OLLAMA_MAX_LOADED_MODELS (sched.go:86)."""
KEEP_ALIVE_SECONDS = 300.0
"""Default of OLLAMA_KEEP_ALIVE: what a model has that the plan loads."""

BurdenOf = Callable[[Wanted, Served], Burden]
"""What a model really takes when it is loaded like this."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one load comes to."""

    evicted: tuple[Resident, ...]
    served: Served
    cards: tuple[int, ...]
    """Positions of the cards it goes on."""
    spills: bool
    reloads: bool
    """The model is there with another context and is started again."""
    already_loaded: bool
    predicted_bytes: int
    believed_bytes: int
    """What the server believes to be free on the chosen cards, at its last look."""
    residents: tuple[Resident, ...]
    """Who is there afterwards, the new one last."""
    free: tuple[int, ...]
    """Free on each card afterwards."""
    refused_bytes: tuple[int, int] | None = None
    """What was predicted and what was believed to be free at the first look that did not let it in beside the others;
    None where memory was no reason."""


def max_loaded(profile: EngineProfile, cards: int) -> int:
    """Return how many models there may be, over all cards."""
    return profile.max_loaded_models or MODELS_PER_CARD * max(1, cards)


def victim(residents: Sequence[Resident]) -> Resident:
    """Choose who must go: the shortest keep-alive among the idle, ties by file; else the shortest at all.

    Neither use nor size nor "forever" nor a pin protects anybody (sched.go:1664 `findRunnerToUnload`).
    """

    def rank(resident: Resident) -> tuple[float, str]:
        seconds = resident.keep_alive_seconds
        forever = seconds is None or seconds < 0
        return (float("inf") if forever or seconds is None else seconds, resident.blob_digest or resident.name)

    ranked = sorted(residents, key=rank)
    return next((resident for resident in ranked if not resident.busy), ranked[0])


def believed_free(
    cards: Sequence[CardBudget], free: Sequence[int], residents: Sequence[Resident], profile: EngineProfile
) -> tuple[int, ...]:
    """Return what the server takes to be free on each card.

    With llama-server it does not ask the driver while it has a model there, but takes what was free when one of them
    (here the latest) was loaded, less that one's claim; before, it asks the driver. The sum of all claims is the limit
    in both cases.
    """
    found: list[int] = []
    for position, card in enumerate(cards):
        believed = free[position]
        there = [resident for resident in residents if _claim(resident, position)]
        if there and profile.era is Era.LLAMA_SERVER:
            last = there[-1]
            at_load = free[position] + _held(last, position)
            if last.free_at_load is not None and position < len(last.free_at_load):
                at_load = last.free_at_load[position]
            believed = min(card.memory_total_bytes, at_load) - _claim(last, position)
        claims = sum(_claim(resident, position) for resident in there)
        found.append(max(0, min(believed, card.memory_total_bytes - claims)))
    return tuple(found)


def _claim(resident: Resident, position: int) -> int:
    claims = resident.by_card if resident.claimed_by_card is None else resident.claimed_by_card
    return claims[position] if position < len(claims) else 0


def _held(resident: Resident, position: int) -> int:
    return resident.by_card[position] if position < len(resident.by_card) else 0


def forecast_step(
    wanted: Wanted,
    profile: EngineProfile,
    cards: Sequence[CardBudget],
    free: Sequence[int],
    residents: Sequence[Resident],
    burden_of: BurdenOf | None = None,
    *,
    ask: Served | None = None,
    until_eviction: bool = False,
) -> Step:
    """Play one load through the server's rules.

    Args:
        wanted: the model.
        profile: which engine.
        cards: its cards.
        free: free bytes per card as the driver would tell, the user's reserve not taken off.
        residents: who is there, in the order they were loaded.
        burden_of: what a load really takes; None leaves `spills` open (False).
        ask: what the server makes of the request before it looks at memory, if that is at hand.
        until_eviction: leave off at the first eviction; what comes after it is not in the step then.
    """
    ask = ask or served(wanted.metadata, wanted.options, profile, cards)
    there, room, evicted, reloads = list(residents), list(free), [], False
    refused: tuple[int, int] | None = None
    mine = next((resident for resident in there if is_same(resident, wanted)), None)
    if mine is not None and mine.context_length in (None, ask.context_length):
        return Step((), ask, (), False, False, True, 0, 0, tuple(there), tuple(room))
    if mine is not None:
        reloads = True
        _leave(mine, there, room)
    usable = cards if wanted.options.layers_on_gpu != 0 else ()
    choice = _Choice(wanted, ask, profile, usable, burden_of)
    for _turn in range(len(residents) + 1):
        believed = believed_free(usable, room, there, profile)
        choice.choose(believed, alone=not there)
        if not there or (len(there) < max_loaded(profile, len(cards)) and choice.accepted):
            break
        if not choice.accepted and refused is None:
            refused = choice.predicted, choice.believed
        gone = victim(there)
        evicted.append(gone)
        _leave(gone, there, room)
        if until_eviction:
            return Step(
                tuple(evicted), choice.ask, choice.cards, False, reloads, False, choice.predicted, choice.believed,
                tuple(there), tuple(room), refused,
            )  # fmt: skip
    choice.put(room)
    new, room = choice.resident(room, len(cards))
    return Step(
        tuple(evicted), choice.ask, choice.cards, choice.spills, reloads, False, choice.predicted, choice.believed,
        (*there, new), tuple(room), refused,
    )  # fmt: skip


def is_same(resident: Resident, wanted: Wanted) -> bool:
    """Tell whether a resident is this model: by its file, which several names may share, else by name."""
    if resident.blob_digest is not None and wanted.blob_digest is not None:
        return resident.blob_digest == wanted.blob_digest
    return resident.name == wanted.name


def _leave(resident: Resident, there: list[Resident], room: list[int]) -> None:
    there.remove(resident)
    for position, held in enumerate(resident.by_card[: len(room)]):
        room[position] += held


def _logged(parts: Parts, burden: Burden) -> int:
    """Return what Ollama takes a card of a llama-server to hold: what that logs (llm/llama_server.go:2638)."""
    whole = sum(burden.kv)
    untold = burden.kv_untold_bytes * parts.kv_cache_bytes // whole if whole else 0
    return max(0, parts.total_bytes - parts.overhead_bytes - parts.projector_bytes - untold)


class _Choice:
    """The server's look at one load; made again after each eviction."""

    def __init__(
        self,
        wanted: Wanted,
        ask: Served,
        profile: EngineProfile,
        cards: Sequence[CardBudget],
        burden_of: BurdenOf | None,
    ) -> None:
        self._wanted, self._asked, self._profile, self._all = wanted, ask, profile, cards
        self._burden_of = burden_of
        self.ask = ask
        self.cards: tuple[int, ...] = ()
        self.accepted = False
        self.spills = False
        self.predicted = 0
        self.believed = 0
        self._claim: tuple[int, ...] = ()
        self._held: tuple[int, ...] = ()
        self._layers: int | None = None
        """How many an engine puts on the cards that decides by an estimate; None: another one."""

    def choose(self, believed: Sequence[int], *, alone: bool) -> None:
        if not self._all:
            self.accepted, self.spills, self.cards = True, True, ()
        elif self._profile.era is Era.LLAMA_SERVER:
            self._llama_server(believed)
        else:
            self._older(believed)
        self.accepted = self.accepted or alone

    # -- llama-server ------------------------------------------------------------------------------------------

    def _llama_server(self, believed: Sequence[int]) -> None:
        metadata, ask = self._wanted.metadata, self._asked
        self.predicted = predicted_bytes(metadata, ask.context_total)
        self.cards = tuple(range(len(believed)))
        if len(believed) > 1 and not self._profile.spread:
            fitting = [card for card in self.cards if self.predicted <= believed[card] * 80 // 100]
            if fitting:
                self.cards = (max(fitting, key=lambda card: (believed[card], -card)),)
        rooms = [believed[card] for card in self.cards]
        self.believed = sum(rooms)
        if ask.batch_is_automatic:
            flash = ask.flash_attention or self._profile.backend != "cuda"
            batch = automatic_batch(ask.context_total, self.predicted, rooms, flash=flash)
            if batch != ask.batch_size:
                ask = replace(ask, batch_size=batch)
        self.ask = ask
        self.predicted += 0 if is_embedding(metadata) else batch_surcharge(ask.batch_size)
        layers = self._wanted.options.layers_on_gpu
        partial = layers is not None and 0 < layers < metadata.layer_count + 1
        self.accepted = partial or self.predicted <= self.believed * 80 // 100

    def put(self, free: Sequence[int]) -> None:
        """Work out what the model takes where it was decided to go, once nobody has to leave any more."""
        if self._burden_of is None or not self._all:
            return
        if self._profile.era is Era.LLAMA_SERVER:
            self._put_by_llama_server(self._burden_of, free)
        elif self._layers is not None:
            burden = self._burden_of(self._wanted, self.ask)
            budgets = [replace(card, available_bytes=room) for card, room in zip(self._all, free, strict=True)]
            placed = place(burden, budgets, layers_on_gpu=self._layers, groups=[self.cards])
            self._held = tuple(parts.total_bytes for parts in placed.by_card)

    def _put_by_llama_server(self, burden_of: BurdenOf, free: Sequence[int]) -> None:
        """Put the layers where llama-server puts them when it is started on the chosen cards."""
        cards, margin = self.cards, margin_bytes(self._profile)
        burden = burden_of(self._wanted, self.ask)
        layers = self._wanted.options.layers_on_gpu
        held = weights_bytes(self._wanted.metadata) if burden.first_card.projector_bytes else 0
        if held and stays_on_host(held, [free[card] for card in cards], layers, burden.layers_total):
            burden = replace(burden, first_card=replace(burden.first_card, projector_bytes=0))
            held = 0
        margin = margin + held if layers is None else 0
        if layers is None and len(cards) == 1 and self._fits_whole(burden, cards[0], free, margin):
            return
        budgets = [replace(card, available_bytes=room) for card, room in zip(self._all, free, strict=True)]
        placement = place(
            burden, budgets, layers_on_gpu=layers, groups=[tuple(cards)], margin=margin, experts_to_host=True
        )
        self.spills = not placement.complete
        self._held = tuple(parts.total_bytes for parts in placement.by_card)
        self._claim = tuple(_logged(parts, burden) for parts in placement.by_card)

    def _fits_whole(self, burden: Burden, card: int, free: Sequence[int], margin: int) -> bool:
        """Take the short way where one card takes everything: no layer has to be looked at."""
        parts = burden.whole_on(card)
        if parts.total_bytes + margin > free[card]:
            return False
        held, claim = [0] * len(free), [0] * len(free)
        held[card] = parts.total_bytes
        claim[card] = _logged(parts, burden)
        self.spills, self._held, self._claim = False, tuple(held), tuple(claim)
        return True

    # -- before llama-server -----------------------------------------------------------------------------------

    def _older(self, believed: Sequence[int]) -> None:
        budgets = [replace(card, available_bytes=room) for card, room in zip(self._all, believed, strict=True)]
        choices = [self._asked.parallel]
        automatic = self._profile.parallel <= 0 and self._wanted.options.parallel is None
        if automatic and self._asked.parallel > 1 and version_key(self._profile) < SINGLE_SLOT_DEFAULT:
            choices.append(1)
        groups = card_groups(budgets, self._profile)
        for parallel in choices:
            self.ask = replace(self._asked, parallel=parallel)
            for group in groups:
                if self._fits(group, budgets):
                    self.accepted, self.spills = True, False
                    return
        self._fits(tuple(range(len(budgets))), budgets)
        layers = self._wanted.options.layers_on_gpu
        self.accepted = layers is not None
        self.spills = True

    def _fits(self, group: Sequence[int], budgets: Sequence[CardBudget]) -> bool:
        self.cards = tuple(group)
        if self._burden_of is None:
            self.predicted = predicted_bytes(self._wanted.metadata, self.ask.context_total) + MINIMUM_BYTES
            self.believed = sum(budgets[card].available_bytes for card in group)
            return self.predicted <= self.believed
        burden = self._burden_of(self._wanted, self.ask)
        self.believed = sum(budgets[card].available_bytes for card in group)
        if is_estimated(self._wanted.metadata, self._profile):
            return self._estimated(burden, group, budgets)
        layers = self._wanted.options.layers_on_gpu
        placement = place(
            replace(burden, overhead_bytes=MINIMUM_BYTES), budgets, layers_on_gpu=layers, groups=[tuple(group)],
            margin=self._profile.gpu_overhead_bytes,
        )  # fmt: skip
        self._held = tuple(parts.total_bytes for parts in placement.by_card)
        self._claim = tuple(
            parts.total_bytes - parts.overhead_bytes if parts.total_bytes else 0 for parts in placement.by_card
        )
        self.predicted = sum(self._held)
        return placement.complete and placement.fits

    def _estimated(self, burden: Burden, group: Sequence[int], budgets: Sequence[CardBudget]) -> bool:
        options = EstimateOptions(
            self.ask.context_length, self.ask.parallel, self.ask.batch_size,
            self._wanted.options.kv_cache_type_k if self.ask.flash_attention else "f16", self.ask.flash_attention,
        )  # fmt: skip
        believed = estimate_layers(
            self._wanted.metadata, burden.layers, burden.output_bytes, options,
            [budgets[card].available_bytes for card in group],
            projector_bytes=burden.first_card.projector_bytes + burden.first_card.compute_bytes,
            overhead_bytes=self._profile.gpu_overhead_bytes,
        )  # fmt: skip
        claim = [0] * len(budgets)
        for position, amount in zip(group, believed.by_card, strict=True):
            claim[position] = amount
        layers = self._wanted.options.layers_on_gpu
        self._layers = believed.layers_on_gpu if layers is None else min(layers, burden.layers_total)
        self._claim = tuple(claim)
        self.predicted = sum(claim)
        return believed.complete if layers is None else layers >= burden.layers_total

    # -- afterwards --------------------------------------------------------------------------------------------

    def resident(self, room: list[int], cards: int) -> tuple[Resident, list[int]]:
        """Return the model as a resident, and what is free beside it."""
        held = self._held or (0,) * cards
        at_load = tuple(room)
        left = [max(0, free - taken) for free, taken in zip(room, (*held, *(0,) * cards), strict=False)]
        new = Resident(
            name=self._wanted.name,
            memory_bytes=sum(held),
            by_card=held,
            keep_alive_seconds=KEEP_ALIVE_SECONDS,
            blob_digest=self._wanted.blob_digest,
            claimed_by_card=self._claim or held,
            free_at_load=at_load,
            context_length=self.ask.context_length,
        )
        return new, left
