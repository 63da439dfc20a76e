"""Which model is meant, and how it is loaded now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeVar

from gpudesk.actions.values import Load
from gpudesk.domain.desk import Desk, LoadedModel
from gpudesk.domain.engine import Engine
from gpudesk.domain.keep_alive import FOREVER, KeepAlive, KeepAliveState, KeepAliveWish
from gpudesk.domain.model import InstalledModel
from gpudesk.domain.pin import Pin, PinState
from gpudesk.errors import UsageError
from gpudesk.text import clean

NEAREST = 3
"""How many names are offered for one that is not there."""
_ENCODERS = ("bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "modern-bert", "gemma-embedding")
"""Families that only embed, where an engine does not tell capabilities (they have a pooling type, images.go:171)."""

_Model = TypeVar("_Model", InstalledModel, LoadedModel, InstalledModel | LoadedModel)


def with_tag(name: str) -> str:
    """Return a name with its tag: without one, Ollama means `latest`."""
    return name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"


def find_model(desk: Desk, text: str, engine_url: str | None = None) -> InstalledModel | LoadedModel:
    """Return the model somebody means: the loaded one where it is loaded, else the installed one.

    Args:
        desk: what is known.
        text: its name; a missing tag is `latest`, case does not matter, as in Ollama.
        engine_url: which engine; None looks at all of them.

    Raises:
        UsageError: it is not there (the nearest names are told), or two engines have it.
    """
    loaded = _named(desk.models, text, engine_url)
    found: Sequence[InstalledModel | LoadedModel] = loaded or _named(desk.installed, text, engine_url)
    return _one(desk, found, text, engine_url, (*desk.models, *desk.installed), "is not installed")


def find_loaded(desk: Desk, text: str, engine_url: str | None = None) -> LoadedModel:
    """Return the loaded model somebody means. Arguments and errors as for `find_model`."""
    found = _named(desk.models, text, engine_url)
    return _one(desk, found, text, engine_url, desk.models, "is not loaded")


def find_installed(desk: Desk, text: str, engine_url: str | None = None) -> InstalledModel:
    """Return the installed model somebody means. Arguments and errors as for `find_model`."""
    found = _named(desk.installed, text, engine_url)
    return _one(desk, found, text, engine_url, desk.installed, "is not installed")


def find_pin(desk: Desk, text: str, engine_url: str | None = None) -> PinState:
    """Return the pin somebody means; its model need be neither loaded nor installed.

    Raises:
        UsageError: there is no such pin, or two engines have one.
    """
    wanted = with_tag(text.strip()).casefold()
    found = [
        state
        for state in desk.pins
        if state.wish.name.casefold() == wanted and engine_url in (None, state.wish.engine_url)
    ]
    if len(found) == 1:
        return found[0]
    shown = clean(text, 80)
    if found:
        urls = [state.wish.engine_url for state in found]
        raise UsageError(f"{shown} is pinned in {_enumerated(urls)}", "Say which engine is meant: --ollama URL")
    elsewhere = [state.wish.engine_url for state in desk.pins if state.wish.name.casefold() == wanted]
    if elsewhere:
        hint = f"Say so: --ollama {elsewhere[0]}"
        raise UsageError(f"{shown} is not pinned at {clean(engine_url or '', 80)}, but at {elsewhere[0]}", hint)
    names = [state.wish.name for state in desk.pins]
    raise UsageError(f"{shown} is not pinned", _offer(text, names) or "Nothing is pinned with this name")


def is_pinned(desk: Desk, model: LoadedModel) -> bool:
    """Tell whether gpudesk is to keep this model, under any name that shares its runner."""
    return model.pin is not Pin.NONE or bool(pins_of(desk, model.engine_url, model.name, *model.shares_runner_with))


def is_busy(model: LoadedModel, now: datetime) -> bool:
    """Tell whether a request of it is running, as far as the engine lets that be seen.

    Its expiry is written when a request ends (ollama server/sched.go:367 at v0.33.0-rc2): a model that is listed
    after it has expired is either answering or just going.
    """
    return model.keep_alive is not None and model.keep_alive.at(now).state is KeepAliveState.STOPPING


def is_embedding(desk: Desk, model: InstalledModel | LoadedModel) -> bool:
    """Tell whether it only embeds, so that `/api/generate` refuses to load it."""
    capabilities = getattr(model, "capabilities", None)
    if capabilities is None and model.digest is not None:
        installed = next((each for each in desk.installed if each.digest == model.digest), None)
        capabilities = installed.capabilities if installed is not None else None
        details = next((each for each in desk.details if each.digest == model.digest), None)
        if capabilities is None and details is not None:
            capabilities = details.capabilities
    if capabilities is not None:
        return "embedding" in capabilities and "completion" not in capabilities
    return model.family in _ENCODERS


def keep_alive_wish(keep_alive: KeepAlive | None, now: datetime) -> KeepAliveWish | None:
    """Return a timer as it would be wished: what is left of it; None when it is not known."""
    if keep_alive is None:
        return None
    if keep_alive.state is KeepAliveState.FOREVER:
        return FOREVER
    remaining = keep_alive.at(now).remaining_seconds(now)
    return None if remaining is None else KeepAliveWish(remaining)


def pins_of(desk: Desk, engine_url: str, *names: str) -> tuple[PinState, ...]:
    """Return the pins of a model, by all of its names."""
    wanted = {with_tag(name).casefold() for name in names}
    return tuple(
        state for state in desk.pins if state.wish.engine_url == engine_url and state.wish.name.casefold() in wanted
    )


def as_load(model: LoadedModel, desk: Desk) -> Load:
    """Say how a model is loaded now: what brings it back as it was."""
    pins = pins_of(desk, model.engine_url, model.name, *model.shares_runner_with)
    return Load(
        engine_url=model.engine_url,
        name=model.name,
        context_length=model.context_length,
        keep_alive=keep_alive_wish(model.keep_alive, desk.taken_at),
        pinned=bool(pins) or model.pin is not Pin.NONE,
        restore_pin=any(state.wish.restore for state in pins),
        embedding=is_embedding(desk, model),
        digest=model.digest,
        memory_bytes=model.memory_bytes,
    )


def loaded_now(desk: Desk, urls: Iterable[str] | None = None) -> tuple[Load, ...]:
    """Say what is loaded on these engines, every runner once, under its first name; None is all engines."""
    chosen = None if urls is None else set(urls)
    return tuple(as_load(model, desk) for model in runners(desk.models) if chosen is None or model.engine_url in chosen)


def runners(models: Iterable[LoadedModel]) -> tuple[LoadedModel, ...]:
    """Leave out the further names of one runner: those that come after a name they share it with."""
    found: list[LoadedModel] = []
    taken: set[str] = set()
    for model in models:
        if model.key in taken:
            continue
        taken.update((model.key, *(f"{model.engine_url} {name}" for name in model.shares_runner_with)))
        found.append(model)
    return tuple(found)


def held_on(desk: Desk, model: LoadedModel, card_index: int) -> int:
    """Return what a model holds on one card; where nothing tells on which one it is, the only card there is."""
    if model.cards:
        return sum(share.memory_bytes for share in model.cards if share.index == card_index)
    readable = [state.card.index for state in desk.cards if state.card.error is None]
    return (model.memory_bytes or 0) if model.local and readable == [card_index] else 0


def loaded_as(desk: Desk, load: Load) -> LoadedModel | None:
    """Return the runner that a load would use: by its name, else by the weights, which several names may share.

    Ollama's scheduler finds runners by the file of the weights (server/sched.go:108 at v0.33.0-rc2).
    """
    there = [model for model in desk.models if model.engine_url == load.engine_url]
    wanted = with_tag(load.name).casefold()
    named = next((model for model in there if model.name.casefold() == wanted), None)
    if named is not None or load.digest is None:
        return named
    weights = weights_of(desk, load.digest)
    for model in runners(there):
        if model.digest == load.digest:
            return model
        held = model.runner.blob_digest if model.runner is not None else None
        held = held or (weights_of(desk, model.digest) if model.digest is not None else None)
        if weights is not None and held == weights:
            return model
    return None


def weights_of(desk: Desk, digest: str) -> str | None:
    """Return the file of a model's weights by its manifest's digest; None when nobody told yet."""
    details = next((each for each in desk.details if each.digest == digest), None)
    return details.blob_digests[0] if details is not None and details.blob_digests else None


def installed_as(desk: Desk, load: Load) -> InstalledModel | None:
    """Return the installed model of a load."""
    wanted = with_tag(load.name).casefold()
    return next(
        (each for each in desk.installed if each.engine_url == load.engine_url and each.name.casefold() == wanted), None
    )


def engine_at(desk: Desk, url: str) -> Engine | None:
    """Return an engine by its address."""
    return next((engine for engine in desk.engines if engine.url == url), None)


def _named(models: Sequence[_Model], text: str, engine_url: str | None) -> list[_Model]:
    wanted = with_tag(text.strip()).casefold()
    return [model for model in models if model.name.casefold() == wanted and engine_url in (None, model.engine_url)]


def _one(
    desk: Desk,
    found: Sequence[_Model],
    text: str,
    engine_url: str | None,
    all_models: Sequence[InstalledModel | LoadedModel],
    what: str,
) -> _Model:
    """Return the only one of those found, or say why there is none or more than one."""
    shown = clean(text, 80)
    if len(found) == 1:
        return found[0]
    if found:
        urls = [model.engine_url for model in found]
        message = f"{shown} is in more than one engine: {_enumerated(urls)}"
        raise UsageError(message, "Say which engine is meant: --ollama URL")
    if engine_url is not None and engine_at(desk, engine_url) is None:
        known = _enumerated([engine.url for engine in desk.engines])
        raise UsageError(f"no engine at {clean(engine_url, 80)} is known", f"Known: {known}" if known else None)
    silent = [engine for engine in desk.engines if not engine.reachable and engine_url in (None, engine.url)]
    if silent and not all_models:
        raise UsageError(f"{shown} {what}, as far as is known: {silent[0].url} does not answer", silent[0].hint)
    names = [model.name for model in all_models if engine_url in (None, model.engine_url)]
    hint = _offer(text, names)
    if hint is None and what == "is not installed":
        hint = f"Download it: gpudesk pull {shown}"
    raise UsageError(f"{shown} {what}", hint)


def _offer(text: str, names: Sequence[str]) -> str | None:
    nearest = nearest_names(text, names)
    return f"Did you mean {' or '.join(nearest)}?" if nearest else None


def nearest_names(text: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names nearest to a word: those spelled alike, then those it begins."""
    import difflib

    lowered = text.strip().casefold()
    by_key = {name.casefold(): name for name in names}
    begun = sorted(key for key in by_key if lowered and key.startswith(lowered.split(":")[0]))
    alike = difflib.get_close_matches(lowered, list(by_key), n=NEAREST, cutoff=0.5)
    return tuple(by_key[key] for key in dict.fromkeys((*alike, *begun)))[:NEAREST]


def _enumerated(words: Sequence[str]) -> str:
    words = list(dict.fromkeys(words))
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""
