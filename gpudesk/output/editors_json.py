"""What `gpudesk editors` writes as JSON. Keys are a contract; secrets are in none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.exports.values import Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpudesk.editor_desk import Picked
    from gpudesk.exports.overview import EditorState
    from gpudesk.exports.values import Chosen, Export, FileChange, Finding
    from gpudesk.exports.writing import Applied
    from gpudesk.exports.written import Write
    from gpudesk.output.desk_json import Value

SCHEMA_VERSION = 1


def states_document(states: Sequence[EditorState]) -> dict[str, Value]:
    """Build the document of `list`."""
    return {"schema_version": SCHEMA_VERSION, "editors": [_state(state) for state in states]}


def show_document(state: EditorState, writes: Sequence[Write]) -> dict[str, Value]:
    """Build the document of `show`."""
    written: list[Value] = [
        {
            "number": write.number,
            "at": write.at.isoformat(),
            "paths": [file.path for file in write.files],
            "copies": [file.copy for file in write.files],
            "takes_back_from": write.back_to,
        }
        for write in writes
    ]
    return {"schema_version": SCHEMA_VERSION, "editor": _state(state), "writes": written}


def check_document(states: Sequence[EditorState], fixed: int) -> dict[str, Value]:
    """Build the document of `check`."""
    checked: list[Value] = [
        {"editor": state.id, "problem": state.problem, "findings": [_finding(each) for each in state.findings]}
        for state in states
    ]
    return {"schema_version": SCHEMA_VERSION, "fixed": fixed, "editors": checked}


def export_document(
    export: Export, picked: Picked | None, chosen: Chosen | None, applied: Applied | None
) -> dict[str, Value]:
    """Build the document of `diff`, `write` and `restore`."""
    from gpudesk.exports.differences import difference, masked

    return {
        "schema_version": SCHEMA_VERSION,
        "editor": export.editor,
        "way": export.way.value,
        "origin": None if picked is None else picked.origin,
        "models": [] if chosen is None else _models(chosen),
        "warnings": [] if chosen is None else list(chosen.warnings),
        "notes": list(export.notes),
        "changes": [_change(change) for change in export.changes],
        "difference": difference(export),
        "snippet": None if export.snippet is None else masked(export.snippet),
        "written": applied is not None,
        "copies": [] if applied is None else [str(path) for path in applied.copies],
    }


def _models(chosen: Chosen) -> list[Value]:
    return [
        {
            "name": model.name,
            "roles": [role.value for role in model.roles],
            "engine": model.engine_url,
            "context_length": model.context_length,
            "context_baked_in": model.context_baked_in,
            "keep_alive_seconds": model.keep_alive.wire,
        }
        for model in chosen.models
    ]


def _change(change: FileChange) -> Value:
    kind = "create" if change.before is None else "remove" if change.after is None else "change"
    return {"path": str(change.path), "kind": kind if change.changes else "touch", "why": change.why}


def _state(state: EditorState) -> dict[str, Value]:
    return {
        "id": state.id,
        "name": state.name,
        "found": state.found,
        "set_up": state.set_up,
        "ways": [way.value for way in state.ways],
        "files": [{"path": str(each.path), "exists": each.exists, "kind": each.kind} for each in state.files],
        "findings": {each.value: sum(1 for f in state.findings if f.severity is each) for each in Severity},
        "problem": state.problem,
    }


def _finding(finding: Finding) -> Value:
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "path": str(finding.path),
        "line": finding.line,
        "where": finding.where,
        "message": finding.message,
        "effect": finding.effect,
        "fix": finding.fix,
        "fixable": bool(finding.edits),
    }
