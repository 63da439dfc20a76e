"""What lies on the cards while models are put there one by one, and the verdict it comes to."""

from __future__ import annotations

from collections.abc import Sequence

from gpudesk.fit.values import CardBudget, CardPlan, Estimate, FreeEntry, Verdict
from gpudesk.records import dataclass
from gpudesk.units import MEBIBYTE

MARGIN_BYTES = 512 * MEBIBYTE
MARGIN_PERCENT = 3
"""What has to stay free beyond the band for a plan to fit: the larger of the two, of the card's total."""
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


class State:
    """What lies on the cards so far."""

    def __init__(self, cards: Sequence[CardBudget]) -> None:
        self.cards = cards
        self.planned = [0] * len(cards)
        self.high = [0] * len(cards)
        self.verdicts = [Verdict.FITS] * len(cards)
        self.room = [card.available_bytes for card in cards]
        self.margins = [margin_of(card) for card in cards]
        self.failed = False
        """A model that should be on the cards has no layer there."""
        self.on_host = False

    def copy(self) -> State:
        """Return the same, to try something on."""
        other = State.__new__(State)
        other.cards, other.margins = self.cards, self.margins
        other.failed, other.on_host = self.failed, self.on_host
        other.planned, other.high = list(self.planned), list(self.high)
        other.verdicts, other.room = list(self.verdicts), list(self.room)
        return other

    def put_entry(self, entry: FreeEntry) -> None:
        """Put something that cannot be split on the card with the most room."""
        position = max(range(len(self.cards)), key=lambda place: (self.room[place], -place))
        self.add(position, entry.peak_bytes, entry.peak_bytes)

    def put(self, made: Estimate, *, meant: bool = False) -> None:
        """Add an estimate where it lies; `meant` says that somebody asked for just so many layers."""
        total = made.parts.total_bytes
        spills = made.layers_on_gpu < made.layers_total
        above = made.high_bytes - total
        for position, parts in enumerate(made.by_card):
            size = parts.total_bytes
            if size:
                self.add(position, size, size + above * size // total)
                if spills:
                    self._mark(position, Verdict.SPILLS)
        if spills and not made.layers_on_gpu:
            self.on_host = True
            self.failed = self.failed or not meant

    def add(self, position: int, planned: int, high: int) -> None:
        """Put something on a card, its size and the upper end of its band."""
        self.planned[position] += planned
        self.high[position] += high
        self.room[position] -= planned
        card = self.cards[position]
        if self.planned[position] > card.available_bytes:
            self._mark(position, Verdict.DOES_NOT_FIT)
        elif self.high[position] + self.margins[position] > card.available_bytes:
            self._mark(position, Verdict.TIGHT)

    def _mark(self, position: int, verdict: Verdict) -> None:
        if RANK[verdict] > RANK[self.verdicts[position]]:
            self.verdicts[position] = verdict

    @property
    def rank(self) -> int:
        """The worst so far."""
        return max([RANK[verdict] for verdict in self.verdicts])

    def room_left(self, *, comfortable: bool) -> int:
        """Return all room there is; `comfortable` counts the upper ends of the bands and the margins."""
        if not comfortable:
            return sum([room for room in self.room if room > 0])
        rooms = [
            card.available_bytes - high - margin
            for card, high, margin in zip(self.cards, self.high, self.margins, strict=True)
        ]
        return sum([room for room in rooms if room > 0])

    @property
    def slack(self) -> int:
        """The least room."""
        return min(self.room)

    def arranged(self, models: Sequence[Estimate]) -> Arranged:
        """Return the result; a card that was to take a model and stays empty says so, too."""
        if self.failed:
            for position, planned in enumerate(self.planned):
                if not planned:
                    self._mark(position, Verdict.DOES_NOT_FIT)
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
