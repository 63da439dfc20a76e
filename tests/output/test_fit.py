from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gpudesk.fit.values import (
    Alternative,
    Basis,
    CardBudget,
    CardPlan,
    Estimate,
    Parts,
    Plan,
    ServerForecast,
    Verdict,
)
from gpudesk.output.desk_json import to_json
from gpudesk.output.fit import (
    FIELDS,
    basis_words,
    costs_words,
    document,
    longest_words,
    notes_beside,
    plan_lines,
    verdict_words,
)
from gpudesk.output.status_text import Style
from tests.golden import check_golden

MIB = 1 << 20
GIB = 1 << 30
CHAT_PARTS = Parts(8290 * MIB, 2560 * MIB, 384 * MIB, 0, 430 * MIB)
EMBED_PARTS = Parts(261 * MIB, 0, 12 * MIB, 0, 430 * MIB)
SEE_PARTS = (Parts(9000 * MIB, 700 * MIB, 200 * MIB, 810 * MIB, 430 * MIB),
             Parts(7000 * MIB, 500 * MIB, 200 * MIB, 0, 430 * MIB))  # fmt: skip


def fits() -> Plan:
    """Two models on one card, with everything a plan can say."""
    chat = Estimate("qwen3:14b", CHAT_PARTS, CHAT_PARTS.total_bytes - 90 * MIB, CHAT_PARTS.total_bytes + 120 * MIB,
                    (CHAT_PARTS,), 417 * MIB, 41, 41, 16384, 1, Basis.CALIBRATED, 7)  # fmt: skip
    low, high = EMBED_PARTS.total_bytes - 32 * MIB, EMBED_PARTS.total_bytes + 32 * MIB
    embed = Estimate("bge-m3:latest", EMBED_PARTS, low, high, (EMBED_PARTS,), 0, 25, 25, 8192, 1, Basis.MEASURED, 1,
                     ("8192 is what it was trained for",))  # fmt: skip
    total = chat.parts.total_bytes + embed.parts.total_bytes
    card = CardPlan(CardBudget(0, "NVIDIA GeForce RTX 4090", 24 * GIB, 21 * GIB), total,
                    chat.high_bytes + embed.high_bytes, Verdict.FITS)  # fmt: skip
    note = "Ollama will evict nomic-embed-text:latest before it loads qwen3:14b; set num_ctx 8192 and it will not"
    server = ServerForecast(("nomic-embed-text:latest",), 16384, 1, 1024, notes=(note,))
    smaller = Alternative(
        "context:8192", "qwen3:14b with a context of 8192", Verdict.FITS, total - 1280 * MIB, 10 * GIB
    )
    swap = Alternative("swap", "one after the other", Verdict.FITS, 11 * GIB, 10 * GIB, 3.14159)
    return Plan(Verdict.FITS, (chat, embed), (card,), total, server, (smaller, swap), 61440, ("the reserve is kept",))


def spills() -> Plan:
    """One model over two cards, a part of it on the CPU."""
    parts = Parts(*(sum(getattr(each, name) for each in SEE_PARTS) for name in Parts.__slots__))
    seen = Estimate("gemma3:27b", parts, parts.total_bytes - GIB, parts.total_bytes + GIB, SEE_PARTS, 3 * GIB, 63, 52,
                    131072, 4, notes=("unknown architecture: gemma9",))  # fmt: skip
    cards = tuple(
        CardPlan(
            CardBudget(index, f"card {index}", 12 * GIB, 11 * GIB),
            each.total_bytes,
            each.total_bytes + GIB,
            Verdict.SPILLS,
        )
        for index, each in enumerate(SEE_PARTS)
    )
    return Plan(Verdict.SPILLS, (seen,), cards, parts.total_bytes, ServerForecast(spills=True))


PLANS = {"fits": fits, "spills": spills}


@pytest.mark.parametrize("name", PLANS)
def test_the_document_is_the_stored_one(name: str) -> None:
    check_golden(f"fit_{name}.json", to_json(document(PLANS[name]()), indented=True) + "\n")


@pytest.mark.parametrize("explain", [False, True])
@pytest.mark.parametrize("name", PLANS)
def test_the_text_is_the_stored_one(name: str, explain: bool) -> None:
    lines = plan_lines(PLANS[name](), Style(width=120), engine="Ollama 0.33.0", explain=explain)
    assert all(line == line.rstrip() for line in lines)
    check_golden(f"fit_{name}{'_explained' if explain else ''}.txt", "\n".join(lines) + "\n")


def test_the_document_has_exactly_the_keys_of_the_contract() -> None:
    content = json.loads(to_json(document(fits())))
    keys = {place: [key for key, _ in fields] for place, fields in FIELDS}
    assert list(content) == keys[""] == [
        "schema_version", "verdict", "models", "cards", "total_bytes", "server", "alternatives",
    ]  # fmt: skip
    assert list(content["models"][0]) == keys["models[]"] == [
        "name", "weights_bytes", "kv_cache_bytes", "compute_bytes", "projector_bytes", "overhead_bytes", "total_bytes",
        "low_bytes", "high_bytes", "layers_total", "layers_on_gpu", "basis", "context_length",
    ]  # fmt: skip
    assert list(content["cards"][0]) == keys["cards[]"] == [
        "index", "name", "memory_total_bytes", "available_bytes", "planned_bytes",
    ]  # fmt: skip
    assert list(content["server"]) == keys["server"] == ["would_evict", "context_length", "parallel", "notes"]
    assert list(content["alternatives"][0]) == keys["alternatives[]"]


@pytest.mark.parametrize("verdict", Verdict)
def test_the_verdict_comes_first_in_words_and_in_color_on_a_terminal(verdict: Verdict) -> None:
    plan = replace(fits(), verdict=verdict)
    assert plan_lines(plan, Style(), engine="Ollama")[0].startswith(
        f"{verdict.value}: qwen3:14b and bge-m3:latest take "
    )
    assert plan_lines(plan, Style(color=True), engine="Ollama")[0].startswith("\x1b[")


def test_a_spill_says_how_many_layers() -> None:
    assert verdict_words(spills()).endswith("; 11 of 63 layers run on the CPU (3.0 GiB)")


def test_many_models_are_summed_up() -> None:
    many = replace(fits(), models=fits().models * 3)
    assert "qwen3:14b, bge-m3:latest and 4 more take" in verdict_words(many)


def test_a_banner_stands_above_the_verdict() -> None:
    assert plan_lines(fits(), Style(), engine="Ollama", banner="DEMO: simulated")[:2] == ["DEMO: simulated", ""]


def test_the_basis_says_how_many_points() -> None:
    assert [basis_words(each) for each in fits().models] == ["calibrated (7 points)", "measured (1 point)"]
    assert basis_words(spills().models[0]) == "calculated"


@pytest.mark.parametrize("width", [40, 80, 120])
def test_columns_go_before_lines_grow(width: int) -> None:
    lines = plan_lines(fits(), Style(width=width), engine="Ollama 0.33.0")
    table = [line for line in lines if line.startswith(("MODEL", "qwen3:14b  ", "bge-m3"))]
    assert len(table) >= 3
    assert all(len(line) <= max(width, 55) for line in table)


def test_the_same_advice_is_given_once() -> None:
    plan = fits()
    advice = "set num_ctx 8192 and it will not"
    rule = "Ollama will evict chat before it loads qwen3:14b: it keeps at most 1 models loaded"
    server = replace(plan.server, notes=(f"{rule}; {advice}",))
    said = replace(plan, server=server, notes=(f"it would fit, but Ollama will evict chat first; {advice}",))
    style = Style(width=200, color=False, ascii_only=False)
    shown = plan_lines(said, style, engine="Ollama")
    assert sum(advice in line for line in shown) == 1
    assert f"  {rule}" in shown
    assert f"  {rule}; {advice}" in plan_lines(replace(said, notes=()), style, engine="Ollama")
    assert document(said)["server"]["notes"] == [f"{rule}; {advice}"]  # type: ignore[index,call-overload]


def test_a_plan_without_a_layer_on_the_cards_does_not_say_it_takes_nothing() -> None:
    plan = replace(fits(), verdict=Verdict.DOES_NOT_FIT, total_bytes=0)
    said = verdict_words(replace(plan, models=plan.models[:1]))
    assert said == "does not fit: not one layer of qwen3:14b has room in 21.0 GiB available"


def test_the_longest_context_says_what_ends_it() -> None:
    plan = replace(fits(), longest_context=40960)
    assert longest_words(plan) == f"longest context that fits for {plan.models[0].name}: 40960"
    trained = longest_words(replace(plan, longest_is_trained=True))
    assert trained.endswith(": 40960, the trained limit")
    assert longest_words(replace(plan, longest_is_tight=True)).startswith("longest context that is only tight for")


def test_what_the_verdict_says_is_not_said_again() -> None:
    plan = spills()
    name = plan.models[0].name
    repeated = replace(
        plan, notes=(f"{name}: 11 of 63 layers run on the CPU, 3.0 GiB in host memory", "something else")
    )
    assert notes_beside(repeated) == ["something else"]
    lines = plan_lines(repeated, Style(width=200), engine="Ollama 0.33.0")
    assert sum("11 of 63 layers" in line for line in lines) == 1


def test_a_swap_costs_whole_seconds_to_the_nearest() -> None:
    swap = fits().alternatives[1]
    for seconds, words in ((10.6, "11s"), (10.4, "10s"), (0.2, "1s"), (None, "")):
        assert costs_words(replace(swap, seconds=seconds)) == words
