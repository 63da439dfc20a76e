"""Simulated workstations that listen, closed when the test is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.sim.http_desk import Desk


@pytest.fixture
def desks() -> Iterator[Callable[..., Desk]]:
    """Make desks with the engine settings that are given."""
    made: list[Desk] = []

    def make(**settings: object) -> Desk:
        made.append(Desk(**settings))
        return made[-1]

    yield make
    for desk in made:
        desk.close()


@pytest.fixture
def desk(desks: Callable[..., Desk]) -> Desk:
    """Make one with the usual settings."""
    return desks()
