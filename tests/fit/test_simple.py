from __future__ import annotations

import math

import pytest

from gpudesk.fit.simple import (
    FACTOR,
    PARAMETER_CLASSES,
    SIZES_GB,
    Place,
    SimpleModel,
    file_size,
    how_many,
    need_range_gb,
    simple_plan,
    table_row,
)

CODE = SimpleModel("codellama", 7, "Q5_K_M", 1)
CHAT = SimpleModel("mistral", 7, "Q4_K_M", 2)
SMALL = SimpleModel("phi3", 4, "Q4_K_M", 3)
EXAMPLE = (CODE, CHAT, SMALL)


def rounded(card_gb: float) -> tuple[float, float, list[str]]:
    """Card, host, and where each went."""
    plan = simple_plan(EXAMPLE, card_gb, 64)
    return (
        round(plan.card_gb, 2),
        round(plan.host_gb, 2),
        [f"{placement.model.name} {placement.need_gb:.2f} {placement.place.value}" for placement in plan.placements],
    )


@pytest.mark.parametrize("card_gb", [24, 16])
def test_everything_on_the_card(card_gb: float) -> None:
    assert rounded(card_gb) == (
        13.69,
        0,
        ["codellama 6.02 card", "mistral 4.96 card", "phi3 2.71 card"],
    )
    assert simple_plan(EXAMPLE, card_gb, 64).warnings == ()
    assert simple_plan(EXAMPLE, card_gb, 64).fits


def test_the_last_one_goes_to_host_memory() -> None:
    assert rounded(12) == (10.97, 2.71, ["codellama 6.02 card", "mistral 4.96 card", "phi3 2.71 host memory"])
    (warning,) = simple_plan(EXAMPLE, 12, 64).warnings
    assert warning == "phi3 runs from host memory: expect it 3 to 10 times slower"
    assert not simple_plan(EXAMPLE, 12, 64).fits


def test_eight_gigabytes_hold_the_first_only() -> None:
    assert rounded(8) == (6.02, 7.67, ["codellama 6.02 card", "mistral 4.96 host memory", "phi3 2.71 host memory"])


def test_six_gigabytes_skip_the_first() -> None:
    assert rounded(6) == (4.96, 8.73, ["codellama 6.02 host memory", "mistral 4.96 card", "phi3 2.71 host memory"])


def test_priority_orders_not_the_list() -> None:
    plan = simple_plan((SMALL, CHAT, CODE), 8, 64)
    assert [placement.model for placement in plan.placements] == [CODE, CHAT, SMALL]


def test_host_memory_can_be_full_too() -> None:
    plan = simple_plan(EXAMPLE, 6, 6.5)
    assert [placement.place for placement in plan.placements] == [Place.HOST, Place.CARD, Place.NOWHERE]
    assert plan.warnings[-1] == "phi3 fits neither on the card nor in host memory"
    assert math.isclose(plan.host_gb, 6.018)


@pytest.mark.parametrize("row", SIZES_GB)
@pytest.mark.parametrize("number", range(4))
def test_the_table_itself_has_no_note(row: str, number: int) -> None:
    size = file_size(PARAMETER_CLASSES[number], f"{row}_K_M")
    assert size.size_gb == SIZES_GB[row][number]
    assert size.note is None


def test_sizes_of_seven_billion() -> None:
    assert [file_size(7, name).size_gb for name in ("Q4_K_M", "Q5_K_M", "Q8_0")] == [4.2, 5.1, 7.7]
    assert math.isclose(file_size(7, "Q8_0").size_gb - file_size(7, "Q5_K_M").size_gb, 2.6)


@pytest.mark.parametrize(
    ("parameters", "quantization", "expected"),
    [
        (10, "Q4_K_M", 6.05),
        (3.5, "Q4_0", 2.0125),
        (68, "Q8_0", 70.0),
        (7, "Q6_K", 5.1 + (7.7 - 5.1) / 3),
        (7, "Q2_K", 2.1),
        (7, "AWQ", 4.2),
        (22, "FP16", 44.0),
    ],
)
def test_what_the_table_lacks_is_interpolated_and_said(parameters: float, quantization: str, expected: float) -> None:
    size = file_size(parameters, quantization)
    assert math.isclose(size.size_gb, expected)
    assert size.note is not None
    assert "table" in size.note


@pytest.mark.parametrize("quantization", ["Q4_K_M", "Q5_0", "Q8_0", "Q6_K", "Q3_K_S", "F16"])
def test_more_parameters_never_take_less(quantization: str) -> None:
    sizes = [file_size(number / 4, quantization).size_gb for number in range(1, 400)]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("parameters", [0, -7, math.nan, math.inf, 1e9])
def test_impossible_parameters_are_refused(parameters: float) -> None:
    with pytest.raises(ValueError, match="parameters"):
        file_size(parameters, "Q4_K_M")


@pytest.mark.parametrize("quantization", ["", "Q", "Q40", "potato", "Q9_K"])
def test_unknown_quantizations_are_refused(quantization: str) -> None:
    with pytest.raises(ValueError, match="quantization"):
        file_size(7, quantization)


def test_names_of_rows() -> None:
    assert [table_row(name) for name in ("q4_k_m", "IQ4_XS", "Q5_0", "Q8_0", "Q6_K")] == ["Q4", "Q4", "Q5", "Q8", None]


def test_the_rule_of_thumb() -> None:
    low, high = need_range_gb([4.2, 5.1])
    assert (round(low, 3), round(high, 3)) == (10.695, 11.16)
    assert low < 9.3 * FACTOR < high


@pytest.mark.parametrize(("card_gb", "count"), [(24, 4), (48, 9), (96, 19), (4.9, 0)])
def test_how_many_equal_models(card_gb: float, count: int) -> None:
    assert how_many(card_gb) == count
