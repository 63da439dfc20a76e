"""Where Continue keeps its files, what is remembered there, and which versions of it are installed."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpudesk.exports.editor import Found
from gpudesk.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpudesk.exports.editor import Surroundings

GLOBAL_VARIABLE = "CONTINUE_GLOBAL_DIR"
OWN_NAME = "gpudesk.yaml"
PROFILE_FOLDERS = ("agents", "assistants", "configs")
"""Each file in them is a profile of its own (core/config/ConfigHandler.ts at d0a3c0b626)."""
_FILE_LIMIT = 1000
_CONTEXT_LIMIT_BYTES = 1 << 20
_EXTENSION_FOLDERS = (".vscode", ".vscode-server", ".vscode-insiders", ".vscode-oss", ".cursor", ".windsurf")
_EXTENSION = re.compile(r"continue\.continue-(\d{1,5})\.(\d{1,5})\.(\d{1,5})(?=-|\Z)")


def global_folder(around: Surroundings) -> Path:
    """Return Continue's folder; a relative one counts from the working directory (core/util/paths.ts)."""
    named = around.environment.get(GLOBAL_VARIABLE)
    if not named:
        return around.home / ".continue"
    return Path(named) if Path(named).is_absolute() else Path.cwd() / named


def config_path(around: Surroundings) -> Path:
    """Return the main configuration."""
    return global_folder(around) / "config.yaml"


def own_path(around: Surroundings) -> Path:
    """Return gpudesk's own file, whose models Continue adds to every profile."""
    return global_folder(around) / "models" / OWN_NAME


def folder_of(path: Path) -> Path:
    """Return Continue's folder above one of its files."""
    inside = path.parent.name in {"models", *PROFILE_FOLDERS}
    return path.parent.parent if inside else path.parent


def found_files(around: Surroundings) -> tuple[Found, ...]:
    """Return all configurations, the main one and gpudesk's own also where they do not exist."""
    base = global_folder(around)
    files = [_found(base / "config.yaml", "config.yaml"), _found(own_path(around), f"models/{OWN_NAME}")]
    if _is_there(base / "config.json"):
        files.append(Found(base / "config.json", exists=True, kind="config.json (deprecated)"))
    folders = [(base, "")]
    if around.workspace is not None and around.workspace / ".continue" != base:
        folders.append((around.workspace / ".continue", " of the workspace"))
    for folder, whose in folders:
        files += (Found(path, exists=True, kind=f"profile {path.stem}{whose}") for path in profiles_in(folder))
        for path in _yaml_files(folder / "models"):
            if path != own_path(around):
                files.append(Found(path, exists=True, kind=f"models/{path.name}{whose}"))
    return tuple(files)


def profiles_in(folder: Path) -> tuple[Path, ...]:
    """Return the files of a `.continue` folder that are a profile each."""
    return tuple(path for name in PROFILE_FOLDERS for path in _yaml_files(folder / name))


def installed_versions(around: Surroundings) -> tuple[tuple[int, int, int], ...]:
    """Return the versions of Continue in the folders of VS Code and what is built on it, oldest first."""
    found = set()
    for folder in _EXTENSION_FOLDERS:
        for name in _names(around.home / folder / "extensions"):
            match = _EXTENSION.match(name)
            if match:
                found.add((int(match[1]), int(match[2]), int(match[3])))
    return tuple(sorted(found))


def remembered_choices(around: Surroundings, profile: str = "local") -> dict[str, str]:
    """Return the names of the models that were chosen in Continue, by role; empty when it remembers none.

    Of `selectedModelsByProfileId` (core/config/selectedModels.ts); the main configuration is the profile `local`.
    """
    import json

    from gpudesk.errors import StoreError
    from gpudesk.files import read_bounded

    try:
        told: Any = json.loads(
            read_bounded(global_folder(around) / "index" / "globalContext.json", _CONTEXT_LIMIT_BYTES)
        )
        chosen = told["selectedModelsByProfileId"][profile]
        return {str(role): clean(name) for role, name in chosen.items() if isinstance(name, str)}
    except (StoreError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _found(path: Path, kind: str) -> Found:
    return Found(path, exists=_is_there(path), kind=kind)


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)


def _yaml_files(folder: Path) -> Iterator[Path]:
    return (folder / name for name in _names(folder) if name.endswith((".yaml", ".yml")))


def _names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry, _ in zip(entries, range(_FILE_LIMIT), strict=False))
    except (OSError, ValueError):
        return []
