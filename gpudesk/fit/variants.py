"""Which files are one model in different quantizations, and which are other sizes of it, told by name and shape.

Names follow no rule. What says only how large a file or model is (`q4_K_M`, `14b`, `gguf`) and what most names leave
out (`instruct`, `latest`) is passed over; every other word (`coder`, `mtp`, `thinking`, `2507`) makes it another one.
"""

from __future__ import annotations

import re
from functools import lru_cache

from gpudesk.fit.values import Wanted

_QUANTIZATION = re.compile(
    r"[-._:](?:ud-)?(?:i?q\d\w*|tq\d\w*|bf16|fp16|fp32|f16|f32|mxfp4\w*|nvfp4|fp8|qat|imat|i1|gguf)(?=$|[-._:])"
)
_SIZE = re.compile(r"(?:\d+x)?\d+(?:\.\d+)?[bm]|[ae]\d+(?:\.\d+)?b")
_USUAL = frozenset(("latest", "instruct", "it", "chat", ""))


@lru_cache(maxsize=4096)
def words_of(name: str) -> tuple[str, frozenset[str]]:
    """Return who published a model, and the words that tell which one it is: `qwen2.5`, `coder`."""
    owner, _, last = name.lower().rpartition("/")
    bare = last.removesuffix(".gguf")
    while (shorter := _QUANTIZATION.sub("", bare)) != bare:
        bare = shorter
    words = re.split(r"[-:_ ]", bare)
    return owner, frozenset(word for word in words if word not in _USUAL and not _SIZE.fullmatch(word))


def same_model(one: Wanted, other: Wanted) -> bool:
    """Tell whether two files are one model in different quantizations."""
    return words_of(one.name) == words_of(other.name) and same_shape(one, other)


def same_shape(one: Wanted, other: Wanted) -> bool:
    """Tell whether two models have the same number of weights of each kind, as variants of one model have."""
    a, b = one.metadata, other.metadata
    return (
        a.architecture, a.layer_count, a.embedding_length, a.vocabulary_size, a.expert_count, a.feed_forward_length,
    ) == (
        b.architecture, b.layer_count, b.embedding_length, b.vocabulary_size, b.expert_count, b.feed_forward_length,
    )  # fmt: skip


def other_size(one: Wanted, other: Wanted) -> bool:
    """Tell whether two models are different sizes of one family, whoever published them."""
    return words_of(one.name)[1] == words_of(other.name)[1] and not same_shape(one, other)
