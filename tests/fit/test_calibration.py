from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudesk.domain.engine import Era
from gpudesk.fit import calibration as rules
from gpudesk.fit.calibration import Calibration, Correction, card_key
from gpudesk.fit.metadata import ModelMetadata
from gpudesk.fit.points import ARITHMETIC_VERSION, Conditions, MeasuredPoint
from gpudesk.fit.values import Basis, CardBudget, EngineProfile, Estimate, LoadOptions, Parts, Wanted

MIB = 1 << 20
GIB = 1 << 30
CARD = "NVIDIA GeForce RTX 4090"
PROFILE = EngineProfile(version="0.33.0", era=Era.LLAMA_SERVER)
CARDS = [CardBudget(0, "GeForce RTX 4090", 24 * GIB, 22 * GIB)]
WANTED = Wanted(
    "qwen3:14b",
    ModelMetadata("qwen3", 40, 5120, (40,) * 40, (8,) * 40, 128, 128),
    LoadOptions(context_length=8192),
    "d" * 64,
)
PARTS = Parts(8 * GIB, GIB, 300 * MIB, 0, 450 * MIB)


def point(number: int, residual_mib: float = 0, *, compute_mib: int = 300, **changes: Any) -> MeasuredPoint:
    """One load of a model of its own that took so much more than calculated."""
    conditions = Conditions(CARD, f"{number:064x}", 8192, 1, engine_version="0.33.0", batch_size=1024)
    told = {name: changes.pop(name) for name in list(changes) if hasattr(conditions, name)}
    conditions = replace(conditions, **told)
    fixed = 5 * GIB
    made = MeasuredPoint(
        f"load {number}", "2026-03-02T09:30:00Z", conditions,
        fixed + (compute_mib + 450) * MIB + round(residual_mib * MIB), 4 * GIB, GIB, compute_mib * MIB, 0, 450 * MIB,
    )  # fmt: skip
    return replace(made, **changes)


def of(*points: MeasuredPoint) -> Calibration:
    calibration = Calibration()
    for each in points:
        calibration = calibration.with_point(each)
    return calibration


def estimate(parts: Parts = PARTS, *, half: int = 600 * MIB, **changes: Any) -> Estimate:
    total = parts.total_bytes
    made = Estimate("qwen3:14b", parts, total - half, total + half, (parts,), 400 * MIB, 41, 41, 8192, 1)
    return replace(made, **changes)


def same_load(number: int, measured: int, **changes: Any) -> MeasuredPoint:
    """A load under exactly the conditions of WANTED."""
    made = point(number, digest="d" * 64, **changes)
    return replace(made, measured_bytes=measured)


def corrected(calibration: Calibration, given_estimate: Estimate | None = None, wanted: Wanted = WANTED) -> Estimate:
    return calibration.corrected(given_estimate or estimate(), wanted, PROFILE, CARDS)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_than_three_loads_change_nothing(count: int) -> None:
    calibration = of(*(point(number, 200) for number in range(count)))
    assert calibration.correction(CARD, PROFILE) == Correction()
    assert corrected(calibration) == estimate()


def test_three_loads_shift_the_overhead_by_their_median() -> None:
    found = corrected(of(point(1, 180), point(2, 200), point(3, 210)))
    assert found.parts == replace(PARTS, overhead_bytes=650 * MIB)
    assert (found.basis, found.points) == (Basis.CALIBRATED, 3)
    assert found.by_card == (found.parts,)
    assert found.low_bytes < found.parts.total_bytes < found.high_bytes


def test_one_odd_load_among_three_leaves_too_few() -> None:
    assert of(point(1, 0), point(2, 5), point(3, 4000)).correction(CARD, PROFILE).points == 0


def test_the_same_load_again_is_no_further_witness() -> None:
    again = [point(1, 200, load=f"again {number}") for number in range(20)]
    assert of(*again).correction(CARD, PROFILE).points == 0


def test_a_newer_figure_of_a_load_replaces_the_older() -> None:
    calibration = of(point(1, 0), point(1, 90))
    assert [each.residual_bytes for each in calibration.points] == [90 * MIB]


@pytest.mark.parametrize(
    "changes",
    [
        {"card_name": "NVIDIA GeForce RTX 3060"},
        {"card_name": "NVIDIA GeForce RTX 4090 Laptop GPU"},
        {"backend": "vulkan"},
        {"engine_kind": "llama-server"},
        {"era": Era.LAYOUT},
        {"arithmetic": ARITHMETIC_VERSION + 1},
    ],
)
def test_other_cards_engines_and_formulas_teach_nothing(changes: dict[str, Any]) -> None:
    assert of(*(point(number, 200, **changes) for number in range(5))).correction(CARD, PROFILE).points == 0


def test_cards_are_known_under_the_driver_s_and_the_table_s_name() -> None:
    assert card_key(CARD) == card_key("rtx 4090") == card_key("GeForce RTX 4090")
    assert card_key(CARD) != card_key("RTX 4090 Laptop GPU")


def test_compute_is_scaled_when_residuals_grow_with_it() -> None:
    points = [
        point(number, 100 + 0.5 * compute, compute_mib=compute) for number, compute in enumerate(range(200, 1400, 200))
    ]
    found = of(*points).correction(CARD, PROFILE)
    assert found.compute_ratio == pytest.approx(1.5)
    assert found.overhead_shift_bytes == pytest.approx(100 * MIB, abs=MIB)
    assert found.spread_bytes < MIB


def test_compute_is_taken_from_the_engine_s_own_figures() -> None:
    points = [point(number, 60, engine_buffers_bytes=5 * GIB + 360 * MIB, compute_mib=300) for number in range(3)]
    found = of(*points).correction(CARD, PROFILE)
    assert found.compute_ratio == pytest.approx(1.2)
    assert found.overhead_shift_bytes == 0


@pytest.mark.parametrize(("slope", "ratio"), [(5.0, 2.0), (-0.9, 0.5)])
def test_compute_is_never_scaled_beyond_its_bounds(slope: float, ratio: float) -> None:
    points = [
        point(number, slope * compute, compute_mib=compute) for number, compute in enumerate(range(100, 1700, 200))
    ]
    assert of(*points).correction(CARD, PROFILE).compute_ratio in (ratio, 1.0)


def test_overhead_never_becomes_negative() -> None:
    found = corrected(of(*(point(number, -700) for number in range(4))))
    assert found.parts.overhead_bytes == 0
    assert found.parts.total_bytes == PARTS.total_bytes - 450 * MIB


def test_a_load_over_two_cards_pays_its_shift_on_each() -> None:
    calibration = of(*(point(number, 200, card_count=2) for number in range(3)))
    assert calibration.correction(CARD, PROFILE).overhead_shift_bytes == 100 * MIB
    two = estimate(Parts(8 * GIB, GIB, 600 * MIB, 0, 900 * MIB), by_card=(PARTS, PARTS))
    found = calibration.corrected(two, WANTED, PROFILE, CARDS * 2)
    assert [parts.overhead_bytes for parts in found.by_card] == [550 * MIB] * 2


def test_cards_of_two_kinds_are_left_calculated() -> None:
    calibration = of(*(point(number, 200) for number in range(5)))
    mixed = [*CARDS, CardBudget(1, "RTX 3060", 12 * GIB, 12 * GIB)]
    two = estimate(by_card=(PARTS, PARTS))
    assert calibration.corrected(two, WANTED, PROFILE, mixed) == two


def test_an_unused_card_stays_unused() -> None:
    calibration = of(*(point(number, 200) for number in range(3)))
    found = calibration.corrected(estimate(by_card=(PARTS, Parts())), WANTED, PROFILE, CARDS * 2)
    assert found.by_card[1] == Parts()
    assert found.parts.total_bytes == sum(parts.total_bytes for parts in found.by_card)


def test_the_band_of_an_unknown_architecture_does_not_shrink() -> None:
    calibration = of(*(point(number, 0) for number in range(50)))
    known, unknown = corrected(calibration), corrected(calibration, estimate(notes=("unknown architecture: foo",)))
    assert known.high_bytes - known.parts.total_bytes == rules.FLOOR_BYTES
    assert unknown.high_bytes - unknown.parts.total_bytes == 600 * MIB


class TestMeasured:
    def test_one_load_within_the_band_is_believed(self) -> None:
        measured = PARTS.total_bytes + 123 * MIB
        found = corrected(of(same_load(1, measured)))
        assert (found.basis, found.points) == (Basis.MEASURED, 1)
        assert found.parts.total_bytes == measured
        assert found.high_bytes - measured == measured - found.low_bytes == rules.MEASURED_FLOOR_BYTES

    @pytest.mark.parametrize("count", [1, 2])
    def test_one_or_two_outside_the_band_are_not(self, count: int) -> None:
        measured = PARTS.total_bytes + 900 * MIB
        calibration = of(*(same_load(number, measured) for number in range(count)))
        assert corrected(calibration) == estimate()

    def test_three_that_agree_are_believed_outside_the_band(self) -> None:
        measured = PARTS.total_bytes + 900 * MIB
        found = corrected(of(*(same_load(number, measured + number * MIB) for number in range(3))))
        assert (found.basis, found.parts.total_bytes) == (Basis.MEASURED, measured + MIB)

    def test_one_odd_among_them_changes_nothing(self) -> None:
        measured = PARTS.total_bytes + 40 * MIB
        good = [same_load(number, measured) for number in range(3)]
        assert corrected(of(*good, same_load(9, measured + 5 * GIB))) == corrected(of(*good))

    def test_less_than_the_file_takes_is_no_measurement_of_it(self) -> None:
        calibration = of(*(same_load(number, 5 * GIB) for number in range(5)))
        assert corrected(calibration).basis is not Basis.MEASURED

    @pytest.mark.parametrize(
        "changes",
        [
            {"context_length": 4096},
            {"parallel": 2},
            {"kv_cache_type_v": "q8_0"},
            {"engine_version": "0.32.0"},
            {"engine_version": None},
            {"card_name": "NVIDIA GeForce RTX 3090"},
            {"card_count": 2},
        ],
    )
    def test_any_other_condition_is_another_load(self, changes: dict[str, Any]) -> None:
        assert corrected(of(same_load(1, PARTS.total_bytes, **changes))).basis is Basis.CALCULATED

    def test_what_nobody_asked_for_may_differ(self) -> None:
        seen = same_load(1, PARTS.total_bytes, batch_size=512, flash_attention="on")
        assert corrected(of(seen)).basis is Basis.MEASURED
        other = replace(WANTED, options=replace(WANTED.options, batch_size=2048))
        assert corrected(of(seen), wanted=other).basis is Basis.CALCULATED

    def test_a_spilled_plan_is_never_told_as_measured(self) -> None:
        found = corrected(of(same_load(1, PARTS.total_bytes)), estimate(layers_on_gpu=30))
        assert found.basis is Basis.CALCULATED

    def test_parts_add_up_however_little_was_measured(self) -> None:
        little = replace(PARTS, overhead_bytes=100 * MIB)
        total = little.total_bytes
        found = corrected(of(same_load(1, total - 250 * MIB)), estimate(little))
        assert found.parts.total_bytes == total - 250 * MIB
        assert (found.parts.overhead_bytes, found.parts.compute_bytes) == (0, 150 * MIB)
        assert found.parts.weights_bytes == PARTS.weights_bytes


residuals = st.lists(st.floats(-300, 900), min_size=4, max_size=12)


@given(st.floats(-300, 900), st.lists(st.floats(-8, 8), min_size=4, max_size=10), st.floats(-40_000, 40_000))
@settings(max_examples=150)
def test_one_odd_point_changes_nothing(middle: float, noise: list[float], odd: float) -> None:
    good = [point(number, middle + each) for number, each in enumerate(noise)]
    before = of(*good).correction(CARD, PROFILE)
    after = of(*good, point(99, odd) if 5 * 1024 + 750 + odd > 0 else point(99, 0)).correction(CARD, PROFILE)
    assert abs(after.overhead_shift_bytes - before.overhead_shift_bytes) <= 16 * MIB
    assert after.compute_ratio == before.compute_ratio
    assert after.spread_bytes <= before.spread_bytes + 24 * MIB


@given(residuals, st.integers(0, 1200))
@settings(max_examples=150)
def test_whatever_was_measured_the_answer_is_sound(found: list[float], half_mib: int) -> None:
    calibration = of(*(point(number, each, compute_mib=100 + 90 * number) for number, each in enumerate(found)))
    answer = corrected(calibration, estimate(half=half_mib * MIB))
    assert answer.parts.total_bytes == sum(parts.total_bytes for parts in answer.by_card)
    assert answer.low_bytes <= answer.parts.total_bytes <= answer.high_bytes
    assert answer.parts.weights_bytes == PARTS.weights_bytes
    assert answer.parts.kv_cache_bytes == PARTS.kv_cache_bytes
    assert PARTS.compute_bytes * 0.5 - 1 <= answer.parts.compute_bytes <= PARTS.compute_bytes * 2 + 1
    if answer.basis is Basis.CALIBRATED:
        assert answer.points >= rules.LEAST_POINTS
        assert answer.high_bytes - answer.parts.total_bytes >= rules.FLOOR_BYTES


@given(st.integers(3, 40), st.integers(64, 2000))
@settings(max_examples=60)
def test_the_band_shrinks_with_the_points_and_never_below_its_floor(count: int, half_mib: int) -> None:
    def half(points: int) -> int:
        calibration = of(*(point(number, 50) for number in range(points)))
        answer = corrected(calibration, estimate(half=half_mib * MIB))
        return answer.high_bytes - answer.parts.total_bytes

    assert rules.FLOOR_BYTES <= half(count + 1) <= half(count) <= half_mib * MIB


@given(st.permutations(range(8)))
@settings(max_examples=30)
def test_the_order_of_the_points_does_not_matter(order: list[int]) -> None:
    points = [point(number, 37 * number % 91, compute_mib=100 * (number + 1)) for number in range(8)]
    first, other = of(*points), of(*(points[number] for number in order))
    assert first.correction(CARD, PROFILE) == other.correction(CARD, PROFILE)


def test_five_thousand_points_are_understood_in_an_instant() -> None:
    import time

    points = tuple(point(number, number % 60, compute_mib=100 + number % 700) for number in range(5000))
    began = time.thread_time()
    assert Calibration(points).correction(CARD, PROFILE).points > 3
    assert time.thread_time() - began < 0.5
