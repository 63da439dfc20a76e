"""Everything wrong right now, each said once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.domain.problem import Problem
from gpudesk.units import duration
from gpudesk.watch.names import CARDS, engine_source, side_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gpudesk.domain.desk import SourceState
    from gpudesk.watch.watched import Watched

SKEW_SECONDS = 2.5
"""Clocks further apart than this are worth a word; a Date header alone is up to a second off."""


def problems_of(watched: Watched, sources: tuple[SourceState, ...]) -> tuple[Problem, ...]:
    """Return what is wrong: failing sources, cards, parts of answers, clocks.

    A value that is merely old is not among them: its age grows without a reading, see `watch.staleness`.
    """
    found: dict[Problem, None] = {}
    for problem in _all(watched, sources):
        found.setdefault(problem)
    return tuple(found)


def _all(watched: Watched, sources: tuple[SourceState, ...]) -> Iterator[Problem]:
    yield from _failing(sources)
    for card in watched.cards:
        if card.error is not None:
            yield Problem(CARDS, f"{card.name or f'card {card.index}'}: {card.error}")
        yield from card.problems
    samples: Iterable[tuple[Problem, ...]] = (
        sample.problems for group in (watched.engines, watched.catalogs, watched.details) for sample in group
    )
    for problems in samples:
        yield from problems
    if watched.pins is not None:
        yield from (Problem("pins", text) for text in watched.pins.problems)
    for engine in watched.engines:
        skew = engine.clock_skew_seconds
        if skew is not None and abs(skew) > SKEW_SECONDS:
            yield Problem(
                engine_source(engine.url),
                f"the clock of {engine.url} is {duration(abs(skew))} {'ahead of' if skew > 0 else 'behind'} ours",
                "times are shown corrected; set both clocks by NTP",
            )


def _failing(sources: tuple[SourceState, ...]) -> Iterator[Problem]:
    """Yield one problem per failing source; an engine that is down is told once, not once per question put to it."""
    down = {state.source for state in sources if state.failure is not None}
    for state in sources:
        if state.failure is None:
            continue
        url = side_url(state.source)
        if url is not None and engine_source(url) in down:
            continue
        yield Problem(state.source, state.failure.message, state.failure.hint)
