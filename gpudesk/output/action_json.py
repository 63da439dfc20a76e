"""The JSON of the commands that change something: previews, outcomes, the journal. Its keys are a contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gpudesk.output.desk_json import timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpudesk.actions.values import JournalEntry, Load, Outcome, Preview, Step, StepResult
    from gpudesk.output.desk_json import Value

SCHEMA_VERSION = 1

Fields = Mapping[str, tuple[tuple[str, str], ...]]

LOAD_FIELDS = (
    ("model", "as the engine names it"),
    ("engine", "url of its engine"),
    ("context_length", "tokens per slot; null: as the engine chooses"),
    ("keep_alive_seconds", "-1 forever; null: as the engine chooses"),
    ("pinned", ""),
    ("memory_bytes", "on the cards"),
)
FIELDS = {
    "": (
        ("schema_version", str(SCHEMA_VERSION)),
        ("demo", "true: simulated (--demo)"),
        ("preview", "what would be done"),
        ("outcome", "how it ended; null with --dry-run"),
    ),
    "preview": (
        ("action", "load, unload, keep, pin, unpin, swap, free, restore, apply, pull, rm or derive"),
        ("subject", "what it is about, in words"),
        ("steps", "in order; empty: it is so already"),
        ("danger", "none, reversible or destructive"),
        ("loses", "what is lost, a sentence each; not empty: needs a confirmation or --yes"),
        ("notes", "what else is worth knowing"),
        ("verdict", "fits, tight, spills or does not fit; null where nothing is loaded or it cannot be told"),
        ("needs_bytes", "on the cards, for what is loaded"),
        ("frees_bytes", ""),
        ("free_after_bytes", ""),
        ("expected_seconds", ""),
        ("before", "what is loaded now, on the engines concerned"),
        ("refusal", "why it is not done; null when it can be"),
    ),
    "preview.steps[]": (
        ("kind", "load, unload, keep-alive, pin, unpin, pull, delete or derive"),
        ("model", ""),
        ("engine", "url of its engine"),
        ("context_length", "null: as it is, or as the engine chooses"),
        ("keep_alive_seconds", "-1 forever; null: as it is, or as the engine chooses"),
        ("expected_seconds", ""),
        ("why", ""),
        ("source", "for derive: what it is made of"),
        ("restore_pin", "for pin: put right when it is lost"),
    ),
    "preview.before[]": LOAD_FIELDS,
    "preview.refusal": (("message", ""), ("hint", "what to do about it")),
    "outcome": (
        ("ending", "done, undone (what was there is back), failed or refused"),
        ("message", ""),
        ("hint", "what to do about it"),
        ("seconds", ""),
        ("canceled", "by ctrl+c or a signal"),
        ("steps", "those that were begun"),
        ("missing", "was there before, is not now, and was not meant to go"),
        ("after", "what is loaded now, on the engines concerned"),
    ),
    "outcome.steps[]": (
        ("kind", ""),
        ("model", ""),
        ("ok", ""),
        ("seconds", ""),
        ("waited_seconds", "of these, for the engine or the driver"),
        ("seen", "what was observed"),
    ),
    "outcome.missing[]": LOAD_FIELDS,
    "outcome.after[]": LOAD_FIELDS,
}
"""Every object of an action's document: its keys in order, each with what it means."""

LOG_FIELDS = {
    "": (("schema_version", str(SCHEMA_VERSION)), ("entries", "the newest last")),
    "entries[]": (
        ("at", "when it began"),
        ("action", "as preview.action"),
        ("subject", ""),
        ("who", "key, command or guard"),
        ("why", ""),
        ("ending", "as outcome.ending"),
        ("message", ""),
        ("hint", ""),
        ("seconds", ""),
        ("steps", "what was observed of each"),
        ("before", "what was loaded, as preview.before"),
        ("after", "what is loaded, as outcome.after"),
    ),
}
"""The same for the journal. With --follow each line is one entry, with its schema_version."""

_SET = (
    ("name", ""),
    ("description", ""),
    ("key", "applies it, in the list of working sets and on the desk"),
    ("includes", "other sets whose models belong to it"),
    ("keeps_others", ""),
    ("models", "its own, and those of the sets it includes"),
)
_SET_MODELS = (
    ("model", ""),
    ("engine", "null: the first one"),
    ("context_length", ""),
    ("keep_alive_seconds", "-1 forever"),
    ("pinned", ""),
)
SET_FIELDS = {
    "": (("schema_version", str(SCHEMA_VERSION)), ("sets", "by `set list`; `set show` and `set save` have one `set`")),
    "sets[]": (("name", ""), ("set", "null when something is wrong with it"), ("problems", "a sentence each")),
    "sets[].set": _SET,
    "sets[].set.models[]": _SET_MODELS,
}
"""The same for working sets."""


def schema_fields(fields: Fields = FIELDS) -> tuple[tuple[str, str], ...]:
    """Return every path of a document with its meaning: `preview.steps[].kind`."""
    return tuple(
        (f"{place}.{key}" if place else key, meaning) for place, keys in fields.items() for key, meaning in keys
    )


def document(preview: Preview, outcome: Outcome | None, *, demo: bool = False) -> dict[str, Value]:
    """Build the document of one action."""
    return {
        "schema_version": SCHEMA_VERSION,
        "demo": demo,
        "preview": _preview(preview),
        "outcome": None if outcome is None else _outcome(outcome),
    }


def log_document(entries: Sequence[JournalEntry]) -> dict[str, Value]:
    """Build the document of the journal."""
    return {"schema_version": SCHEMA_VERSION, "entries": [entry_value(entry) for entry in entries]}


def entry_value(entry: JournalEntry) -> dict[str, Value]:
    """Build one entry of the journal."""
    return {
        "at": timestamp(entry.at),
        "action": entry.action,
        "subject": entry.subject,
        "who": entry.who.value,
        "why": entry.why,
        "ending": entry.ending.value,
        "message": entry.message,
        "hint": entry.hint,
        "seconds": _seconds(entry.seconds),
        "steps": list(entry.steps),
        "before": [_load(load) for load in entry.before],
        "after": [_load(load) for load in entry.after],
    }


def _preview(preview: Preview) -> dict[str, Value]:
    refusal = preview.refusal
    return {
        "action": preview.action.value,
        "subject": preview.subject,
        "steps": [_step(step) for step in preview.steps],
        "danger": preview.danger.value,
        "loses": list(preview.loses),
        "notes": list(preview.notes),
        "verdict": preview.verdict,
        "needs_bytes": preview.needs_bytes,
        "frees_bytes": preview.frees_bytes,
        "free_after_bytes": preview.free_after_bytes,
        "expected_seconds": _seconds(preview.expected_seconds),
        "before": [_load(load) for load in preview.before],
        "refusal": None if refusal is None else {"message": refusal.message, "hint": refusal.hint},
    }


def _step(step: Step) -> dict[str, Value]:
    return {
        "kind": step.kind.value,
        "model": step.load.name,
        "engine": step.load.engine_url,
        "context_length": step.load.context_length,
        "keep_alive_seconds": _keep_alive(step.load),
        "expected_seconds": _seconds(step.expected_seconds),
        "why": step.why,
        "source": step.source,
        "restore_pin": step.restore_pin,
    }


def _load(load: Load) -> dict[str, Value]:
    return {
        "model": load.name,
        "engine": load.engine_url,
        "context_length": load.context_length,
        "keep_alive_seconds": _keep_alive(load),
        "pinned": load.pinned,
        "memory_bytes": load.memory_bytes,
    }


def _outcome(outcome: Outcome) -> dict[str, Value]:
    return {
        "ending": outcome.ending.value,
        "message": outcome.message,
        "hint": outcome.hint,
        "seconds": _seconds(outcome.seconds),
        "canceled": outcome.canceled,
        "steps": [_result(result) for result in outcome.steps],
        "missing": [_load(load) for load in outcome.missing],
        "after": [_load(load) for load in outcome.after],
    }


def _result(result: StepResult) -> dict[str, Value]:
    return {
        "kind": result.step.kind.value,
        "model": result.step.load.name,
        "ok": result.ok,
        "seconds": _seconds(result.seconds),
        "waited_seconds": _seconds(result.waited_seconds),
        "seen": result.seen,
    }


def _keep_alive(load: Load) -> int | None:
    return None if load.keep_alive is None else load.keep_alive.wire


def _seconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
