"""Neovim: snippets for its plugins. Their configuration is a program in Lua, which gpudesk never edits.

CodeCompanion for chat (its `ollama` adapter sends `num_ctx` and `keep_alive` of its schema with every request) and
minuet-ai for completions (`openai_fim_compatible` asks /v1/completions, which takes neither).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from gpudesk.exports.editor import Found
from gpudesk.exports.requests import compatible_notes, required
from gpudesk.exports.values import Export, Role, Way

if TYPE_CHECKING:
    from gpudesk.domain.desk import Desk
    from gpudesk.exports.editor import Surroundings
    from gpudesk.exports.foresight import Fits
    from gpudesk.exports.values import Chosen, ChosenModel, Finding


class Neovim:
    """Neovim with CodeCompanion and minuet-ai."""

    id = "neovim"
    name = "Neovim"
    ways = (Way.PRINT,)

    def files(self, around: Surroundings) -> tuple[Found, ...]:
        """Return where its configuration is; it is only looked for."""
        above = around.environment.get("XDG_CONFIG_HOME") or around.home / ".config"
        if around.platform == "win32":
            above = around.environment.get("LOCALAPPDATA") or around.home / "AppData" / "Local"
        path = Path(above) / "nvim" / "init.lua"
        return (Found(path, path.exists(), "init.lua (not changed)"),)

    def export(self, chosen: Chosen, around: Surroundings, way: Way, *, into: Path | None = None) -> Export:  # noqa: ARG002
        """Return the snippets."""
        chat, completing = chosen.of(Role.CHAT), chosen.of(Role.AUTOCOMPLETE)
        required(chat or completing, self.name)
        parts = [_codecompanion(chat)] if chat is not None else []
        parts += [_minuet(completing)] if completing is not None else []
        notes = [*chosen.warnings, *compatible_notes("minuet-ai", [completing] if completing else [])]
        return Export(self.id, Way.PRINT, snippet="\n".join(parts), notes=tuple(notes))

    def check(self, around: Surroundings, desk: Desk | None, fits: Fits | None = None) -> tuple[Finding, ...]:  # noqa: ARG002
        """Find nothing: what a program will do is not read from its text."""
        return ()

    def remove(self, around: Surroundings) -> Export:  # noqa: ARG002
        """Change nothing: nothing was ever written."""
        return Export(self.id, Way.PRINT)


def _codecompanion(model: ChosenModel) -> str:
    # The adapter's schema wants a text. The engine refuses "-1", which has no unit; any negative duration is forever.
    stays = "-1m" if model.keep_alive.seconds is None else f"{model.keep_alive.wire}s"
    context = "" if model.context_length is None else f"            num_ctx = {{ default = {model.context_length} }},\n"
    return f"""-- CodeCompanion: chat
require("codecompanion").setup({{
  interactions = {{ chat = {{ adapter = "gpudesk" }}, inline = {{ adapter = "gpudesk" }} }},
  adapters = {{
    http = {{
      gpudesk = function()
        return require("codecompanion.adapters").extend("ollama", {{
          name = "gpudesk",
          env = {{ url = {_lua(model.engine_url)} }},
          schema = {{
            model = {{ default = {_lua(model.name)} }},
{context}            keep_alive = {{ default = "{stays}" }},
          }},
        }})
      end,
    }},
  }},
}})
"""


def _minuet(model: ChosenModel) -> str:
    # One completion at a time, and a window that the context holds: minuet counts characters, about three to a token.
    window = min(16000, (model.context_length or 4096) * 2)
    return f"""-- minuet-ai: completions
require("minuet").setup({{
  provider = "openai_fim_compatible",
  n_completions = 1,
  context_window = {window},
  provider_options = {{
    openai_fim_compatible = {{
      api_key = "TERM", -- the name of any variable that is set: the engine wants no key
      name = "Ollama",
      end_point = {_lua(model.engine_url + "/v1/completions")},
      model = {_lua(model.name)},
      optional = {{ max_tokens = {model.max_tokens or 128} }},
    }},
  }},
}})
"""


def _lua(text: str) -> str:
    """Return a text as Lua, whose escapes are those of JSON where nothing needs a number."""
    return json.dumps(text, ensure_ascii=False)
