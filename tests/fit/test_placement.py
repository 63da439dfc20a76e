"""Layers over cards: llama.cpp's split, what each card pays, and partial offload from the end."""

from __future__ import annotations

import random

import pytest

from gpudesk.domain.engine import Era
from gpudesk.fit.placement import card_groups, margin_bytes, parts_of, place, split
from gpudesk.fit.values import EngineProfile, Parts
from gpudesk.units import GIBIBYTE, MEBIBYTE
from tests.fit.models import burden, card


def mib(amount: int) -> int:
    return amount // MEBIBYTE


def test_one_card_takes_everything_when_it_fits() -> None:
    placement = place(burden(), [card(8)])
    assert placement.complete
    assert placement.fits
    assert placement.layers_total == placement.layers_on_gpu == 11
    assert placement.by_card == (Parts(1200 * MEBIBYTE, 100 * MEBIBYTE, 300 * MEBIBYTE, 0, 400 * MEBIBYTE),)
    assert placement.host_bytes == 0


@pytest.mark.parametrize(
    ("layers", "shares", "expected"),
    [
        (41, (24, 24), (21, 20)),
        (41, (1, 3), (11, 30)),
        (3, (1, 1, 1), (1, 1, 1)),
        (5, (0, 7), (0, 5)),
        (5, (0, 0), (3, 2)),
        (0, (1, 1), (0, 0)),
        (1, (5, 5), (1, 0)),
    ],
)
def test_the_split_follows_upper_bound_on_cumulative_shares(
    layers: int, shares: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    """llama.cpp: layer i goes to the first device whose cumulative share is above i / layers."""
    assert split(layers, shares) == expected


def test_the_output_layer_lies_on_the_last_card() -> None:
    first, second = place(burden(10), [card(8), card(8)], margin=0).by_card
    assert first.weights_bytes == 600 * MEBIBYTE
    assert second.weights_bytes == 400 * MEBIBYTE + 200 * MEBIBYTE
    assert second.kv_cache_bytes == 40 * MEBIBYTE


def test_every_used_card_pays_compute_and_overhead_and_only_the_first_the_projector() -> None:
    model = burden(first_card=Parts(projector_bytes=500 * MEBIBYTE), overhead_bytes=(100, 200, 300))
    placement = place(model, [card(8, free=2), card(8, free=0), card(8, free=2)])
    first, unused, last = placement.by_card
    assert unused == Parts()
    assert first.compute_bytes == last.compute_bytes == 300 * MEBIBYTE
    assert (first.overhead_bytes, last.overhead_bytes) == (100, 300)
    assert (first.projector_bytes, last.projector_bytes) == (500 * MEBIBYTE, 0)


def test_a_spill_keeps_the_last_layers_and_the_output() -> None:
    """-ngl 3 is the output layer and the last two blocks."""
    placement = place(burden(kv=()), [card(8)], layers_on_gpu=3)
    assert placement.by_card[0].weights_bytes == 2 * 100 * MEBIBYTE + 200 * MEBIBYTE
    assert placement.host_bytes == 8 * 100 * MEBIBYTE
    assert not placement.complete


def test_as_many_layers_as_fit_beside_the_margin() -> None:
    """2 GiB: 1024 margin, 300 compute, 400 overhead leave 324: the output (200) and one block of 110."""
    placement = place(burden(), [card(2)], margin=1024 * MEBIBYTE)
    assert placement.layers_on_gpu == 2
    assert placement.fits
    assert mib(placement.host_bytes) == 9 * 110


def test_no_layer_at_all_uses_no_card() -> None:
    placement = place(burden(), [card(0.5)])
    assert placement.layers_on_gpu == 0
    assert placement.by_card == (Parts(),)
    assert mib(placement.host_bytes) == 1300


def test_an_explicit_number_of_layers_is_taken_though_it_does_not_fit() -> None:
    placement = place(burden(), [card(1)], layers_on_gpu=10)
    assert placement.layers_on_gpu == 10
    assert not placement.fits
    more = place(burden(), [card(8)], layers_on_gpu=999)
    assert more.complete


def test_experts_go_to_the_host_before_layers() -> None:
    """1.75 GiB free; all is 2000 MiB: three layers give up their 80 MiB of experts each."""
    model = burden(experts=(80 * MEBIBYTE,) * 10)
    placement = place(model, [card(1.75)], experts_to_host=True)
    assert placement.layers_on_gpu == 11
    assert placement.expert_layers_on_host == 3
    assert placement.fits
    assert not placement.complete
    assert mib(placement.host_bytes) == 3 * 80
    without = place(model, [card(1.75)])
    assert (without.layers_on_gpu, without.expert_layers_on_host) == (9, 0)


def test_a_projector_takes_room_from_layers() -> None:
    whole = place(burden(), [card(2)])
    beside = place(burden(first_card=Parts(projector_bytes=400 * MEBIBYTE)), [card(2)])
    assert whole.complete
    assert beside.layers_on_gpu < whole.layers_on_gpu
    assert beside.fits


def test_groups_are_tried_in_the_engines_order() -> None:
    cards = [card(8, free=3), card(8, index=1, free=6), card(8, index=2, free=5)]
    assert card_groups(cards, EngineProfile()) == ((1,), (2,), (0,), (0, 1, 2))
    older = EngineProfile(version="0.12.6", era=Era.ESTIMATE)
    assert card_groups(cards, older) == ((1,), (2,), (0,), (1, 2), (0, 1, 2))
    assert card_groups(cards, EngineProfile(kind="llama-server")) == ((0, 1, 2),)
    assert card_groups(cards, EngineProfile(spread=True)) == ((0, 1, 2),)
    alone = place(burden(), cards, groups=card_groups(cards, EngineProfile()))
    assert alone.layers_by_card == (0, 11, 0)
    wide = place(burden(60), cards, groups=card_groups(cards, EngineProfile()))
    assert wide.complete
    assert all(wide.layers_by_card)


def test_margins_by_era() -> None:
    assert margin_bytes(EngineProfile()) == GIBIBYTE
    older = EngineProfile(era=Era.LAYOUT, gpu_overhead_bytes=GIBIBYTE)
    assert margin_bytes(older) == 457 * MEBIBYTE + GIBIBYTE


def test_nothing_is_lost_whatever_the_split() -> None:
    """Parts add up to the whole over any cards, and the host gets the rest."""
    dice = random.Random(3)
    for _case in range(400):
        count = dice.randrange(1, 40)
        model = burden(
            layers=count,
            kv=tuple(dice.randrange(50) * MEBIBYTE for _ in range(count)),
            experts=(60 * MEBIBYTE,) * count if dice.random() < 0.3 else (),
            first_card=Parts(projector_bytes=dice.randrange(3) * 200 * MEBIBYTE),
            host_bytes=70 * MEBIBYTE,
        )
        cards = [card(24, index=index, free=dice.uniform(0, 6)) for index in range(dice.randrange(1, 4))]
        wish = dice.choice((None, None, dice.randrange(count + 3)))
        placement = place(
            model, cards, layers_on_gpu=wish, margin=dice.choice((0, GIBIBYTE)), experts_to_host=dice.random() < 0.5
        )
        on_cards = sum(parts.weights_bytes + parts.kv_cache_bytes for parts in placement.by_card)
        everything = sum(model.layers) + model.output_bytes + sum(model.kv) + model.host_bytes
        assert on_cards + placement.host_bytes == everything
        used = sum(1 for parts in placement.by_card if parts.total_bytes)
        assert sum(parts.compute_bytes for parts in placement.by_card) == used * model.compute_bytes
        assert sum(placement.layers_by_card) == placement.layers_on_gpu
        if wish is None:
            assert placement.fits or placement.layers_on_gpu == 0


def test_more_room_never_means_fewer_layers() -> None:
    counts = [place(burden(30), [card(24, free=free / 4)], margin=GIBIBYTE).layers_on_gpu for free in range(40)]
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[-1] == 31


def test_parts_of_an_empty_group() -> None:
    assert parts_of(burden(), (), (), 2) == (Parts(), Parts())
