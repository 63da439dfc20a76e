"""What a fit costs: from a shell beside modelinfo-cli on the same header, and a plan in process."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from gpudesk.fit.card_table import card_named
from gpudesk.fit.plan import plan
from gpudesk.fit.values import CardBudget, EngineProfile, LoadOptions, Wanted
from tests.benchmarks.measures import in_turn
from tests.fit import headers, rebuild

VOCABULARY = 151_936
GIBIBYTE = 1 << 30


def _model(layers: int, embedding: int, width: int) -> rebuild.Header:
    return rebuild.dense(
        "qwen3", layers=layers, embedding=embedding, heads=embedding // 128, heads_kv=8, head=128, width=width,
        vocabulary=VOCABULARY,
    )  # fmt: skip


def write_header(path: Path) -> None:
    """Write an 8B model's header with a full vocabulary; its weights are a hole in the file."""
    model = _model(36, 4096, 12288)
    keys = {"general.architecture": "qwen3", **model.keys}
    keys["tokenizer.ggml.tokens"] = [f"token-{number}" for number in range(VOCABULARY)]
    start = headers.header(keys, model.tensors)
    with path.open("wb") as file:
        file.write(start)
        file.truncate(len(start) + headers.weights_bytes(model.tensors))


def shell_seconds(gpudesk: Path, modelinfo: Path, runs: int) -> tuple[float, float]:
    """Medians of `gpudesk fit FILE` and `modelinfo FILE`, taken in turn."""
    with tempfile.TemporaryDirectory(prefix="gpudesk-bench-") as folder:
        path = Path(folder) / "model.gguf"
        write_header(path)
        environ = {**os.environ, "HOME": folder, "XDG_CACHE_HOME": folder, "OLLAMA_HOST": "127.0.0.1:9"}

        def timed(*command: str | Path) -> Callable[[], float]:
            def run() -> float:
                begin = time.perf_counter()
                subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL, timeout=60)
                return time.perf_counter() - begin

            return run

        ours, theirs = in_turn(
            runs,
            timed(gpudesk, "fit", path, "--ctx", "8192", "--card", "RTX 4090"),
            timed(modelinfo, path, "--context", "8192"),
        )
    return ours, theirs


def plan_seconds(runs: int) -> float:
    """Median time of a plan of six models that do not all fit on two cards, all alternatives included."""
    cards = [
        CardBudget(index, known.name, known.memory_total_bytes, known.memory_total_bytes - GIBIBYTE)
        for index, known in enumerate([card_named("RTX 4090"), card_named("RTX 3060")])
    ]
    sizes = (
        (36, 4096, 12288),
        (40, 5120, 17408),
        (28, 2048, 6144),
        (28, 1024, 3072),
        (64, 5120, 25600),
        (36, 2560, 9728),
    )
    taken = []
    for number in range(runs):
        wanted = [
            Wanted(f"model-{index}", _model(*size).metadata(), LoadOptions(context_length=8192 + 256 * number))
            for index, size in enumerate(sizes)
        ]
        begin = time.perf_counter()
        plan(wanted, cards, EngineProfile(version="0.33.0"))
        taken.append(time.perf_counter() - begin)
    return median(taken[1:])
