"""Several models one after the other: what a plan says beside what the simulated server does by rules of its own."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from gpudesk.fit.plan import plan
from gpudesk.sim.engine_runner import RequestState
from tests.fit.models import simulated, wanted
from tests.fit.test_server_policy import SMALL_NAMES, budgets_of, profile_of, residents_of
from tests.sim.engines import Engine

CONTEXTS = (None, 2048, 8192, 16384, 32768)
# Its listed heads are those of a converted file in one and of an older file in the other.
NAMES = [name for name in SMALL_NAMES if "deepseek" not in name and not simulated(name).parameter_values.get("num_ctx")]

asked = st.tuples(st.sampled_from(NAMES), st.sampled_from(CONTEXTS))
models = st.lists(asked, min_size=2, max_size=4, unique_by=lambda each: simulated(each[0]).blob_digest)
engines = st.fixed_dictionaries(
    {
        "total_gibibytes": st.sampled_from((8, 12, 16, 24, 48)),
        "max_loaded_models": st.sampled_from((0, 0, 2, 3)),
        "num_parallel": st.sampled_from((0, 1, 2, 4)),
        "context_length": st.sampled_from((0, 0, 4096, 8192)),
        "kv_cache_type": st.sampled_from(("", "q8_0")),
    }
)
keep_alives = st.sampled_from((600, 3000, -1))


@pytest.mark.slow
@pytest.mark.parametrize("version", ["0.5.4", "0.12.6", "0.24.0", "0.33.0"])
@settings(max_examples=60)
@example(  # a projector's buffers are part of the older estimate
    fields={"total_gibibytes": 24},
    keep_alive=600,
    residents=0,
    loads=[("qwen2.5-coder:1.5b-base", None), ("mistral-nemo:12b", 8192), ("qwen2.5vl:7b", 16384)],
)
@example(  # the windows of gemma2 are none of the older estimate's
    fields={"total_gibibytes": 24, "context_length": 8192},
    keep_alive=600,
    residents=0,
    loads=[("phi4-mini:3.8b", 32768), ("qwen2.5-coder:7b", None), ("gemma2:9b", None)],
)
@given(fields=engines, loads=models, keep_alive=keep_alives, residents=st.integers(0, 1))
def test_what_is_said_to_go_in_together_does(
    version: str, fields: dict[str, int | str], loads: list[tuple[str, int | None]], keep_alive: float, residents: int
) -> None:
    engine = Engine(version=version, host_gibibytes=512, load_seconds=1.0, **fields)  # type: ignore[arg-type]
    for name, context in loads[:residents]:
        assume(_load(engine, name, context, keep_alive=keep_alive))
    kind = str(fields.get("kv_cache_type", "")) or "f16"
    coming = loads[residents:]
    made = plan(
        [wanted(name, context_length=context, kv_cache_type_k=kind, kv_cache_type_v=kind) for name, context in coming],
        budgets_of(engine), profile_of(engine), residents=residents_of(engine), alternatives=False,
    )  # fmt: skip
    engine.happened.clear()
    whole = True
    for name, context in coming:
        if not _load(engine, name, context):
            whole = False
            break
        whole = whole and engine.runner(name).placement.complete
    gone = {text.removeprefix("unloaded ") for text in engine.happened if text.startswith("unloaded ")}
    goes_in = made.verdict.value in ("fits", "tight") and not made.server.would_evict and not made.server.spills
    assert goes_in is (whole and not gone)
    if whole:
        assert set(made.server.would_evict) == gone


def _load(engine: Engine, name: str, context: int | None, **more: float) -> bool:
    """Ask for a model and wait; tell whether it was loaded. What runs out of memory is noticed only then."""
    request = engine.ask(name, **more, **({} if context is None else {"num_ctx": context}))  # type: ignore[arg-type]
    engine.step(20)
    return request.state is RequestState.DONE


def test_a_cache_that_no_log_tells_of_is_believed_to_be_free() -> None:
    engine = Engine(version="0.33.0", total_gibibytes=16, num_parallel=4, host_gibibytes=512, load_seconds=1.0)
    coming = ("codestral:22b", "gemma3:12b", "qwen3:4b")
    made = plan(
        [wanted(name, context_length=8192) for name in coming], budgets_of(engine), profile_of(engine),
        alternatives=False,
    )  # fmt: skip
    assert all(_load(engine, name, 8192) for name in coming)
    assert engine.names == ["gemma3:12b", "qwen3:4b"]
    assert made.server.would_evict == ("codestral:22b",)
