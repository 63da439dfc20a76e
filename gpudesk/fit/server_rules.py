"""What an Ollama version makes of a request before it looks at memory: context, slots, batch, and its own prediction.

Source: ollama server/sched.go:170-177, 495-509, 527-560, 822-905, server/routes.go:2048-2057,
llm/llama_server.go:2681 (`PredictServerVRAM`) at v0.33.0-rc2; default contexts: 0334ffa62 (v0.15.5); slots: 20c3266e9
(v0.9.7).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from gpudesk.domain.engine import Era
from gpudesk.fit.identity import ByIdentity
from gpudesk.fit.metadata import ModelMetadata
from gpudesk.fit.tensor_sizes import total_bytes
from gpudesk.fit.values import CardBudget, EngineProfile, LoadOptions
from gpudesk.fit.weights import weights
from gpudesk.records import dataclass
from gpudesk.units import GIBIBYTE, MEBIBYTE

SINGLE_SLOT = frozenset(
    ("mllama", "qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe", "qwen3next", "lfm2", "lfm2moe", "nemotron_h",
     "nemotron_h_moe", "nemotron_h_omni")
)  # fmt: skip
"""Architectures that get one slot whatever OLLAMA_NUM_PARALLEL says (sched.go:504-509)."""
FLASH_BY_DEFAULT = frozenset(("gemma3", "gptoss", "gpt-oss", "qwen3", "qwen3moe"))
"""Architectures with flash attention by default before llama-server (from v0.12.4)."""
OLLAMA_ENGINE = frozenset(
    ("gemma3", "gemma3n", "gptoss", "gpt-oss", "mistral3", "qwen25vl", "qwen3", "qwen3moe", "llama4")
)
"""Architectures that Ollama's own engine ran, which told what it had allocated from v0.11.11 on (eb10390de)."""
SINGLE_SLOT_DEFAULT = (0, 9, 7)
"""From this version a server that nobody gave a number of slots has one."""
MINIMUM_CONTEXT = 4
MINIMUM_VISION_CONTEXT = 2048
_NEWEST = (99, 0, 0)
_ERA_VERSIONS = {Era.ESTIMATE: (0, 12, 10), Era.LAYOUT: (0, 24, 0), Era.LLAMA_SERVER: _NEWEST}


@dataclass(frozen=True, slots=True)
class Served:
    """What the server makes of a request."""

    context_length: int
    """Per slot."""
    context_is_automatic: bool
    parallel: int
    batch_size: int
    batch_is_automatic: bool
    flash_attention: bool
    notes: tuple[str, ...] = ()

    @property
    def context_total(self) -> int:
        """Cells of all slots."""
        return self.context_length * self.parallel


def version_key(profile: EngineProfile) -> tuple[int, int, int]:
    """Return the version as numbers; when it is unknown, the last one of the era."""
    return _version_key(profile.version, profile.era)


@lru_cache(maxsize=64)
def _version_key(version: str | None, era: Era) -> tuple[int, int, int]:
    parts = (version or "").lstrip("v").split("-")[0].split("+")[0].split(".")
    numbers = [int(part) for part in parts[:3] if part.isascii() and part.isdecimal()]
    if len(numbers) < 2 or not any(numbers):
        return _ERA_VERSIONS[era]
    padded = [*numbers, 0, 0][:3]
    return padded[0], padded[1], padded[2]


def is_estimated(metadata: ModelMetadata, profile: EngineProfile) -> bool:
    """Tell whether this server decides by an estimate made before the load."""
    if profile.era is not Era.ESTIMATE:
        return False
    return version_key(profile) < (0, 11, 11) or metadata.architecture not in OLLAMA_ENGINE


def is_embedding(metadata: ModelMetadata) -> bool:
    """Tell whether the model only embeds: its file names a pooling type (ollama server/images.go:171)."""
    return metadata.pooling_type is not None


def sees(metadata: ModelMetadata) -> bool:
    """Tell whether the model takes pictures."""
    return bool(metadata.vision_block_count or metadata.projector_tensors or metadata.projector_bytes)


def automatic_context(profile: EngineProfile, cards: Sequence[CardBudget]) -> int:
    """Return the context of a model nobody asked a context for.

    2048 to v0.6.6, 4096 to v0.15.4, since then by the cards' total memory (routes.go:2048-2057).
    """
    key = version_key(profile)
    if key < (0, 6, 7):
        return 2048
    if key < (0, 15, 5):
        return 4096
    total = sum(card.memory_total_bytes - profile.gpu_overhead_bytes for card in cards)
    if total >= 47 * GIBIBYTE:
        return 262144
    return 32768 if total >= 23 * GIBIBYTE else 4096


def default_parallel(version: str | None, era: Era) -> int:
    """Return how many slots a server has that nobody told a number: 1 since v0.9.7; before, 0: it chooses."""
    return 1 if _version_key(version, era) >= SINGLE_SLOT_DEFAULT else 0


def slots(metadata: ModelMetadata, options: LoadOptions, profile: EngineProfile) -> int:
    """Return how many slots the model gets. A `parallel` of 0 in the profile is a server where nobody set it.

    Before v0.9.7 it then tries several (2 from v0.6.8 on, 4 before) and takes one where they do not fit.
    """
    if is_embedding(metadata) or metadata.architecture in SINGLE_SLOT:
        return 1
    if options.parallel is not None:
        return max(1, options.parallel)
    if profile.parallel > 0:
        return profile.parallel
    key = version_key(profile)
    return 1 if key >= SINGLE_SLOT_DEFAULT else 2 if key >= (0, 6, 8) else 4


def flash_attention(metadata: ModelMetadata, options: LoadOptions, profile: EngineProfile) -> bool:
    """Tell whether the server turns flash attention on."""
    wanted = options.flash_attention if options.flash_attention is not None else profile.flash_attention
    if wanted is not None:
        return wanted
    if profile.era is Era.LLAMA_SERVER:
        return True
    return version_key(profile) >= (0, 12, 4) and metadata.architecture in FLASH_BY_DEFAULT


def served(
    metadata: ModelMetadata, options: LoadOptions, profile: EngineProfile, cards: Sequence[CardBudget]
) -> Served:
    """Return context, slots and batch as the server sets them, before it knows how much is free."""
    key = version_key(profile)
    notes: list[str] = []
    asked = options.context_length if options.context_length is not None else profile.default_context
    automatic = asked is None
    context = max(MINIMUM_CONTEXT, automatic_context(profile, cards) if asked is None else asked)
    said = f"nobody asks for a context, so Ollama takes {context}" if automatic else ""
    if sees(metadata) and key >= (0, 6, 4) and context < MINIMUM_VISION_CONTEXT:
        context = MINIMUM_VISION_CONTEXT
        notes.append(f"a model with vision gets a context of at least {MINIMUM_VISION_CONTEXT}")
    trained = metadata.context_length_trained
    if trained is not None and context > trained and key >= (0, 9, 3):
        context = trained
        limit = f"limited to the {trained} tokens the model was trained for"
        notes.append(f"nobody asks for a context: {limit}" if automatic else limit)
    elif said:
        notes.append(said)
    parallel = slots(metadata, options, profile)
    wanted = options.parallel if options.parallel is not None else profile.parallel
    if parallel == 1 < wanted:
        notes.append(f"Ollama gives {metadata.architecture} one slot, whatever OLLAMA_NUM_PARALLEL says")
    embeds = is_embedding(metadata) and profile.era is Era.LLAMA_SERVER
    batch = options.batch_size or (min(2048, context) if embeds else 512)
    return Served(
        context_length=context,
        context_is_automatic=automatic,
        parallel=parallel,
        batch_size=batch,
        batch_is_automatic=not options.batch_size and not is_embedding(metadata),
        flash_attention=flash_attention(metadata, options, profile),
        notes=tuple(notes),
    )


def file_bytes(metadata: ModelMetadata) -> int:
    """Return the size of the weights file; when it is unknown, of its tensors, an embedded projector's included."""
    return metadata.file_bytes if metadata.file_bytes is not None else _tensors_bytes(metadata)


def _listed_bytes(metadata: ModelMetadata) -> int:
    embedded = metadata.projector_tensors if metadata.projector_bytes is None else ()
    return weights(metadata).listed_bytes + total_bytes(embedded)


_tensors_bytes = ByIdentity(_listed_bytes)


def predicted_bytes(metadata: ModelMetadata, context_total: int, file_size: int | None = None) -> int:
    """Return what Ollama with llama-server predicts: the file and a rough KV cache (`PredictServerVRAM`).

    It ignores KV quantization, windows, latent attention, key_length, compute buffers and the projector's own file.
    """
    size = file_bytes(metadata) if file_size is None else file_size
    return size + _cell_bytes(metadata) * context_total


def _predicted_cell(metadata: ModelMetadata) -> int:
    heads = max(metadata.head_count, default=1) or 1
    return 2 * metadata.layer_count * _least_heads_kv(metadata) * (metadata.embedding_length // heads) * 2


_cell_bytes = ByIdentity(_predicted_cell)


def _least_heads_kv(metadata: ModelMetadata) -> int:
    """Return `HeadCountKVMin`: the least of an array, where 0 (a layer without attention) counts as 1.

    Where attention comes at an interval, the file has one number for all layers, and the zeros are not from there.
    """
    heads = metadata.head_count_kv
    if metadata.full_attention_interval:
        heads = tuple(count for count in heads if count)
    return max(1, min(heads, default=1))


def batch_surcharge(batch_size: int) -> int:
    """Return what the server adds for a large batch of a model that generates (sched.go `generationBatchSurcharge`)."""
    if batch_size >= 2048:
        return 2 * GIBIBYTE
    return 768 * MEBIBYTE if batch_size >= 1024 else 0


def automatic_batch(context_total: int, predicted: int, free: Sequence[int], *, flash: bool) -> int:
    """Return the batch the server picks when nobody asked for one (sched.go:822-905)."""
    if not flash and free:
        return 256 if context_total > 4096 and min(free) <= 8 * GIBIBYTE else 512
    batch = 2048 if context_total > 32768 else 1024 if context_total > 4096 else 512
    available = sum(free)
    while batch > 512:
        headroom = available * (60 if batch >= 2048 else 75) // 100
        if not available or (predicted <= headroom and predicted + batch_surcharge(batch) <= available * 80 // 100):
            break
        batch //= 2
    return batch
