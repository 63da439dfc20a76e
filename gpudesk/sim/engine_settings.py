"""How one simulated Ollama server is set up: its version, its environment, and how fast its disk is."""

from __future__ import annotations

from dataclasses import dataclass

from gpudesk.domain.engine import Era, era_of
from gpudesk.sim.cards import GIBIBYTE

MODELS_DIRECTORY = "/usr/share/ollama/.ollama/models"
"""Where the Linux service user keeps models (ollama docs/faq.mdx)."""


@dataclass(slots=True)
class EngineSettings:
    """A server's version and environment. Fields named like an `OLLAMA_…` variable mean the same as that variable."""

    version: str = "0.33.0"
    keep_alive: str = ""
    """OLLAMA_KEEP_ALIVE as written in the environment; empty is five minutes."""
    max_loaded_models: int = 0
    """0: three per card, three without a card (ollama server/sched.go:86 at v0.33.0-rc2)."""
    num_parallel: int = 0
    max_queue: int = 512
    context_length: int = 0
    kv_cache_type: str = ""
    flash_attention: bool | None = None
    sched_spread: bool = False
    gpu_overhead_bytes: int = 0
    models_directory: str = MODELS_DIRECTORY
    executable: str = "/usr/local/bin/ollama"
    library_directory: str = "/usr/local/lib/ollama"
    clock_skew_seconds: float = 0.0
    """The server's clock minus the workstation's, in its Date header and in every time it tells."""
    utc_offset_minutes: int = 120
    """Go writes times with the server's local offset."""
    cloud_disabled: bool = False
    load_bytes_per_second: float = 2.4 * GIBIBYTE
    """How fast weights come off the disk."""
    pull_bytes_per_second: float = 100_000_000.0
    """How fast files come from the registry."""
    load_base_seconds: float = 0.6
    """Spawn and warm-up of a runner."""
    load_seconds: float | None = None
    """When set, how long every load takes, whatever the size."""
    tokens_per_second: float | None = None
    """When set, the speed of every generation; otherwise it follows from the size of the model."""
    ps_stall_seconds: float = 0.0
    """How long `/api/ps` waits for the lock at a spawn and at a kill (ollama server/sched.go:445-460)."""

    @property
    def version_key(self) -> tuple[int, int, int]:
        """The version as numbers, `-rc1` left out."""
        parts = [int(part) for part in self.version.split("-")[0].split(".")[:3]]
        return parts[0], parts[1], parts[2]

    @property
    def era(self) -> Era:
        """How this version arrives at the sizes in `/api/ps`."""
        era = era_of(self.version)
        assert era is not None, self.version
        return era

    @property
    def default_parallel(self) -> int:
        """Slots per model: 4 in 0.5, 2 until 0.9.6, 1 since (ollama 20c3266e9), unless OLLAMA_NUM_PARALLEL says."""
        if self.num_parallel > 0:
            return self.num_parallel
        if self.version_key >= (0, 9, 7):
            return 1
        return 2 if self.version_key >= (0, 6, 8) else 4

    @property
    def parallel_is_automatic(self) -> bool:
        """Old servers fall back to one slot when several do not fit."""
        return self.num_parallel <= 0 and self.version_key < (0, 9, 7)

    def default_context(self, memory_total_bytes: int) -> int:
        """Context of a model nobody asked a context for.

        Tiers by total video memory since v0.15.5 (ollama 0334ffa62, server/routes.go:2048-2057 at v0.33.0-rc2),
        4096 since v0.6.7, 2048 before.
        """
        if self.context_length > 0:
            return self.context_length
        if self.version_key < (0, 6, 7):
            return 2048
        if self.version_key < (0, 15, 5):
            return 4096
        total = memory_total_bytes - self.gpu_overhead_bytes
        if total >= 47 * GIBIBYTE:
            return 262144
        return 32768 if total >= 23 * GIBIBYTE else 4096

    def blob_path(self, digest: str) -> str:
        """Return where the file with this digest (64 hex digits) lies."""
        return f"{self.models_directory}/blobs/sha256-{digest}"
