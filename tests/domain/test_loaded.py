from __future__ import annotations

from dataclasses import replace

import pytest

from gpudesk.domain.loaded import kv_cache_type
from gpudesk.domain.process import Runner, RunnerKind

TELLING = Runner(RunnerKind.LLAMA_SERVER, context_total=8192)


@pytest.mark.parametrize(
    ("runner", "expected"),
    [
        (None, None),
        (TELLING, "f16"),
        (replace(TELLING, kind=RunnerKind.OLLAMA_RUNNER), "f16"),
        (Runner(RunnerKind.OLLAMA_RUNNER), None),
        (Runner(RunnerKind.LLAMA_SERVER), None),
        (replace(TELLING, kind=RunnerKind.OLLAMA_LLAMA_SERVER), None),
        (Runner(RunnerKind.MLX), None),
        (replace(TELLING, kv_cache_type_k="q8_0", kv_cache_type_v="q8_0"), "q8_0"),
        (replace(TELLING, kv_cache_type_k="q8_0", kv_cache_type_v="q4_0"), "q8_0/q4_0"),
        (replace(TELLING, kv_cache_type_k="q8_0"), "q8_0/f16"),
        (replace(TELLING, kv_cache_type_v="q8_0"), "f16/q8_0"),
        (replace(TELLING, kv_cache_type_k="f16"), "f16"),
        (Runner(RunnerKind.OLLAMA_LLAMA_SERVER, kv_cache_type_k="q8_0", kv_cache_type_v="q8_0"), "q8_0"),
    ],
)
def test_kv_cache_type(runner: Runner | None, expected: str | None) -> None:
    assert kv_cache_type(runner) == expected
