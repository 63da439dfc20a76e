"""What the planner's options may be, and what is said when one is not."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gpudesk.config.options import UnusableError, nearest
from gpudesk.quantities import parse_bytes
from gpudesk.text import clean

CONTEXT_MOST = 1 << 24
PARALLEL_MOST = 256
LAYERS_MOST = 1 << 20
BATCH_MOST = 1 << 16
CARDS_MOST = 64
MODELS_MOST = 64
MEMORY_MOST = 1 << 50
KV_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")
"""llama.cpp common/arg.cpp:305 at b10488."""
ROLES = ("chat", "code", "autocomplete", "embed", "rerank", "vision", "tools")

_CONTEXT = re.compile(r"([0-9]{1,9})([kKmM]?)")
_FILE = re.compile(r"\.(gguf|json)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AskedModel:
    """One model of the command line."""

    word: str
    """A name or a path."""
    context_length: int | None = None


def context_value(text: object) -> int:
    """Check a context: tokens, or `32k` for 32768."""
    match = _CONTEXT.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is not None:
        tokens = int(match[1]) << {"": 0, "k": 10, "m": 20}[match[2].lower()]
        if 1 <= tokens <= CONTEXT_MOST:
            return tokens
    raise UnusableError(f"a context: tokens from 1 to {CONTEXT_MOST}, such as 8192 or 32k")


def model_value(text: object) -> AskedModel:
    """Check `MODEL` or `MODEL@CONTEXT`; a path may have an `@` of its own, a name only before a digest."""
    if not isinstance(text, str) or not text.strip() or len(text) > 4096 or "\x00" in text:
        raise UnusableError("the name of a model or the path of a .gguf file")
    word, mark, context = text.strip().rpartition("@")
    if not mark or _FILE.search(context) or context.startswith("sha256:"):
        return AskedModel(text.strip())
    if not word:
        raise UnusableError("a model: its name comes before the @")
    try:
        return AskedModel(word, context_value(context))
    except UnusableError as error:
        raise UnusableError(f"usable: after the @ comes {error}") from error


def parallel_value(text: object) -> int:
    """Check a number of slots."""
    if isinstance(text, str) and text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= PARALLEL_MOST:
        return int(text)
    raise UnusableError(f"a number of slots from 1 to {PARALLEL_MOST}")


def layers_value(text: object) -> int:
    """Check a number of layers."""
    if isinstance(text, str) and text.isascii() and text.isdecimal() and int(text[:9]) <= LAYERS_MOST:
        return int(text)
    raise UnusableError(f"a number of layers from 0 to {LAYERS_MOST}")


def batch_value(text: object) -> int:
    """Check the size of a batch."""
    if isinstance(text, str) and text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= BATCH_MOST:
        return int(text)
    raise UnusableError(f"a batch: tokens from 1 to {BATCH_MOST}")


def kv_value(text: object) -> tuple[str, str]:
    """Check the type of the KV cache: one for both, or `keys/values`."""
    words = text.lower().split("/") if isinstance(text, str) else []
    for word in words:
        if word not in KV_TYPES:
            close = nearest(word, KV_TYPES)
            hint = f", perhaps {close}" if close else ""
            raise UnusableError(f"a type of the KV cache{hint}: one of {', '.join(KV_TYPES)}, or keys/values")
    if len(words) not in (1, 2):
        raise UnusableError(f"a type of the KV cache: one of {', '.join(KV_TYPES)}, or keys/values")
    return words[0], words[-1]


def memory_value(text: object) -> tuple[int, ...]:
    """Check the memory of one card, or of several with commas."""
    words = text.split(",") if isinstance(text, str) else []
    sizes = [parse_bytes(word) for word in words]
    good = [size for size in sizes if size is not None and 0 < size <= MEMORY_MOST]
    if not good or len(good) != len(sizes) or len(good) > CARDS_MOST:
        raise UnusableError('the memory of a card such as "24GiB", with commas for several')
    return tuple(good)


def others_value(text: object) -> tuple[int, ...]:
    """Check what other programs hold: on every card, or per card with commas."""
    words = text.split(",") if isinstance(text, str) else []
    sizes = [parse_bytes(word) for word in words]
    good = [size for size in sizes if size is not None and size <= MEMORY_MOST]
    if not good or len(good) != len(sizes) or len(good) > CARDS_MOST:
        raise UnusableError('a size such as "1.2GiB", with commas for one per card')
    return tuple(good)


def version_value(text: object) -> str:
    """Check a version of Ollama."""
    from gpudesk.domain.engine import era_of

    if not isinstance(text, str) or era_of(text) is None or len(text) > 64:
        raise UnusableError("a version of Ollama such as 0.12.6 or 0.33.0")
    return text.strip().lstrip("v")


def roles_value(text: object) -> tuple[str, ...]:
    """Check a list of roles."""
    words = [word.strip().lower() for word in text.split(",")] if isinstance(text, str) else []
    for word in words:
        if word not in ROLES:
            close = nearest(word, ROLES)
            hint = f", perhaps {close}" if close else ""
            unknown = f"{clean(word, 40)} is no role" if word else "a role is missing"
            raise UnusableError(f"usable: {unknown}{hint}; the roles are {', '.join(ROLES)}")
    if len(words) > 6:
        raise UnusableError("at most six roles")
    return tuple(dict.fromkeys(words))
