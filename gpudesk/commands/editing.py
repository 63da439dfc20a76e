"""`gpudesk set edit`: a set in the user's own editor. What is wrong is never stored, and never thrown away."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from gpudesk.commands import acting
from gpudesk.errors import ExitCode, GpudeskError, RefusedError, StoreError, UsageError
from gpudesk.output import diagnostics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpudesk.stores.working_sets import WorkingSetStore

TEMPLATE = """\
# description = "what it is for"
# key = "c"                       # applies it, in the list of working sets and on the desk
# includes = ["other"]            # sets whose models belong to it too
# keeps_others = true             # what is loaded besides stays while there is room

[[model]]
name = "qwen3:14b"
# context = 16384                 # left out: the engine decides
# keep_alive = "30m"              # or "forever"
# pinned = true
# engine = "http://gpu-box:11434" # left out: the first engine, on every computer
"""
VARIABLES = ("VISUAL", "EDITOR")
FALLBACK_EDITORS = ("notepad",) if os.name == "nt" else ("vi", "nano")
TRIES_MOST = 50


def edit(store: WorkingSetStore, name: str, out: TextIO) -> int:
    """Open a copy in the editor, again while something is wrong in it, and store it whole.

    Raises:
        UsageError: it could not be a name, there is no editor, or what was written is wrong and nobody can be asked.
        RefusedError: it was given up, or somebody else changed the set meanwhile.
        StoreError: the set cannot be read or written.
    """
    before = _content(store, name)
    command = editor_command(os.environ)
    _check_terminal(store, name)
    folder = Path(tempfile.mkdtemp(prefix="gpudesk-set-"))
    copy = folder / f"{name}.toml"
    copy.write_bytes(TEMPLATE.encode() if before is None else before)
    done = False
    try:
        done = _edited(store, name, copy, command, before)
    except GpudeskError as error:
        hint = f"{error.hint}. " if error.hint else ""
        error.hint = f"{hint}What you wrote is in {copy}"
        raise
    except KeyboardInterrupt:
        diagnostics.say(f"gpudesk: what you wrote is in {copy}")
        raise
    copy.unlink(missing_ok=True)
    _remove(folder)
    out.write(f"saved {name}\n" if done else f"set {name} is as it was\n")
    return ExitCode.OK


def _edited(store: WorkingSetStore, name: str, copy: Path, command: list[str], before: bytes | None) -> bool:
    """Edit until it is right; return whether anything was stored."""
    began = copy.read_bytes()
    for _ in range(TRIES_MOST):
        _open(command, copy)
        try:
            written = copy.read_bytes()
        except OSError as error:
            raise RefusedError(f"the editor left no file: {error.strerror or error}") from error
        if written == began:
            return False
        if _content(store, name) != before:
            raise RefusedError(f"set {name} was changed by somebody else meanwhile; nothing was written")
        try:
            store.write_text(name, written.decode("utf-8", "surrogateescape"))
        except UsageError as error:
            if not acting.can_ask():
                raise
            diagnostics.report(error)
            if not acting.ask("Edit it again? [Y/n] ", default=True):
                raise RefusedError("given up; the set is as it was") from error
        else:
            return True
    raise RefusedError(f"still wrong after {TRIES_MOST} tries")


def editor_command(environment: Mapping[str, str]) -> list[str]:
    """Return the editor as it was set, with its options, or one that is there.

    Raises:
        UsageError: there is none, or the setting cannot be read.
    """
    import shutil

    for variable in VARIABLES:
        value = environment.get(variable, "").strip()
        if not value:
            continue
        try:
            words = shlex.split(value, posix=os.name != "nt")
        except ValueError as error:
            raise UsageError(f"{variable} cannot be read: {error}") from error
        if words:
            return words
    for editor in FALLBACK_EDITORS:
        if shutil.which(editor) is not None:
            return [editor]
    raise UsageError("there is no editor", "Set VISUAL or EDITOR to one")


def _check_terminal(store: WorkingSetStore, name: str) -> None:
    """Refuse to start an editor that nobody named where nobody sits at a terminal: it would wait for ever."""
    named = any(os.environ.get(variable, "").strip() for variable in VARIABLES)
    if named or os.name == "nt" or all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout)):
        return
    raise RefusedError("there is no terminal to edit in", f"Set VISUAL to an editor, or write {store.path(name)}")


def _open(command: list[str], copy: Path) -> None:
    try:
        done = subprocess.run([*command, str(copy)], check=False)  # noqa: S603 - the user's own choice, no shell
    except OSError as error:
        message = f"the editor {command[0]} cannot be started: {error.strerror or error}"
        raise UsageError(message, "Set VISUAL or EDITOR to one") from error
    if done.returncode != 0:
        raise RefusedError(f"the editor {command[0]} ended with {done.returncode}; nothing was stored")


def _content(store: WorkingSetStore, name: str) -> bytes | None:
    """Return a set's file; None when there is none."""
    path = store.path(name)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"set {name} cannot be read: {error.strerror or error}") from error


def _remove(folder: Path) -> None:
    """Remove the copy's folder with what an editor left beside it."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
