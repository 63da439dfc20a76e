"""`gpudesk suggest`: which installed models fit together, one per role."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

from gpudesk.commands.fit import situation_of
from gpudesk.commands.fit_request import FitRequest, load_options
from gpudesk.commands.planning_session import PlanningMeans, calibration_from, progress_on
from gpudesk.errors import ExitCode, UsageError
from gpudesk.fit.values import Verdict, Wanted
from gpudesk.output.columns import wrapped
from gpudesk.units import gibibytes

if TYPE_CHECKING:
    from gpudesk.domain.desk import Desk
    from gpudesk.fit.roles import Candidate
    from gpudesk.fit.suggest import Suggestion
    from gpudesk.output.desk_json import Value
    from gpudesk.output.status_text import Style
    from gpudesk.planning.situation import Situation
    from gpudesk.sources.model_metadata import ModelMetadataSource

SCHEMA_VERSION = 1


def run(roles: tuple[str, ...], request: FitRequest, means: PlanningMeans, out: TextIO) -> int:
    """Rank the sets, print them, and return the exit code: 0 when at least one fits.

    Raises:
        UsageError: no installed model can do a role.
        SourceError: no card, or nobody to tell about the models.
    """
    from gpudesk.fit.suggest import missing_roles, suggest
    from gpudesk.output import diagnostics

    with means.opened(request) as (workstation, desk):
        situation = situation_of(request, means, desk)
        source = means.metadata(workstation)
        try:
            candidates, failures = _candidates(request, situation, source, desk)
        finally:
            source.close()
        for failure in failures:
            diagnostics.say(f"gpudesk: left out {failure}")
        missing = missing_roles(candidates, roles)
        if missing:
            raise UsageError(
                f"none of the {len(candidates)} installed models is for {' or '.join(missing)}",
                "Download one, for example: ollama pull nomic-embed-text" if "embed" in missing else None,
            )
        found = suggest(
            candidates, roles, situation.cards, situation.profile, residents=situation.residents,
            calibration=calibration_from(means.points_directory),
        )  # fmt: skip
        banner = workstation.banner if workstation is not None else None
    if request.as_json:
        from gpudesk.output.desk_json import to_json

        out.write(to_json(suggest_document(roles, found), indented=True) + "\n")
    else:
        from gpudesk.commands.planning_session import style_of

        style = style_of(out, means.settings)
        out.write("\n".join(suggestion_lines(found, style, banner=banner, notes=situation.notes)) + "\n")
    good = any(each.verdict in (Verdict.FITS, Verdict.TIGHT) for each in found)
    return ExitCode.OK if good else ExitCode.FAILED


def suggest_document(roles: tuple[str, ...], found: tuple[Suggestion, ...]) -> dict[str, Value]:
    """Build the JSON document."""
    return {
        "schema_version": SCHEMA_VERSION,
        "roles": list(roles),
        "suggestions": [
            {
                "verdict": each.verdict.value,
                "models": [
                    {
                        "role": choice.role,
                        "name": choice.name,
                        "context_length": choice.context_length,
                        "reason": choice.reason,
                    }
                    for choice in each.choices
                ],
                "total_bytes": each.total_bytes,
                "free_bytes": each.free_bytes,
                "reasons": list(each.reasons),
            }
            for each in found
        ],
    }


def suggestion_lines(
    found: tuple[Suggestion, ...], style: Style, *, banner: str | None = None, notes: tuple[str, ...] = ()
) -> list[str]:
    """Write the sets as text, the best first."""
    lines = wrapped(banner.split(", "), style.width) if banner else []
    lines += notes
    if not found:
        lines.append("no card to put anything on")
    for number, each in enumerate(found, 1):
        if lines:
            lines.append("")
        sizes = f"{gibibytes(each.total_bytes)}, {gibibytes(each.free_bytes)} left"
        lines.append(style.heading(f"{number}. {each.verdict.value}: {sizes}"))
        widest = max(len(choice.role) for choice in each.choices)
        for choice in each.choices:
            lines.append(f"   {choice.role:<{widest}}  {choice.name}@{choice.context_length}  {choice.reason}")
        lines += [f"   {reason}" for reason in each.reasons]
    return [style.plain(line).rstrip() for line in lines]


def _candidates(
    request: FitRequest, situation: Situation, source: ModelMetadataSource, desk: Desk | None
) -> tuple[list[Candidate], tuple[str, ...]]:
    """Return every installed model that can be planned with, and in words why others cannot."""
    from gpudesk.arguments.planner_values import AskedModel
    from gpudesk.fit.roles import Candidate

    installed = desk.installed if desk is not None and desk.installed else source.listing()
    found, failures = source.find_all(installed, progress_on(sys.stderr))
    candidates = []
    for each in found:
        options = load_options(request, AskedModel(each.name), each, situation.profile)
        wanted = Wanted(each.name, each.metadata, options, each.blob_digest)
        candidates.append(Candidate(wanted, each.capabilities, options.context_length is not None))
    return candidates, failures
