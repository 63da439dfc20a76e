"""`gpudesk fit`: whether models fit together, before anything is loaded."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TextIO

from gpudesk.commands.planning import Situation, described, of_desk
from gpudesk.errors import ExitCode, UsageError
from gpudesk.fit.values import LoadOptions, Verdict, Wanted

if TYPE_CHECKING:
    from pathlib import Path

    from gpudesk.config import Settings
    from gpudesk.domain.desk import Desk
    from gpudesk.domain.model import InstalledModel
    from gpudesk.fit.calibration import Calibration
    from gpudesk.fit.values import EngineProfile, Plan
    from gpudesk.planner_values import AskedModel
    from gpudesk.sources.model_metadata import FoundModel, ModelMetadataSource
    from gpudesk.workstation import Workstation

LOOK_SECONDS = 5.0
SIBLINGS_MOST = 4
"""Other quantizations of a wanted model that are offered as alternatives."""


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


@dataclass(frozen=True, slots=True)
class Means:
    """What the command works with; `build` makes it."""

    settings: Settings
    workstation: Callable[[], Workstation]
    """Opened only when the cards of this computer are meant."""
    metadata: Callable[[Workstation | None], ModelMetadataSource]
    points_directory: Path | None = None
    """Where measured points are kept; None takes none into account."""
    demo: bool = False
    """Names and cards are those of a simulation, which must run to tell about them."""

    @contextmanager
    def opened(self, request: FitRequest) -> Iterator[tuple[Workstation | None, Desk | None]]:
        """Open this computer and look at it once, unless the cards are told."""
        workstation = None if request.is_described and not self.demo else self.workstation()
        try:
            yield workstation, _look(workstation) if workstation is not None else None
        finally:
            if workstation is not None:
                workstation.close()


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


def run(request: FitRequest, means: Means, out: TextIO) -> int:
    """Plan, print, and return the exit code.

    Raises:
        UsageError: a model that is not installed, a card nobody knows.
        SourceError: no card, or nobody to tell about a model.
    """
    with means.opened(request) as (workstation, desk):
        situation = situation_of(request, means, desk)
        source = means.metadata(workstation)
        try:
            plan = _plan(request, means, situation, source, desk)
        finally:
            source.close()
        _print(plan, request, situation, out, means.settings, workstation.banner if workstation is not None else None)
    return exit_code(plan)


def exit_code(plan: Plan) -> int:
    """Return 0 when everything fits, 1 when something spills or does not fit."""
    return ExitCode.OK if plan.verdict in (Verdict.FITS, Verdict.TIGHT) else ExitCode.FAILED


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


def progress_on(stream: TextIO | None) -> Callable[[int, int], None] | None:
    """Return what tells on a terminal how far the reading of models is; None where nobody reads along."""
    if stream is None or not stream.isatty():
        return None

    def show(done: int, total: int) -> None:
        end = "\r" if done < total else "\r\x1b[K"
        stream.write(f"reading models {done} of {total}{end}")
        stream.flush()

    return show


def calibration_from(directory: Path | None) -> Calibration | None:
    """Read the measured points; what is wrong with their store is said on stderr."""
    if directory is None:
        return None
    from gpudesk import diagnostics
    from gpudesk.fit.calibration import Calibration
    from gpudesk.sources.calibration_store import CalibrationStore

    store = CalibrationStore(directory)
    points = store.read()
    if store.problem is not None:
        diagnostics.say(f"gpudesk: {store.problem}")
    return Calibration(points) if points else None


def _look(workstation: Workstation) -> Desk:
    from gpudesk.watch.poller import sample_once

    return sample_once(workstation.sources, workstation.clock, LOOK_SECONDS)


def situation_of(request: FitRequest, means: Means, desk: Desk | None) -> Situation:
    """Return what the plan is made against: the cards as told, else those of the desk."""
    situation = _situation(request, means, desk)
    if request.engine == "ollama":
        return situation
    from gpudesk.commands.fit_llama_server import options_of
    from gpudesk.fit.llama_server import profile

    # What Ollama holds stays where it is: a server of its own neither evicts nor shares it.
    engine = profile(options_of(request), version=request.version, backend=situation.profile.backend)
    return replace(situation, profile=engine, residents=())


def _situation(request: FitRequest, means: Means, desk: Desk | None) -> Situation:
    reserve = means.settings.reserve_bytes
    if request.is_described or desk is None:
        return described(
            request.cards, request.memory, others=request.others, reserve_bytes=reserve, version=request.version,
            environment=os.environ,
        )  # fmt: skip
    return of_desk(desk, others=request.others, reserve_bytes=reserve, version=request.version, environment=os.environ)


def _plan(
    request: FitRequest,
    means: Means,
    situation: Situation,
    source: ModelMetadataSource,
    desk: Desk | None,
) -> Plan:
    from gpudesk.fit.plan import plan

    installed = desk.installed if desk is not None and desk.installed else None
    found = source.find([asked.word for asked in request.models], installed, progress_on(sys.stderr))
    found = tuple(seeing(request, asked, each) for asked, each in zip(request.models, found, strict=True))
    wanted = [
        Wanted(each.name, each.metadata, load_options(request, asked, each, situation.profile), each.blob_digest)
        for asked, each in zip(request.models, found, strict=True)
    ]
    told: tuple[str, ...] = ()
    if request.engine != "ollama":
        from gpudesk.commands.fit_llama_server import served

        made, told = served(request, wanted, found, situation.cards, situation.profile)
        wanted = list(made)
    siblings = source.find_all(smaller_siblings(found, installed or ()))[0]
    others = [
        Wanted(each.name, each.metadata, load_options(request, request.models[0], each, situation.profile),
               each.blob_digest)
        for each in siblings
    ]  # fmt: skip
    result = plan(
        wanted,
        situation.cards,
        situation.profile,
        residents=situation.residents,
        calibration=calibration_from(means.points_directory),
        installed=others,
    )
    notes = (*situation.notes, *(note for each in found for note in each.notes), *told)
    return replace(result, notes=(*notes, *result.notes))


def seeing(request: FitRequest, asked: AskedModel, found: FoundModel) -> FoundModel:
    """Return a model of a file with its projector: the one that is named, else one that lies beside it.

    Raises:
        UsageError: a projector is named for what is no single file.
        SourceError: the named one cannot be read, or is none.
    """
    is_file = asked.word.lower().endswith(".gguf")
    if request.mmproj not in (None, "none") and (not is_file or len(request.models) > 1):
        raise UsageError("--mmproj goes with one .gguf file", "An installed model brings its own projector")
    if request.mmproj == "none" or not is_file or found.metadata.projector_tensors:
        return found
    from pathlib import Path

    from gpudesk.sources.gguf_files import read_model
    from gpudesk.sources.mmproj_files import Beside, beside

    path = Path(asked.word)
    by_hand = Beside(Path(request.mmproj)) if request.mmproj is not None else None
    taken = by_hand or beside(path, found.metadata.embedding_length)
    metadata = found.metadata if taken.path is None else read_model(path, projector=taken.path)
    return replace(found, metadata=metadata, notes=(*found.notes, *taken.notes))


def smaller_siblings(found: Sequence[FoundModel], installed: Sequence[InstalledModel]) -> list[InstalledModel]:
    """Return installed models of the same family and size in a smaller quantization."""
    by_name = {model.name: model for model in installed}
    siblings: dict[str, InstalledModel] = {}
    for each in found:
        own = by_name.get(each.name)
        if own is None or own.size_bytes is None:
            continue
        for model in installed:
            smaller = model.size_bytes is not None and model.size_bytes < own.size_bytes
            alike = (model.family, model.parameter_size) == (own.family, own.parameter_size)
            if smaller and alike and own.family is not None and model.quantization != own.quantization:
                siblings.setdefault(model.name, model)
    return sorted(siblings.values(), key=lambda model: -(model.size_bytes or 0))[:SIBLINGS_MOST]


def _print(
    plan: Plan, request: FitRequest, situation: Situation, out: TextIO, settings: Settings, banner: str | None
) -> None:
    if request.as_json:
        from gpudesk.fit_output import document
        from gpudesk.output import to_json

        out.write(to_json(document(plan), indented=True) + "\n")
        return
    from gpudesk.commands.planning import style_of
    from gpudesk.fit_output import plan_lines

    style = style_of(out, settings)
    lines = plan_lines(plan, style, engine=situation.engine, banner=banner, explain=request.explain)
    out.write("\n".join(lines) + "\n")
