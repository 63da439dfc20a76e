"""What is asked with a line to type in: keep-alive, swap, free and restore, pull, derive."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, cast

from gpudesk.actions import previews
from gpudesk.actions.lookup import loaded_as, runners
from gpudesk.actions.values import ActionId, Load, Preview, Refusal
from gpudesk.actions.wording import enumerated
from gpudesk.domain.desk import LoadedModel
from gpudesk.domain.keep_alive import FOREVER, KeepAliveWish
from gpudesk.errors import GpudeskError, UsageError
from gpudesk.fit.contexts import FAMILIAR
from gpudesk.quantities import KEEP_ALIVE_FORMS, keep_alive_text, parse_bytes, parse_keep_alive
from gpudesk.ui.acting.ask import AskScreen, Option
from gpudesk.ui.acting.proposal import Proposal, target_of
from gpudesk.units import GIBIBYTE, gibibytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gpudesk.domain.desk import Desk
    from gpudesk.domain.model import InstalledModel
    from gpudesk.ui.acting.acts import Acts

KEPT_SECONDS = (300, 900, 1800, 3600, 14400, 86400)
_DEFAULT_CONTEXT = 8192


def _ask(
    acts: Acts,
    title: str,
    placeholder: str,
    options: Callable[[str], Sequence[Option]],
    word: str,
    selected: object = None,
) -> None:
    """Ask for a proposal: every option's value is one."""
    acts.push(
        AskScreen(
            acts.keymap, title, placeholder=placeholder, options=options, selected=selected, word=word,
            preview=lambda desk, value: cast("Proposal", value).preview(desk),
            chosen=lambda value: acts.propose(cast("Proposal", value)),
        )
    )  # fmt: skip


def _matching(options: Sequence[Option], text: str) -> list[Option]:
    words = text.casefold().split()
    return [option for option in options if all(word in option.text.casefold() for word in words)]


def keep(acts: Acts, model: LoadedModel) -> None:
    """Ask for another keep-alive: one of the usual ones, or as typed."""
    target = target_of(model)

    def proposal(wish: KeepAliveWish) -> Proposal:
        return Proposal(
            ActionId.KEEP, target.name, lambda desk: previews.keep(desk, target.loaded(desk) or model, wish), (target,)
        )

    usual = [Option(keep_alive_text(wish), proposal(wish)) for wish in map(KeepAliveWish, KEPT_SECONDS)]
    usual += [Option("forever", proposal(FOREVER)), Option("0", proposal(KeepAliveWish(0)), "unloads it when idle")]

    def options(text: str) -> Sequence[Option]:
        if not text:
            return usual
        found = [option for option in usual if option.text.startswith(text.casefold())]
        try:
            wish = parse_keep_alive(text, acts.acting.ports.watch.clock.now())
        except UsageError as error:
            if found:
                return found
            refusal = Refusal(error.message, error.hint)
            wrong = Proposal(ActionId.KEEP, text, lambda _desk: Preview(ActionId.KEEP, text, refusal=refusal))
            return [Option(text, wrong)]
        typed = Option(text, proposal(wish))
        return [typed, *(option for option in found if option.text != text)]

    _ask(acts, f"how long {model.name} stays", KEEP_ALIVE_FORMS, options, "set")


def swap(acts: Acts, model: LoadedModel | InstalledModel) -> None:
    """Ask what a loaded model is exchanged for; on an installed one, what goes for it."""
    if isinstance(model, LoadedModel):
        _swap_out(acts, model)
        return
    there = target_of(model).loaded(acts.desk) or _runner_of(acts.desk, model)
    if there is not None and (there.name == model.name or there.digest == model.digest):
        _swap_out(acts, there)
        return
    _swap_in(acts, model)


def _runner_of(desk: Desk, model: InstalledModel) -> LoadedModel | None:
    """Return the loaded model whose runner an installed one would use, under whatever name it is loaded."""
    return loaded_as(desk, Load(model.engine_url, model.name, digest=model.digest))


def _shared_words(there: LoadedModel | None) -> str:
    """Say in a row that a name is no other model: a swap to it changes nothing, or only the settings."""
    return "" if there is None else f"same weights as {there.name}"


def _swapping(
    acts: Acts, leaving: Sequence[LoadedModel], coming: InstalledModel, context: int | None = None
) -> Proposal:
    forecaster = acts.acting.ports.forecaster
    gone, new = [target_of(model) for model in leaving], target_of(coming)

    def preview(desk: Desk) -> Preview:
        now = [there for target in gone if (there := target.loaded(desk)) is not None]
        if len(now) < len(gone):
            names = enumerated([target.name for target in gone if target.loaded(desk) is None])
            return Preview(ActionId.SWAP, new.name, refusal=Refusal(f"{names} is not loaded any more"))
        wish = Load(new.engine_url, new.name, context_length=context, digest=new.digest)
        return previews.swap(desk, now, wish, forecaster)

    subject = f"{enumerated([target.name for target in gone])} to {new.name}" if gone else new.name
    return Proposal(ActionId.SWAP, subject, preview, (*gone, new))


def _with_context(text: str) -> tuple[str, int | None]:
    """Split `gpt-oss@8192` into what is searched and the context."""
    name, _, context = text.partition("@")
    return name, parse_bytes(context) or None


def _swap_out(acts: Acts, model: LoadedModel) -> None:
    loaded = {each.key for each in acts.desk.models}
    others = [
        each
        for each in acts.desk.installed
        if each.engine_url == model.engine_url
        and each.remote_host is None
        and f"{each.engine_url} {each.name}" not in loaded
    ]
    if not others:
        acts.tell(f"nothing else is installed that {model.name} could be exchanged for", severity="warning")
        return

    shared = {each.name: _runner_of(acts.desk, each) for each in others}
    leaving = {model.name, *model.shares_runner_with}

    def is_so_already(each: InstalledModel, context: int | None) -> bool:
        there = shared[each.name]
        return (
            there is not None
            and there.name in leaving
            and there.digest == each.digest
            and context in (None, there.context_length)
        )

    def options(text: str) -> Sequence[Option]:
        name, context = _with_context(text)
        found = [
            Option(
                each.name, _swapping(acts, [model], each, context),
                _shared_words(shared[each.name]) or gibibytes(each.size_bytes),
            )
            for each in others
            if not is_so_already(each, context)
        ]  # fmt: skip
        return _matching(found, name)

    _ask(acts, f"swap {model.name} for", "a part of its name; @8192 sets the context", options, "swap")


def _swap_in(acts: Acts, model: InstalledModel) -> None:
    there = [each for each in runners(acts.desk.models) if each.engine_url == model.engine_url]
    shared = _runner_of(acts.desk, model)

    def options(text: str) -> Sequence[Option]:
        name, context = _with_context(text)
        found = [Option("whatever has to go", _swapping(acts, [], model, context))]
        found += [
            Option(
                each.name, _swapping(acts, [each], model, context),
                _shared_words(shared) if each is shared else gibibytes(each.memory_bytes),
            )
            for each in there
        ]  # fmt: skip
        return _matching(found, name)

    _ask(acts, f"load {model.name} instead of", "a part of its name; @8192 sets the context", options, "swap")


def free(acts: Acts) -> None:
    """Ask what is freed, or what comes back."""

    def freeing(need: int | None, card: int | None, subject: str) -> Proposal:
        return Proposal(ActionId.FREE, subject, lambda desk: previews.free(desk, need, card))

    cards = [state.card for state in acts.desk.cards]
    usual = [Option("everything models hold", freeing(None, None, "the card"), "free")]
    if len(cards) > 1:
        usual += [Option(f"card {c.index}", freeing(None, c.index, f"card {c.index}"), c.name or "") for c in cards]
    forecaster, coming_back = acts.acting.ports.forecaster, []
    for words, loads in _snapshots(acts):
        back = Proposal(
            ActionId.RESTORE,
            words,
            lambda desk, loads=loads: previews.restore(desk, loads, forecaster),  # type: ignore[misc]
        )
        coming_back.append(Option(f"bring back {words}", back, "restore"))
    # What is likelier stands first: with nothing loaded there is nothing to free.
    usual = [*usual, *coming_back] if acts.desk.models else [*coming_back, *usual]

    def options(text: str) -> Sequence[Option]:
        size = parse_bytes(text)
        if size is None:
            return _matching(usual, text)
        size = size * GIBIBYTE if size < 1024 else size
        return [Option(f"{gibibytes(size)} on one card", freeing(size, None, gibibytes(size)), "free")]

    _ask(acts, "free the card, or restore", "how much shall be free, such as 8GiB; or choose", options, "do it")


def _snapshots(acts: Acts) -> list[tuple[str, tuple[Load, ...]]]:
    """Return what can be brought back: what was freed, and what a failure left missing."""
    there = {model.name for model in acts.desk.models}
    found = []
    with suppress(GpudeskError):
        freed = acts.acting.freed.read()
        if freed is not None:
            found.append(freed.loads)
    if acts.ended is not None:
        found.append(acts.ended[1].missing)
    missing = [tuple(load for load in loads if load.name not in there) for loads in found]
    return [(enumerated([load.name for load in loads]), loads) for loads in dict.fromkeys(missing) if loads]


def pull(acts: Acts) -> None:
    """Ask for a name and download it."""

    def options(text: str) -> Sequence[Option]:
        if not text:
            return ()
        return [Option(text, Proposal(ActionId.PULL, text, lambda desk: previews.pull(desk, text)))]

    _ask(acts, "download a model", "a name, such as qwen3:14b", options, "download")


def derive(acts: Acts, model: LoadedModel | InstalledModel) -> None:
    """Ask for the context that is baked in."""
    target = target_of(model)
    installed = target.installed(acts.desk)
    if installed is None:
        acts.tell(f"{model.name} is not installed, as far as is known", severity="warning")
        return
    details = next((each for each in acts.desk.details if each.digest == model.digest), None)
    trained = details.context_length_trained if details is not None else None

    def proposal(context: int) -> Proposal:
        return Proposal(
            ActionId.DERIVE, target.name,
            lambda desk: previews.derive(desk, target.installed(desk) or installed, context), (target,),
        )  # fmt: skip

    steps = [each for each in FAMILIAR if trained is None or each < trained] + ([trained] if trained else [])
    usual = {each: Option(f"{each}", proposal(each), "trained for" if each == trained else "") for each in steps}

    def options(text: str) -> Sequence[Option]:
        if not text:
            return list(usual.values())
        context = parse_bytes(text)
        typed = [Option(f"{context}", proposal(context))] if context and context not in usual else []
        return [*typed, *(option for each, option in usual.items() if f"{each}".startswith(text) or each == context)]

    chosen = usual.get(_DEFAULT_CONTEXT)
    _ask(
        acts, f"a model of {model.name} with its context baked in", "a context, such as 16384 or 16k", options, "make",
        chosen.value if chosen is not None else None,
    )  # fmt: skip
