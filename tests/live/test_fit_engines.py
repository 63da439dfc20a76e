"""The arithmetic of the fit against what real engines print when they load: equal to the last digit.

All on the CPU, where the weights are one mapped buffer; which of them a card would get is no matter here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gpudesk.domain.engine import Era
from gpudesk.fit.architectures import rules
from gpudesk.fit.compute import GraphOptions, compute_bytes
from gpudesk.fit.from_show import metadata_from_show
from gpudesk.fit.kv_cache import KvLayout, kv_cache
from gpudesk.fit.metadata import ModelMetadata
from gpudesk.fit.values import LoadOptions
from gpudesk.sources.gguf_files import read_model
from gpudesk.units import MEBIBYTE
from tests.environment import OUTER_ENVIRONMENT
from tests.fit.headers import weights_bytes
from tests.live.api import Api
from tests.live.engine import OllamaProcess
from tests.live.fixtures import NO_LIVE_REASON, NUM_PARALLEL
from tests.live.installation import SetupError
from tests.live.llama_cpp import MODEL, Buffers, buffers, install, load, write_sparse
from tests.live.models import CHAT, CODE, EMBED
from tests.live.shapes import ENCODERS, SHAPES, VOCABULARY

pytestmark = pytest.mark.live

LOADS: dict[str, tuple[dict[str, object], LoadOptions, int, int]] = {
    "4096": ({"n_ctx": 4096}, LoadOptions(), 4096, 1),
    "two slots": ({"n_ctx": 8192, "n_parallel": 2}, LoadOptions(), 4096, 2),
    "three odd slots": ({"n_ctx": 5000, "n_parallel": 3}, LoadOptions(), 5000 // 3, 3),
    "unified": ({"n_ctx": 8192, "n_parallel": 4, "kv_unified": True}, LoadOptions(unified_kv=True), 8192, 4),
    "q8_0": (
        {"n_ctx": 4096, "cache_type_k": "q8_0", "cache_type_v": "q8_0", "flash_attn_type": "enabled"},
        LoadOptions(kv_cache_type_k="q8_0", kv_cache_type_v="q8_0"),
        4096,
        1,
    ),
    "q4_0 and q5_1": (
        {"n_ctx": 4096, "cache_type_k": "q4_0", "cache_type_v": "q5_1", "flash_attn_type": "enabled"},
        LoadOptions(kv_cache_type_k="q4_0", kv_cache_type_v="q5_1"),
        4096,
        1,
    ),
    "large batch": ({"n_ctx": 8192, "n_batch": 2048, "n_ubatch": 2048}, LoadOptions(batch_size=2048), 8192, 1),
    "full sliding cache": ({"n_ctx": 8192, "swa_full": True}, LoadOptions(swa_full=True), 8192, 1),
    "without flash attention": ({"n_ctx": 4096, "flash_attn_type": "disabled"}, LoadOptions(), 4096, 1),
}


CALCULATED_GRAPHS = [
    "llama",
    "qwen2",
    "qwen3 with tied output",
    "phi3 with fused projections",
    "qwen3moe",
    "qwen35 with recurrent layers",
    "gemma3 with a sliding window",
    "gemma4 with shared layers",
    "nemotron_h",
    "lfm2 with short convolutions",
    "mamba",
    "command-r",
]
HOST_ROWS = 1.11
"""What a graph on the CPU may hold beyond one on a card, in embeddings of a batch: those it looks up itself."""
ROUNDING_BYTES = 16 << 10


def mebibytes(size_bytes: int) -> str:
    return f"{size_bytes / MEBIBYTE:.2f}"


def predicted_kv(metadata: ModelMetadata, layout: KvLayout, parallel: int) -> tuple[str, ...]:
    """Print the caches as llama.cpp does: full layers, then sliding ones; recurrent state apart."""
    shape = rules(metadata)
    state = layout.recurrent_bytes // max(1, sum(shape.recurrent))
    sizes = [size - state * recurrent for size, recurrent in zip(layout.layers, shape.recurrent, strict=True)]
    full = sum(size for size, sliding in zip(sizes, shape.sliding, strict=True) if not sliding)
    sliding = sum(size for size, sliding in zip(sizes, shape.sliding, strict=True) if sliding)
    return tuple(mebibytes(size) for size in (full, sliding) if size)


@pytest.fixture(scope="session")
def llama_cpp(pytestconfig: pytest.Config) -> Path:
    """A real llama.cpp with a real model, set up on first use."""
    if pytestconfig.getoption("--no-live"):
        pytest.skip(NO_LIVE_REASON)
    try:
        return install(OUTER_ENVIRONMENT)
    except SetupError as error:
        pytest.fail(f"no real llama.cpp to test against (--no-live leaves these tests out): {error}", pytrace=False)


def check(found: Buffers, metadata: ModelMetadata, how: str) -> None:
    _, options, context, parallel = LOADS[how]
    layout = kv_cache(
        metadata,
        options,
        context,
        parallel,
        Era.LLAMA_SERVER,
        flash_attention=how != "without flash attention",
    )
    assert found.kv == predicted_kv(metadata, layout, parallel)
    assert found.recurrent == ((mebibytes(layout.recurrent_bytes),) if layout.recurrent_bytes else ())
    assert found.model == (mebibytes(weights_bytes(metadata.tensors)),)
    assert len(found.compute) == 1


@pytest.mark.parametrize("how", LOADS)
def test_a_real_model_in_llama_cpp(llama_cpp: Path, how: str) -> None:
    path = llama_cpp / MODEL
    check(load(llama_cpp, path, **({"n_parallel": 1} | LOADS[how][0])), read_model(path), how)


@pytest.mark.parametrize("how", ["two slots", "q8_0"])
@pytest.mark.parametrize("name", SHAPES)
def test_tiny_models_of_many_kinds_in_llama_cpp(llama_cpp: Path, tmp_path: Path, name: str, how: str) -> None:
    path = write_sparse(SHAPES[name], tmp_path / "tiny.gguf", VOCABULARY)
    check(load(llama_cpp, path, **({"n_parallel": 1} | LOADS[how][0])), read_model(path), how)


@pytest.mark.parametrize(
    ("name", "how"), [(MODEL, "4096"), *((name, how) for name in CALCULATED_GRAPHS for how in ("4096", "large batch"))]
)
def test_the_compute_buffer_in_llama_cpp(llama_cpp: Path, tmp_path: Path, name: str, how: str) -> None:
    path = llama_cpp / MODEL if name == MODEL else write_sparse(SHAPES[name], tmp_path / "tiny.gguf", VOCABULARY)
    arguments, options, context, parallel = LOADS[how]
    (printed,) = load(llama_cpp, path, n_parallel=1, **arguments).compute
    metadata = read_model(path)
    cache = kv_cache(metadata, options, context, parallel, Era.LLAMA_SERVER)
    batch = options.batch_size or 512
    graph = GraphOptions(batch=batch, outputs=parallel, flash_attention=True)
    more = float(printed) * MEBIBYTE - compute_bytes(metadata, rules(metadata), cache, graph)
    row = 4 * batch * metadata.embedding_length
    assert -ROUNDING_BYTES <= more <= HOST_ROWS * row


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_in_llama_cpp_has_no_cache(llama_cpp: Path, tmp_path: Path, name: str) -> None:
    path = write_sparse(ENCODERS[name], tmp_path / "tiny.gguf", VOCABULARY)
    found = load(llama_cpp, path, n_ctx=512, n_parallel=1, embedding=True)
    metadata = read_model(path)
    assert found.kv == ()
    assert kv_cache(metadata, LoadOptions(), 512, 1, Era.LLAMA_SERVER).total == 0
    assert found.model == (mebibytes(weights_bytes(metadata.tensors)),)


@pytest.fixture
def ollama(real_ollama: OllamaProcess) -> Iterator[Api]:
    """The real Ollama with nothing loaded, before and after."""
    api = Api(real_ollama.url)
    try:
        for name in api.loaded():
            api.unload(name)
        yield api
        for name in api.loaded():
            api.unload(name)
    finally:
        api.close()


@pytest.mark.parametrize("context", [512, 1024, 4096])
@pytest.mark.parametrize("name", [CHAT, CODE])
def test_a_model_in_ollama(real_ollama: OllamaProcess, ollama: Api, name: str, context: int) -> None:
    start = len(real_ollama.log)
    assert ollama.post("/api/generate", model=name, options={"num_ctx": context}).status == 200
    found = buffers(real_ollama.log[start:])
    (runner,) = real_ollama.runners()
    from_file = read_model(Path(runner.argument("--model")))
    from_reply = metadata_from_show(ollama.post("/api/show", model=name, verbose=True).json)
    assert found.model == (mebibytes(weights_bytes(from_file.tensors)),)
    for metadata in (from_file, from_reply):
        layout = kv_cache(metadata, LoadOptions(), context, NUM_PARALLEL, Era.ESTIMATE, flash_attention=False)
        assert found.kv == (mebibytes(layout.total),)


def test_an_encoder_in_ollama_has_no_cache_of_a_size_that_counts(real_ollama: OllamaProcess, ollama: Api) -> None:
    start = len(real_ollama.log)
    assert ollama.post("/api/embed", model=EMBED, input="a").status == 200
    found = buffers(real_ollama.log[start:])
    (runner,) = real_ollama.runners()
    metadata = read_model(Path(runner.argument("--model")))
    assert found.model == (mebibytes(weights_bytes(metadata.tensors)),)
    assert len(found.kv) <= 1
