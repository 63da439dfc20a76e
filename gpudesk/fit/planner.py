"""One question put to the planner: the models as the engine would load them, arranged and forecast.

`plan`, `alternatives` and `longest_context` ask it for variations; estimates are made once per variation.
"""

from __future__ import annotations

from collections.abc import Sequence

from gpudesk.domain.engine import Era
from gpudesk.fit.arrangement import Arranger
from gpudesk.fit.calibration import Calibration
from gpudesk.fit.filling import Arranged
from gpudesk.fit.kv_cache import kv_cache
from gpudesk.fit.load_sequence import LoadSequence
from gpudesk.fit.placement import Burden
from gpudesk.fit.prepared import prepare
from gpudesk.fit.server_policy import forecast_of
from gpudesk.fit.server_rules import Served
from gpudesk.fit.server_scheduler import is_same
from gpudesk.fit.values import (
    CardBudget,
    EngineProfile,
    FreeEntry,
    LoadOptions,
    Parts,
    Resident,
    ServerForecast,
    Verdict,
    Wanted,
)
from gpudesk.records import replace

_Served = tuple[tuple[int, str, LoadOptions, str | None], int, int, int]
"""A load, its context, slots and batch."""


class Planner:
    """Everything but the models that a plan depends on."""

    def __init__(
        self,
        cards: Sequence[CardBudget],
        profile: EngineProfile,
        *,
        residents: Sequence[Resident] = (),
        entries: Sequence[FreeEntry] = (),
        calibration: Calibration | None = None,
        replaced: Sequence[Wanted] = (),
    ) -> None:
        """Take what is there.

        Args:
            cards: the cards; what `residents` hold is not among the available bytes.
            profile: the engine.
            residents: models loaded now.
            entries: what is no language model.
            calibration: measured points.
            replaced: wanted models; what residents of the same name hold counts as free.
        """
        self.profile = profile
        self.residents = tuple(residents)
        self.cards = tuple(cards)
        """As they are now."""
        self.own = [resident for resident in residents if any(is_same(resident, one) for one in replaced)]
        """Residents that are wanted, too: their memory is what the plan counts anew."""
        self.entries = tuple(entries)
        self._calibration = calibration
        self.arranger = Arranger(_without(cards, self.own), profile, entries=entries, calibration=calibration)
        self._served: dict[_Served, Wanted] = {}
        self._burdens: dict[_Served, Burden] = {}
        self.sequence = LoadSequence(profile, self.cards, self.residents, self.burden_of)
        """What the engine does, load by load."""

    @property
    def others(self) -> tuple[Resident, ...]:
        """Residents that are not wanted."""
        return tuple(resident for resident in self.residents if resident not in self.own)

    def emptied(self) -> Arranger:
        """Return the same cards without the residents that are not wanted."""
        cards = _without(self.cards, self.residents)
        return Arranger(cards, self.profile, entries=self.entries, calibration=self._calibration)

    def resolved(self, wanted: Sequence[Wanted]) -> tuple[Wanted, ...]:
        """Fill in what the engine chooses: context, slots, batch. Other engines are left to the estimate."""
        if self.profile.kind != "ollama":
            return tuple(wanted)
        steps = self.sequence.steps(wanted)
        return tuple([self._as_served(one, step.served) for one, step in zip(wanted, steps, strict=True)])

    def _as_served(self, wanted: Wanted, served: Served) -> Wanted:
        """Return a model as the engine would load it, the same value whenever it would load it so."""
        key = (_key(wanted), served.context_length, served.parallel, served.batch_size)
        found = self._served.get(key)
        if found is None:
            changed = as_served(wanted.options, served)
            found = wanted if changed == wanted.options else replace(wanted, options=changed)
            # The model is kept so that its identity, the key, cannot pass to another.
            self._served[key] = found
        return found

    def arranged(self, wanted: Sequence[Wanted]) -> Arranged:
        """Say what is physically true of a combination."""
        return self.arranger.arrange(self.resolved(wanted))

    def is_as_good(self, wanted: Sequence[Wanted], verdict: Verdict) -> bool:
        """Tell whether a combination comes to this verdict or a better one."""
        return self.arranger.is_as_good(self.resolved(wanted), verdict)

    def forecast(self, wanted: Sequence[Wanted], *, notes: bool = True) -> ServerForecast:
        """Say what the engine will do with it."""
        return forecast_of(wanted, self.sequence, notes=notes)

    def evicts(self, wanted: Sequence[Wanted]) -> bool:
        """Tell whether the engine makes anybody go."""
        if self.profile.kind != "ollama":
            return False
        return any(step.evicted for step in self.sequence.steps(wanted, until_eviction=True))

    def burden_of(self, wanted: Wanted, served: Served) -> Burden:
        """Return what a model takes when it is loaded so; its cache alike in all layers, for only the sum counts."""
        if not self.cards:
            return Burden((), 0)
        key = (_key(wanted), served.context_length, served.parallel, served.batch_size)
        found = self._burdens.get(key)
        if found is None:
            asked = self._as_served(wanted, served)
            if asked.options.layers_on_gpu is not None:
                asked = replace(asked, options=replace(asked.options, layers_on_gpu=None))
            found = self._burdens[key] = self._burden(asked)
        return found

    def _burden(self, asked: Wanted) -> Burden:
        parts = self.arranger.alone(asked, 0).parts
        layout = prepare(asked.metadata).weights
        count = max(1, asked.metadata.layer_count)
        kv, rest = divmod(parts.kv_cache_bytes, count)
        return Burden(
            layers=layout.layers,
            output_bytes=layout.output_bytes,
            kv=(kv + rest, *(kv,) * (count - 1)),
            compute_bytes=parts.compute_bytes,
            overhead_bytes=parts.overhead_bytes,
            first_card=Parts(
                weights_bytes=parts.weights_bytes - layout.card_bytes, projector_bytes=parts.projector_bytes
            ),
            experts=layout.experts,
            kv_untold_bytes=self._untold_bytes(asked),
        )

    def _untold_bytes(self, asked: Wanted) -> int:
        """Return how much of the cache the engine will not count."""
        if self.profile.era is not Era.LLAMA_SERVER or not asked.metadata.sliding_window:
            return 0
        options, shape = asked.options, prepare(asked.metadata).rules
        context, parallel = options.context_length or 0, options.parallel or 1
        return kv_cache(asked.metadata, options, context, parallel, self.profile.era, known=shape).untold_bytes


def _key(wanted: Wanted) -> tuple[int, str, LoadOptions, str | None]:
    return id(wanted.metadata), wanted.name, wanted.options, wanted.blob_digest


def as_served(options: LoadOptions, served: Served) -> LoadOptions:
    """Return the options with what the server filled in."""
    return replace(
        options,
        context_length=served.context_length,
        parallel=served.parallel,
        batch_size=served.batch_size,
    )


def _without(cards: Sequence[CardBudget], residents: Sequence[Resident]) -> tuple[CardBudget, ...]:
    """Return the cards as they are when these residents are gone."""
    freed = [
        sum(resident.by_card[position] for resident in residents if position < len(resident.by_card))
        for position in range(len(cards))
    ]
    return tuple(
        replace(
            card,
            available_bytes=max(0, min(card.memory_total_bytes - card.reserve_bytes, card.available_bytes + more)),
        )
        if more
        else card
        for card, more in zip(cards, freed, strict=True)
    )
