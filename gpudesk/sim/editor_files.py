"""Configurations of editors as a developer has them, for a demo: written by hand, from advice found on the web.

Continue drops the keys that it does not know in silence, and without `keepAlive` every request says 1800, which
undoes a pin (continuedev/continue #5721, #10378).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CONTINUE = """\
# My models. Autocomplete has to stay fast!
name: Main Config
version: 1.0.0
schema: v1

models:
  - name: Qwen 3
    provider: ollama
    model: qwen3:14b
    roles: [chat, edit]
    numCtx: 32768          # more context
    keepAlive: -1          # stay in memory
  - name: Tab
    provider: ollama
    model: qwen2.5-coder:1.5b
    roles: [autocomplete]
    defaultCompletionOptions:
      contextLength: 2048

context:
  - provider: code
  - provider: diff
"""

ZED = """\
{
  // Colors first
  "theme": "One Dark",
  "vim_mode": true,
  "agent": {
    "default_model": { "provider": "zed.dev", "model": "claude-sonnet-4" },
  },
}
"""


def furnish(home: Path) -> None:
    """Write them below a home directory that is a demo's own."""
    for path, text in ((home / ".continue" / "config.yaml", CONTINUE), (home / ".config/zed/settings.json", ZED)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
