"""`gpudesk fit`: whether models fit together, before anything is loaded."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TextIO

from gpudesk.commands.fit_request import load_options
from gpudesk.commands.planning_session import calibration_from, progress_on
from gpudesk.errors import ExitCode, UsageError
from gpudesk.fit.values import Verdict, Wanted
from gpudesk.planning.situation import Situation, described, of_desk

if TYPE_CHECKING:
    from gpudesk.arguments.planner_values import AskedModel
    from gpudesk.commands.fit_request import FitRequest
    from gpudesk.commands.planning_session import PlanningMeans
    from gpudesk.config.settings import Settings
    from gpudesk.domain.desk import Desk
    from gpudesk.domain.model import InstalledModel
    from gpudesk.fit.values import Plan
    from gpudesk.sources.model_metadata import FoundModel, ModelMetadataSource

SIBLINGS_MOST = 4
"""Other quantizations of a wanted model that are offered as alternatives."""


def run(request: FitRequest, means: PlanningMeans, out: TextIO) -> int:
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


def situation_of(request: FitRequest, means: PlanningMeans, desk: Desk | None) -> Situation:
    """Return what the plan is made against: the cards as told, else those of the desk."""
    situation = _situation(request, means, desk)
    if request.engine == "ollama":
        return situation
    from gpudesk.commands.fit_llama_server import options_of
    from gpudesk.fit.llama_server import profile

    # What Ollama holds stays where it is: a server of its own neither evicts nor shares it.
    engine = profile(options_of(request), version=request.version, backend=situation.profile.backend)
    return replace(situation, profile=engine, residents=())


def _situation(request: FitRequest, means: PlanningMeans, desk: Desk | None) -> Situation:
    reserve = means.settings.reserve_bytes
    if request.is_described or desk is None:
        return described(
            request.cards, request.memory, others=request.others, reserve_bytes=reserve, version=request.version,
            environment=os.environ,
        )  # fmt: skip
    return of_desk(desk, others=request.others, reserve_bytes=reserve, version=request.version, environment=os.environ)


def _plan(
    request: FitRequest,
    means: PlanningMeans,
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
        from gpudesk.output.desk_json import to_json
        from gpudesk.output.fit import document

        out.write(to_json(document(plan), indented=True) + "\n")
        return
    from gpudesk.commands.planning_session import style_of
    from gpudesk.output.fit import plan_lines

    style = style_of(out, settings)
    lines = plan_lines(plan, style, engine=situation.engine, banner=banner, explain=request.explain)
    out.write("\n".join(lines) + "\n")
