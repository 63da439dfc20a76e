from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest

from gpudesk.arguments.planner_values import AskedModel
from gpudesk.commands import tiers
from gpudesk.commands.fit_request import FitRequest
from gpudesk.errors import ExitCode, UsageError
from gpudesk.fit.tiers import TIERS
from tests.commands.named_models import NamedModels, means_with


def shown(request: FitRequest, models: NamedModels) -> str:
    """The output of a run that goes well."""
    out = io.StringIO()
    assert tiers.run(request, means_with(models), out) == ExitCode.OK
    assert models.closed == 1
    return out.getvalue()


def asked(*models: AskedModel, as_json: bool = False) -> FitRequest:
    """A request."""
    return FitRequest(models, as_json=as_json)


def test_the_table_of_cards_needs_nobody() -> None:
    lines = shown(asked(), NamedModels(listed=False)).splitlines()
    assert lines[0].split() == ["tier", "card", "7B", "Q4", "article", "value"]
    by_label = {line[:9].strip(): line[9:].split() for line in lines[1 : 1 + len(TIERS)]}
    assert by_label["24 GB"][-4:] == ["2-3", "x", "7B", "Q4"]
    assert [by_label[label][index] for label, index in (("24 GB", 3), ("48 GB", 4), ("2 x 48 GB", 4))] == [
        "4",
        "9",
        "19",
    ]
    assert "no installed models: nobody answers" in lines


def test_a_named_model_gets_its_longest_context() -> None:
    document = json.loads(shown(asked(AskedModel("qwen3:14b"), as_json=True), NamedModels("qwen3:14b")))
    assert document["schema_version"] == 1
    found = {tier["label"]: tier["models"][0] for tier in document["tiers"]}
    assert list(found) == [label for label, _, _ in TIERS]
    assert (found["6 GB"]["verdict"], found["6 GB"]["fits"], found["6 GB"]["longest_context"]) == (
        "spills",
        False,
        None,
    )
    assert found["24 GB"]["verdict"] == "fits"
    contexts = [found[label]["longest_context"] or 0 for label in ("6 GB", "8 GB", "12 GB", "16 GB", "24 GB", "96 GB")]
    assert contexts == sorted(contexts)
    assert contexts[-1] == 40960


def test_text_of_a_named_model() -> None:
    text = shown(asked(AskedModel("qwen3:14b", 8192)), NamedModels("qwen3:14b"))
    block = text.split("qwen3:14b\n")[1].splitlines()
    assert block[0].split() == ["tier", "verdict", "takes", "longest", "context"]
    assert len(block) == 1 + len(TIERS)


def test_a_context_that_was_asked_for_is_planned() -> None:
    small = json.loads(shown(asked(AskedModel("qwen3:14b", 4096), as_json=True), NamedModels("qwen3:14b")))
    large = json.loads(shown(asked(AskedModel("qwen3:14b", 32768), as_json=True), NamedModels("qwen3:14b")))
    totals = [document["tiers"][-1]["models"][0]["total_bytes"] for document in (small, large)]
    assert totals[1] - totals[0] > 4 << 30


def test_all_installed_models_in_one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    text = shown(asked(), NamedModels("qwen3:14b", "qwen2.5-coder:1.5b"))
    header, *rows = text.rstrip().split("\n\n")[-1].splitlines()
    assert header.startswith("model")
    assert "2 x 48 GB" in header
    assert [row.split()[0] for row in rows] == ["qwen3:14b", "qwen2.5-coder:1.5b"]
    assert set(" ".join(rows).split()) <= {"qwen3:14b", "qwen2.5-coder:1.5b", "fits", "tight", "spills", "no"}


def test_a_model_nobody_knows() -> None:
    models = NamedModels("qwen3:14b")
    with pytest.raises(UsageError, match="qwen9 is not installed"):
        tiers.run(asked(AskedModel("qwen9")), means_with(models), io.StringIO())
    assert models.closed == 1


def test_one_card_is_a_tier_of_its_own() -> None:
    request = replace(asked(AskedModel("qwen3:14b"), as_json=True), cards=("RTX 4060", "RTX 4090"))
    document = json.loads(shown(request, NamedModels("qwen3:14b")))
    assert [tier["label"] for tier in document["tiers"]] == ["GeForce RTX 4060", "GeForce RTX 4090"]
    assert [tier["models"][0]["fits"] for tier in document["tiers"]] == [False, True]
    assert document["tiers"][1]["small_models"] == 4


def test_a_card_nobody_knows_is_said() -> None:
    with pytest.raises(UsageError, match="RTX 9999"):
        shown(replace(asked(), cards=("RTX 9999",)), NamedModels(listed=False))


def test_a_card_by_its_memory_is_a_tier_too() -> None:
    request = replace(asked(AskedModel("qwen3:14b"), as_json=True), memory=(8 << 30, 24 << 30))
    document = json.loads(shown(request, NamedModels("qwen3:14b")))
    assert [tier["label"] for tier in document["tiers"]] == ["a card of 8.0 GiB", "a card of 24.0 GiB"]
    assert [tier["nominal_gigabytes"] for tier in document["tiers"]] == [8, 24]
    assert [tier["models"][0]["fits"] for tier in document["tiers"]] == [False, True]


def test_each_card_is_named_once() -> None:
    lines = shown(replace(asked(), cards=("RTX 4090", "4090", "RTX 3060")), NamedModels(listed=False)).splitlines()
    assert lines[0].split() == ["card", "memory", "7B", "Q4"]
    assert [line.split()[:3] for line in lines[1:4]] == [
        ["GeForce", "RTX", "4090"], ["GeForce", "RTX", "3060"], [],
    ]  # fmt: skip
    assert "\n".join(lines).count("RTX 4090") == 1
