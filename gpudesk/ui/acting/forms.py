"""The forms of load and pin: context, keep-alive, pin, and what would come of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from gpudesk.actions import previews
from gpudesk.actions.lookup import is_embedding, is_pinned
from gpudesk.actions.values import ActionId, Load
from gpudesk.actions.wishes import likely_wish
from gpudesk.domain.keep_alive import FOREVER, KeepAliveWish
from gpudesk.fit.contexts import FAMILIAR
from gpudesk.quantities import keep_alive_text
from gpudesk.records import dataclass
from gpudesk.ui.acting.form import Field, FormScreen
from gpudesk.ui.acting.proposal import Proposal, Target, target_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpudesk.actions.values import Preview
    from gpudesk.domain.desk import Desk, LoadedModel
    from gpudesk.domain.model import InstalledModel
    from gpudesk.ui.acting.acts import Acts

TRAINED_UNKNOWN = 131072
"""How far the choices go where nobody tells what a model was trained for."""
TIMERS_SECONDS = (300, 900, 1800, 3600, 14400, 86400)


@dataclass(frozen=True, slots=True)
class PinChoice:
    """What the form says of the pin."""

    pinned: bool
    restore: bool = False


PINS = (("no", PinChoice(False)), ("yes", PinChoice(True)), ("yes, put right when it is lost", PinChoice(True, True)))


def context_field(desk: Desk, model: LoadedModel | InstalledModel) -> Field:
    """Return the choices of a context: what is there, the familiar ones, the trained one."""
    details = next((each for each in desk.details if each.digest == model.digest), None)
    trained = details.context_length_trained if details is not None else None
    now = target_of(model).loaded(desk)
    loaded = now.context_length if now is not None else None
    limit = trained or TRAINED_UNKNOWN
    steps = sorted({*(each for each in FAMILIAR if each <= limit), *(each for each in (trained, loaded) if each)})
    free = "as it is" if now is not None and loaded is None else "the engine's choice"
    options: list[tuple[str, object]] = [] if loaded else [(free, None)]
    for step in steps:
        notes = [word for word, on in (("as it is", step == loaded), ("trained for", step == trained)) if on]
        options.append(("  ".join((f"{step}", *notes)), step))
    index = next((place for place, (_, value) in enumerate(options) if value == loaded), 0)
    return Field("context", tuple(options), index)


def keep_alive_field(desk: Desk, model: LoadedModel | InstalledModel) -> Field:
    """Return the choices of a keep-alive."""
    there = target_of(model).loaded(desk)
    own = "as it is" if there is not None else "the engine's choice"
    likely = likely_wish(there, desk.taken_at) if there is not None else None
    options: list[tuple[str, object]] = [(f"{own}{f'  {keep_alive_text(likely)}' if likely else ''}", None)]
    options += [(keep_alive_text(wish), wish) for wish in map(KeepAliveWish, TIMERS_SECONDS)]
    return Field("keep-alive", (*options, ("forever", FOREVER)))


def load(acts: Acts, model: LoadedModel | InstalledModel) -> None:
    """Ask how a model shall be loaded."""
    desk, target = acts.desk, target_of(model)
    there = target.loaded(desk)
    fields = [context_field(desk, model), keep_alive_field(desk, model)]
    if there is None or not is_pinned(desk, there):
        fields.append(Field("pin", PINS))

    def proposal(values: Sequence[object]) -> Proposal:
        pin = cast("PinChoice", values[2]) if len(values) > 2 else PinChoice(False)
        context = cast("int | None", values[0])
        if pin.pinned:
            return _pinning(acts, target, model, context, restore=pin.restore)
        wish = Load(
            target.engine_url, target.name, context_length=context, keep_alive=cast("KeepAliveWish | None", values[1]),
            embedding=is_embedding(desk, model), digest=target.digest,
        )  # fmt: skip
        forecaster = acts.acting.ports.forecaster
        return Proposal(ActionId.LOAD, target.name, lambda now: previews.load(now, wish, forecaster), (target,))

    title = f"load {model.name}" if there is None else f"load {model.name} anew"
    acts.push(FormScreen(acts.keymap, title, fields, proposal=proposal, word="load", propose=acts.propose))


def pin(acts: Acts, model: LoadedModel | InstalledModel) -> None:
    """Ask how a model shall be pinned."""
    desk, target = acts.desk, target_of(model)
    restore = acts.acting.restore_pins
    options: tuple[tuple[str, object], ...] = (("no, only tell", False), ("yes, put it right", True))
    context = context_field(desk, model)
    fields = [Field("when lost", options, int(restore)), context]

    def proposal(values: Sequence[object]) -> Proposal:
        return _pinning(acts, target, model, cast("int | None", values[1]), restore=bool(values[0]))

    acts.push(FormScreen(acts.keymap, f"pin {model.name}", fields, proposal=proposal, word="pin", propose=acts.propose))


def _pinning(
    acts: Acts, target: Target, model: LoadedModel | InstalledModel, context: int | None, *, restore: bool
) -> Proposal:
    forecaster = acts.acting.ports.forecaster

    def preview(desk: Desk) -> Preview:
        there = target.loaded(desk) or target.installed(desk) or model
        return previews.pin(desk, there, forecaster, context_length=context, restore=restore)

    return Proposal(ActionId.PIN, target.name, preview, (target,))
