"""Command lines, word by word, as each version writes them."""

from __future__ import annotations

import pytest

from tests.sim.engines import CHAT, EMBED, Engine

BLOBS = "/usr/share/ollama/.ollama/models/blobs/sha256-"


def pairs(argv: tuple[str, ...]) -> dict[str, str]:
    """Read `--name value` off a command line; a name without a value gets the next name."""
    return {name: value for name, value in zip(argv, [*argv[1:], ""], strict=True) if name.startswith("-")}


def test_llama_server() -> None:
    """ollama llm/llama_server.go:348 at v0.33.0-rc2."""
    engine = Engine()
    runner = engine.load(CHAT, num_ctx=4096)
    port = pairs(runner.argv)["--port"]
    assert runner.argv == (
        "/usr/local/lib/ollama/llama-server",
        "--model", BLOBS + engine.model(CHAT).blob_digest, "--port", port, "--host", "127.0.0.1", "--no-webui",
        "--offline", "-c", "4096", "-np", "1", "--log-verbosity", "4", "--no-log-prefix", "--no-log-timestamps",
        "--no-jinja", "--chat-template", "chatml", "--flash-attn", "auto", "-b", "512", "-ub", "512",
        "--context-shift", "--keep", "4",
    )  # fmt: skip
    assert 1024 < int(port) < 65536


def test_llama_server_tells_what_the_api_does_not() -> None:
    engine = Engine(num_parallel=3, kv_cache_type="q8_0", flash_attention=True)
    argv = pairs(engine.load(CHAT, num_ctx=8192, num_gpu=41, num_thread=6, use_mmap=False).argv)
    assert argv["-c"] == str(3 * 8192)
    assert argv["-np"] == "3"
    assert (argv["--cache-type-k"], argv["--cache-type-v"]) == ("q8_0", "q8_0")
    assert argv["--flash-attn"] == "on"
    assert argv["-ngl"] == "41"
    assert argv["-t"] == "6"
    assert argv["--load-mode"] == "none"


def test_llama_server_for_an_embedding_model() -> None:
    argv = Engine().load(EMBED).argv
    assert argv[argv.index("--embedding") :][:5] == ("--embedding", "-b", "2048", "-ub", "2048")


def test_llama_server_with_a_projector_in_the_same_file_and_in_its_own() -> None:
    engine = Engine()
    same = pairs(engine.load("gemma3:4b", num_ctx=4096).argv)
    assert same["--mmproj"] == same["--model"]
    own = pairs(engine.load("llava:7b", num_ctx=4096).argv)
    assert own["--mmproj"] == BLOBS + str(engine.model("llava:7b").projector_digest)


def test_llama_server_without_room_for_the_projector() -> None:
    assert "--no-mmproj-offload" in Engine(total_gibibytes=4).load("gemma3:4b", num_ctx=4096, num_gpu=5).argv


def test_llama_server_with_a_draft() -> None:
    engine = Engine()
    argv = pairs(engine.load("qwen3-mtp:14b", num_ctx=4096).argv)
    assert argv["--spec-type"] == "draft-mtp"
    assert argv["--spec-draft-model"] == BLOBS + str(engine.model("qwen3-mtp:14b").draft_digest)


def test_deepseek_gets_no_context_shift() -> None:
    assert "--context-shift" not in Engine().load("deepseek-coder-v2:16b", num_ctx=4096).argv


def test_shared_memory_is_read_without_the_page_cache() -> None:
    assert pairs(Engine(integrated=True).load(CHAT, num_ctx=4096).argv)["--load-mode"] == "dio"


@pytest.mark.parametrize("version", ["0.11.5", "0.12.6", "0.24.0"])
def test_the_runner_of_the_middle_tells_only_its_file(version: str) -> None:
    """ollama llm/server.go:357 at v0.24.0: everything else goes over POST /load."""
    engine = Engine(version=version)
    runner = engine.load("llama3.1:8b", num_ctx=4096)
    port = pairs(runner.argv)["--port"]
    path = BLOBS + engine.model("llama3.1:8b").blob_digest
    assert runner.argv == ("/usr/local/bin/ollama", "runner", "--model", path, "--port", port)
    own_engine = engine.load("gemma3:4b", num_ctx=4096).argv
    assert own_engine[:3] == ("/usr/local/bin/ollama", "runner", "--ollama-engine")


def test_the_early_runner_tells_everything() -> None:
    """ollama llm/server.go:178-344 at v0.9.6."""
    engine = Engine(version="0.9.6", num_parallel=2, flash_attention=True, kv_cache_type="q8_0")
    runner = engine.load("llama3.1:8b", num_ctx=4096)
    port = pairs(runner.argv)["--port"]
    assert runner.argv == (
        "/usr/local/bin/ollama", "runner", "--model", BLOBS + engine.model("llama3.1:8b").blob_digest,
        "--ctx-size", "8192", "--batch-size", "512", "--n-gpu-layers", "33", "--threads", "8", "--flash-attn",
        "--kv-cache-type", "q8_0", "--parallel", "2", "--port", port,
    )  # fmt: skip


def test_a_cache_type_without_flash_attention_is_dropped() -> None:
    assert "--kv-cache-type" not in Engine(version="0.9.6", kv_cache_type="q8_0").load(CHAT, num_ctx=4096).argv


def test_several_cards_are_told_their_share() -> None:
    argv = pairs(Engine(version="0.9.6", cards=2).load("llama3.3:70b", num_ctx=2048).argv)
    assert len(argv["--tensor-split"].split(",")) == 2


@pytest.mark.parametrize(
    ("version", "cards", "start"),
    [
        ("0.5.4", 0, ("/usr/local/bin/ollama", "runner", "--model")),
        ("0.5.4", 1, ("/usr/local/lib/ollama/runners/cuda_v12_avx/ollama_llama_server", "runner", "--model")),
        ("0.5.1", 1, ("/usr/local/lib/ollama/runners/cuda_v12_avx/ollama_llama_server", "--model")),
        ("0.5.8", 1, ("/usr/local/bin/ollama", "runner", "--model")),
    ],
)
def test_the_program_of_the_first_ones(version: str, cards: int, start: tuple[str, ...]) -> None:
    argv = Engine(version=version, cards=cards).load("llama3.2:1b", num_ctx=2048).argv
    assert argv[: len(start)] == start


def test_a_runner_is_a_child_of_the_server_in_the_process_table() -> None:
    engine = Engine()
    runner = engine.load(CHAT, num_ctx=4096)
    raw = engine.processes.describe(runner.pid)
    assert raw is not None
    assert raw.argv == runner.argv
    assert (raw.name, raw.user, raw.parent_pid) == ("llama-server", "ollama", engine.scheduler.server_pid)
    serve = engine.processes.describe(engine.scheduler.server_pid)
    assert serve is not None
    assert serve.argv == ("/usr/local/bin/ollama", "serve")
    assert {one.pid for one in engine.processes.runner_candidates()} == {runner.pid, serve.pid}
    engine.scheduler.expire(engine.model(CHAT))
    assert engine.processes.describe(runner.pid) is None
