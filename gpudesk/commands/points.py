"""`gpudesk points show|export|forget`: the measured loads that correct the estimates."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from gpudesk.errors import ExitCode
from gpudesk.paths import shortened
from gpudesk.sources.calibration_store import CalibrationStore
from gpudesk.units import MEBIBYTE

if TYPE_CHECKING:
    from pathlib import Path

    from gpudesk.fit.points import MeasuredPoint

SCHEMA_VERSION = 1


def run(what: str, data_directory: Path, out: TextIO) -> int:
    """Run one of `show`, `export` and `forget`; 1 when the store could not be used."""
    store = CalibrationStore(data_directory)
    if what == "forget":
        count = store.forget()
        out.write(f"{count} measured point{'' if count == 1 else 's'} forgotten\n")
    elif what == "export":
        from gpudesk.output.desk_json import to_json

        points = store.read()
        out.write(
            to_json({"schema_version": SCHEMA_VERSION, "points": [dict(p.to_row()) for p in points]}, indented=True)
            + "\n"
        )
    else:
        out.write("\n".join(_lines(store)) + "\n")
    if store.problem is not None:
        from gpudesk.output import diagnostics

        diagnostics.say(f"gpudesk: {store.problem}")
        return ExitCode.FAILED
    return ExitCode.OK


def _lines(store: CalibrationStore) -> list[str]:
    from gpudesk.fit.calibration import LEAST_POINTS, Calibration
    from gpudesk.fit.values import EngineProfile

    points = store.read()
    lines = [f"{len(points)} measured point{'' if len(points) == 1 else 's'} in {shortened(store.path)}"]
    calibration = Calibration(points)
    groups: dict[tuple[str, str, str, str], list[MeasuredPoint]] = {}
    for point in points:
        told = point.conditions
        groups.setdefault((told.card_name, told.backend, told.engine_kind, told.era.value), []).append(point)
    for (card, backend, kind, _), group in groups.items():
        profile = EngineProfile(kind=kind, era=group[0].conditions.era, backend=backend)
        found = calibration.correction(card, profile)
        versions = sorted({point.conditions.engine_version or "unknown" for point in group})
        said = (
            f"overhead {found.overhead_shift_bytes / MEBIBYTE:+.0f} MiB, compute x {found.compute_ratio:.2f}, from "
            f"{found.points} different loads"
            if found.points
            else f"nothing is corrected before {LEAST_POINTS} different loads agree"
        )
        lines += [f"  {card}, {kind} {', '.join(versions)}: {len(group)} of them", f"    {said}"]
    return lines
