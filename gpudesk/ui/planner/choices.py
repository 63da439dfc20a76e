"""What can be chosen, what is chosen, and how each would be loaded: values and rules, nothing of the screen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from gpudesk.arguments.planner_values import KV_TYPES
from gpudesk.fit.values import LoadOptions, Wanted

if TYPE_CHECKING:
    from gpudesk.domain.desk import Desk, LoadedModel
    from gpudesk.domain.model import InstalledModel
    from gpudesk.fit.values import Alternative, Estimate
    from gpudesk.watch.planning import PlannableModel

CONTEXT_STEPS = tuple(
    1024 * step for step in (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
)
DEFAULT_CONTEXT = 4096
SLOT_STEPS = (1, 2, 4, 8, 16)
KV_STEPS = ("f16", "q8_0", "q4_0", *(kind for kind in KV_TYPES if kind not in ("f16", "q8_0", "q4_0")))
"""The three that Ollama offers first."""


class Change(Enum):
    """What a plan means for a model."""

    NONE = "·"
    STAYS = "stays"
    COMES = "comes"
    GOES = "goes"
    RELOADS = "reloads"
    RESTART = "restart"
    """The engine has to be started with other settings, which no request can change."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What was set by keys; None leaves it to the model and the engine."""

    context_length: int | None = None
    parallel: int | None = None
    kv_cache_type: str | None = None
    layers_on_gpu: int | None = None
    flash_attention: bool | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """One model that could be in the plan."""

    name: str
    installed: InstalledModel | None = None
    """None for a file."""
    loaded: LoadedModel | None = None
    model: PlannableModel | None = None
    failure: str | None = None
    """Why its header could not be had."""
    chosen: bool = False
    settings: Settings = Settings()
    estimate: Estimate | None = None
    """Of the newest plan."""
    mark: int | None = None
    """Number of its letter in the bar."""
    here: bool = True
    """The plan is about this computer's cards, where what is loaded counts."""

    @property
    def plannable(self) -> bool:
        """It can be in a plan now."""
        return self.model is not None

    @property
    def options(self) -> LoadOptions:
        """How it would be loaded."""
        base = self.model.options if self.model is not None else LoadOptions()
        settings = self.settings
        kv_type = settings.kv_cache_type
        return replace(
            base,
            context_length=settings.context_length or base.context_length,
            parallel=settings.parallel or base.parallel,
            kv_cache_type_k=kv_type or base.kv_cache_type_k,
            kv_cache_type_v=kv_type or base.kv_cache_type_v,
            layers_on_gpu=settings.layers_on_gpu if settings.layers_on_gpu is not None else base.layers_on_gpu,
            flash_attention=settings.flash_attention if settings.flash_attention is not None else base.flash_attention,
        )

    @property
    def wanted(self) -> Wanted:
        """What the planner is asked."""
        assert self.model is not None
        return Wanted(self.name, self.model.metadata, self.options, self.model.blob_digest)

    @property
    def context_trained(self) -> int | None:
        """The longest context it was trained for."""
        return self.model.metadata.context_length_trained if self.model is not None else None

    @property
    def change(self) -> Change:
        """What the plan means for it."""
        loaded = self.loaded if self.here else None
        if not self.chosen:
            return Change.GOES if loaded is not None else Change.NONE
        if loaded is None:
            return Change.COMES
        if _differs((self.options.parallel, loaded.parallel), (_kv_words(self.options), loaded.kv_cache_type)):
            return Change.RESTART
        # What the engine would give it: a context above the trained one is clamped, one that is left open filled in.
        context = self.options.context_length
        if context is None:
            context = self.estimate.context_length if self.estimate is not None else None
        elif self.context_trained is not None:
            context = min(context, self.context_trained)
        return Change.RELOADS if _differs((context, loaded.context_length)) else Change.STAYS


def _differs(*pairs: tuple[object, object]) -> bool:
    """Tell whether a loaded model is to be otherwise than it is now; what is not known does not count."""
    return any(wanted is not None and now is not None and wanted != now for wanted, now in pairs)


def _kv_words(options: LoadOptions) -> str:
    keys, values = options.kv_cache_type_k, options.kv_cache_type_v
    return keys if keys == values else f"{keys}/{values}"


def gathered(desk: Desk, before: Sequence[Choice], known: Mapping[str, PlannableModel],
             failures: Mapping[str, str], marks: Mapping[str, int]) -> tuple[Choice, ...]:  # fmt: skip
    """Return every choice: the loaded ones first, the largest of them ahead, then files, then what is installed.

    What was chosen and set stays; a model that is met loaded, or that is loaded meanwhile, is chosen as it is loaded.
    """
    earlier = {choice.name: choice for choice in before}
    loaded = {model.name: model for model in reversed(desk.models) if model.local and model.memory_bytes != 0}
    installed = {model.name: model for model in reversed(desk.installed) if model.remote_host is None}
    files = [choice.name for choice in before if choice.installed is None and choice.name not in installed]
    largest = sorted(loaded.values(), key=lambda model: -(model.memory_bytes or 0))
    names = dict.fromkeys((*(model.name for model in largest), *files, *reversed(installed)))
    return tuple(
        _choice(name, earlier.get(name), loaded.get(name), installed.get(name), known, failures, marks)
        for name in names
        if name in loaded or name in installed or name in known
    )


def _choice(
    name: str,
    earlier: Choice | None,
    loaded: LoadedModel | None,
    installed: InstalledModel | None,
    known: Mapping[str, PlannableModel],
    failures: Mapping[str, str],
    marks: Mapping[str, int],
) -> Choice:
    mark = marks.get(loaded.key) if loaded is not None else None
    if earlier is None:
        settings = _as_loaded(loaded) if loaded is not None else Settings()
        return Choice(
            name, installed, loaded, known.get(name), failures.get(name), loaded is not None, settings, mark=mark
        )
    if loaded is not None and earlier.loaded is None and not earlier.chosen:
        earlier = replace(earlier, chosen=True, settings=_as_loaded(loaded))
    return replace(
        earlier, installed=installed, loaded=loaded, model=known.get(name), failure=failures.get(name),
        mark=mark if mark is not None else earlier.mark,
    )  # fmt: skip


def _as_loaded(loaded: LoadedModel) -> Settings:
    kv_type = loaded.kv_cache_type
    return Settings(loaded.context_length, loaded.parallel, kv_type if kv_type in KV_TYPES else None)


def changed(choices: Iterable[Choice], name: str, **changes: object) -> tuple[Choice, ...]:
    """Return the choices with one of them changed."""
    return tuple(replace(each, **changes) if each.name == name else each for each in choices)  # type: ignore[arg-type]


def with_context_step(choice: Choice, step: int) -> Settings:
    """Return the settings with the next context up or down; the trained one is the last step up."""
    now = choice.options.context_length or (choice.estimate.context_length if choice.estimate else DEFAULT_CONTEXT)
    trained = choice.context_trained
    steps = sorted(
        {*(each for each in CONTEXT_STEPS if trained is None or each < trained), *((trained,) if trained else ())}
    )
    if step > 0:
        context = next((each for each in steps if each > now), steps[-1])
    else:
        context = next((each for each in reversed(steps) if each < now), steps[0])
    return replace(choice.settings, context_length=context)


def with_slots_step(choice: Choice) -> Settings:
    """Return the settings with the next number of slots, after the most again one."""
    now = choice.options.parallel or (choice.estimate.parallel if choice.estimate else 1)
    return replace(choice.settings, parallel=next((each for each in SLOT_STEPS if each > now), SLOT_STEPS[0]))


def with_kv_step(choice: Choice, step: int) -> Settings:
    """Return the settings with the next type of the KV cache."""
    now = choice.options.kv_cache_type_k
    position = KV_STEPS.index(now) if now in KV_STEPS else -1
    return replace(choice.settings, kv_cache_type=KV_STEPS[(position + step) % len(KV_STEPS)])


def chosen(choices: Iterable[Choice]) -> tuple[Choice, ...]:
    """Return what is in the plan, in the order of the plan."""
    return tuple(choice for choice in choices if choice.chosen and choice.plannable)


def leaving(choices: Iterable[Choice]) -> tuple[str, ...]:
    """Return the loaded models that shall not stay."""
    return tuple(choice.name for choice in choices if choice.change is Change.GOES)


def applied(choices: Sequence[Choice], alternative: Alternative) -> tuple[Choice, ...] | None:
    """Return the choices with an alternative taken; None when it has models that are not in the list."""
    wanted = {one.name: one for one in alternative.wanted}
    if not wanted or not wanted.keys() <= {choice.name for choice in choices if choice.plannable}:
        return None
    return tuple(
        replace(choice, chosen=True, settings=_settings_for(choice, wanted[choice.name].options))
        if choice.name in wanted
        else replace(choice, chosen=False) if choice.chosen else choice
        for choice in choices
    )  # fmt: skip


def _settings_for(choice: Choice, options: LoadOptions) -> Settings:
    """Return the settings with which a choice has these options."""
    kv_type = options.kv_cache_type_k
    base = choice.model.options if choice.model is not None else LoadOptions()
    return Settings(
        context_length=options.context_length,
        parallel=options.parallel,
        kv_cache_type=kv_type if kv_type != base.kv_cache_type_k or choice.settings.kv_cache_type else None,
        layers_on_gpu=options.layers_on_gpu,
        flash_attention=options.flash_attention,
    )
