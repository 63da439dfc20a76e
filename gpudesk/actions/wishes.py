"""What is wished for one model, beside how it is loaded now: whether it has to be loaded, and what else."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from gpudesk.actions.lookup import (
    engine_at,
    installed_as,
    is_embedding,
    is_pinned,
    keep_alive_wish,
    loaded_as,
    nearest_names,
    pins_of,
    with_tag,
)
from gpudesk.actions.values import Load, Refusal
from gpudesk.domain.desk import Desk, LoadedModel
from gpudesk.domain.engine import Era, era_of, limits_context
from gpudesk.domain.keep_alive import FOREVER, KeepAlive, KeepAliveState, KeepAliveWish
from gpudesk.domain.model import InstalledModel
from gpudesk.records import dataclass, replace
from gpudesk.units import duration, percent

TIMER_SECONDS, TIMER_RATIO = 2.0, 0.01
"""A timer counts as the one wished when it is no further from it than this: it runs down while one looks."""
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
EMBEDDING_BATCH = 2048
"""Most of a batch that nobody asked for, of a model that only embeds (ollama llm/llama_server.go:77 at v0.33.0-rc2)."""
TIMERS = (5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 12 * HOUR, DAY)
"""Keep-alives people set: an engine tells only when a timer ends, so the next one up is what was most likely meant."""


@dataclass(frozen=True, slots=True)
class Need:
    """What has to be done about one model."""

    load: Load
    """The wish, with what was left open filled in."""
    there: LoadedModel | None = None
    loads: bool = False
    """It has to be loaded, perhaps anew."""
    timer: bool = False
    """Only its keep-alive has to be changed."""
    pins: bool = False
    """A pin has to be stored."""
    loses: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def reloads(self) -> bool:
        """It is there, and is loaded anew."""
        return self.loads and self.there is not None


def refusal_of(desk: Desk, wish: Load) -> Refusal | None:
    """Say why a model cannot be loaded at all; None when nothing is known against it."""
    engine = engine_at(desk, wish.engine_url)
    if engine is None:
        return Refusal(f"no engine at {wish.engine_url} is known", "Name it in the configuration: engines")
    if not engine.reachable:
        reason = f": {engine.error}" if engine.error else ""
        return Refusal(f"{wish.engine_url} does not answer{reason}", engine.hint)
    if wish.keep_alive is not None and wish.keep_alive.seconds is not None and wish.keep_alive.seconds <= 0:
        return Refusal(f"keep-alive 0 would unload {wish.name} as soon as it is loaded", "Wish for a time, or forever")
    installed = installed_as(desk, wish)
    if installed is not None and installed.remote_host is not None:
        where = installed.remote_host
        return Refusal(f"{wish.name} is a cloud model: it runs at {where}; there is nothing to load here")
    names = [each.name for each in desk.installed if each.engine_url == wish.engine_url]
    if installed is None and names and loaded_as(desk, wish) is None:
        nearest = nearest_names(wish.name, names)
        hint = f"Did you mean {' or '.join(nearest)}?" if nearest else f"Download it: gpudesk pull {wish.name}"
        return Refusal(f"{wish.name} is not installed", hint)
    return None


def silent_engine(desk: Desk, models: Iterable[LoadedModel]) -> Refusal | None:
    """Say which engine that would be asked does not answer; None when all of them do."""
    for model in models:
        engine = engine_at(desk, model.engine_url)
        if engine is None or not engine.reachable:
            reason = f": {engine.error}" if engine is not None and engine.error else ""
            return Refusal(f"{model.engine_url} does not answer{reason}", engine.hint if engine is not None else None)
    return None


def named(desk: Desk, wish: Load) -> Load:
    """Return a wish with the name and the digest the engine has for it."""
    installed = installed_as(desk, wish)
    if installed is None:
        return replace(wish, name=with_tag(wish.name))
    return replace(wish, name=installed.name, digest=installed.digest)


def need_of(
    desk: Desk, wish: Load, *, restore_pin: bool | None = None, same_weights: LoadedModel | None = None
) -> Need:
    """Say what has to be done so that a model is as wished.

    Args:
        desk: what is known.
        wish: the model; None in it is "as it is", or what the engine chooses.
        restore_pin: of a pin that is to be stored; None leaves an existing one's.
        same_weights: a loaded model with the same file, where only its header told that.
    """
    installed = installed_as(desk, wish)
    wish = named(desk, wish)
    there = loaded_as(desk, wish) or same_weights
    known: InstalledModel | LoadedModel | None = installed or there
    pinned_now = there is not None and is_pinned(desk, there)
    held = pins_of(desk, wish.engine_url, wish.name)
    forever = wish.pinned or pinned_now or bool(held)
    if there is None and held and wish.context_length is None:
        # A pin that is lost is a wish all the same: who loads the model means what is pinned.
        wish = replace(wish, context_length=held[0].wish.context_length)
    wish = replace(
        wish,
        embedding=wish.embedding or (known is not None and is_embedding(desk, known)),
        keep_alive=FOREVER if wish.keep_alive is None and forever else wish.keep_alive,
        digest=wish.digest or (there.digest if there is not None else None),
    )
    if there is None:
        return Need(
            wish,
            loads=True,
            pins=wish.pinned and _pin_missing(desk, wish, None, wish.context_length, restore_pin),
            notes=_fresh(desk, wish, installed),
        )
    return _beside(desk, wish, there, pinned_now=pinned_now, restore_pin=restore_pin)


def _fresh(desk: Desk, wish: Load, installed: InstalledModel | None) -> tuple[str, ...]:
    if installed is None:
        return (f"{wish.engine_url} does not tell what is installed: whether {wish.name} is there shows when it loads",)
    return _clamped(desk, wish)


def _beside(desk: Desk, wish: Load, there: LoadedModel, *, pinned_now: bool, restore_pin: bool | None) -> Need:
    """Compare a wish with the runner that is there."""
    asked, loaded = effective_context(desk, wish, there), there.context_length
    notes, loses = list(_clamped(desk, wish)), []
    if there.name.casefold() != wish.name.casefold():
        notes.append(f"{wish.name} has the same weights as {there.name}, which is loaded: one runner serves both")
    reloads = asked is not None and asked != loaded
    if there.cpu_ratio and not reloads and (desk.cards or not there.local):
        notes.append(f"{there.name} is {percent(there.cpu_ratio)} on the CPU; unload it first to have it loaded anew")
    if reloads and loaded is not None:
        change = f"with context {asked} instead of {loaded}"
        if pinned_now:
            loses.append(f"{there.name} is pinned and is loaded again {change}; what it has in its cache is lost")
        else:
            notes.append(f"{there.name} is loaded again {change}")
    elif loaded is None:
        notes.append(
            f"the engine does not tell the context of {there.name}: if it was loaded with another one, "
            "this loads it again"
        )
    likely = likely_wish(there, desk.taken_at)
    timer = (
        wish.keep_alive is not None
        and wish.keep_alive != likely
        and not is_kept_so(there.keep_alive, wish.keep_alive, desk.taken_at)
    )
    wish = replace(wish, context_length=asked if reloads else loaded)
    if wish.keep_alive is None and reloads:
        # Without one, a new runner gets the engine's default.
        wish = replace(wish, keep_alive=keep_alive_wish(there.keep_alive, desk.taken_at))
    if not reloads:
        # The engine lists the runner under the name it was first loaded by.
        wish = replace(wish, name=there.name, digest=there.digest or wish.digest)
    held = pins_of(desk, there.engine_url, there.name, *there.shares_runner_with)
    wish = replace(wish, restore_pin=wish.restore_pin or any(state.wish.restore for state in held))
    pins = (wish.pinned or (pinned_now and reloads)) and _pin_missing(desk, wish, there, asked, restore_pin)
    return Need(
        replace(wish, pinned=wish.pinned or pinned_now, memory_bytes=there.memory_bytes),
        there,
        loads=reloads,
        timer=timer and not reloads,
        pins=pins,
        loses=tuple(loses),
        notes=tuple(notes),
    )


def _pin_missing(
    desk: Desk, wish: Load, there: LoadedModel | None, asked: int | None, restore_pin: bool | None
) -> bool:
    """Tell whether a pin has to be stored: there is none, or one that wants something else."""
    held = [state.wish for state in pins_of(desk, wish.engine_url, wish.name)]
    if not held:
        return there is None or not is_pinned(desk, there)
    pin = held[0]
    other_context = asked is not None and pin.context_length != asked
    other_digest = None not in (wish.digest, pin.digest) and wish.digest != pin.digest
    return other_context or other_digest or (restore_pin is not None and pin.restore != restore_pin)


def effective_context(desk: Desk, wish: Load, there: LoadedModel | None = None) -> int | None:
    """Return the context a model ends up with: Ollama cuts a wish to what it was trained for, from 0.9.3 on.

    An engine that does not tell its version is taken for one that does, as all are that people install today, unless
    what is loaded shows otherwise: to load a model again for nothing is the worse mistake.

    Args:
        desk: what is known.
        wish: the model and its context.
        there: how it is loaded now.
    """
    asked, trained = wish.context_length, trained_context(desk, wish)
    if asked is None or trained is None or asked <= trained:
        return asked
    limits = _limits_context(desk, wish)
    if limits is None and there is not None and there.context_length == asked:
        return asked
    return asked if limits is False else trained


def _limits_context(desk: Desk, wish: Load) -> bool | None:
    engine = engine_at(desk, wish.engine_url)
    return None if engine is None else limits_context(engine.version)


def trained_context(desk: Desk, wish: Load) -> int | None:
    """Return the longest context a model was trained for; None when the engine was not asked yet."""
    details = next((each for each in desk.details if each.digest == wish.digest), None)
    return details.context_length_trained if details is not None else None


def needs_training(desk: Desk, wish: Load) -> bool:
    """Tell whether what is sent for a model depends on what it was trained for, and nobody has told that yet."""
    if not _sends_batch(desk, wish):
        return False
    assert wish.context_length is not None
    return wish.context_length < EMBEDDING_BATCH and trained_context(desk, _as_known(desk, wish)) is None


def as_sent(desk: Desk, wish: Load, trained: int | None = None) -> Load:
    """Return a wish as the engine is asked for it: without a context where only that leaves the runner alone.

    From 0.30 on a model that only embeds gets a batch of the context that was asked for, 2048 at most, before that is
    cut to what the model was trained for (ollama server/routes.go:151 and sched.go:1398 at v0.33.0-rc2). Who asks for
    the 512 a model has gets another batch than all who ask for nothing, and with it another runner; its command line
    does not show which.

    Args:
        desk: what is known.
        wish: the model, and how it shall be loaded or is loaded now.
        trained: the context it was trained for, where only its engine told that.
    """
    if not _sends_batch(desk, wish):
        return wish
    assert wish.context_length is not None
    trained = trained_context(desk, _as_known(desk, wish)) or trained
    whole = trained is not None and trained <= wish.context_length and trained < EMBEDDING_BATCH
    return replace(wish, context_length=None) if whole else wish


def _sends_batch(desk: Desk, wish: Load) -> bool:
    """Tell whether a context sent for this model sets its batch as well."""
    engine = engine_at(desk, wish.engine_url)
    if engine is None or era_of(engine.version) is not Era.LLAMA_SERVER or wish.context_length is None:
        return False
    known = loaded_as(desk, wish) or installed_as(desk, wish)
    return wish.embedding or (known is not None and is_embedding(desk, known))


def _as_known(desk: Desk, wish: Load) -> Load:
    """Return a wish with the digest the engine has for it."""
    known = loaded_as(desk, wish) or installed_as(desk, wish)
    return wish if known is None else replace(wish, digest=known.digest)


def _clamped(desk: Desk, wish: Load) -> tuple[str, ...]:
    trained = trained_context(desk, wish)
    if wish.context_length is None or trained is None or wish.context_length <= trained:
        return ()
    if _limits_context(desk, wish) is False:
        return (f"{wish.name} was trained for {trained} tokens: this Ollama lets it have more, but it may not cope",)
    return (f"{wish.name} was trained for {trained} tokens: that is the context it gets",)


def is_kept_so(keep_alive: KeepAlive | None, wish: KeepAliveWish, now: datetime) -> bool:
    """Tell whether a timer is already the one wished for."""
    if keep_alive is None:
        return False
    timer = keep_alive.at(now)
    if wish.seconds is None:
        return timer.state is KeepAliveState.FOREVER
    remaining = timer.remaining_seconds(now)
    return remaining is not None and abs(remaining - wish.seconds) <= max(TIMER_SECONDS, TIMER_RATIO * wish.seconds)


def likely_wish(model: LoadedModel, now: datetime) -> KeepAliveWish | None:
    """Return the keep-alive that was most likely set: what is left of it, up to the next usual one."""
    wish = keep_alive_wish(model.keep_alive, now)
    if wish is None or wish.seconds is None:
        return wish
    bounds = model.keep_alive_bounds
    left = wish.seconds if bounds is None else max(wish.seconds, bounds.least_seconds)
    return KeepAliveWish(next((timer for timer in TIMERS if timer >= left), -(-left // DAY) * DAY))


def kept(wish: KeepAliveWish) -> str:
    """Write a keep-alive: `forever`, `30m 00s`."""
    return "forever" if wish.seconds is None else duration(wish.seconds)
