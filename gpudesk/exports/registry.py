"""Every editor there is, in the order in which they are shown. Each module is imported when its editor is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from gpudesk.errors import UsageError
from gpudesk.text import clean

if TYPE_CHECKING:
    from gpudesk.exports.editor import Editor

MODULES: Mapping[str, str] = {
    "continue": "continue_dev:Continue",
    "zed": "zed:Zed",
    "vscode": "vscode:VsCode",
    "llama-vscode": "llama_vscode:LlamaVsCode",
    "opencode": "opencode:OpenCode",
    "codex": "codex:Codex",
    "claude-code": "claude_code:ClaudeCode",
    "aider": "aider:Aider",
    "neovim": "neovim:Neovim",
    "cline": "cline:Cline",
}
"""Each editor as it is typed, with its module in `gpudesk.exports.editors` and its class."""


def editor(name: str) -> Editor:
    """Return an editor by the name that is typed.

    Raises:
        UsageError: there is none; the nearest is told.
    """
    wanted = name.strip().lower()
    if wanted not in MODULES:
        from difflib import get_close_matches

        near = get_close_matches(wanted, list(MODULES), n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise UsageError(f"there is no editor {clean(name, 40)}", f"{hint}There are {', '.join(MODULES)}")
    module, _, made = MODULES[wanted].partition(":")
    found: Editor = getattr(import_module(f"gpudesk.exports.editors.{module}"), made)()
    return found


def editors() -> tuple[Editor, ...]:
    """Return all of them."""
    return tuple(editor(name) for name in MODULES)
