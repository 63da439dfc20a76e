"""What is on the simulated server's disk: names, the files behind them, and what can be pulled."""

from __future__ import annotations

import re
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from gpudesk.sim.engine_catalog import catalog
from gpudesk.sim.engine_tensors import draft_bytes_of, weights_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpudesk.sim.clock import SimulatedClock
    from gpudesk.sim.models import SimulatedModel

_DEFAULT_HOST = "registry.ollama.ai/"
_DEFAULT_NAMESPACE = "library/"
_PART = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}$")
_CONFIG_BYTES = 488
_LICENSE_BYTES = 11_300
_TEMPLATE_BYTES = 1_700


def normalize(name: str) -> str | None:
    """Return the shortest display form of a name, the tag always there; None when it is no name at all.

    Source: ollama types/model/name.go (`ParseName`, `DisplayShortest`) at v0.33.0-rc2.
    """
    name = name.removeprefix("https://").removeprefix("http://")
    rest, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        rest, tag = name, "latest"
    if rest.startswith(_DEFAULT_HOST):
        rest = rest[len(_DEFAULT_HOST) :]
    if rest.startswith(_DEFAULT_NAMESPACE):
        rest = rest[len(_DEFAULT_NAMESPACE) :]
    parts = rest.split("/")
    if not 1 <= len(parts) <= 3 or not _PART.match(tag):
        return None
    host = parts[0].split(":")[0] if len(parts) == 3 else parts[0]
    return f"{rest}:{tag}" if all(_PART.match(part) for part in [host, *parts[1:]]) else None


class ModelStore:
    """Installed models by name. All methods run under the clock's lock."""

    def __init__(self, clock: SimulatedClock, models: Iterable[SimulatedModel]) -> None:
        self._clock = clock
        self._models: dict[str, SimulatedModel] = {}
        self._modified: dict[str, float] = {}
        self.blobs: set[str] = set()
        """Digests of files that were uploaded, or pulled for a model that is not complete; 64 hex digits."""
        self.partial: dict[str, int] = {}
        """Digest to how many bytes of a file are there: a pull that was broken off goes on from here."""
        self.registry: dict[str, SimulatedModel] = {}
        """What can be pulled besides the catalog, and instead of it: `publish` fills it."""
        self.offline = False
        """There is no way to the registry."""
        for model in models:
            self._models[model.name] = model
            self._modified[model.name] = -model.modified_seconds_ago

    def find(self, name: str) -> SimulatedModel | None:
        """Return the model of that name, in any form and case the server takes."""
        normal = normalize(name)
        if normal is None:
            return None
        found = self._models.get(normal)
        if found is None:
            folded = normal.casefold()
            found = next((model for key, model in self._models.items() if key.casefold() == folded), None)
        return found

    def listed(self) -> list[tuple[SimulatedModel, float]]:
        """Return every model and when it was written in simulated seconds, the latest first."""
        pairs = [(model, self._modified[name]) for name, model in self._models.items()]
        return sorted(pairs, key=lambda pair: pair[1], reverse=True)

    def modified_seconds(self, model: SimulatedModel) -> float:
        """Return when a model's manifest was written."""
        return self._modified[model.name]

    def put(self, model: SimulatedModel) -> None:
        """Install a model, in place of one of the same name."""
        self._models[model.name] = model
        self._modified[model.name] = self._clock.elapsed()

    def remove(self, model: SimulatedModel) -> None:
        """Remove a name; what is loaded of it stays loaded."""
        self._models.pop(model.name, None)
        self._modified.pop(model.name, None)

    def copy(self, source: SimulatedModel, destination: str) -> None:
        """Give a model another name; both share the file and the digest."""
        self.put(replace(source, name=destination, blob_key=source.blob_key or source.name))

    def publish(self, model: SimulatedModel) -> None:
        """Let a model be there to pull; under a name of the catalog it is a new version."""
        self.registry[model.name] = model

    def available(self, name: str) -> SimulatedModel | None:
        """Return what the registry has under a name."""
        normal = normalize(name)
        return None if normal is None else self.registry.get(normal) or pullable(normal)

    def has_blob(self, digest: str) -> bool:
        """Tell whether a file is there."""
        return digest in self.blobs or any(
            digest == listed for model in self._models.values() for listed, _size in layers_of(model)
        )


def size_bytes(model: SimulatedModel) -> int:
    """Return all layers of a model on disk, as `/api/tags` adds them up."""
    if model.remote:
        return 384
    return sum(size for _digest, size in layers_of(model))


def layers_of(model: SimulatedModel) -> tuple[tuple[str, int], ...]:
    """Return digest and size of every file a model is made of, in the order of its manifest, the config last."""
    weights = weights_of(model)
    found = [(model.blob_digest, weights.file)]
    if model.projector_digest is not None:
        found.append((model.projector_digest, weights.projector_file))
    if model.draft_digest is not None:
        found.append((model.draft_digest, draft_bytes_of(model)))
    found.append((_digest(model.template), _TEMPLATE_BYTES))
    found.append((_digest(model.license), _LICENSE_BYTES))
    if model.parameters:
        found.append((parameters_digest(model), len(repr(model.parameters))))
    found.append((_digest(model.digest), _CONFIG_BYTES))
    return tuple(found)


def parameters_digest(model: SimulatedModel) -> str:
    """Return the digest of the layer with a model's parameters."""
    return _digest(repr(model.parameters))


def _digest(content: str) -> str:
    return sha256(content.encode()).hexdigest()


def pullable(name: str) -> SimulatedModel | None:
    """Return what the registry has under a name: every model of the catalog."""
    normal = normalize(name)
    return next((model for model in catalog() if model.name == normal), None)
