"""One question put to the planner: the models as the engine would load them, arranged and forecast.

`plan`, `alternatives` and `longest_context` ask it for variations; estimates are made once per variation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gpudesk.domain.engine import Era
from gpudesk.fit.arrangement import Arranger
from gpudesk.fit.calibration import Calibration
from gpudesk.fit.filling import Arranged
from gpudesk.fit.metadata import ModelMetadata
from gpudesk.fit.placement import Burden
from gpudesk.fit.server_policy import forecast
from gpudesk.fit.server_rules import Served
from gpudesk.fit.server_scheduler import is_same, play
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
from gpudesk.fit.weights import WeightLayout, weights


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
        self._resolved: dict[tuple[tuple[int, str, LoadOptions], ...], tuple[Wanted, ...]] = {}
        self._layouts: dict[int, tuple[ModelMetadata, WeightLayout]] = {}

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
        key = tuple((id(one.metadata), one.name, one.options) for one in wanted)
        found = self._resolved.get(key)
        if found is None:
            steps = play(wanted, self.profile, self.cards, self.residents)
            found = self._resolved[key] = tuple(
                replace(one, options=as_served(one.options, step.served))
                for one, step in zip(wanted, steps, strict=True)
            )
        return found

    def arranged(self, wanted: Sequence[Wanted]) -> Arranged:
        """Say what is physically true of a combination."""
        return self.arranger.arrange(self.resolved(wanted))

    def is_as_good(self, wanted: Sequence[Wanted], verdict: Verdict) -> bool:
        """Tell whether a combination comes to this verdict or a better one."""
        return self.arranger.is_as_good(self.resolved(wanted), verdict)

    def forecast(self, wanted: Sequence[Wanted], *, notes: bool = True) -> ServerForecast:
        """Say what the engine will do with it."""
        return forecast(
            wanted, self.profile, self.cards, residents=self.residents, burden_of=self.burden_of, notes=notes
        )

    def evicts(self, wanted: Sequence[Wanted]) -> bool:
        """Tell whether the engine makes anybody go."""
        if self.profile.kind != "ollama":
            return False
        steps = play(wanted, self.profile, self.cards, self.residents, self.burden_of, until_eviction=True)
        return any(step.evicted for step in steps)

    def burden_of(self, wanted: Wanted, served: Served) -> Burden:
        """Return what a model takes when it is loaded so, its layers alike where only their sum counts."""
        if not self.cards:
            return Burden((), 0)
        asked = replace(wanted, options=replace(as_served(wanted.options, served), layers_on_gpu=None))
        made = self.arranger.alone(asked, 0)
        count = max(1, wanted.metadata.layer_count)
        layers, output = self._shares(wanted.metadata, made.parts.weights_bytes, count)
        kv, rest = divmod(made.parts.kv_cache_bytes, count)
        return Burden(
            layers=layers,
            output_bytes=output,
            kv=(kv + rest, *(kv,) * (count - 1)),
            compute_bytes=made.parts.compute_bytes,
            overhead_bytes=made.parts.overhead_bytes,
            first_card=Parts(projector_bytes=made.parts.projector_bytes),
        )

    def _shares(self, metadata: ModelMetadata, weights_bytes: int, count: int) -> tuple[tuple[int, ...], int]:
        """Return the weights of the layers and of the output layer."""
        if self.profile.era is Era.ESTIMATE:
            known = self._layouts.get(id(metadata))
            layout = known[1] if known is not None else weights(metadata)
            self._layouts[id(metadata)] = (metadata, layout)
            return layout.layers, layout.output_bytes
        each, rest = divmod(weights_bytes, count + 1)
        return (each,) * count, each + rest


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
