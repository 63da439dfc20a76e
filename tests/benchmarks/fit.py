"""What a fit costs: from a shell beside modelinfo-cli on the same header, and a plan in process."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from gpudesk.fit.card_table import card_named
from gpudesk.fit.plan import plan
from gpudesk.fit.tensor_sizes import total_bytes
from gpudesk.fit.values import CardBudget, EngineProfile, LoadOptions, Resident, Wanted
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


SIZES = {
    "32b": (64, 5120, 25600),
    "14b": (40, 5120, 17408),
    "8b": (36, 4096, 12288),
    "4b": (36, 2560, 9728),
    "1.7b": (28, 2048, 6144),
    "0.6b": (28, 1024, 3072),
}


def plan_seconds(runs: int) -> tuple[float, float, float]:
    """Median times of plans of six models on two cards, all alternatives included.

    It is processor time: a plan neither reads nor waits, and the turns of other programs are not its own.

    Returns:
        For models that are far too large together, headers never seen before: nothing that depends on a model or its
            options is known, only tables that every plan shares (cards, architectures). The headers are read before.
        The same once more with another context of one model, as a key press asks for it.
        For headers never seen before that nearly fit, on cards where a model is loaded that is not wanted, with a
            smaller file of each model installed: every kind of alternative is worked out.
    """
    large, again, close = [], [], []
    for number in range(runs + 1):
        context = 8192 + 256 * number
        asked = _wanted(("8b", "14b", "1.7b", "0.6b", "32b", "4b"), context)
        large.append(_timed(asked, "RTX 4090", "RTX 3060"))
        changed = LoadOptions(context_length=context // 2)
        again.append(_timed([replace(asked[0], options=changed), *asked[1:]], "RTX 4090", "RTX 3060"))
        asked = _wanted(("8b", "14b", "1.7b", "0.6b", "14b", "4b"), context)
        smaller = [
            replace(one, name=f"{one.name}-small", metadata=replace(one.metadata, file_bytes=size // 2))
            for one in asked
            if (size := total_bytes(one.metadata.tensors))
        ]
        close.append(_timed(asked, "RTX 4090", "RTX 4090", loaded=3 * GIBIBYTE, installed=smaller))
    return median(large[1:]), median(again[1:]), median(close[1:])


def _wanted(sizes: Sequence[str], context: int) -> list[Wanted]:
    return [
        Wanted(f"model-{number}:{size}", _model(*SIZES[size]).metadata(), LoadOptions(context_length=context))
        for number, size in enumerate(sizes)
    ]


def _timed(wanted: Sequence[Wanted], *names: str, loaded: int = 0, installed: Sequence[Wanted] = ()) -> float:
    cards = [
        CardBudget(
            index, known.name, known.memory_total_bytes, known.memory_total_bytes - GIBIBYTE - (not index) * loaded
        )
        for index, known in enumerate(card_named(name) for name in names)
    ]
    there = [Resident("another:1b", loaded, (loaded, 0), 300.0, context_length=4096)] if loaded else []
    begin = time.process_time()
    plan(wanted, cards, EngineProfile(version="0.33.0"), residents=there, installed=installed)
    return time.process_time() - begin
