"""Where the planner's metadata comes from: a file, the details kept on disk, an engine, in this order of cost.

A name needs an engine only where neither the manifests on disk nor the cache know it. What has to be asked is asked
concurrently, each model once, and kept by digest for the next time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpudesk.errors import FailureKind, GpudeskError, SourceError, UsageError
from gpudesk.records import dataclass, replace
from gpudesk.sources.companions import drafts_and_adapters, with_projector
from gpudesk.sources.manifest_file import projector_blob, read_manifest, remote_host, weights_blob, with_tag
from gpudesk.sources.ollama_cache import DetailsCache
from gpudesk.sources.ollama_show import SHOW_BYTES, details_of, parse_show
from gpudesk.sources.ollama_values import as_list, as_object
from gpudesk.text import clean

if TYPE_CHECKING:
    from gpudesk.domain.model import InstalledModel
    from gpudesk.fit.metadata import ModelMetadata, Tensor
    from gpudesk.sources.ollama_client import OllamaClient

AT_ONCE = 4
"""Models asked for at the same time: each makes the engine read a file's whole header."""
SHOW_SECONDS = 30.0
_NEAREST = 3
_PARAMETERS = ("num_ctx", "num_gpu", "num_batch")
"""Lines of a modelfile that decide about memory."""

Progress = Callable[[int, int], None]
"""Told how many models of how many are known."""


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model that can be planned with."""

    name: str
    metadata: ModelMetadata
    digest: str | None = None
    """The manifest's; None for a file."""
    blob_digest: str | None = None
    parameters: Mapping[str, int] = field(default_factory=dict)
    """`num_ctx` and others, where the modelfile sets them."""
    capabilities: tuple[str, ...] | None = None
    adapters: tuple[tuple[Tensor, ...], ...] = ()
    """Tensors of each LoRA adapter."""
    draft: ModelMetadata | None = None
    """The small model that is loaded with it for speculation."""
    notes: tuple[str, ...] = ()
    """What of it could not be told."""


@dataclass(frozen=True, slots=True)
class _Named:
    """A name with what identifies its content."""

    name: str
    digest: str
    engine_url: str | None = None
    blob_path: Path | None = None
    projector_path: Path | None = None


class ModelMetadataSource:
    """Metadata by name or path. Made by `build`; may be used once or many times."""

    def __init__(
        self,
        clients: Sequence[OllamaClient] = (),
        *,
        cache_directory: Path | None = None,
        models_directories: Sequence[Path] = (),
    ) -> None:
        self._clients = {client.url: client for client in clients}
        self._cache = DetailsCache(cache_directory)
        self._models_directories = tuple(models_directories)

    def find(
        self,
        words: Sequence[str],
        installed: Sequence[InstalledModel] | None = None,
        progress: Progress | None = None,
    ) -> tuple[FoundModel, ...]:
        """Return one model per word, in their order.

        Args:
            words: names as an engine lists them, `.gguf` files, or `.json` files with a reply of `/api/show`.
            installed: what the engines have, where that is known already.
            progress: told while models are being asked for.

        Raises:
            UsageError: a name that is not installed; the nearest ones are told.
            SourceError: nobody could tell about a name, or a file cannot be read.
        """
        files = {word: read_file(Path(word)) for word in dict.fromkeys(words) if is_file_word(word)}
        named: dict[str, _Named] = {}
        listing = installed
        for word in dict.fromkeys(words):
            if word in files:
                continue
            known = None if listing is not None else self._on_disk(word)
            if known is None:
                listing = self._listing() if listing is None else listing
                known = _among(word, listing, asked=bool(self._clients))
            named[word] = known
        found, failures = self._known(list(named.values()), progress)
        for failure in failures.values():
            raise failure
        return tuple(files[word] if word in files else found[named[word].digest, named[word].name] for word in words)

    def find_all(
        self, installed: Sequence[InstalledModel], progress: Progress | None = None
    ) -> tuple[tuple[FoundModel, ...], tuple[str, ...]]:
        """Return every installed model that can be planned with, and in words why others cannot."""
        named = [
            _Named(model.name, model.digest, model.engine_url)
            for model in installed
            if model.digest is not None and model.remote_host is None
        ]
        found, failures = self._known(named, progress)
        models = tuple(found[each.digest, each.name] for each in named if (each.digest, each.name) in found)
        return models, tuple(f"{name}: {error.message}" for (_, name), error in failures.items())

    def listing(self) -> tuple[InstalledModel, ...]:
        """Return what the engines have installed.

        Raises:
            SourceError: no engine answered.
        """
        return self._listing()

    def close(self) -> None:
        """Let go of the connections."""
        for client in self._clients.values():
            client.close()

    def _on_disk(self, word: str) -> _Named | None:
        """Return a name by its manifest in a models folder of this computer."""
        for directory in self._models_directories:
            content = read_manifest(directory, word)
            blob = weights_blob(content)
            host = remote_host(directory, content) if content and blob is None else None
            if host is not None:
                raise _cloud(with_tag(word), host)
            if blob is not None:
                from hashlib import sha256

                seeing = projector_blob(content)
                return _Named(
                    with_tag(word), sha256(content).hexdigest(), None, directory / "blobs" / f"sha256-{blob}",
                    directory / "blobs" / f"sha256-{seeing[0]}" if seeing is not None else None,
                )  # fmt: skip
        return None

    def _listing(self) -> tuple[InstalledModel, ...]:
        from gpudesk.sources.ollama_wire import parse_tags

        models: list[InstalledModel] = []
        failure: SourceError | None = None
        answered = False
        for url, client in self._clients.items():
            try:
                answer = client.get("/api/tags")
                models += parse_tags(answer.body, url).models
                answered = True
            except SourceError as error:
                failure = failure or error
        if answered:
            return tuple(models)
        hint = "Start the engine, or name a .gguf file or a saved reply of /api/show"
        if failure is not None:
            raise SourceError(failure.kind, failure.message, failure.hint or hint)
        raise SourceError(FailureKind.MISSING, "no engine to ask and no models on this disk", hint)

    def _known(
        self, named: Sequence[_Named], progress: Progress | None
    ) -> tuple[dict[tuple[str, str], FoundModel], dict[tuple[str, str], GpudeskError]]:
        """Return what could be told of each, by digest and name, and why not of the others."""
        found: dict[tuple[str, str], FoundModel] = {}
        failures: dict[tuple[str, str], GpudeskError] = {}
        missing: dict[str, list[_Named]] = {}
        for each in named:
            reduced = self._cache.metadata(each.digest)
            if reduced is None:
                missing.setdefault(each.digest, []).append(each)
            else:
                self._take(each, reduced, found, failures)
        done = len(named) - sum(len(group) for group in missing.values())
        for group, outcome in self._asked(list(missing.values())):
            for each in group:
                if isinstance(outcome, GpudeskError):
                    failures[each.digest, each.name] = outcome
                elif isinstance(outcome, FoundModel):
                    found[each.digest, each.name] = replace(outcome, name=each.name)
                else:
                    self._take(each, outcome, found, failures)
            done += len(group)
            if progress is not None:
                progress(done, len(named))
        return found, failures

    def _take(
        self,
        each: _Named,
        reduced: dict[str, Any],
        found: dict[tuple[str, str], FoundModel],
        failures: dict[tuple[str, str], GpudeskError],
    ) -> None:
        """Make a model of a reply, and read what of it is in other files."""
        try:
            made = _found(each.name, each.digest, reduced)
        except GpudeskError as error:
            failures[each.digest, each.name] = error
            return
        paths = [path for path in as_list(as_object(reduced.get("files")).get("from")) if isinstance(path, str)]
        found[each.digest, each.name] = self._seeing(made, paths[1:])

    def _seeing(self, found: FoundModel, paths: Sequence[str]) -> FoundModel:
        """Add the projector that is a file of its own."""
        if not paths:
            return found
        metadata, notes = with_projector(found.name, found.metadata, paths, self._models_directories)
        return replace(found, metadata=metadata, notes=(*found.notes, *notes))

    def _asked(
        self, groups: Sequence[list[_Named]]
    ) -> Iterator[tuple[list[_Named], dict[str, Any] | FoundModel | GpudeskError]]:
        """Ask for one model of each group (same digest), a few at a time, and tell in the groups' order."""
        if len(groups) < 2:
            yield from ((group, self._ask(group[0])) for group in groups)
            return
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="gpudesk show") as pool:
            yield from zip(groups, pool.map(lambda group: self._ask(group[0]), groups), strict=True)

    def _ask(self, named: _Named) -> dict[str, Any] | FoundModel | GpudeskError:
        """Ask the engine, and read the header of the file itself where no engine answers."""
        failure: GpudeskError = SourceError(FailureKind.MISSING, f"nobody to ask about {named.name}")
        for url, client in self._clients.items():
            if named.engine_url not in (None, url):
                continue
            try:
                return self._show(client, named)
            except SourceError as error:
                failure = error
        if named.blob_path is not None:
            try:
                found = replace(
                    read_file(named.blob_path), digest=named.digest, blob_digest=named.blob_path.name[len("sha256-") :]
                )
                paths = [str(named.projector_path)] if named.projector_path is not None else []
                return self._seeing(replace(found, name=named.name), paths)
            except GpudeskError as error:
                failure = error
        return failure

    def _show(self, client: OllamaClient, named: _Named) -> dict[str, Any]:
        body = json.dumps({"model": named.name, "verbose": True}).encode()
        answer = client.post("/api/show", body, timeout_seconds=SHOW_SECONDS, max_body_bytes=SHOW_BYTES)
        reduced = parse_show(answer.body, f"{client.url}/api/show")
        self._cache.store(details_of(named.digest, reduced), reduced)
        return reduced


def is_file_word(word: str) -> bool:
    """Tell whether a word means a file: by its ending, or because it is a path to one."""
    lowered = word.lower()
    return lowered.endswith((".gguf", ".json")) or (("/" in word or "\\" in word) and Path(word).is_file())


def read_file(path: Path) -> FoundModel:
    """Read a `.gguf` file's header, or a saved reply of `/api/show`.

    Raises:
        SourceError: it cannot be read, or is neither.
    """
    if path.suffix.lower() == ".json":
        return _saved_reply(path)
    return FoundModel(clean(path.name), read_tensors(path))


def read_tensors(path: Path) -> ModelMetadata:
    """Read the header of a model or adapter.

    Raises:
        SourceError: it cannot be read.
    """
    from gpudesk.sources.gguf_files import read_model

    return read_model(path)


def _saved_reply(path: Path) -> FoundModel:
    """Read a reply of `/api/show`: its metadata, and the settings of its modelfile."""
    metadata = read_tensors(path)
    try:
        settings = parameters(parse_show(path.read_bytes(), str(path)).get("parameters"))
    except OSError as error:
        raise SourceError(FailureKind.MISSING, f"{path} cannot be read: {error.strerror or error}") from error
    return FoundModel(clean(path.stem), metadata, parameters=settings)


def _found(name: str, digest: str | None, reduced: dict[str, Any]) -> FoundModel:
    """Make a planner's model of what `/api/show` told.

    Raises:
        GpudeskError: the reply has no metadata that could be planned with.
    """
    from gpudesk.fit.from_show import metadata_from_show

    details = details_of(digest or "", reduced)
    drafts, adapters, notes = drafts_and_adapters(name, reduced)
    return FoundModel(
        name=name,
        metadata=metadata_from_show(reduced, name=name),
        digest=digest,
        blob_digest=details.blob_digests[0] if details.blob_digests else None,
        parameters=parameters(reduced.get("parameters")),
        capabilities=details.capabilities,
        adapters=tuple(adapter.tensors for adapter in adapters),
        draft=drafts[0] if drafts else None,
        notes=notes,
    )


def parameters(text: object) -> dict[str, int]:
    """Read the lines of `/api/show`'s `parameters` that decide about memory: `num_ctx    16384`."""
    values: dict[str, int] = {}
    for line in text.splitlines()[:200] if isinstance(text, str) else ():
        words = line.split()
        if len(words) == 2 and words[0] in _PARAMETERS and words[1].isascii() and words[1].isdecimal():
            values[words[0]] = min(int(words[1][:12]), 1 << 31)
    return values


def _among(word: str, installed: Sequence[InstalledModel], *, asked: bool) -> _Named:
    """Find a name among the installed ones, as Ollama would: the tag may be missing, case does not matter.

    Raises:
        UsageError: it is not there, or nothing of it is on this computer.
    """
    wanted = with_tag(word).casefold()
    model = next((model for model in installed if model.name.casefold() == wanted), None)
    if model is None:
        names = nearest_names(word, tuple(dict.fromkeys(model.name for model in installed)))
        hint = f"Did you mean {' or '.join(names)}?" if names else f"Download it: ollama pull {clean(word, 80)}"
        raise UsageError(f"{clean(word, 80)} is not installed", hint if asked or names else "No engine was asked")
    if model.remote_host is not None:
        raise _cloud(model.name, model.remote_host)
    if model.digest is None:
        raise SourceError(FailureKind.INVALID, f"the engine does not tell the digest of {model.name}")
    return _Named(model.name, model.digest, model.engine_url)


def _cloud(name: str, address: str) -> UsageError:
    """Say why there is nothing to plan for a model that runs elsewhere."""
    from urllib.parse import urlsplit

    try:
        host = urlsplit(address).hostname or address
    except ValueError:
        host = address
    return UsageError(f"{clean(name, 80)} is a cloud model: it runs on {clean(host, 80)}, takes no memory on this card")


def nearest_names(word: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the installed names nearest to a word: those spelled alike, then those it begins."""
    import difflib

    lowered = word.casefold()
    by_key = {name.casefold(): name for name in names}
    begun = sorted(key for key in by_key if lowered and key.startswith(lowered.split(":")[0]))
    alike = difflib.get_close_matches(lowered, list(by_key), n=_NEAREST, cutoff=0.5)
    return tuple(by_key[key] for key in dict.fromkeys((*alike, *begun)))[:_NEAREST]
