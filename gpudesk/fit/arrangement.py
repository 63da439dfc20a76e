"""Which of several models lies where, and what verdict that comes to.

Ollama asks for one card first and takes the one with the most room; a model that no card takes alone is split over
all, and what then does not go in stays in host memory (ollama server/sched.go:972 at v0.33.0-rc2). When that order of
things does not fit, other ways to share out the models are looked for: what is physically possible is not decided by
who came first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gpudesk.fit.calibration import Calibration
from gpudesk.fit.estimate import estimate
from gpudesk.fit.placement import NOTHING
from gpudesk.fit.values import (
    CardBudget,
    CardPlan,
    EngineProfile,
    Estimate,
    FreeEntry,
    LoadOptions,
    Verdict,
    Wanted,
)
from gpudesk.units import MEBIBYTE

MARGIN_BYTES = 512 * MEBIBYTE
MARGIN_PERCENT = 3
"""What has to stay free beyond the band for a plan to fit: the larger of the two, of the card's total."""
SEARCH_NODES = 400
"""How many partial arrangements are looked at before the best so far is taken."""
SPLITS_TRIED = 24
_BOUNDLESS = 1 << 60

RANK = {Verdict.FITS: 0, Verdict.TIGHT: 1, Verdict.SPILLS: 2, Verdict.DOES_NOT_FIT: 3}
"""From good to bad."""


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the worst of several verdicts."""
    return max(verdicts, key=RANK.__getitem__, default=Verdict.FITS)


def margin_of(card: CardBudget) -> int:
    """Return what has to stay free on a card for a plan to fit."""
    return max(MARGIN_BYTES, card.memory_total_bytes * MARGIN_PERCENT // 100)


@dataclass(frozen=True, slots=True)
class Arranged:
    """Models on cards."""

    verdict: Verdict
    models: tuple[Estimate, ...]
    """In the order they were wanted."""
    cards: tuple[CardPlan, ...]

    @property
    def total_bytes(self) -> int:
        """Planned on all cards."""
        return sum(card.planned_bytes for card in self.cards)

    @property
    def free_bytes(self) -> int:
        """What stays free on the fullest card that is used; negative when something is missing."""
        used = [card for card in self.cards if card.planned_bytes] or self.cards
        return min((card.budget.available_bytes - card.planned_bytes for card in used), default=0)


class Arranger:
    """Arranges combinations on the same cards; estimates are made once per model and kind of card."""

    def __init__(
        self,
        cards: Sequence[CardBudget],
        profile: EngineProfile,
        *,
        entries: Sequence[FreeEntry] = (),
        calibration: Calibration | None = None,
    ) -> None:
        self._cards = tuple(cards)
        self._profile = profile
        self._splitting = replace(profile, spread=True)
        self._calibration = calibration
        self._alone: dict[tuple[int, str, LoadOptions, str, int], Estimate] = {}
        self._splits: dict[tuple[int, str, LoadOptions, tuple[int, ...]], Estimate] = {}
        self._kept: dict[int, object] = {}
        self._entries = tuple(sorted(entries, key=lambda entry: -entry.peak_bytes))

    @property
    def cards(self) -> tuple[CardBudget, ...]:
        """The cards."""
        return self._cards

    def alone(self, wanted: Wanted, position: int) -> Estimate:
        """Estimate a model that has one card to itself, however small."""
        card = self._cards[position]
        key = (id(wanted.metadata), wanted.name, wanted.options, card.name, card.memory_total_bytes)
        found = self._alone.get(key)
        if found is None:
            self._kept[key[0]] = wanted.metadata
            boundless = replace(card, available_bytes=_BOUNDLESS)
            found = estimate(wanted, self._profile, (boundless,), calibration=self._calibration)
            self._alone[key] = found
        return found

    def exceeds(self, wanted: Sequence[Wanted]) -> bool:
        """Tell whether a combination is larger than all room there is, so that no arrangement of it can be whole."""
        room = sum(card.available_bytes for card in self._cards)
        need = sum(entry.peak_bytes for entry in self._entries)
        kinds = {(card.name, card.memory_total_bytes): position for position, card in enumerate(self._cards)}
        for one in wanted:
            need += min(self.alone(one, position).parts.total_bytes for position in kinds.values())
            if need > room:
                return True
        return False

    def arrange(self, wanted: Sequence[Wanted]) -> Arranged:
        """Arrange a combination as well as it goes."""
        if not self._cards:
            return Arranged(Verdict.DOES_NOT_FIT, tuple(self._on_host(one) for one in wanted), ())
        first = self._in_order(wanted)
        several = len(self._cards) > 1 and self._profile.kind == "ollama" and not self._profile.spread
        if first.verdict is Verdict.FITS or not several or self.exceeds(wanted):
            return first
        better = self._searched(wanted, first)
        return better if RANK[better.verdict] < RANK[first.verdict] else first

    # -- as the engine does it ---------------------------------------------------------------------------------

    def _in_order(self, wanted: Sequence[Wanted]) -> Arranged:
        state = _State(self._cards)
        for entry in self._entries:
            state.put_entry(entry)
        found: list[Estimate] = []
        for one in wanted:
            placed = self._one_card(one, state) or self.split(one, state)
            state.put(placed, meant=one.options.layers_on_gpu is not None)
            found.append(placed)
        return state.arranged(found)

    def _one_card(self, one: Wanted, state: _State) -> Estimate | None:
        """Put a model on the card with the most room; None when it takes no model whole."""
        if self._profile.kind != "ollama" or (self._profile.spread and len(self._cards) > 1):
            return None
        order = sorted(range(len(self._cards)), key=lambda position: (-state.room[position], position))
        for position in order:
            alone = self.alone(one, position)
            if alone.parts.total_bytes <= state.room[position]:
                return self.at(alone, position)
        return None

    def split(self, one: Wanted, state: _State) -> Estimate:
        """Put a model on all cards, whole if that goes, otherwise what does not go in on the host.

        The engine keeps a margin when it decides by itself how much goes in; that the whole would go in without it is
        what `tight` is for.
        """
        key = (id(one.metadata), one.name, one.options, tuple(state.room))
        found = self._splits.get(key)
        if found is None:
            self._kept[key[0]] = one.metadata
            found = self._splits[key] = self._made_split(one, state)
        return found

    def _made_split(self, one: Wanted, state: _State) -> Estimate:
        budgets = [
            replace(card, available_bytes=max(0, room)) for card, room in zip(self._cards, state.room, strict=True)
        ]
        alone = self.alone(one, 0)
        if one.options.layers_on_gpu is None and alone.parts.total_bytes <= sum(state.room):
            everything = replace(one, options=replace(one.options, layers_on_gpu=alone.layers_total))
            whole = estimate(everything, self._splitting, budgets, calibration=self._calibration)
            rooms = zip(whole.by_card, state.room, strict=True)
            if all(parts.total_bytes <= room for parts, room in rooms if parts.total_bytes):
                return whole
        made = estimate(one, self._splitting, budgets, calibration=self._calibration)
        return _with_experts_counted(made, alone)

    def at(self, alone: Estimate, position: int) -> Estimate:
        """Return the estimate of a model that has one card to itself as one over all cards."""
        if len(self._cards) == 1:
            return alone
        by_card = [NOTHING] * len(self._cards)
        by_card[position] = alone.parts
        return replace(alone, by_card=tuple(by_card))

    def _on_host(self, one: Wanted) -> Estimate:
        card = CardBudget(0, "no card", 0, 0)
        made = estimate(one, self._profile, (card,), calibration=self._calibration)
        return replace(made, by_card=())

    # -- as it could be ----------------------------------------------------------------------------------------

    def _searched(self, wanted: Sequence[Wanted], first: Arranged) -> Arranged:
        """Look for another way to share out the models, the largest first, whole on one card where possible."""
        alone = [[self.alone(one, position) for position in range(len(self._cards))] for one in wanted]
        order = sorted(range(len(wanted)), key=lambda item: -alone[item][0].parts.total_bytes)
        search = _Search(self, wanted, alone, order, first)
        state = _State(self._cards)
        for entry in self._entries:
            state.put_entry(entry)
        search.descend(0, state, {})
        return search.best


def _with_experts_counted(made: Estimate, whole: Estimate) -> Estimate:
    """Count layers whose experts alone stay on the host among those that are not on the cards."""
    missing = whole.parts.weights_bytes - made.parts.weights_bytes
    if made.layers_on_gpu < made.layers_total or missing <= 0:
        return made
    each = max(1, whole.parts.weights_bytes // whole.layers_total)
    layers = min(made.layers_total - 1, max(1, -(-missing // each)))
    note = f"the experts of about {layers} layers run on the CPU, the rest of every layer is on the card"
    return replace(made, layers_on_gpu=made.layers_total - layers, notes=(*made.notes, note))


class _State:
    """What lies on the cards so far."""

    def __init__(self, cards: Sequence[CardBudget]) -> None:
        self.cards = cards
        self.planned = [0] * len(cards)
        self.high = [0] * len(cards)
        self.verdicts = [Verdict.FITS] * len(cards)
        self.room = [card.available_bytes for card in cards]
        self.failed = False
        """A model that should be on the cards has no layer there."""
        self.on_host = False

    def copy(self) -> _State:
        """Return the same, to try something on."""
        other = _State.__new__(_State)
        other.cards, other.failed, other.on_host = self.cards, self.failed, self.on_host
        other.planned, other.high = list(self.planned), list(self.high)
        other.verdicts, other.room = list(self.verdicts), list(self.room)
        return other

    def put_entry(self, entry: FreeEntry) -> None:
        """Put something that cannot be split on the card with the most room."""
        position = max(range(len(self.cards)), key=lambda place: (self.room[place], -place))
        self._add(position, entry.peak_bytes, entry.peak_bytes)

    def put(self, made: Estimate, *, meant: bool = False) -> None:
        """Add an estimate where it lies; `meant` says that somebody asked for just so many layers."""
        total = made.parts.total_bytes
        spills = made.layers_on_gpu < made.layers_total
        above = made.high_bytes - total
        for position, parts in enumerate(made.by_card):
            if parts.total_bytes:
                share = above * parts.total_bytes // total if total else 0
                self._add(position, parts.total_bytes, parts.total_bytes + share)
                if spills:
                    self._mark(position, Verdict.SPILLS)
        if spills and not made.layers_on_gpu:
            self.on_host = True
            self.failed = self.failed or not meant

    def _add(self, position: int, planned: int, high: int) -> None:
        self.planned[position] += planned
        self.high[position] += high
        self.room[position] -= planned
        card = self.cards[position]
        if self.planned[position] > card.available_bytes:
            self._mark(position, Verdict.DOES_NOT_FIT)
        elif self.high[position] + margin_of(card) > card.available_bytes:
            self._mark(position, Verdict.TIGHT)

    def _mark(self, position: int, verdict: Verdict) -> None:
        if RANK[verdict] > RANK[self.verdicts[position]]:
            self.verdicts[position] = verdict

    @property
    def rank(self) -> int:
        """The worst so far."""
        return max(RANK[verdict] for verdict in self.verdicts)

    @property
    def slack(self) -> int:
        """The least room."""
        return min(self.room)

    def arranged(self, models: Sequence[Estimate]) -> Arranged:
        """Return the result."""
        cards = tuple(
            CardPlan(card, planned, high, verdict)
            for card, planned, high, verdict in zip(self.cards, self.planned, self.high, self.verdicts, strict=True)
        )
        verdict = worst(self.verdicts)
        if self.failed:
            verdict = Verdict.DOES_NOT_FIT
        elif self.on_host:
            verdict = worst((verdict, Verdict.SPILLS))
        return Arranged(verdict, tuple(models), cards)


class _Search:
    """Depth first over cards for each model; stops at the first arrangement that fits."""

    def __init__(
        self,
        arranger: Arranger,
        wanted: Sequence[Wanted],
        alone: Sequence[Sequence[Estimate]],
        order: Sequence[int],
        first: Arranged,
    ) -> None:
        self._arranger, self._wanted, self._alone, self._order = arranger, wanted, alone, order
        self._nodes, self._splits = SEARCH_NODES, SPLITS_TRIED
        self._best_score = (RANK[first.verdict], 0)
        self.best = first

    def descend(self, depth: int, state: _State, placed: dict[int, Estimate]) -> bool:
        """Try every place for the next model; True ends the search."""
        if state.rank >= RANK[Verdict.SPILLS] or self._nodes <= 0:
            return self._nodes <= 0
        self._nodes -= 1
        if depth == len(self._order):
            score = (state.rank, -state.slack)
            if score < self._best_score:
                self._best_score = score
                self.best = state.arranged([placed[item] for item in range(len(self._wanted))])
            return state.rank == RANK[Verdict.FITS]
        item = self._order[depth]
        tried: set[tuple[str, int, int]] = set()
        for position in sorted(range(len(state.cards)), key=lambda place: -state.room[place]):
            card = state.cards[position]
            kind = (card.name, card.memory_total_bytes, state.room[position])
            alone = self._alone[item][position]
            if kind in tried or alone.parts.total_bytes > state.room[position]:
                continue
            tried.add(kind)
            if self._step(depth, state, placed, item, self._arranger.at(alone, position)):
                return True
        return self._split(depth, state, placed, item)

    def _split(self, depth: int, state: _State, placed: dict[int, Estimate], item: int) -> bool:
        if self._splits <= 0:
            return False
        self._splits -= 1
        made = self._arranger.split(self._wanted[item], state)
        if made.layers_on_gpu < made.layers_total:
            return False
        return self._step(depth, state, placed, item, made)

    def _step(self, depth: int, state: _State, placed: dict[int, Estimate], item: int, made: Estimate) -> bool:
        after = state.copy()
        after.put(made)
        return self.descend(depth + 1, after, {**placed, item: made})
