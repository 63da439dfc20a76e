from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudesk.domain.process import Runner, RunnerKind
from gpudesk.sources.runner_argv import blob_digest, parse_runner, program_name

HEX = "6a0746a1ec1aef3e7ec53868f220ff6e389f6f8ef87a01d77c96807de94ca2aa"
OTHER = "0" * 63 + "f"
BLOB = f"/usr/share/ollama/.ollama/models/blobs/sha256-{HEX}"
OTHER_BLOB = f"/usr/share/ollama/.ollama/models/blobs/sha256-{OTHER}"


def parsed(*argv: str, parent: str | None = None) -> Runner:
    runner = parse_runner(argv, parent_name=parent)
    assert runner is not None
    return runner


def test_llama_server_of_today_tells_everything() -> None:
    command = (
        f"/usr/local/lib/ollama/llama-server --model {BLOB} --port 40123 --host 127.0.0.1 --no-webui --offline "
        f"-c 32768 -np 4 --log-verbosity 4 --no-log-prefix --no-log-timestamps --no-jinja --chat-template chatml "
        f"--mmproj {OTHER_BLOB} --spec-type draft-mtp --spec-draft-n-max 4 --spec-draft-model {OTHER_BLOB} "
        f"--lora {OTHER_BLOB} --lora {BLOB} --load-mode dio --cache-type-k q8_0 --cache-type-v q4_0 --flash-attn auto "
        f"-b 1024 -ub 1024 -ngl 33 -t 8 --split-mode none --main-gpu 0 --context-shift --keep 4"
    )
    assert parsed(*command.split(), parent="ollama") == Runner(
        kind=RunnerKind.LLAMA_SERVER,
        blob_digest=HEX,
        model_path=BLOB,
        projector_digest=OTHER,
        context_total=32768,
        parallel=4,
        batch_size=1024,
        kv_cache_type_k="q8_0",
        kv_cache_type_v="q4_0",
        layers_on_gpu=33,
        flash_attention="auto",
        draft_model=True,
        lora_count=2,
        port=40123,
    )


def test_llama_server_for_embeddings() -> None:
    runner = parsed(*f"llama-server --model {BLOB} -c 2048 -np 1 --flash-attn off --embedding -b 2048 -ub 2048".split())
    assert runner.embedding
    assert runner.flash_attention == "off"
    assert (runner.kv_cache_type_k, runner.layers_on_gpu, runner.draft_model) == (None, None, False)
    assert runner.context_per_slot == 2048


def test_a_projector_in_the_model_file_itself() -> None:
    assert parsed("llama-server", "--model", BLOB, "--mmproj", BLOB).projector_digest == HEX


def test_runner_with_a_full_command_line() -> None:
    command = (
        f"/usr/local/bin/ollama runner --ollama-engine --model {BLOB} --ctx-size 8192 --batch-size 512 "
        f"--n-gpu-layers 49 --threads 8 --flash-attn --kv-cache-type q8_0 --parallel 2 "
        "--tensor-split 24,25 --port 37001"
    )
    assert parsed(*command.split()) == Runner(
        kind=RunnerKind.OLLAMA_RUNNER,
        blob_digest=HEX,
        model_path=BLOB,
        context_total=8192,
        parallel=2,
        batch_size=512,
        kv_cache_type_k="q8_0",
        kv_cache_type_v="q8_0",
        layers_on_gpu=49,
        flash_attention="on",
        port=37001,
    )


def test_runner_that_tells_only_model_and_port() -> None:
    assert parsed("/usr/local/bin/ollama", "runner", "--model", BLOB, "--port", "37001") == Runner(
        RunnerKind.OLLAMA_RUNNER, HEX, BLOB, port=37001
    )


def test_the_first_runners() -> None:
    program = "/tmp/ollama123/runners/cuda_v12/ollama_llama_server"
    options = ["--model", BLOB, "--ctx-size", "2048", "--n-gpu-layers", "33", "--port", "1"]
    assert parsed(program, *options).kind is RunnerKind.OLLAMA_LLAMA_SERVER
    assert parsed(program, *options).context_total == 2048
    assert parsed(program, "runner", *options).kind is RunnerKind.OLLAMA_RUNNER


def test_mlx_names_its_model() -> None:
    runner = parsed("ollama", "runner", "--mlx-engine", "--model", "qwen3-mlx:4b", "--port", "37001")
    assert (runner.kind, runner.model_name, runner.blob_digest) == (RunnerKind.MLX, "qwen3-mlx:4b", None)


@pytest.mark.parametrize(
    "argv",
    [
        [],
        [""],
        ["ollama"],
        ["ollama", "serve"],
        ["ollama", "run", "--model", BLOB],
        ["ollama", "runner"],
        ["ollama", "runner", "--model"],
        ["ollama", "runner", "--port", "1234"],
        ["llama-server", "--port", "1", "--host", "127.0.0.1", "--no-webui", "--offline", "--verbose"],
        ["llama-server", "--list-devices", "--offline", "--verbose"],
        ["ollama_llama_server", "--port", "1"],
        ["llama-server", "--model="],
        ["python", "runner", "--model", BLOB],
        ["llama-cli", "--model", BLOB],
        ["/opt/ollama/other", "runner", "--model", BLOB],
    ],
)
def test_what_is_no_runner(argv: list[str]) -> None:
    assert parse_runner(argv) is None


def test_whose_llama_server_it_is() -> None:
    own_file = ["llama-server", "-m", "/home/me/models/qwen3-8b.gguf", "-c", "4096"]
    borrowed = ["llama-server", "-m", BLOB, "-c", "4096"]
    assert parse_runner(own_file) is None
    assert parse_runner(own_file, parent_name="bash") is None
    assert parse_runner(own_file, parent_name="ollama") is not None
    assert parse_runner(borrowed) is not None
    assert parse_runner(borrowed, parent_name="bash") is None
    assert parse_runner(borrowed, parent_name="systemd") is None
    assert parse_runner(borrowed, parent_name=".ollama-wrapped") is not None
    assert parse_runner(borrowed, parent_name="ollama.exe") is not None


@pytest.mark.parametrize(
    ("words", "context"),
    [
        (["-c", "8192"], 8192),
        (["--ctx-size", "8192"], 8192),
        (["--ctx-size=8192"], 8192),
        (["-c", "1", "-c", "2"], 2),
        (["-c"], None),
        (["-c", "--port"], None),
        (["-c", "-1"], None),
        (["-c", "0"], None),
        (["-c", "many"], None),
        (["-c", "8_192"], None),
        (["-c", "٨"], None),
        (["-c", "1" * 30], None),
        (["-c", " 8192"], None),
        (["-c", "8192\n"], None),
        (["--ctx-size="], None),
        (["--unknown", "-c", "8192"], 8192),
        (["--unknown=1", "stray", "-c", "8192"], 8192),
    ],
)
def test_values_of_options(words: list[str], context: int | None) -> None:
    assert parsed("llama-server", "--model", BLOB, *words).context_total == context


def test_an_option_without_its_value_does_not_eat_the_next_option() -> None:
    runner = parsed("ollama", "runner", "--model", BLOB, "-c", "--parallel", "3", "--port")
    assert (runner.context_total, runner.parallel, runner.port) == (None, 3, None)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--flash-attn"], "on"),
        (["--flash-attn", "off"], "off"),
        (["--flash-attn", "auto", "-b", "1"], "auto"),
        (["-fa", "--port", "1"], "on"),
        (["--flash-attn=off"], "off"),
        (["--flash-attn=1"], "on"),
        ([], None),
    ],
)
def test_flash_attention_with_and_without_a_word(words: list[str], expected: str | None) -> None:
    assert parsed("ollama", "runner", "--model", BLOB, *words).flash_attention == expected


@pytest.mark.parametrize(
    ("words", "draft"),
    [
        (["--spec-type", "draft-mtp"], True),
        (["--spec-type", "none"], False),
        (["--spec-type"], False),
        (["-md", "x.gguf"], True),
        (["--model-draft", "x.gguf"], True),
    ],
)
def test_draft_models(words: list[str], draft: bool) -> None:
    assert parsed("llama-server", "--model", BLOB, *words).draft_model is draft


def test_figures_that_cannot_be() -> None:
    runner = parsed("llama-server", "--model", BLOB, "-np", "0", "-ngl", "0", "--port", "70000", "-ctk", "\x1b[31m")
    assert (runner.parallel, runner.layers_on_gpu, runner.port, runner.kv_cache_type_k) == (None, 0, None, None)


def test_text_for_the_screen_is_cleaned() -> None:
    runner = parsed("ollama", "runner", "--mlx-engine", "--model", "evil\x1b[31m\u202ename")
    assert runner.model_name == "evil[31mname"
    assert runner.model_path == "evil[31mname"


@pytest.mark.parametrize(
    ("path", "digest"),
    [
        (BLOB, HEX),
        (f"C:\\Users\\me\\.ollama\\models\\blobs\\sha256-{HEX}", HEX),
        (f"sha256-{HEX.upper()}", HEX),
        (f"/models/blobs/sha256:{HEX}", HEX),
        (f"/models/blobs/sha256-{HEX}0", None),
        (f"/models/blobs/sha256-{HEX[:-1]}", None),
        (f"/models/blobs/sha256-{HEX}.gguf", None),
        ("/models/qwen.gguf", None),
        ("", None),
        (None, None),
    ],
)
def test_blob_digest(path: str | None, digest: str | None) -> None:
    assert blob_digest(path) == digest


@pytest.mark.parametrize(
    ("program", "name"),
    [
        ("/usr/bin/ollama", "ollama"),
        ("C:\\Program Files\\Ollama\\ollama.EXE", "ollama"),
        ("/nix/store/x/bin/.ollama-wrapped", "ollama"),
        ("/nix/store/x/bin/.llama-server-wrapped", "llama-server"),
        ("llama-server", "llama-server"),
        ("", ""),
    ],
)
def test_program_name(program: str, name: str) -> None:
    assert program_name(program) == name


WORDS = st.sampled_from(
    ["--model", "-c", "-np", "--flash-attn", "--lora", "--mmproj", "--port", "-ngl", "--spec-type", "--embedding", "="]
)


@given(st.lists(st.one_of(WORDS, st.text(max_size=12), st.just(BLOB)), max_size=20))
def test_any_command_line_is_read_or_refused_and_never_fails(words: list[str]) -> None:
    for program in (["ollama", "runner"], ["llama-server"], ["ollama_llama_server"]):
        runner = parse_runner([*program, *words])
        if runner is not None:
            assert runner.context_total is None or runner.context_total > 0
            assert runner.model_path is not None
