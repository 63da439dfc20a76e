"""Continue: models in a file of gpudesk's own, or as entries in the user's `config.yaml`.

Continue is finished (the last commit is d0a3c0b626, 2026-06-18) and widely installed, so its format does not move.
A file that it cannot parse leaves it without any model (core/config/ProfileLifecycleManager.ts): the one before is not
kept. An empty `config.yaml` it overwrites with its default (core/util/paths.ts `getConfigYamlPath`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.errors import ExportError
from gpudesk.exports.editors import continue_blocks, continue_file, continue_places
from gpudesk.exports.text_file import TextFile, read_text
from gpudesk.exports.values import Chosen, Export, FileChange, Role, Way
from gpudesk.paths import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gpudesk.domain.desk import Desk
    from gpudesk.exports.editor import Found, Surroundings
    from gpudesk.exports.foresight import Fits
    from gpudesk.exports.values import Finding

_KEEP_ALIVE_SINCE = (1, 2, 19)
_KEEP_ALIVE_SINCE_PREVIEW = (1, 3, 35)
_SEVERAL_MODELS_SINCE = (1, 1, 35)
_TOUCHED = "touched so that Continue reads again"


class Continue:
    """Continue.dev in VS Code, JetBrains and its command line."""

    id = "continue"
    name = "Continue"
    ways = (Way.OWN_FILE, Way.MERGE)

    def files(self, around: Surroundings) -> tuple[Found, ...]:
        """Return its configurations, blocks and profiles."""
        return continue_places.found_files(around)

    def export(self, chosen: Chosen, around: Surroundings, way: Way, *, into: Path | None = None) -> Export:
        """Return what its files become.

        Args:
            chosen: the models and their roles.
            around: where to look.
            way: own file or merge.
            into: another file than the usual one (a profile), or a folder: of a project, or a `.continue`.

        Raises:
            ExportError: a file cannot be read or changed.
        """
        blocks = continue_blocks.blocks(chosen)
        if not blocks:
            raise ExportError(
                "no model is chosen for a role that Continue has", "Choose at least one of chat, autocomplete"
            )
        target, main = _target(around, way, into), read_text(continue_places.config_path(around))
        about: tuple[str, ...] = ()
        if way is Way.MERGE and target == main.path:
            from gpudesk.exports.editors import continue_migration

            main, about = continue_migration.instead_of_json(main)
        file = main if target == main.path else read_text(target)
        changes = _merged(around, file, blocks) if way is Way.MERGE else _own(around, file, main, blocks)
        said = (*continue_blocks.notes(chosen), *about, *_notes(around, chosen, way, target, main))
        return Export(self.id, way, changes, notes=said)

    def check(self, around: Surroundings, desk: Desk | None, fits: Fits | None = None) -> tuple[Finding, ...]:
        """Find what is silently wrong in its files."""
        from gpudesk.exports.editors.continue_check import check

        return check(around, desk, fits)

    def remove(self, around: Surroundings) -> Export:
        """Return the files without what gpudesk put there."""
        changes: list[FileChange] = []
        for found in self.files(around):
            file = _read_if_ours(found, around)
            if file is None:
                continue
            after = continue_file.without_ours(file)
            if after != file.data:
                changes.append(FileChange(found.path, file.data, after, "without the models of gpudesk", secret=True))
        return Export(self.id, Way.MERGE, (*changes, *_touch(around, changes)))


def _read_if_ours(found: Found, around: Surroundings) -> TextFile | None:
    """Return a file that may hold something of gpudesk's; what cannot be read and is the user's alone does not."""
    if not found.exists or found.path.suffix == ".json":
        return None
    try:
        file = read_text(found.path)
    except ExportError:
        if found.path in {continue_places.config_path(around), continue_places.own_path(around)}:
            raise
        return None
    return file if "gpudesk" in file.text else None


def _target(around: Surroundings, way: Way, into: Path | None) -> Path:
    usual = continue_places.own_path if way is Way.OWN_FILE else continue_places.config_path
    if into is None:
        return usual(around)
    if not into.is_dir():
        return into
    if into == continue_places.global_folder(around):
        return usual(around)
    folder = into if into.name == ".continue" else into / ".continue"
    if way is Way.OWN_FILE:
        return folder / "models" / continue_places.OWN_NAME
    profiles = continue_places.profiles_in(folder)
    if len(profiles) != 1:
        raise ExportError(
            f"{shortened(folder)} has {len(profiles) or 'no'} profiles, and a config.yaml there Continue does not read",
            "Name the file of a profile with --path, or use --block",
        )
    return profiles[0]


def _own(
    around: Surroundings, file: TextFile, main: TextFile, blocks: Sequence[continue_blocks.Block]
) -> tuple[FileChange, ...]:
    """Return gpudesk's own file, and the main one without entries that would win over it."""
    if file.data is None or continue_file.is_own(continue_file.parsed(file)):
        after = continue_file.own_text(blocks).encode()
    else:
        after = continue_file.filled(file, blocks)
    changes = [FileChange(file.path, file.data, after, "the models of gpudesk", secret=True)]
    if main.data is not None and "gpudesk" in main.text:
        cleaned = continue_file.without_ours(main)
        if cleaned != main.data:
            why = "the models of gpudesk are in a file of their own now"
            changes.append(FileChange(main.path, main.data, cleaned, why, secret=True))
    elif main.data is not None:
        continue_file.parsed(main)
    return (*changes, *_touch(around, changes))


def _merged(around: Surroundings, file: TextFile, blocks: Sequence[continue_blocks.Block]) -> tuple[FileChange, ...]:
    """Return a configuration with gpudesk's entries, and without its own file, whose names it would hide."""
    target, why = file.path, "the models of gpudesk"
    if file.data is None and file.text:
        why = "what config.json says, and the models of gpudesk"
    changes = [FileChange(target, file.data, continue_file.filled(file, blocks), why, secret=True)]
    own = read_text(continue_places.own_path(around))
    if own.data is not None and own.path != target and target == continue_places.config_path(around):
        after = continue_file.without_ours(own)
        changes.append(FileChange(own.path, own.data, after, f"its models are in {target.name} now", secret=True))
    return tuple(changes)


def _touch(around: Surroundings, changes: Sequence[FileChange]) -> tuple[FileChange, ...]:
    """Return the main configuration unchanged: the one that Continue watches (extensions/vscode VsCodeExtension.ts)."""
    main = continue_places.config_path(around)
    if not changes or any(change.path == main for change in changes):
        return ()
    file = read_text(main)
    return () if file.data is None else (FileChange(main, file.data, file.data, _TOUCHED, secret=True),)


def _notes(around: Surroundings, chosen: Chosen, way: Way, target: Path, main: TextFile) -> tuple[str, ...]:
    """Return what the user should do or know."""
    return (*_about_main(main, way, target), *_about_choice(around, chosen, main), *_about_versions(around, way))


def _about_main(main: TextFile, way: Way, target: Path) -> tuple[str, ...]:
    name = shortened(main.path)
    if way is Way.MERGE:
        if target == main.path:
            return ()
        return (f"{target.name} is read when it is saved in the editor or the window is loaded again",)
    if main.text.strip():
        return ()
    if main.data is None and main.path.with_name("config.json").exists():
        how = "gpudesk editors write continue --migrate  (m on the screen), or use --merge, which does both"
        return (
            f"Continue reads the file only with a config.yaml, and here is only a config.json: migrate it with  {how}",
        )
    if main.data is None:
        return (f"There is no {name} yet: Continue makes one when it starts, and then reads the new file",)
    return (f"{name} is empty: Continue fills it with its default, and then reads the new file",)


def _about_choice(around: Surroundings, chosen: Chosen, main: TextFile) -> tuple[str, ...]:
    """Continue takes what was chosen once, or else the first model of a role (core/config/selectedModels.ts)."""
    remembered = continue_places.remembered_choices(around)
    first = continue_file.first_of_roles(main)
    ahead: dict[tuple[bool, str], list[str]] = {}
    for role in (Role.CHAT, Role.EDIT, Role.APPLY, Role.AUTOCOMPLETE, Role.EMBED):
        name = remembered.get(role.value) or first.get(role.value)
        if chosen.of(role) is not None and name and not name.startswith(continue_blocks.NAME_PREFIX):
            ahead.setdefault((role.value in remembered, name), []).append(role.value)
    said = []
    for (was_chosen, name), roles in ahead.items():
        does = f"remembers {name}" if was_chosen else f"takes {name}, which comes first,"
        said.append(f"Continue {does} for {', '.join(roles)}: choose the one of gpudesk there once")
    return tuple(said)


def _about_versions(around: Surroundings, way: Way) -> tuple[str, ...]:
    said = []
    for version in continue_places.installed_versions(around):
        shown = ".".join(map(str, version))
        if version < _SEVERAL_MODELS_SINCE and way is Way.OWN_FILE:
            said.append(f"Continue {shown} reads one model per file in models/ (#5621): use --merge or update it")
        preview = version[:2] == (1, 3)
        if version < _KEEP_ALIVE_SINCE or (preview and version < _KEEP_ALIVE_SINCE_PREVIEW):
            said.append(
                f"Continue {shown} drops keepAlive in silence; it takes the keep_alive in requestOptions instead"
            )
    return tuple(said)
