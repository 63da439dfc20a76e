"""The command line of a runner, as each version of the server writes it.

Sources: ollama llm/llama_server.go:348 (`startLlamaServer`) at v0.33.0-rc2, llm/server.go:357 at v0.24.0,
llm/server.go:178-344 at v0.9.6, llm/server.go:173-310 at v0.5.4 and v0.5.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpudesk.sim.engine_options import RunnerOptions
    from gpudesk.sim.engine_settings import EngineSettings
    from gpudesk.sim.models import SimulatedModel

OLLAMA_ENGINE = frozenset(("gemma3", "gemma3n", "gptoss", "mistral3", "qwen25vl", "qwen3", "qwen3moe", "llama4"))
"""Architectures the server's own engine ran, before llama-server did everything."""


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything a command line is made of."""

    model: SimulatedModel
    options: RunnerOptions
    parallel: int
    port: int
    flash_attention: str
    """`on`, `off` or `auto`."""
    cache_type: str
    layers_on_cards: int
    on_cards: bool
    main_gpu: int | None = None
    projector_on_card: bool = True
    integrated: bool = False
    tensor_split: tuple[int, ...] = ()


def uses_ollama_engine(model: SimulatedModel, settings: EngineSettings) -> bool:
    """Tell whether this version runs the model with its own engine instead of llama.cpp's."""
    return (0, 6, 0) <= settings.version_key < (0, 30, 0) and model.shape.architecture in OLLAMA_ENGINE


def runner_argv(settings: EngineSettings, launch: Launch) -> tuple[str, ...]:
    """Return the command line this version starts a runner with."""
    key = settings.version_key
    if key >= (0, 30, 0):
        return _llama_server(settings, launch)
    if key >= (0, 11, 5):
        engine = ("--ollama-engine",) if uses_ollama_engine(launch.model, settings) else ()
        path = settings.blob_path(launch.model.blob_digest)
        return (settings.executable, "runner", *engine, "--model", path, "--port", str(launch.port))
    return _ollama_runner(settings, launch)


def _llama_server(settings: EngineSettings, launch: Launch) -> tuple[str, ...]:
    model, options = launch.model, launch.options
    path = settings.blob_path(model.blob_digest)
    argv = [
        f"{settings.library_directory}/llama-server",
        "--model", path, "--port", str(launch.port), "--host", "127.0.0.1", "--no-webui", "--offline",
        "-c", str(options.num_ctx * launch.parallel), "-np", str(launch.parallel),
        "--log-verbosity", "4", "--no-log-prefix", "--no-log-timestamps",
    ]  # fmt: skip
    if model.template:
        argv += ["--no-jinja", "--chat-template", "chatml"]
    argv += _extra_files(settings, launch, path)
    if launch.integrated:
        argv += ["--load-mode", "dio"]
    elif options.use_mmap is False:
        argv += ["--load-mode", "none"]
    if launch.cache_type:
        argv += ["--cache-type-k", launch.cache_type, "--cache-type-v", launch.cache_type]
    argv += ["--flash-attn", launch.flash_attention]
    if not model.can("completion"):
        argv.append("--embedding")
    argv += ["-b", str(options.num_batch), "-ub", str(options.num_batch)]
    if options.num_gpu >= 0:
        argv += ["-ngl", str(options.num_gpu)]
    if options.num_thread > 0:
        argv += ["-t", str(options.num_thread)]
    if launch.main_gpu is not None:
        argv += ["--split-mode", "none", "--main-gpu", str(launch.main_gpu)]
    if options.context_shift:
        argv += ["--context-shift", "--keep", "4"]
    return tuple(argv)


def _extra_files(settings: EngineSettings, launch: Launch, path: str) -> list[str]:
    """Return the arguments for a projector and a draft model."""
    model, argv = launch.model, []
    if model.shape.projector is not None:
        argv += ["--mmproj", settings.blob_path(model.projector_digest) if model.projector_digest else path]
        if not launch.projector_on_card:
            argv.append("--no-mmproj-offload")
    if model.draft_digest is not None:
        argv += ["--spec-type", "draft-mtp", "--spec-draft-n-max", str(launch.options.draft_num_predict or 4)]
        argv += ["--spec-draft-model", settings.blob_path(model.draft_digest)]
    return argv


def _ollama_runner(settings: EngineSettings, launch: Launch) -> tuple[str, ...]:
    model, options, key = launch.model, launch.options, settings.version_key
    if key < (0, 5, 8) and launch.on_cards:
        program = [f"{settings.library_directory}/runners/cuda_v12_avx/ollama_llama_server"]
    else:
        program = [settings.executable]
    if key >= (0, 5, 2):
        program.append("runner")
    if uses_ollama_engine(model, settings):
        program.append("--ollama-engine")
    argv = [
        *program,
        "--model", settings.blob_path(model.blob_digest),
        "--ctx-size", str(options.num_ctx * launch.parallel),
        "--batch-size", str(options.num_batch),
    ]  # fmt: skip
    if launch.on_cards or options.num_gpu >= 0:
        argv += ["--n-gpu-layers", str(launch.layers_on_cards)]
    if model.shape.projector is not None and model.projector_digest is not None:
        argv += ["--mmproj", settings.blob_path(model.projector_digest)]
    argv += ["--threads", str(options.num_thread or 8)]
    if launch.flash_attention == "on":
        argv.append("--flash-attn")
        if launch.cache_type:
            argv += ["--kv-cache-type", launch.cache_type]
    if not launch.on_cards:
        argv.append("--no-mmap")
    argv += ["--parallel", str(launch.parallel)]
    if len(launch.tensor_split) > 1:
        argv += ["--tensor-split", ",".join(str(share) for share in launch.tensor_split)]
    return (*argv, "--port", str(launch.port))
