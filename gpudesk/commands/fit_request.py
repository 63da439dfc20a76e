"""What was asked of the planner's commands, out of the options of the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpudesk.fit.values import LoadOptions

if TYPE_CHECKING:
    from gpudesk.arguments.planner_values import AskedModel
    from gpudesk.fit.values import EngineProfile
    from gpudesk.sources.model_metadata import FoundModel


@dataclass(frozen=True, slots=True)
class FitRequest:
    """What was typed."""

    models: tuple[AskedModel, ...]
    context_length: int | None = None
    parallel: int | None = None
    kv_cache_type: tuple[str, str] | None = None
    flash_attention: bool | None = None
    cards: tuple[str, ...] = ()
    memory: tuple[int, ...] = ()
    others: tuple[int, ...] = ()
    version: str | None = None
    explain: bool = False
    as_json: bool = False
    engine: str = "ollama"
    layers: int | None = None
    """`-ngl`."""
    batch: int | None = None
    """`-ub`."""
    fit: bool = True
    """llama-server's own `--fit`."""
    mmproj: str | None = None
    """A projector's file, or `none`; None takes one that lies beside a file and belongs to it."""

    @property
    def is_described(self) -> bool:
        """The cards are told instead of looked at."""
        return bool(self.cards or self.memory)


def request_from(given: Mapping[str, Any]) -> FitRequest:
    """Make the request of the options of the command line."""
    flash = {"on": True, "off": False}.get(given.get("flash_attention", "auto"))
    return FitRequest(
        models=tuple(given.get("models", ())),
        context_length=given.get("ctx"),
        parallel=given.get("parallel"),
        kv_cache_type=given.get("kv"),
        flash_attention=flash,
        cards=tuple(given.get("card", ())),
        memory=tuple(given.get("vram", ())),
        others=tuple(given.get("others", ())),
        version=given.get("engine_version"),
        explain=given.get("explain", False),
        as_json=given.get("json", False),
        engine=given.get("engine", "ollama"),
        layers=given.get("ngl"),
        batch=given.get("batch"),
        fit=given.get("fit", "on") != "off",
        mmproj=given.get("mmproj"),
    )


def load_options(request: FitRequest, asked: AskedModel, found: FoundModel, profile: EngineProfile) -> LoadOptions:
    """Return how a model would be loaded: as typed, else as its modelfile says, else as the engine is set."""
    context = asked.context_length or request.context_length or found.parameters.get("num_ctx") or None
    keys, values = request.kv_cache_type or (profile.kv_cache_type, profile.kv_cache_type)
    flash = request.flash_attention if request.flash_attention is not None else profile.flash_attention
    return LoadOptions(
        context_length=context,
        parallel=request.parallel,
        kv_cache_type_k=keys,
        kv_cache_type_v=values,
        flash_attention=flash,
        batch_size=request.batch or found.parameters.get("num_batch") or None,
        layers_on_gpu=request.layers if request.layers is not None else found.parameters.get("num_gpu"),
        draft=found.draft,
        lora=found.adapters,
    )
