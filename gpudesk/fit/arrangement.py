"""Which of several models lies where, and what verdict that comes to.

Ollama asks for one card first and takes the one with the most room; a model that no card takes alone is split over
all, and what then does not go in stays in host memory (ollama server/sched.go:972 at v0.33.0-rc2). When that order of
things does not fit, other ways to share out the models are looked for: what is physically possible is not decided by
who came first.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from gpudesk.fit.calibration import Calibration
from gpudesk.fit.estimate import estimate
from gpudesk.fit.filling import RANK, Arranged, State, margin_of
from gpudesk.fit.placement import NOTHING
from gpudesk.fit.projector import HEADROOM_BYTES
from gpudesk.fit.values import CardBudget, EngineProfile, Estimate, FreeEntry, LoadOptions, Verdict, Wanted
from gpudesk.records import dataclass, replace

SEARCH_NODES = 80
"""How many partial arrangements are looked at before the best so far is taken."""
SPLITS_TRIED = 6
_BOUNDLESS = 1 << 60


@dataclass(frozen=True, slots=True)
class _Aim:
    """What a search is for."""

    enough: Verdict
    """It stops there."""
    worst: Verdict
    """It passes over what is worse."""


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
        self._same: dict[tuple[int, int], tuple[Wanted, Estimate]] = {}
        """The same by the identity of what is wanted, which costs less than its hash."""
        self._splits: dict[tuple[int, str, LoadOptions, tuple[int, ...]], Estimate] = {}
        self._arranged: dict[tuple[tuple[int, str, LoadOptions], ...], Arranged] = {}
        self._placed: dict[tuple[int, int], tuple[Estimate, Estimate]] = {}
        self._kept: dict[int, object] = {}
        self._entries = tuple(sorted(entries, key=lambda entry: -entry.peak_bytes))

    @property
    def cards(self) -> tuple[CardBudget, ...]:
        """The cards."""
        return self._cards

    def alone(self, wanted: Wanted, position: int) -> Estimate:
        """Estimate a model that has one card to itself, however small."""
        same = self._same.get((id(wanted), position))
        if same is not None and same[0] is wanted:
            return same[1]
        card = self._cards[position]
        key = (id(wanted.metadata), wanted.name, wanted.options, card.name, card.memory_total_bytes)
        found = self._alone.get(key)
        if found is None:
            self._kept[key[0]] = wanted.metadata
            boundless = replace(card, available_bytes=_BOUNDLESS)
            found = estimate(wanted, self._profile, (boundless,), calibration=self._calibration)
            self._alone[key] = found
        self._same[id(wanted), position] = (wanted, found)
        return found

    def exceeds(self, wanted: Sequence[Wanted], verdict: Verdict = Verdict.TIGHT) -> bool:
        """Tell whether a combination is larger than all room there is, so that no arrangement is as good as this.

        Args:
            wanted: the combination, as the engine would load it.
            verdict: `FITS` counts the upper ends of the bands and one margin.
        """
        comfortable = verdict is Verdict.FITS
        room = self.room_bytes
        need = sum(entry.peak_bytes for entry in self._entries)
        if comfortable:
            need += min((margin_of(card) for card in self._cards), default=0)
        kinds = {(card.name, card.memory_total_bytes): position for position, card in enumerate(self._cards)}
        for one in wanted:
            made = (self.alone(one, position) for position in kinds.values())
            need += min(each.high_bytes if comfortable else each.parts.total_bytes for each in made)
            if need > room:
                return True
        return False

    def fixed_bytes(self, wanted: Sequence[Wanted]) -> int:
        """Return what a combination takes at least, whatever the contexts, caches and batches of its models are.

        A projector does not count: an engine that has no room for it keeps it in host memory.
        """
        kinds = {(card.name, card.memory_total_bytes): position for position, card in enumerate(self._cards)}
        need = 0
        for one in wanted:
            made = [self.alone(one, position).parts for position in kinds.values()]
            need += min(parts.weights_bytes + parts.overhead_bytes for parts in made)
        return need

    @property
    def room_bytes(self) -> int:
        """What all cards have room for."""
        return sum(card.available_bytes for card in self._cards)

    def arrange(self, wanted: Sequence[Wanted]) -> Arranged:
        """Arrange a combination as well as it goes."""
        key = tuple((id(one.metadata), one.name, one.options) for one in wanted)
        found = self._arranged.get(key)
        if found is None:
            for one in wanted:
                self._kept[id(one.metadata)] = one.metadata
            found = self._arranged[key] = self._arrange(wanted)
        return found

    def _arrange(self, wanted: Sequence[Wanted]) -> Arranged:
        if not self._cards:
            return Arranged(Verdict.DOES_NOT_FIT, tuple(self._on_host(one) for one in wanted), ())
        first = self._in_order(wanted)
        assert first is not None
        return self._improved(wanted, first, _Aim(Verdict.FITS, Verdict.TIGHT))

    def is_as_good(self, wanted: Sequence[Wanted], verdict: Verdict) -> bool:
        """Tell whether a combination comes to this verdict or a better one, without working out any spill."""
        if RANK[verdict] >= RANK[Verdict.SPILLS]:
            return RANK[self.arrange(wanted).verdict] <= RANK[verdict]
        if not self._cards or self.exceeds(wanted, verdict):
            return False
        first = self._in_order(wanted, whole=True)
        if first is not None and RANK[first.verdict] <= RANK[verdict]:
            return True
        if first is None:
            first = Arranged(Verdict.DOES_NOT_FIT, (), ())
        return RANK[self._improved(wanted, first, _Aim(verdict, verdict)).verdict] <= RANK[verdict]

    def _improved(self, wanted: Sequence[Wanted], first: Arranged, aim: _Aim) -> Arranged:
        """Look for a better arrangement where there may be one."""
        several = len(self._cards) > 1 and self._profile.kind == "ollama" and not self._profile.spread
        goal = Verdict.FITS if first.verdict is Verdict.TIGHT else Verdict.TIGHT
        if RANK[goal] > RANK[aim.worst]:
            goal = aim.worst
        if first.verdict is Verdict.FITS or not several or self.exceeds(wanted, goal):
            return first
        better = self._searched(wanted, first, aim)
        return better if RANK[better.verdict] < RANK[first.verdict] else first

    # -- as the engine does it ---------------------------------------------------------------------------------

    def _in_order(self, wanted: Sequence[Wanted], *, whole: bool = False) -> Arranged | None:
        """Put one model after the other; with `whole`, give up at the first that does not go in whole."""
        state = State(self._cards)
        for entry in self._entries:
            state.put_entry(entry)
        found: list[Estimate] = []
        for one in wanted:
            placed = self._one_card(one, state) or self.split_whole(one, state)
            if placed is None:
                if whole:
                    return None
                placed = self.split(one, state)
            state.put(placed, meant=one.options.layers_on_gpu is not None)
            found.append(placed)
        return state.arranged(found)

    def _one_card(self, one: Wanted, state: State) -> Estimate | None:
        """Put a model on the card with the most room; None when it takes no model whole."""
        if self._profile.kind != "ollama" or (self._profile.spread and len(self._cards) > 1):
            return None
        order = sorted(range(len(self._cards)), key=lambda position: (-state.room[position], position))
        for position in order:
            alone = self.alone(one, position)
            room = state.room[position]
            if alone.parts.total_bytes <= room:
                if alone.parts.projector_bytes and room < alone.parts.projector_bytes + HEADROOM_BYTES:
                    alone = self._cramped(one, position, room)
                return self.at(alone, position)
        return None

    def _cramped(self, one: Wanted, position: int, room: int) -> Estimate:
        """Estimate a model on one card that has room for it, but maybe not enough for the engine to put all there."""
        card = replace(self._cards[position], available_bytes=room)
        options = replace(one.options, layers_on_gpu=self.alone(one, position).layers_total)
        everything = one if one.options.layers_on_gpu is not None else replace(one, options=options)
        return estimate(everything, self._profile, (card,), calibration=self._calibration)

    def split_whole(self, one: Wanted, state: State) -> Estimate | None:
        """Put a model on all cards, every layer of it; None when that does not go.

        The engine keeps a margin when it decides by itself how much goes in; that the whole would go in without it is
        what `tight` is for.
        """
        alone = self.alone(one, 0)
        if one.options.layers_on_gpu is not None or alone.parts.total_bytes > sum(state.room):
            return None
        everything = replace(one, options=replace(one.options, layers_on_gpu=alone.layers_total))
        whole = self._estimated(everything, state)
        fits = all(parts.total_bytes <= room for parts, room in zip(whole.by_card, state.room, strict=True))
        return whole if fits else None

    def split(self, one: Wanted, state: State) -> Estimate:
        """Put a model on all cards, what does not go in on the host."""
        return _with_experts_counted(self._estimated(one, state), self.alone(one, 0))

    def _estimated(self, one: Wanted, state: State) -> Estimate:
        key = (id(one.metadata), one.name, one.options, tuple(state.room))
        found = self._splits.get(key)
        if found is None:
            self._kept[key[0]] = one.metadata
            budgets = [
                replace(card, available_bytes=max(0, room)) for card, room in zip(self._cards, state.room, strict=True)
            ]
            found = self._splits[key] = estimate(one, self._splitting, budgets, calibration=self._calibration)
        return found

    def at(self, alone: Estimate, position: int) -> Estimate:
        """Return the estimate of a model that has one card to itself as one over all cards."""
        if len(self._cards) == 1:
            return alone
        found = self._placed.get((id(alone), position))
        if found is None or found[0] is not alone:
            by_card = [NOTHING] * len(self._cards)
            by_card[position] = alone.parts
            found = self._placed[id(alone), position] = (alone, replace(alone, by_card=tuple(by_card)))
        return found[1]

    def _on_host(self, one: Wanted) -> Estimate:
        card = CardBudget(0, "no card", 0, 0)
        made = estimate(one, self._profile, (card,), calibration=self._calibration)
        return replace(made, by_card=())

    # -- as it could be ----------------------------------------------------------------------------------------

    def _searched(self, wanted: Sequence[Wanted], first: Arranged, aim: _Aim) -> Arranged:
        """Look for another way to share out the models, the largest first, whole on one card where possible."""
        alone = [[self.alone(one, position) for position in range(len(self._cards))] for one in wanted]
        search = _Search(self, wanted, alone, first, aim)
        state = State(self._cards)
        for entry in self._entries:
            state.put_entry(entry)
        search.descend(0, state, {})
        if not search.done:
            search.allow_splits()
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


class _Search:
    """Depth first over cards for each model; stops at the first arrangement that is good enough."""

    def __init__(
        self,
        arranger: Arranger,
        wanted: Sequence[Wanted],
        alone: Sequence[Sequence[Estimate]],
        first: Arranged,
        aim: _Aim,
    ) -> None:
        self._arranger, self._wanted, self._alone = arranger, wanted, alone
        self._aim = aim
        self._nodes, self._splits = SEARCH_NODES, 0
        self._best_score = (RANK[first.verdict], 0)
        sizes = [min(each.parts.total_bytes for each in made) for made in alone]
        self._order = sorted(range(len(wanted)), key=lambda item: -sizes[item])
        self._comfortable = aim.worst is Verdict.FITS
        if self._comfortable:
            sizes = [min(each.high_bytes for each in made) for made in alone]
        left = accumulate([0, *(sizes[item] for item in reversed(self._order))])
        self._left = [*left][::-1]
        """What the models from each depth on take at least."""
        self.best = first

    @property
    def done(self) -> bool:
        """Whether the best is good enough."""
        return self._best_score[0] <= RANK[self._aim.enough]

    def allow_splits(self) -> None:
        """Also try to split models over all cards, from now on."""
        self._nodes, self._splits = SEARCH_NODES, SPLITS_TRIED

    def descend(self, depth: int, state: State, placed: dict[int, Estimate]) -> bool:
        """Try every place for the next model; True ends the search."""
        rank = state.rank
        if rank > RANK[self._aim.worst] or self._nodes <= 0:
            return self._nodes <= 0
        if self._left[depth] > state.room_left(comfortable=self._comfortable):
            return False
        score = (rank, -state.slack)
        if score >= self._best_score:
            # More models make no verdict better and leave no more room.
            return False
        self._nodes -= 1
        if depth == len(self._order):
            self._best_score = score
            self.best = state.arranged([placed[item] for item in range(len(self._wanted))])
            return self.done
        item = self._order[depth]
        tried: set[tuple[str, int, int]] = set()
        for position in sorted(range(len(state.cards)), key=lambda place: -state.room[place]):
            card, room = state.cards[position], state.room[position]
            kind = (card.name, card.memory_total_bytes, room)
            alone = self._alone[item][position]
            if kind in tried or alone.parts.total_bytes > room:
                continue
            tried.add(kind)
            if self._step(depth, state, placed, item, self._arranger.at(alone, position)):
                return True
        return self._split(depth, state, placed, item)

    def _split(self, depth: int, state: State, placed: dict[int, Estimate], item: int) -> bool:
        if self._splits <= 0:
            return False
        self._splits -= 1
        made = self._arranger.split_whole(self._wanted[item], state)
        if made is None:
            return False
        return self._step(depth, state, placed, item, made)

    def _step(self, depth: int, state: State, placed: dict[int, Estimate], item: int, made: Estimate) -> bool:
        after = state.copy()
        after.put(made)
        return self.descend(depth + 1, after, {**placed, item: made})
