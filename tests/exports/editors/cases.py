"""Golden cases of the editors: folders with what a home directory was, and what it becomes.

`golden/<editor>/<way>-<name>/before/` is a home directory, `after/` what it becomes when it is set up with
`chosen()`, `told.txt` what is printed and said besides, and `check.txt` what is found in `after/` on the desk of
`desk()`. `GPUDESK_TEST_UPDATE_GOLDEN=1` writes all but `before/`.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from gpudesk.domain.desk import Desk
from gpudesk.domain.keep_alive import FOREVER, KeepAliveWish
from gpudesk.domain.model import InstalledModel
from gpudesk.domain.pin import PinState, PinWish
from gpudesk.exports.editor import Surroundings
from gpudesk.exports.values import Chosen, ChosenModel, Export, Finding, Role, Way
from tests.desks import LOCAL, NOW, engine, model

FOLDER = Path(__file__).parent / "golden"
CHAT, TAB, EMBED = "qwen3-coder:30b", "qwen2.5-coder:1.5b-base", "nomic-embed-text:latest"
_WAYS = {"own": Way.OWN_FILE, "merge": Way.MERGE, "print": Way.PRINT}


def chosen(*, context: int | None = 32768, keep_alive: KeepAliveWish = FOREVER) -> Chosen:
    """What a developer has chosen: three models that fit together."""
    return Chosen(
        (
            ChosenModel(
                CHAT, (Role.CHAT, Role.EDIT, Role.APPLY), LOCAL, context_length=context, keep_alive=keep_alive,
                capabilities=("completion", "tools"), family="qwen3moe",
            ),
            ChosenModel(
                TAB, (Role.AUTOCOMPLETE,), LOCAL, context_length=4096, keep_alive=keep_alive, max_tokens=128,
                capabilities=("completion", "insert"), family="qwen2", template_has_suffix=False,
            ),
            ChosenModel(EMBED, (Role.EMBED,), LOCAL, context_length=2048, keep_alive=keep_alive,
                        capabilities=("embedding",), family="nomic-bert"),
        )
    )  # fmt: skip


def desk() -> Desk:
    """The three are installed, loaded as chosen, and pinned."""
    names = (
        (CHAT, 32768, ("completion", "tools")),
        (TAB, 4096, ("completion", "insert")),
        (EMBED, 2048, ("embedding",)),
    )
    return Desk(
        NOW,
        engines=(engine(),),
        models=tuple(model(name, 1.0, context_length=context) for name, context, _ in names),
        installed=tuple(InstalledModel(name, LOCAL, capabilities=told) for name, _, told in names),
        pins=tuple(PinState(PinWish(LOCAL, name, context_length=context)) for name, context, _ in names),
    )


def around(home: Path, **environment: str) -> Surroundings:
    """A home directory on Linux."""
    return Surroundings(home, environment, "linux")


def cases(editor: str) -> list[str]:
    """Return the names of an editor's golden cases."""
    return sorted(path.name for path in (FOLDER / editor).iterdir())


def way_of(case: str) -> Way:
    """Return the way a case is about."""
    return _WAYS[case.split("-")[0]]


def prepared(editor: str, case: str, home: Path) -> None:
    """Make the home directory of a case."""
    before = FOLDER / editor / case / "before"
    if before.is_dir():
        shutil.copytree(before, home, dirs_exist_ok=True)


def content(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    if not folder.is_dir():
        return {}
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def told(export: Export) -> str:
    """Return what is printed and said, as text."""
    return "".join([export.snippet or "", *(f"\n# {note}\n" for note in export.notes)])


def findings_text(findings: tuple[Finding, ...], home: Path) -> str:
    """Return findings as text, each whole."""
    return "".join(
        f"{each.severity} {each.code} {each.path.relative_to(home).as_posix()}:{each.line} {each.where}\n"
        f"  {each.message}\n  -> {each.effect}\n  fix: {each.fix}\n"
        for each in findings
    )


def check_text(editor: str, case: str, name: str, actual: str) -> None:
    """Compare a text with its golden file."""
    path = FOLDER / editor / case / name
    if os.environ.get("GPUDESK_TEST_UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(actual.encode())
    assert path.exists(), f"no golden file {path}; GPUDESK_TEST_UPDATE_GOLDEN=1 writes it"
    assert actual == path.read_bytes().decode()


def check_files(editor: str, case: str, home: Path) -> None:
    """Compare a home directory with the golden one."""
    folder = FOLDER / editor / case / "after"
    if os.environ.get("GPUDESK_TEST_UPDATE_GOLDEN"):
        shutil.rmtree(folder, ignore_errors=True)
        for name, data in _portable(home).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
    assert _portable(home) == content(folder)


def _portable(home: Path) -> dict[str, bytes]:
    """Return the files of a home directory with its own path as `HOME`."""
    return {name: data.replace(os.fsencode(home), b"HOME") for name, data in content(home).items()}
