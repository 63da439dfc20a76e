"""Why somebody has to go, or may have to: one line each, with the figure it depends on."""

from __future__ import annotations

from collections.abc import Sequence

from gpudesk.actions.lookup import is_busy, is_pinned, runners
from gpudesk.actions.room import GOOD, Room
from gpudesk.actions.values import Load
from gpudesk.actions.wording import enumerated
from gpudesk.domain.desk import Desk, LoadedModel
from gpudesk.units import gibibytes


def why_room(loads: Sequence[Load], room: Room) -> list[str]:
    """Say why those chosen go: the engine's own rule where there is room for all, else what is missing."""
    before = room.before
    if not room.chosen:
        return []
    if before.verdict in (*GOOD, None) and before.would_evict:
        because = before.evicts_because or "by its own rules they do not go together"
        enough = "" if before.verdict is None else "there is memory enough, but "
        return [f"{enough}Ollama would make {enumerated(before.would_evict)} go: {because}"]
    if before.needs_bytes is None or before.available_bytes is None:
        return []
    takes = "takes" if len(loads) == 1 else "take"
    names = enumerated([load.name for load in loads])
    return [f"{names} {takes} {gibibytes(before.needs_bytes)}, and {gibibytes(before.available_bytes)} is free"]


def may_go(desk: Desk, room: Room) -> list[str]:
    """Say who may have to go where the cards cannot be seen; a pin is named, for it protects nobody there."""
    gone = {model.key for model in room.leaving}
    found: list[str] = []
    for name in room.forecast.may_evict:
        model = next((each for each in runners(desk.models) if each.name == name and each.key not in gone), None)
        if model is not None:
            words = ", ".join(_rank(desk, model, first=not found))
            found.append(f"{room.forecast.may_evict_because}: Ollama may evict {name} ({words})")
    return found


def _rank(desk: Desk, model: LoadedModel, *, first: bool) -> list[str]:
    words = ["pinned"] if is_pinned(desk, model) else []
    words.append("answering now" if is_busy(model, desk.taken_at) else "idle")
    return [*words, "leaves first" if first else "leaves next"]
