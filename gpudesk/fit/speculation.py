"""Whether an engine drafts tokens with a model's own prediction blocks (MTP, nextn), and what that takes.

Sources: llama.cpp common/common.cpp (`load_mtp`, `need_n_rs_seq`), common/common.h (`n_max`), common/speculative.cpp (a
second context of type MTP with a cache of its own), src/models/qwen35.cpp (`mtp_flags`: skipped unless asked for),
src/models/glm4-moe.cpp (kept in the file, not used) at b10566; builds up to b10068 load the blocks always. Ollama
server/routes.go (`modelOptions`: a model with such blocks drafts unless told otherwise) and api/types.go
(`DraftNumPredict`: 4) since it runs llama-server.
"""

from __future__ import annotations

from gpudesk.domain.engine import Era
from gpudesk.fit.architectures import canonical
from gpudesk.fit.kv_cache import KvLayout, padded
from gpudesk.fit.metadata import ModelMetadata
from gpudesk.fit.tensor_sizes import row_bytes
from gpudesk.fit.values import EngineProfile, LoadOptions

OLLAMA_DRAFTED_TOKENS = 4
LLAMA_CPP_DRAFTED_TOKENS = 3
FIRST_BUILD_THAT_SKIPS = 10566
"""At the latest; b10068 still loaded blocks that nothing used."""
NEVER_USED = frozenset(["glm4moe", "glm4", "bailingmoe2", "exaone-moe", "exaone4"])
"""Their blocks are kept in the file for later and never loaded."""
DRAFT_CACHE = "f16"
"""Type of the cache of drafts, whatever that of the model is."""


def drafted_tokens(metadata: ModelMetadata, options: LoadOptions, profile: EngineProfile) -> int:
    """Return how many tokens are drafted ahead, by the model's own blocks or by a model beside it; 0: none."""
    own = metadata.prediction_layers > 0 and canonical(metadata.architecture) not in NEVER_USED
    if profile.era is not Era.LLAMA_SERVER or not (own or options.draft is not None):
        return 0
    if options.drafted_tokens is not None:
        return options.drafted_tokens
    if profile.kind == "ollama":
        return OLLAMA_DRAFTED_TOKENS
    return LLAMA_CPP_DRAFTED_TOKENS if options.draft is not None else 0


def loads_prediction(metadata: ModelMetadata, profile: EngineProfile, drafted: int) -> bool:
    """Tell whether the tensors of the prediction blocks enter the cards."""
    if profile.era is not Era.LLAMA_SERVER:
        return True
    if canonical(metadata.architecture) in NEVER_USED:
        return False
    if drafted or profile.kind == "ollama":
        return True
    build = (profile.version or "").lstrip("b").split("-")[0]
    return build.isascii() and build.isdecimal() and int(build) < FIRST_BUILD_THAT_SKIPS


def prediction_cache_bytes(metadata: ModelMetadata, cache: KvLayout, streams: int) -> int:
    """Return the cache of the prediction blocks: full attention over all cells, with the heads of the model's own."""
    heads = max(metadata.head_count_kv, default=0)
    width = heads * metadata.key_length, heads * metadata.value_length
    if metadata.kv_lora_rank is not None:
        width = metadata.kv_lora_rank + (metadata.rope_dimension_count or 0), 0
    row = sum(row_bytes(DRAFT_CACHE, elements) for elements in width)
    return metadata.prediction_layers * row * padded(cache.cells) * streams
