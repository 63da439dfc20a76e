from __future__ import annotations

import io
import json
from typing import Any

import pytest

from gpudesk.commands import suggest
from gpudesk.commands.fit_request import FitRequest
from gpudesk.commands.planning_session import PlanningMeans
from gpudesk.errors import UsageError
from gpudesk.fit.suggest import RoleChoice, Suggestion
from gpudesk.fit.values import Verdict
from gpudesk.output.status_text import Style
from tests.commands.test_fit import demo

__all__ = ["demo"]

GIB = 1 << 30
ROLES = ("chat", "autocomplete", "embed")


def answered(roles: tuple[str, ...], given: PlanningMeans, **options: Any) -> tuple[int, dict[str, Any]]:
    """Exit code and document."""
    out = io.StringIO()
    code = suggest.run(roles, FitRequest((), as_json=True, **options), given, out)
    return code, json.loads(out.getvalue())


@pytest.mark.slow
def test_sets_for_three_roles_on_the_card_that_is_here(demo: PlanningMeans) -> None:
    code, content = answered(ROLES, demo)
    assert code == 0
    assert list(content) == ["schema_version", "roles", "suggestions"]
    best = content["suggestions"][0]
    assert best["verdict"] == "fits"
    assert [model["role"] for model in best["models"]] == list(ROLES)
    assert best["free_bytes"] > 0
    assert best["reasons"]
    totals = [each["total_bytes"] for each in content["suggestions"]]
    assert all(0 < total < 24 * GIB for total in totals)


@pytest.mark.slow
def test_a_small_card_gets_small_models(demo: PlanningMeans) -> None:
    _, large = answered(ROLES, demo, cards=("RTX 5090",))
    code, small = answered(ROLES, demo, memory=(8 * GIB,))
    assert code == 0
    assert small["suggestions"][0]["total_bytes"] < large["suggestions"][0]["total_bytes"]


@pytest.mark.slow
def test_a_card_on_which_nothing_fits(demo: PlanningMeans) -> None:
    code, _ = answered(("chat",), demo, memory=(64 << 20,))
    assert code == 1


@pytest.mark.slow
def test_a_role_nobody_can_do_is_said(demo: PlanningMeans, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpudesk.fit.suggest.missing_roles", lambda candidates, roles: ("embed",))
    with pytest.raises(UsageError, match="is for embed"):
        answered(ROLES, demo)


def test_the_text_has_one_block_per_set() -> None:
    first = Suggestion(
        (RoleChoice("chat", "qwen3:14b", 16384, "large"), RoleChoice("embed", "bge-m3:latest", 8192, "embeds")), (),
        Verdict.FITS, 12 * GIB, 9 * GIB, 1.0, ("12.0 GiB together",),
    )  # fmt: skip
    assert suggest.suggestion_lines((first,), Style(), banner="DEMO", notes=("a note",)) == [
        "DEMO",
        "a note",
        "",
        "1. fits: 12.0 GiB, 9.0 GiB left",
        "   chat   qwen3:14b@16384  large",
        "   embed  bge-m3:latest@8192  embeds",
        "   12.0 GiB together",
    ]
    assert suggest.suggestion_lines((), Style()) == ["no card to put anything on"]
