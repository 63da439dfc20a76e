from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gpudesk.domain.engine import Era
from gpudesk.domain.explain import AGREEMENT_BYTES, explain_difference
from gpudesk.domain.keep_alive import KeepAlive, KeepAliveState
from gpudesk.domain.model import ModelDetails
from gpudesk.domain.process import Runner, RunnerKind
from gpudesk.units import GIBIBYTE, MEBIBYTE
from tests.domain.builders import model

CLAIM = model("m:1b", vram=2 * GIBIBYTE)
ABOVE = 3 * GIBIBYTE
BELOW = GIBIBYTE
RUNNER = Runner(RunnerKind.LLAMA_SERVER)
CONTEXT = "the driver's context and libraries, about 457 MiB, are never in the claim"


def test_agreement_needs_no_words() -> None:
    for difference in (0, AGREEMENT_BYTES - 1, 1 - AGREEMENT_BYTES):
        assert explain_difference(CLAIM, measured_bytes=2 * GIBIBYTE + difference, era=Era.LLAMA_SERVER) == ()
    for difference in (AGREEMENT_BYTES, -AGREEMENT_BYTES):
        assert explain_difference(CLAIM, measured_bytes=2 * GIBIBYTE + difference, era=Era.LLAMA_SERVER)


def test_large_models_may_differ_by_a_hundredth() -> None:
    claim = model("m:70b", vram=100 * GIBIBYTE)
    assert explain_difference(claim, measured_bytes=101 * GIBIBYTE - 1, era=Era.ESTIMATE) == ()
    assert explain_difference(claim, measured_bytes=101 * GIBIBYTE, era=Era.ESTIMATE)


def test_without_a_claim_there_is_no_difference() -> None:
    assert explain_difference(model("m:1b", vram=None), measured_bytes=ABOVE, era=Era.ESTIMATE) == ()


@pytest.mark.parametrize("measured", [ABOVE, BELOW])
def test_estimates_are_called_estimates(measured: int) -> None:
    reasons = explain_difference(CLAIM, measured_bytes=measured, era=Era.ESTIMATE, runner=RUNNER)
    assert reasons == ("Ollama before 0.12.11 claims what it estimated before the load, for most models",)


def test_the_estimate_rounds_quantized_caches() -> None:
    quantized = replace(RUNNER, kv_cache_type_k="q8_0", kv_cache_type_v="q8_0")
    reasons = explain_difference(CLAIM, measured_bytes=ABOVE, era=Era.ESTIMATE, runner=quantized)
    assert reasons[1] == "the estimate rounds the q8_0 context cache"
    assert len(explain_difference(CLAIM, measured_bytes=ABOVE, era=Era.ESTIMATE, runner=None)) == 1


def test_layouts_differ_both_ways_for_different_reasons() -> None:
    above = explain_difference(CLAIM, measured_bytes=ABOVE, era=Era.LAYOUT)
    below = explain_difference(CLAIM, measured_bytes=BELOW, era=Era.LAYOUT)
    assert above[0] == below[0]
    assert above[1] == CONTEXT
    assert below[1] == "with all layers on the card the claim includes buffers in host memory"


def test_log_lines_miss_much_and_the_largest_comes_first() -> None:
    runner = replace(RUNNER, draft_model=True, projector_digest="a" * 64, lora_count=1)
    details = ModelDetails("d", sliding_window=1024)
    reasons = explain_difference(CLAIM, measured_bytes=ABOVE, era=Era.LLAMA_SERVER, runner=runner, details=details)
    assert [reason.split()[0:2] for reason in reasons] == [
        ["a", "draft"],
        ["sliding-window", "attention:"],
        ["the", "weights"],
        ["adapter", "weights"],
        ["the", "driver's"],
    ]


def test_details_tell_of_draft_and_projector_where_the_command_line_does_not() -> None:
    details = ModelDetails("d", has_draft=True, has_projector=True)
    reasons = explain_difference(CLAIM, measured_bytes=ABOVE, era=Era.LLAMA_SERVER, details=details)
    assert len(reasons) == 3
    assert explain_difference(CLAIM, measured_bytes=ABOVE, era=Era.LLAMA_SERVER) == (CONTEXT,)


def test_less_than_logged_has_been_released() -> None:
    runner = replace(RUNNER, draft_model=True)
    (reason,) = explain_difference(CLAIM, measured_bytes=BELOW, era=Era.LLAMA_SERVER, runner=runner)
    assert "released" in reason


def test_every_card_has_a_context() -> None:
    (reason,) = explain_difference(CLAIM, measured_bytes=ABOVE, era=Era.LLAMA_SERVER, card_count=2)
    assert "457 MiB on each card" in reason


def test_an_unknown_era_still_knows_the_context() -> None:
    assert explain_difference(CLAIM, measured_bytes=ABOVE, era=None) == (CONTEXT,)
    assert explain_difference(CLAIM, measured_bytes=BELOW, era=None) == ()


def test_the_part_in_host_memory_is_said_last() -> None:
    spilled = model("m:1b", vram=2 * GIBIBYTE, size=4 * GIBIBYTE)
    reasons = explain_difference(spilled, measured_bytes=ABOVE, era=Era.LLAMA_SERVER)
    assert reasons[-1] == "50 % of it is in host memory, which is in neither figure"


def test_an_unloading_model_is_said_first() -> None:
    stopping = replace(CLAIM, keep_alive=KeepAlive(KeepAliveState.STOPPING, datetime(2026, 1, 1, tzinfo=UTC)))
    reasons = explain_difference(stopping, measured_bytes=200 * MEBIBYTE, era=Era.LLAMA_SERVER)
    assert reasons[0].startswith("the engine is unloading it")
    still_whole = explain_difference(stopping, measured_bytes=ABOVE, era=Era.LLAMA_SERVER)
    assert not still_whole[0].startswith("the engine is unloading it")


@pytest.mark.parametrize("era", [*Era, None])
def test_nothing_on_any_card_is_a_reason_of_its_own(era: Era | None) -> None:
    (reason,) = explain_difference(CLAIM, measured_bytes=0, era=era)
    assert "on no card" in reason
