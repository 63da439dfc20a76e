"""What the desk tells about the models of a configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.domain.keep_alive import KeepAliveState
from gpudesk.exports.editors.continue_entries import Entry
from gpudesk.exports.editors.continue_known import installed_name

if TYPE_CHECKING:
    from gpudesk.domain.desk import Desk, LoadedModel
    from gpudesk.domain.model import InstalledModel
    from gpudesk.domain.pin import PinState
    from gpudesk.exports.foresight import Fits


class Facts:
    """The desk, asked by entry. Without a desk nothing is known."""

    def __init__(
        self,
        desk: Desk | None,
        *,
        fits: Fits | None = None,
        versions: tuple[tuple[int, int, int], ...] = (),
    ) -> None:
        self.desk = desk
        self.fits = fits
        self.versions = versions
        """Of Continue, where it is installed."""
        self._installed = {(m.engine_url, _plain(m.name)): m for m in desk.installed} if desk else {}
        self._loaded = {(m.engine_url, _plain(m.name)): m for m in desk.models} if desk else {}
        self._pins = {(p.wish.engine_url, _plain(p.wish.name)): p for p in desk.pins} if desk else {}
        self._details = {details.digest: details for details in desk.details} if desk else {}

    def names(self, url: str | None) -> list[str]:
        """Return the names of what is installed in an engine; empty when nobody knows."""
        if self.desk is None or not any(engine.url == url and engine.reachable for engine in self.desk.engines):
            return []
        return [model.name for model in self.desk.installed if model.engine_url == url]

    def installed(self, entry: Entry) -> InstalledModel | None:
        """Return the installed model of an entry."""
        return self._installed.get(key_of(entry))

    def loaded(self, entry: Entry) -> LoadedModel | None:
        """Return the loaded model of an entry."""
        return self._loaded.get(key_of(entry))

    def pin(self, entry: Entry) -> PinState | None:
        """Return the pin of an entry's model."""
        return self._pins.get(key_of(entry))

    def stays_forever(self, entry: Entry) -> bool:
        """The engine keeps it loaded for ever now."""
        loaded = self.loaded(entry)
        timer = loaded.keep_alive if loaded is not None else None
        return timer is not None and timer.state is KeepAliveState.FOREVER

    def family(self, entry: Entry) -> str | None:
        """Return `general.architecture`."""
        installed = self.installed(entry)
        if installed is None:
            return None
        details = self._details.get(installed.digest or "")
        return (details.family if details is not None else None) or installed.family

    def capabilities(self, entry: Entry) -> tuple[str, ...] | None:
        """Return what the engine says it can; None when it says nothing."""
        installed = self.installed(entry)
        if installed is None:
            return None
        details = self._details.get(installed.digest or "")
        return details.capabilities if details is not None and details.capabilities else installed.capabilities

    def trained_context(self, entry: Entry) -> int | None:
        """Return what the engine cuts every context to."""
        installed = self.installed(entry)
        details = self._details.get((installed.digest if installed is not None else None) or "")
        return details.context_length_trained if details is not None else None

    def context(self, entry: Entry) -> int:
        """Return `num_ctx` of an entry's requests, as far as that is known."""
        return entry.context_length if entry.context_length is not None else entry.asked_context

    def context_is_sure(self, entry: Entry) -> bool:
        """Nothing in the model itself can make it another: no header is read for a check."""
        return entry.context_length is not None


def key_of(entry: Entry) -> tuple[str, str]:
    """Return what entries of one model have in common."""
    return entry.url or "", _plain(installed_name(entry.model or ""))


def _plain(name: str) -> str:
    """Ollama does not tell capitals apart, and leaves out its own host (types/model/name.go `EqualFold`)."""
    name = name.lower().removeprefix("registry.ollama.ai/").removeprefix("library/")
    return name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"
