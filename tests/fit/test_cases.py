"""The bounds of the fit report: how right every measured case has to be."""

from __future__ import annotations

import pytest

from tests.fit import report


@pytest.mark.parametrize("case", report.cases(), ids=lambda case: case.name)
def test_no_case_is_off_by_more_than_the_bound(case: report.Case) -> None:
    bound = max(0.03 * case.measured, 500 if case.by_driver else 300)
    assert abs(case.error) <= bound
    assert case.error >= -256
    assert case.in_band


def test_the_figures_of_the_report() -> None:
    figures = report.summary(report.cases())
    assert figures["cases"] == 20
    assert figures["median_percent"] <= 1
    assert figures["worst_under_mib"] <= 256
    assert figures["in_band_percent"] >= 95


def test_the_band_is_no_wider_than_it_has_to_be() -> None:
    for case in report.cases():
        width = case.estimate.high_bytes - case.estimate.low_bytes
        assert width <= 0.12 * case.estimate.parts.total_bytes + (600 << 20)


def test_traps_are_listed_and_never_scored() -> None:
    scored = {case.name for case in report.cases()}
    traps = {row["id"] for row in report.rows() if row["basis"].startswith("engine-")}
    assert {"F030", "F043", "F048"} <= traps
    assert not scored & traps


def test_the_table_has_every_case() -> None:
    text = report.table(report.cases())
    assert all(f"| {case.name} |" in text for case in report.cases())
    assert "median_percent" in text
