"""What every editor's module offers, so that a new one is one module and its golden files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gpudesk.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpudesk.domain.desk import Desk
    from gpudesk.exports.foresight import Fits
    from gpudesk.exports.values import Chosen, Export, Finding, Way


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where files are looked for; nothing else of the system is asked."""

    home: Path
    environment: Mapping[str, str]
    platform: str
    """`linux`, `darwin`, `win32`."""
    workspace: Path | None = None
    """The folder of a project, where an editor has settings of its own there."""
    state: Path | None = None
    """gpudesk's own, where it is recorded what was written; None: files that a person named are not looked for."""
    bounds: Path | None = None
    """Nothing outside of this folder is changed: a demo's home. None: whatever a person names is."""

    def path_of(self, text: str) -> Path:
        """Return a path as a person types it, with `~` for this home."""
        plain = text == "~" or text.startswith(("~/", "~\\"))
        return (self.home / text[2:]) if plain else Path(text).expanduser().absolute()


@dataclass(frozen=True, slots=True)
class Found:
    """One configuration file of an editor."""

    path: Path
    exists: bool
    kind: str
    """In the editor's words: `config.yaml`, `profile work`, `config.json (deprecated)`."""


class Editor(Protocol):
    """One editor."""

    id: str
    """As typed: `continue`, `zed`."""
    name: str
    """As shown: `Continue`, `Zed`."""
    ways: tuple[Way, ...]
    """The first is the default."""

    def files(self, around: Surroundings) -> tuple[Found, ...]:
        """Return its configuration files, those that would be written among them; reads names only."""
        ...

    def export(self, chosen: Chosen, around: Surroundings, way: Way, *, into: Path | None = None) -> Export:
        """Return what its files become; reads them and writes nothing.

        Raises:
            ExportError: a file cannot be read or understood; says where, and what the editor would do with it.
        """
        ...

    def check(self, around: Surroundings, desk: Desk | None, fits: Fits | None = None) -> tuple[Finding, ...]:
        """Find what is silently wrong in its files.

        Args:
            around: where they are.
            desk: what is installed, loaded and pinned; None: nobody knows.
            fits: says why models do not fit together; None: nobody plans.
        """
        ...

    def remove(self, around: Surroundings) -> Export:
        """Return the files without what gpudesk put there: the original bytes."""
        ...
