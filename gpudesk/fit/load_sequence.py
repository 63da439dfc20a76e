"""Several loads, one after the other, played through the scheduler's rules."""

from __future__ import annotations

from collections.abc import Sequence

from gpudesk.fit.server_rules import Served, served
from gpudesk.fit.server_scheduler import BurdenOf, Step, forecast_step, is_same, max_loaded
from gpudesk.fit.values import CardBudget, EngineProfile, LoadOptions, Resident, Wanted

_Load = tuple[int, str, LoadOptions, str | None]


class LoadSequence:
    """What an engine makes of loads on the cards as they are now.

    A plan asks for dozens of combinations that begin alike: what was played once is found again by how it began.
    """

    def __init__(
        self,
        profile: EngineProfile,
        cards: Sequence[CardBudget],
        residents: Sequence[Resident] = (),
        burden_of: BurdenOf | None = None,
    ) -> None:
        """Take what is there.

        Args:
            profile: which engine.
            cards: its cards.
            residents: who is there, in the order they were loaded.
            burden_of: what a load really takes; None leaves open what stays free.
        """
        self.profile = profile
        self.cards = cards
        self._residents = tuple(residents)
        self._free = tuple(card.available_bytes + card.reserve_bytes for card in cards)
        self._burden_of = burden_of
        self._asked: dict[_Load, Served] = {}
        self._played: dict[tuple[int, _Load], tuple[Wanted, Step]] = {}
        self._evicting: dict[tuple[int, _Load], tuple[Wanted, Step]] = {}
        """Steps that were left off at their first eviction."""

    def is_too_many(self, wanted: Sequence[Wanted]) -> bool:
        """Tell whether somebody has to go for their number alone, whatever the models take."""
        together = list(self._residents)
        for one in wanted:
            if not any(is_same(resident, one) for resident in together):
                together.append(Resident(one.name, 0, (), None, blob_digest=one.blob_digest))
        comes = len(together) > len(self._residents)
        return comes and len(together) > max_loaded(self.profile, len(self.cards))

    def steps(self, wanted: Sequence[Wanted], *, until_eviction: bool = False) -> tuple[Step, ...]:
        """Play the loads; `until_eviction` ends with the first that makes somebody go."""
        there, free, before = self._residents, self._free, 0
        found = []
        for one in wanted:
            key = (before, (id(one.metadata), one.name, one.options, one.blob_digest))
            known = self._played.get(key)
            if known is None and until_eviction and key in self._evicting:
                known = self._evicting[key]
            if known is None:
                ask = self._asked.get(key[1])
                if ask is None:
                    ask = self._asked[key[1]] = served(one.metadata, one.options, self.profile, self.cards)
                step = forecast_step(
                    one, self.profile, self.cards, free, there, self._burden_of, ask=ask, until_eviction=until_eviction
                )
                # The model is kept so that its identity, the key, cannot pass to another.
                played = self._evicting if until_eviction and step.evicted else self._played
                known = played[key] = (one, step)
            step = known[1]
            found.append(step)
            if until_eviction and step.evicted:
                break
            there, free, before = step.residents, step.free, id(step)
        return tuple(found)
