"""The numbers that guides print: reproduced where they are right, put right where they are not."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from gpudesk.fit.budget import BudgetFile, read_budget
from gpudesk.fit.card_table import card_named, find_card
from gpudesk.fit.claims import ClaimedFigure, article, check_claims, vendor_bytes
from gpudesk.fit.llama_server import offload
from gpudesk.fit.pipeline import GIGABYTE, Budget, budget, card_budget, declared_need, share_need, simple_budget
from gpudesk.fit.simple import FACTOR, how_many
from gpudesk.fit.speed import reads_of, slowdown
from gpudesk.fit.values import Verdict
from gpudesk.fit.vllm import Start

FOLDER = Path(__file__).parents[1] / "fixtures" / "fit"


def read(name: str) -> BudgetFile:
    """One of the fixtures."""
    return read_budget((FOLDER / name).read_text(encoding="utf-8"), name)


def added_up(file: BudgetFile) -> Budget:
    """The budget on the file's own cards."""
    cards = [card_budget(card, index, file.reserve_bytes) for index, card in enumerate(file.cards)]
    needs = {entry.name: declared_need(entry) or share_need(entry, cards) for entry in file.entries}
    return budget(file, cards, needs)


def memory_of(name: str) -> int | None:
    """The table of common cards."""
    card = find_card(name)
    return card.memory_total_bytes if card else None


def figures(file: BudgetFile, result: Budget) -> dict[str, ClaimedFigure]:
    """The file's claims by what they are about."""
    return {figure.what: figure for figure in check_claims(file.claims, result, memory_of)}


def gb(size_bytes: int) -> float:
    """As printed."""
    return round(size_bytes / GIGABYTE, 2)


class TestVoicePipeline:
    """Four kinds of models, idle and at the peak."""

    def test_totals(self) -> None:
        result = added_up(read("voice_pipeline.toml"))
        assert (gb(result.idle_bytes), gb(result.peak_bytes)) == (10.1, 14.3)
        assert result.verdict is Verdict.FITS
        assert result.peak_bytes < 15 * GIGABYTE

    def test_headroom_on_24_gb(self) -> None:
        (card,) = added_up(read("voice_pipeline.toml")).cards
        assert gb(card.peak_headroom_bytes) == 9.7
        assert gb(card.turns_bytes) == 12.1

    def test_an_rtx_5090_has_32_gb(self) -> None:
        file = read("voice_pipeline.toml")
        said = figures(file, added_up(file))
        assert said["idle"].right
        assert said["peak"].right
        memory, headroom = said["memory"], said["headroom"]
        assert not memory.right
        assert (gb(memory.claimed_bytes), gb(memory.actual_bytes)) == (24, 32)
        assert memory.note == "an RTX 5090 has 32 GB"
        assert not headroom.right
        assert (gb(headroom.claimed_bytes), gb(headroom.actual_bytes)) == (9, 17.7)
        assert headroom.note == "32 GB less 14.3 GB leaves 17.7 GB; on a card of 24 GB it would be 9.7 GB"

    def test_an_rtx_pro_6000_has_96_gb(self) -> None:
        assert vendor_bytes(card_named("RTX PRO 6000 Blackwell").memory_total_bytes) == 96 * GIGABYTE
        assert vendor_bytes(card_named("RTX 6000 Ada").memory_total_bytes) == 48 * GIGABYTE


class TestSimplePlanner:
    """The script's example on five cards."""

    @pytest.mark.parametrize(
        ("card", "on_card", "on_host", "warnings"),
        [(24, 13.69, 0.0, 0), (16, 13.69, 0.0, 0), (12, 10.97, 2.71, 1), (8, 6.02, 7.67, 2), (6, 4.96, 8.73, 2)],
    )
    def test_outcomes(self, card: int, on_card: float, on_host: float, warnings: int) -> None:
        plan = simple_budget(read("assistants.toml"), "assistants.toml", card * GIGABYTE, 64 * GIGABYTE)
        assert (round(plan.card_gb, 2), round(plan.host_gb, 2), len(plan.warnings)) == (on_card, on_host, warnings)
        assert [round(placement.need_gb, 2) for placement in plan.placements] == [6.02, 4.96, 2.71]


class TestTwoInstances:
    """vLLM at 0.55 and 0.35."""

    def test_the_larger_model_does_not_fit_its_share(self) -> None:
        result = added_up(read("vllm_pair.toml"))
        (card,) = result.cards
        assert [gb(share.share_bytes) for share in card.shares] == [13.2, 8.4]
        assert [share.start for share in card.shares] == [Start.STARTS, Start.STARTS]
        assert result.verdict is Verdict.DOES_NOT_FIT
        assert "codestral-22b: 41.0 GiB of weights do not fit its share of 12.3 GiB" in result.notes
        assert any("one after the other" in note for note in result.notes)


class TestCombinations:
    """Three pairs, the published sums beside the right ones."""

    @pytest.mark.parametrize(
        ("name", "published", "right", "verdict"),
        [
            ("combination_4090.toml", 17.0, 19.0, Verdict.FITS),
            ("combination_m4.toml", 19.0, 19.66, Verdict.FITS),
            ("combination_two_4090.toml", 28.0, 29.34, Verdict.FITS),
        ],
    )
    def test_sums(self, name: str, published: float, right: float, verdict: Verdict) -> None:
        file = read(name)
        result = added_up(file)
        said = figures(file, result)["idle"]
        assert (gb(said.claimed_bytes), gb(said.actual_bytes), said.right) == (published, right, False)
        assert result.verdict is verdict

    @pytest.mark.parametrize(
        ("published", "with_overhead", "usable", "fits"),
        [(17, 20.06, 24, True), (19, 22.42, 32 * 2 / 3, False), (28, 33.04, 48, True)],
    )
    def test_with_the_rule_of_thumb(self, published: float, with_overhead: float, usable: float, fits: bool) -> None:
        assert round(published * FACTOR, 2) == with_overhead
        assert (with_overhead <= usable) is fits

    def test_an_apple_chip_keeps_a_third(self) -> None:
        (card,) = added_up(read("combination_m4.toml")).cards
        assert gb(card.budget.memory_total_bytes) == 32
        assert gb(card.budget.available_bytes) == 21.33

    def test_each_of_two_cards_takes_one(self) -> None:
        result = added_up(read("combination_two_4090.toml"))
        assert [gb(card.peak_bytes) for card in result.cards] == [16, 13.34]


class TestOffload:
    """`-ngl 30` of 40 layers, and how much slower.

    One guide says 2 to 5 times; another 3 times with a quarter of the layers on the processor and 10 with all. It
    depends on the card: the faster it is, the more a spill costs.
    """

    def test_thirty_layers_are_29_and_the_output(self) -> None:
        result = offload(30, 40)
        assert (result.blocks_on_card, result.blocks_on_host) == (29, 11)

    @pytest.mark.parametrize(("card", "right"), [("RTX 3060", 2.6), ("RTX 3080 12GB", 5.1), ("RTX 4090", 5.5)])
    def test_a_quarter_on_the_processor(self, card: str, right: float) -> None:
        assert slower(card, 0.25) == pytest.approx(right, rel=0.1)

    @pytest.mark.parametrize(("card", "right"), [("RTX 3060", 7.3), ("RTX 4090", 18.8)])
    def test_everything_on_the_processor(self, card: str, right: float) -> None:
        assert slower(card, 1.0) == pytest.approx(right, rel=0.1)

    @pytest.mark.parametrize(("card", "right"), [("RTX 3060", 2.7), ("RTX 4090", 5.9)])
    def test_thirty_of_forty(self, card: str, right: float) -> None:
        assert slower(card, offload(30, 40).host_ratio) == pytest.approx(right, rel=0.1)


def slower(card: str, host_ratio: float) -> float:
    """How many times slower a file of 8 GB answers beside ordinary memory."""
    size = 8 * GIGABYTE
    host = round(size * host_ratio)
    bandwidth = card_named(card).bandwidth_bytes_per_second
    return slowdown(reads_of(size, 0), reads_of(size - host, host), card_bytes_per_second=bandwidth)


class TestTiers:
    """2-3, 4-6 and 8 or more models of 7B: the planner of the same guide has room for more."""

    @pytest.mark.parametrize(("card", "published", "planned"), [(24, 3, 4), (48, 6, 9), (96, 8, 19)])
    def test_counts(self, card: int, published: int, planned: int) -> None:
        assert how_many(card) == planned > published
        assert math.isclose(planned * 4.2 * FACTOR, planned * 4.956)
        assert planned * 4.956 <= card < (planned + 1) * 4.956


@pytest.mark.parametrize(
    ("name", "expected"),
    [("RTX 5090", "an RTX 5090"), ("GeForce RTX 5090", "a GeForce RTX 5090"), ("A100", "an A100"), ("", "the card"),
     ("H200", "an H200"), ("Tesla T4", "a Tesla T4")],
)  # fmt: skip
def test_articles_before_names(name: str, expected: str) -> None:
    assert article(name) == expected
