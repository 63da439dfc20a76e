"""Cline: what to choose in its settings. They lie in VS Code's storage and are the extension's own: nothing is written.

Cline's `ollama` provider asks /api/chat with the `num_ctx` of its setting, 32768 unless changed; it sends no
keep-alive (names of settings as in ollama/ollama cmd/launch/cline.go).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.exports.editor import Found
from gpudesk.exports.requests import required
from gpudesk.exports.values import Export, Role, Way

if TYPE_CHECKING:
    from pathlib import Path

    from gpudesk.domain.desk import Desk
    from gpudesk.exports.editor import Surroundings
    from gpudesk.exports.foresight import Fits
    from gpudesk.exports.values import Chosen, Finding


class Cline:
    """Cline."""

    id = "cline"
    name = "Cline"
    ways = (Way.PRINT,)

    def files(self, around: Surroundings) -> tuple[Found, ...]:
        """Return where its command line keeps what was chosen; it is only looked for."""
        path = around.home / ".cline" / "data" / "globalState.json"
        return (Found(path, path.exists(), "globalState.json (not changed)"),)

    def export(self, chosen: Chosen, around: Surroundings, way: Way, *, into: Path | None = None) -> Export:  # noqa: ARG002
        """Return what to choose."""
        chat = required(chosen.of(Role.CHAT), self.name)
        lines = [
            "In Cline's settings, for Plan and for Act:",
            "  API Provider          Ollama",
            f"  Base URL              {chat.engine_url}",
            f"  Model                 {chat.name}",
        ]
        if chat.context_length is not None:
            lines += [f"  Context Window        {chat.context_length}"]
        note = f"Cline sends no keep-alive: load {chat.name} with gpudesk, and a pin stays as it is"
        return Export(self.id, Way.PRINT, snippet="\n".join(lines) + "\n", notes=(*chosen.warnings, note))

    def check(self, around: Surroundings, desk: Desk | None, fits: Fits | None = None) -> tuple[Finding, ...]:  # noqa: ARG002
        """Find nothing: what was chosen is the extension's own."""
        return ()

    def remove(self, around: Surroundings) -> Export:  # noqa: ARG002
        """Change nothing: nothing was ever written."""
        return Export(self.id, Way.PRINT)
