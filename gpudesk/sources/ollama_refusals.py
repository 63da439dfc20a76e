"""What Ollama's error texts mean when a model should be loaded, unloaded, downloaded, deleted or derived."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.errors import EngineBusyError, FailureKind, NotInstalledError, OutOfMemoryError, SourceError
from gpudesk.text import clean

if TYPE_CHECKING:
    from gpudesk.sources.ollama_channel import StatusError

_OUT_OF_MEMORY = (
    "out of memory",
    "out of device memory",
    "cudamalloc failed",
    "hipmalloc failed",
    "failed to allocate",
    "unable to allocate",
    "allocation failed",
    "not enough memory",
    "insufficient memory",
    "vk_error_out_of_device_memory",
    "erroroutofmemory",
    "erroroutofdevicememory",
    "requires more system memory",
    "out-of-memory",
)
"""Lower case. ollama/ollama llm/status.go:85 at v0.33.0-rc2, and what older versions say: `requires more system memory`
(llm/server.go at v0.24.0), `unable to allocate CUDA0 buffer` and Vulkan's `ErrorOutOfDeviceMemory` (llama.cpp)."""
_ROOM = "Unload another model, take a smaller context or a smaller quantization"
_LOG = "Its log says more: `journalctl -u ollama`, or ~/.ollama/logs"
_HINTS = (
    ("timed out waiting for", "It made no headway any more; OLLAMA_LOAD_TIMEOUT of the server sets how long it waits"),
    ("incompatible with your version", "Update Ollama, or pull the model again"),
    ("newer version of ollama", "Update Ollama, then pull it again"),
    ("unable to load model", "The file may be damaged, or too new for this Ollama: pull it again, or update"),
    ("signal: killed", "Something killed its runner; on Linux that is mostly the system for want of main memory"),
)  # fmt: skip
_AGAIN = "Pull it again: it goes on where it ended"
_DOWNLOAD_HINTS = (
    ("newer version of ollama", "Update Ollama, then pull it again"),
    ("unauthorized", "The registry wants to know who asks: `ollama signin`, or the model is private"),
    ("no such host", "The server cannot look up the registry: check its network; behind a proxy it needs HTTPS_PROXY"),
    ("dial tcp", "The server cannot reach the registry: check its network; behind a proxy it needs HTTPS_PROXY"),
    ("proxyconnect", "The proxy of the server (HTTPS_PROXY) does not answer"),
    ("insecure protocol", "The registry is addressed by http; only https is asked"),
    ("not gguf", "Only models as GGUF can be pulled from there"),
    ("mlx", "This form of the model needs Apple's MLX; pull another tag"),
)
_DISK_FULL = ("no space left on device", "not enough space on the disk", "disk quota exceeded")
_SHOWN = 200


def is_out_of_memory(said: str) -> bool:
    """Tell whether an error text is about memory."""
    said = said.lower()
    mlx = said.startswith("model requires ") and " available" in said  # x/mlxrunner/client.go:297 at v0.33.0-rc2
    return mlx or any(text in said for text in _OUT_OF_MEMORY)


def in_words(error: StatusError, url: str, name: str, doing: str) -> SourceError:
    """Say what an error answer means for what was asked.

    Args:
        error: the answer.
        url: the engine's.
        name: the model it was about.
        doing: what was asked: `load`, `unload`, `delete`.
    """
    said = error.said
    if said is None or error.kind is FailureKind.DENIED or error.status == 407 or 300 <= error.status < 400:
        return error
    if is_out_of_memory(said):
        return OutOfMemoryError(FailureKind.FAILED, f"{url} has no room for {name}: {clean(said, _SHOWN)}", _ROOM)
    if error.status == 404:
        hint = "Check the spelling, or pull it first"
        return NotInstalledError(FailureKind.MISSING, f"{name} is not installed on {url}", hint)
    if error.status == 503:
        message = f"{url} is too busy to {doing} {name}: {clean(said, _SHOWN)}"
        return EngineBusyError(FailureKind.FAILED, message, "Try again when it has worked off what is waiting")
    if error.status == 499:
        return SourceError(FailureKind.FAILED, f"{url} gave up before {name} was done: {clean(said, _SHOWN)}", _LOG)
    lower = said.lower()
    known = (hint for text, hint in _HINTS if text in lower)
    advice = next(known, _LOG if error.status >= 500 else None)
    kind = FailureKind.INVALID if 400 <= error.status < 500 else FailureKind.FAILED
    return SourceError(kind, f"{url} would not {doing} {name}: {clean(said, _SHOWN)}", advice)


def download_failure(error: StatusError, url: str, name: str) -> SourceError:
    """Say why a download failed."""
    said = error.said
    if said is None or error.kind is FailureKind.DENIED or error.status == 407 or 300 <= error.status < 400:
        return error
    lower = said.lower()
    if "file does not exist" in lower and "manifest" in lower:
        hint = "Check the spelling and the tag: https://ollama.com/library lists what there is"
        return SourceError(FailureKind.MISSING, f"The registry has no model {name}", hint)
    if any(text in lower for text in _DISK_FULL):
        hint = "Free space where Ollama keeps its models (OLLAMA_MODELS), then pull it again: it goes on where it ended"
        return SourceError(FailureKind.FAILED, f"The disk of {url} is full: {clean(said, _SHOWN)}", hint)
    advice = next((hint for text, hint in _DOWNLOAD_HINTS if text in lower), _AGAIN)
    kind = FailureKind.INVALID if 400 <= error.status < 500 else FailureKind.FAILED
    return SourceError(kind, f"{url} could not download {name}: {clean(said, _SHOWN)}", advice)
