"""Options of a request as the server reads them, and when a difference in them means a reload.

Source: ollama api/types.go:588 (`Runner`), :1004 (`FromMap`, whose error texts these are), server/sched.go:1381
(`needsReload`) at v0.33.0-rc2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

INTEGERS = frozenset(
    ("num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "num_keep", "seed", "num_predict", "top_k",
     "repeat_last_n", "draft_num_predict")
)  # fmt: skip
FLOATS = frozenset(
    ("top_p", "min_p", "typical_p", "temperature", "repeat_penalty", "presence_penalty", "frequency_penalty")
)
_MINIMUM_CONTEXT = 4
_MINIMUM_VISION_CONTEXT = 2048


class OptionError(ValueError):
    """An option of the wrong type; the server answers 500 with this text."""


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    """The options that belong to the runner, not to one generation."""

    num_ctx: int
    """Per slot, already limited to what the model was trained for."""
    num_ctx_auto: bool
    """Nobody asked for it: not the request, not the Modelfile, not OLLAMA_CONTEXT_LENGTH."""
    num_batch: int = 512
    num_batch_auto: bool = True
    num_gpu: int = -1
    main_gpu: int | None = None
    use_mmap: bool | None = None
    num_thread: int = 0
    draft_num_predict: int | None = None
    context_shift: bool = True
    embedding_batch: int | None = None
    """Of a model that only embeds: from the context asked for, before that is cut (ollama routes.go:151)."""

    def differs_from(self, loaded: RunnerOptions, *, remembers_automatic: bool) -> bool:
        """Tell whether a runner loaded with `loaded` must be started again to serve this request.

        Args:
            loaded: what the runner was started with.
            remembers_automatic: this server knows which values nobody had asked for, and lets them be; older ones
                compare the numbers.
        """
        wanted = self
        if remembers_automatic:
            if loaded.num_ctx_auto and wanted.num_ctx_auto:
                wanted = replace(wanted, num_ctx=loaded.num_ctx)
            if loaded.num_batch_auto and wanted.num_batch_auto:
                wanted = replace(wanted, num_batch=loaded.num_batch)
            if wanted.use_mmap is None:
                wanted = replace(wanted, use_mmap=loaded.use_mmap)
        if wanted.num_gpu < 0:
            wanted = replace(wanted, num_gpu=loaded.num_gpu)
        return wanted._key() != loaded._key()

    def _key(self) -> tuple[object, ...]:
        return (
            self.num_ctx, self.num_batch, self.num_gpu, self.main_gpu, self.use_mmap, self.num_thread,
            self.draft_num_predict, self.context_shift, self.embedding_batch,
        )  # fmt: skip


def check_types(options: Mapping[str, object]) -> None:
    """Refuse known options of the wrong type; unknown names are ignored, as the server only logs them."""
    for name, value in options.items():
        if value is None:
            continue
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if name in INTEGERS and not number:
            raise OptionError(f'option "{name}" must be of type integer')
        if name in FLOATS and not number:
            raise OptionError(f'option "{name}" must be of type float32')
        if name == "use_mmap" and not isinstance(value, bool):
            raise OptionError(f'option "{name}" must be of type boolean')
        if name == "stop":
            if not isinstance(value, list):
                raise OptionError(f'option "{name}" must be of type array')
            if not all(isinstance(item, str) for item in value):
                raise OptionError(f'option "{name}" must be of an array of strings')


def _integer(options: Mapping[str, object], name: str) -> int | None:
    value = options.get(name)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


@dataclass(frozen=True, slots=True)
class Defaults:
    """What applies where neither the request nor the Modelfile says anything, and the limits of the model."""

    context: int
    context_is_automatic: bool
    """Nobody set that default, so that the server may change it."""
    trained_context: int | None
    """The most a model takes; None before v0.9.3, which did not limit it."""
    vision: bool
    """The model sees, and needs at least 2048."""
    embedding: bool
    """The model only embeds, and gets its context as one batch."""
    context_shift: bool = True


def read_options(requested: Mapping[str, object], modelfile: Mapping[str, object], defaults: Defaults) -> RunnerOptions:
    """Merge defaults, Modelfile and request, in that order of strength.

    Raises:
        OptionError: a known option has the wrong type.
    """
    check_types(requested)
    merged = {**modelfile, **{name: value for name, value in requested.items() if value is not None}}
    asked = _integer(merged, "num_ctx")
    context = max(_MINIMUM_CONTEXT, defaults.context if asked is None else asked)
    if defaults.vision:
        context = max(context, _MINIMUM_VISION_CONTEXT)
    embedding_batch = min(2048, context) if defaults.embedding and _integer(merged, "num_batch") is None else None
    if defaults.trained_context is not None:
        context = min(context, defaults.trained_context)
    batch = _integer(merged, "num_batch")
    gpu = _integer(merged, "num_gpu")
    mmap = merged.get("use_mmap")
    return RunnerOptions(
        num_ctx=context,
        num_ctx_auto=asked is None and defaults.context_is_automatic,
        num_batch=batch if batch is not None else (min(2048, context) if defaults.embedding else 512),
        num_batch_auto=batch is None and not defaults.embedding,
        num_gpu=-1 if gpu is None else gpu,
        main_gpu=_integer(merged, "main_gpu"),
        use_mmap=mmap if isinstance(mmap, bool) else None,
        num_thread=_integer(merged, "num_thread") or 0,
        draft_num_predict=_integer(merged, "draft_num_predict"),
        context_shift=defaults.context_shift,
        embedding_batch=embedding_batch,
    )
