"""Which models an editor is set up with: picked by hand, out of a working set, suggested, or what is resident.

What is written has to be what is resident, or every request of the editor changes it: Ollama loads a model again when
`num_ctx` differs and takes the keep-alive of the last request (ollama server/sched.go `needsReload`, `useLoadedRunner`
at fb3076099). So a context comes from the loaded model first, then from its pin, and one model has one context in all
of its roles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from gpudesk.domain.keep_alive import FOREVER, KeepAliveWish
from gpudesk.errors import UsageError
from gpudesk.exports.values import Chosen, ChosenModel, Role
from gpudesk.records import dataclass, replace
from gpudesk.units import duration, gibibytes

if TYPE_CHECKING:
    from gpudesk.domain.working_set import SetModel
    from gpudesk.fit.roles import Candidate
    from gpudesk.fit.suggest import Suggestion

TALKING = (Role.CHAT, Role.EDIT, Role.APPLY)
"""What the chat model does: Continue and the others edit and apply with the model they talk to."""
ROLES = (Role.CHAT, Role.AUTOCOMPLETE, Role.EMBED)
"""What is chosen by hand."""
DEFAULT_CONTEXT = {Role.CHAT: 16384, Role.AUTOCOMPLETE: 8192, Role.EMBED: 2048}
"""Where nothing is loaded, pinned or said: as `gpudesk suggest` plans them."""


@dataclass(frozen=True, slots=True)
class Pick:
    """A model somebody or something chose."""

    name: str
    roles: tuple[Role, ...]
    context_length: int | None = None
    """None: as it is loaded, pinned or made."""
    keep_alive: KeepAliveWish | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an installed model."""

    name: str
    engine_url: str
    capabilities: tuple[str, ...] | None = None
    """As the engine tells them; None when it does not."""
    family: str | None = None
    context_now: int | None = None
    """It is loaded with this one, or pinned to it."""
    context_made: int | None = None
    """`num_ctx` of its modelfile: baked in."""
    context_trained: int | None = None
    remote: bool = False
    """A cloud model: it takes no memory here."""

    def can(self, capability: str) -> bool | None:
        """Tell whether the engine says so; None when it says nothing."""
        return None if self.capabilities is None else capability in self.capabilities

    @property
    def only_embeds(self) -> bool:
        """It cannot talk."""
        return self.can("embedding") is True and self.can("completion") is not True


@dataclass(frozen=True, slots=True)
class Together:
    """What some models come to when all of them are on the cards, and nothing else of the engine's."""

    verdict: str | None = None
    """`fits`, `tight`, `spills`, `does not fit`; None when it cannot be told."""
    needs_bytes: int | None = None
    room_bytes: int | None = None
    by_model: tuple[tuple[str, int], ...] = ()
    would_evict: tuple[str, ...] = ()
    """The engine itself would make these go for the others, though there would be room."""
    swap_seconds: float | None = None
    """What one model for another costs."""
    note: str | None = None
    """Why it cannot be told."""

    @property
    def stays(self) -> bool | None:
        """All of them stay loaded; None when it cannot be told."""
        if self.verdict is None:
            return None
        return self.verdict in {"fits", "tight"} and not self.would_evict


Judge = Callable[[Sequence[ChosenModel]], Together]


def picked(words: Mapping[Role, tuple[str, int | None]]) -> tuple[Pick, ...]:
    """Return picks by hand: one per model, with all of its roles.

    Args:
        words: for each of `ROLES` that was said, the model and perhaps its context.

    Raises:
        UsageError: one model with two contexts.
    """
    found: dict[str, Pick] = {}
    for role in ROLES:
        if role not in words:
            continue
        name, context = words[role]
        earlier = found.get(name)
        roles = TALKING if role is Role.CHAT else (role,)
        if earlier is None:
            found[name] = Pick(name, roles, context)
            continue
        if None not in (context, earlier.context_length) and context != earlier.context_length:
            raise UsageError(
                f"{name} with context {earlier.context_length} and with {context} would be loaded again at every turn",
                "Give it one context for both roles",
            )
        found[name] = Pick(name, (*earlier.roles, *roles), earlier.context_length or context)
    return tuple(found.values())


def picked_suggestion(suggestion: Suggestion) -> tuple[Pick, ...]:
    """Return the models of a suggestion, with the contexts it was planned with."""
    role_of = {"chat": Role.CHAT, "code": Role.CHAT, "autocomplete": Role.AUTOCOMPLETE, "embed": Role.EMBED}
    chosen = {role_of[each.role]: each for each in suggestion.choices if each.role in role_of}
    contexts: dict[str, int] = {}
    for each in suggestion.choices:
        contexts[each.name] = max(each.context_length, contexts.get(each.name, 0))
    return picked({role: (each.name, contexts[each.name]) for role, each in chosen.items()})


def picked_of(models: Sequence[SetModel], candidates: Mapping[str, Candidate]) -> tuple[Pick, ...]:
    """Give each of these models the role it is best for; what is for none is left out.

    Args:
        models: of a working set, or as they are loaded.
        candidates: what can be judged of them, by name.
    """
    named = {model.name: model for model in models}
    here = [candidates[name] for name in named if name in candidates]
    completes = _best(here, "autocomplete", lambda each: _fills(each) is not False)
    talks = _best(here, "code", lambda each: not _is_base(each.name) and (each is not completes or len(here) == 1))
    talks = talks or _best(here, "code", lambda each: not _is_base(each.name))
    if completes is not None and completes is talks and _fills(completes) is not True:
        completes = None  # it fills in the middle by its name only, and is wanted for talking
    embeds = _best(here, "embed", lambda _: True)
    words = {
        role: (each.name, named[each.name].context_length)
        for role, each in ((Role.CHAT, talks), (Role.AUTOCOMPLETE, completes), (Role.EMBED, embeds))
        if each is not None
    }
    return tuple(replace(pick, keep_alive=_wish(named[pick.name])) for pick in picked(words))


def _wish(model: SetModel) -> KeepAliveWish | None:
    return FOREVER if model.pinned else model.keep_alive


def _best(candidates: Iterable[Candidate], role: str, may: Callable[[Candidate], bool]) -> Candidate | None:
    from gpudesk.fit.roles import billions, suitability

    found: tuple[float, Candidate] | None = None
    for each in candidates:
        fit = suitability(each, role, billions(each.wanted.metadata)) if may(each) else None
        if fit is not None and (found is None or fit.score > found[0]):
            found = fit.score, each
    return None if found is None else found[1]


def _fills(candidate: Candidate) -> bool | None:
    """Tell whether its template does fill-in-the-middle; None where only its name says so."""
    return True if candidate.can("insert") else None


def _is_base(name: str) -> bool:
    return "base" in name.rpartition(":")[2].split("-") or "-base:" in name


def completed(picks: Sequence[Pick], known: Mapping[str, Known], judge: Judge | None = None) -> Chosen:
    """Return what an editor is set up with, and what is to be said before anything is written.

    Args:
        picks: the models and their roles.
        known: every one of them.
        judge: tells whether they fit together; None leaves that out.

    Raises:
        UsageError: a model that cannot do its role.
    """
    models = tuple(_model(pick, known[pick.name]) for pick in picks)
    said = [warning for pick in picks for warning in _unfit(pick, known[pick.name])]
    here = tuple(model for model in models if not known[model.name].remote)
    if judge is not None and here:
        said += _crowded(here, judge)
    return Chosen(models, tuple(dict.fromkeys(said)))


def _model(pick: Pick, known: Known) -> ChosenModel:
    # What is loaded counts over what was made: an editor that asks for another context loads it again.
    context = pick.context_length or known.context_now or known.context_made or _default_context(pick, known)
    return ChosenModel(
        name=known.name,
        roles=pick.roles,
        engine_url=known.engine_url,
        context_length=context,
        context_baked_in=known.context_made is not None and known.context_made == context,
        keep_alive=FOREVER if pick.keep_alive is None else pick.keep_alive,
        capabilities=known.capabilities,
        family=known.family,
        template_has_suffix=known.can("insert"),
    )


def _default_context(pick: Pick, known: Known) -> int:
    need = max(DEFAULT_CONTEXT.get(role, 0) for role in pick.roles)
    return min(need, known.context_trained or need)


def _unfit(pick: Pick, known: Known) -> Iterable[str]:
    """Say what a model is not made for.

    Raises:
        UsageError: it cannot do the role at all.
    """
    from gpudesk.fit.roles import fills_by_name

    name = known.name
    talks = Role.CHAT in pick.roles
    if known.only_embeds and (talks or Role.AUTOCOMPLETE in pick.roles):
        raise UsageError(f"{name} only embeds", "Choose it with --embed, and another model for the rest")
    if Role.EMBED in pick.roles and known.can("embedding") is False:
        yield f"{name} is no embedding model: what it makes of a text finds little"
    if talks and _is_base(name):
        yield f"{name} is a base model: it goes on with a text instead of answering; it is made for autocomplete"
    if Role.AUTOCOMPLETE in pick.roles and not known.can("insert") and not fills_by_name(name):
        yield f"{name} is not known to fill in the middle: completions may be explanations or noise"
    if pick.context_length is not None and known.context_now not in (None, pick.context_length):
        yield (
            f"{name} is loaded with context {known.context_now}: the first request of the editor loads it again with "
            f"{pick.context_length}"
        )
    if known.context_trained is not None and (pick.context_length or 0) > known.context_trained:
        yield f"{name} was trained for {known.context_trained} tokens: the engine cuts {pick.context_length} to that"
    if known.remote:
        yield f"{name} runs elsewhere: what is typed leaves this computer"


def _crowded(models: Sequence[ChosenModel], judge: Judge) -> Iterable[str]:
    """Say what happens when the models do not stay loaded together, with numbers."""
    every = judge(models)
    if every.stays is None:
        yield f"whether they fit together cannot be told: {every.note or 'no card is known'}"
        return
    if every.stays:
        if every.verdict == "tight":
            yield f"they fit with little to spare: {gibibytes(every.needs_bytes)} of {gibibytes(every.room_bytes)}"
        return
    for model in models:
        alone = judge([model])
        if alone.stays is False:
            yield (
                f"{model.name} does not fit on the cards by itself: {_sizes(alone)}; layers run on the CPU, and "
                "answers come slowly"
            )
            return
    talking = next((model for model in models if Role.CHAT in model.roles), None)
    completing = next((model for model in models if Role.AUTOCOMPLETE in model.roles), None)
    if talking is not None and completing is not None and talking is not completing:
        pair = judge([talking, completing])
        if pair.stays is False:
            yield _swapping(talking, completing, pair)
            return
    names = " and ".join(model.name for model in models)
    yield f"{names} do not stay loaded together: {_sizes(every)}; the engine swaps them with {_cost(every)}each use"


def _swapping(talking: ChosenModel, completing: ChosenModel, pair: Together) -> str:
    size = dict(pair.by_model)
    each = " and ".join(
        f"{model.name} ({gibibytes(size[model.name])})" if model.name in size else model.name
        for model in (talking, completing)
    )
    if pair.verdict in {"fits", "tight"}:
        why = f"there would be room, {_sizes(pair)}, but the engine unloads {' and '.join(pair.would_evict)} first"
    else:
        why = f"{_sizes(pair)}"
    return (
        f"{each} do not stay loaded together: {why}. Every key press would swap {talking.name} for {completing.name}, "
        f"{_cost(pair)}and every question swap them back"
    )


def _sizes(together: Together) -> str:
    return f"{gibibytes(together.needs_bytes)} of {gibibytes(together.room_bytes)}"


def _cost(together: Together) -> str:
    return "" if together.swap_seconds is None else f"about {duration(together.swap_seconds)} each time, "
