"""`gpudesk tiers`: what fits which card."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

from gpudesk.commands.fit_request import FitRequest, load_options
from gpudesk.commands.planning_session import PlanningMeans, calibration_from, progress_on
from gpudesk.errors import ExitCode, SourceError
from gpudesk.fit.tiers import SMALL_MODEL_GB, TIERS, Tier, TierModel, tier_of, tiers
from gpudesk.fit.values import Verdict, Wanted
from gpudesk.output.columns import Column, table, wrapped
from gpudesk.units import UNKNOWN, gibibytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpudesk.fit.values import EngineProfile
    from gpudesk.output.desk_json import Value
    from gpudesk.sources.model_metadata import FoundModel, ModelMetadataSource

SCHEMA_VERSION = 1
_COMMON = frozenset(label for label, _, _ in TIERS)

CONTEXTS_MOST = 12
"""Models for which the longest context is looked for, when they are named: each tier needs its own search."""

_TIER_COLUMNS = (Column("tier"), Column("card", rank=2), Column("7B Q4", right=True), Column("article value", rank=1))
_CARD_COLUMNS = (Column("card"), Column("memory", right=True, rank=1), Column("7B Q4", right=True))
_MODEL_COLUMNS = (
    Column("tier"), Column("verdict"), Column("takes", right=True), Column("longest context", right=True, rank=1),
)  # fmt: skip


_WORDS = {Verdict.FITS: "fits", Verdict.TIGHT: "tight", Verdict.SPILLS: "spills", Verdict.DOES_NOT_FIT: "no"}


def run(request: FitRequest, means: PlanningMeans, out: TextIO) -> int:
    """Plan each model alone on each tier, print, and return the exit code.

    Without names, the installed models are planned; where nobody tells what is installed, the table of cards alone is
    printed.

    Raises:
        UsageError: a model that is not installed, a card nobody knows.
        SourceError: nobody to tell about a model that was named.
    """
    from gpudesk.planning.situation import profile_of

    workstation = means.workstation() if means.demo else None
    try:
        source = means.metadata(workstation)
        try:
            found, notes = _found(request, source)
        finally:
            source.close()
        banner = workstation.banner if workstation is not None else None
    finally:
        if workstation is not None:
            workstation.close()
    asked: list[str | int] = [*request.cards, *request.memory]
    rows = tuple({row[0]: row for row in [tier_of(card) for card in asked]}.values()) or TIERS
    profile = profile_of(request.version, os.environ)
    result = tiers(
        [_wanted(request, number, each, profile) for number, each in enumerate(found)],
        profile,
        reserve_bytes=means.settings.reserve_bytes,
        calibration=calibration_from(means.points_directory) if found else None,
        contexts=0 < len(request.models) <= CONTEXTS_MOST,
        rows=rows,
    )
    if request.as_json:
        from gpudesk.output.desk_json import to_json

        out.write(to_json(tiers_document(result, notes), indented=True) + "\n")
        return ExitCode.OK
    from gpudesk.commands.planning_session import style_of

    style = style_of(out, means.settings)
    lines = wrapped(banner.split(", "), style.width) if banner else []
    lines += tiers_lines(result, notes, width=style.width)
    out.write("\n".join(style.plain(line) for line in lines) + "\n")
    return ExitCode.OK


def _found(request: FitRequest, source: ModelMetadataSource) -> tuple[tuple[FoundModel, ...], tuple[str, ...]]:
    """Return the models to plan, and what could not be."""
    if request.models:
        return source.find([asked.word for asked in request.models], None, progress_on(sys.stderr)), ()
    try:
        installed = source.listing()
    except SourceError as error:
        return (), (f"no installed models: {error.message}", "name a model or a .gguf file: gpudesk tiers MODEL")
    found, failures = source.find_all(installed, progress_on(sys.stderr))
    return found, tuple(f"left out {failure}" for failure in failures)


def _wanted(request: FitRequest, number: int, found: FoundModel, profile: EngineProfile) -> Wanted:
    from gpudesk.arguments.planner_values import AskedModel

    asked = request.models[number] if request.models else AskedModel(found.name)
    return Wanted(found.name, found.metadata, load_options(request, asked, found, profile), found.blob_digest)


def tiers_lines(result: Sequence[Tier], notes: Sequence[str] = (), *, width: int = 100) -> list[str]:
    """Write the table of cards, then one table per model where the longest context is known, else one for all."""
    lines = _cards(result, width)
    lines.append("")
    lines.append(
        f"7B Q4: how many by the rule of thumb, {SMALL_MODEL_GB} GB times 1.18 each; a published table is lower"
    )
    models = result[0].models if result else ()
    if models:
        lines.append("models: alone on the card; where no context is named, with the one that Ollama chooses there")
    if any(model.longest_context is not None for tier in result for model in tier.models):
        for number, model in enumerate(models):
            lines += ["", model.name]
            lines += table(_MODEL_COLUMNS, [_model_row(tier, tier.models[number]) for tier in result], width)
    elif models:
        columns = (Column("model"), *(Column(tier.label, rank=1) for tier in result))
        matrix = [
            (model.name, *(_WORDS[tier.models[number].verdict] for tier in result))
            for number, model in enumerate(models)
        ]
        lines += ["", *table(columns, matrix, width)]
    return [*lines, *(["", *notes] if notes else [])]


def _cards(result: Sequence[Tier], width: int) -> list[str]:
    """Write the table of sizes with a card that stands for each; cards that were asked for stand for themselves."""
    if all(tier.label not in _COMMON for tier in result):
        own = [
            (tier.label, gibibytes(sum(card.memory_total_bytes for card in tier.cards)), str(tier.small_models))
            for tier in result
        ]
        return table(_CARD_COLUMNS, own, width)
    rows = [
        (tier.label, tier.cards[0].name if tier.cards else UNKNOWN, str(tier.small_models), tier.article or "")
        for tier in result
    ]  # fmt: skip
    return table(_TIER_COLUMNS, rows, width)


def _model_row(tier: Tier, model: TierModel) -> tuple[str, ...]:
    longest = str(model.longest_context) if model.longest_context is not None else ""
    return (tier.label, model.verdict.value, gibibytes(model.total_bytes), longest)


def tiers_document(result: Sequence[Tier], notes: Sequence[str] = ()) -> dict[str, Value]:
    """Build the JSON document."""
    return {
        "schema_version": SCHEMA_VERSION,
        "tiers": [
            {
                "label": tier.label,
                "nominal_gigabytes": tier.gigabytes,
                "cards": [{"name": card.name, "memory_total_bytes": card.memory_total_bytes} for card in tier.cards],
                "small_models": tier.small_models,
                "article_value": tier.article,
                "largest": tier.largest.name if tier.largest is not None else None,
                "models": [_model_value(model) for model in tier.models],
            }
            for tier in result
        ],
        "notes": list(notes),
    }


def _model_value(model: TierModel) -> dict[str, Value]:
    return {
        "name": model.name,
        "verdict": model.verdict.value,
        "fits": model.verdict in (Verdict.FITS, Verdict.TIGHT),
        "total_bytes": model.total_bytes,
        "longest_context": model.longest_context,
    }
