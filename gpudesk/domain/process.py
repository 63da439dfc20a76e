"""Processes of this computer, and the engines' runners among them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from gpudesk.records import dataclass


class RunnerKind(StrEnum):
    """Which program holds a model for the engine (see `ProcessSample` for how it is recognized)."""

    LLAMA_SERVER = "llama-server"
    """Ollama 0.30 and later: an upstream llama.cpp server as child process."""
    OLLAMA_RUNNER = "ollama runner"
    """Ollama 0.5.4 to 0.24."""
    OLLAMA_LLAMA_SERVER = "ollama_llama_server"
    """Ollama up to 0.5.1."""
    MLX = "ollama runner --mlx-engine"
    """Safetensors models; names its model directly instead of a blob."""


@dataclass(frozen=True, slots=True)
class Runner:
    """What a runner's command line tells and the engine's API does not. None = the command line does not say."""

    kind: RunnerKind
    blob_digest: str | None = None
    """64 hex digits of the model's file (`--model …/blobs/sha256-<hex>`), without prefix."""
    model_path: str | None = None
    """The `--model` argument as given."""
    model_name: str | None = None
    """Model name, where the command line (MLX) or the manifests on disk tell it."""
    projector_digest: str | None = None
    context_total: int | None = None
    """Context over all slots: `-c` is num_ctx times slots."""
    parallel: int | None = None
    """Slots: requests served at the same time."""
    batch_size: int | None = None
    kv_cache_type_k: str | None = None
    """For example `q8_0`; None when the argument is absent, which is f16."""
    kv_cache_type_v: str | None = None
    layers_on_gpu: int | None = None
    """`-ngl`; None when the engine decides by itself."""
    flash_attention: str | None = None
    """`on`, `off`, `auto`."""
    embedding: bool = False
    draft_model: bool = False
    """A second, speculative model lives in the same process."""
    lora_count: int = 0
    port: int | None = None

    @property
    def context_per_slot(self) -> int | None:
        """Context of one slot, the figure `/api/ps` calls context_length."""
        if self.context_total is None:
            return None
        return self.context_total // (self.parallel or 1)


@dataclass(frozen=True, slots=True)
class Process:
    """One process, as far as we may look at it."""

    pid: int
    name: str | None = None
    """Readable name: the program, cleaned (`python train.py`, `Xorg`, `blender`); None when not readable."""
    user: str | None = None
    parent_pid: int | None = None
    started_at: datetime | None = None
    memory_resident_bytes: int | None = None
    """Host memory; what a model spilled to the CPU occupies. Filled for runners only."""
    runner: Runner | None = None
    exists: bool = True
    """False: NVML names this pid but no such process is visible here (another pid namespace, or just gone)."""
    orphaned: bool = False
    """A runner whose server ended: it lives on, holds what it held, and no engine knows of it."""


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A process that starts runners: the server of an engine."""

    pid: int
    started_at: datetime | None = None
    listens: tuple[tuple[str, int], ...] | None = None
    """Addresses and TCP ports; None where that is not told: another user's process, or one in a container."""
    engine_urls: tuple[str, ...] = ()
    """The engines it answers for, as far as that was found out (`domain.serving`)."""
    exists: bool = True
    """False: it ended a moment ago, and no other was seen in its place. Its engine has nobody's runners meanwhile."""


@dataclass(frozen=True, slots=True)
class ProcessSample:
    """What one look at the process table gave: every pid on a card, every runner, and nothing else."""

    processes: tuple[Process, ...] = ()
    in_container: bool = False
    """We run in a container whose pid numbering is not the driver's; NVML's pids then match nothing here."""
    servers: tuple[ServerProcess, ...] = ()
    """Every engine's server, with and without runners, and those that ended a moment ago."""
