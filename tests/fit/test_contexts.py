"""Which contexts are tried."""

from __future__ import annotations

import pytest

from gpudesk.fit.contexts import FAMILIAR, exact, familiar, longest


def test_every_multiple_of_the_padding_and_the_limit_itself() -> None:
    assert list(exact(1024)) == [256, 512, 768, 1024]
    assert list(exact(1000)) == [256, 512, 768, 1000]
    assert list(exact(100)) == [100]


def test_familiar_ones_are_below_what_there_is_and_within_what_was_trained() -> None:
    assert familiar(8192) == (1024, 2048, 4096, 6144)
    assert familiar(8193)[-1] == 8192
    assert familiar(65536, limit=40960)[-1] == 40960
    assert familiar(1024) == ()
    assert list(FAMILIAR) == sorted(FAMILIAR)


@pytest.mark.parametrize("most", [0, 255, 256, 257, 5000, 8192, 10**6])
@pytest.mark.parametrize("off", [None, -(10**6), -3000, -256, 0, 300, 10**6])
@pytest.mark.parametrize("bound", [None, -3000, 0, 700, 10**6])
def test_the_longest_is_found_whatever_the_guess(most: int, off: int | None, bound: int | None) -> None:
    tried: list[int] = []

    def will_do(context: int) -> bool:
        tried.append(context)
        return context <= most

    contexts = exact(8192)
    expected = max((context for context in contexts if context <= most), default=None)
    guess, limit = (None if value is None else most + value for value in (off, bound))
    assert longest(contexts, will_do, guess, limit) == expected
    assert len(tried) == len(set(tried)), "nothing is asked twice"
    if off is None:
        assert len(tried) <= (1 if most < 256 else 7)
    if off == 0:
        assert len(tried) <= 2


def test_nothing_to_try() -> None:
    assert longest((), lambda _: True) is None
