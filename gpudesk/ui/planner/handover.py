"""A plan as text: what is shown where nobody carries plans out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gpudesk.keymap import Scope
from gpudesk.ui.bindings import bindings_for
from gpudesk.ui.cells import Line, Span, wrap
from gpudesk.ui.detail_lines import heading, paragraphs
from gpudesk.ui.screens.sheet import SheetScreen
from gpudesk.watch.planning import Purpose

if TYPE_CHECKING:
    from gpudesk.fit.values import Wanted
    from gpudesk.ui.scene import Scene
    from gpudesk.watch.planning import Handover


def command_words(handover: Handover) -> str:
    """Return the command that answers the same: `gpudesk fit qwen3:14b@16384 nomic-embed-text:latest@2048`."""
    words = []
    estimates = {each.name: each for each in handover.plan.models}
    for one in handover.wanted:
        context = one.options.context_length or (estimates[one.name].context_length if one.name in estimates else None)
        words.append(f"{one.name}@{context}" if context else one.name)
    slots, kv_types = _slots(handover), _kv_types(handover)
    if len(slots) == 1 and slots != {1}:
        words.append(f"--parallel {next(iter(slots))}")
    if len(kv_types) == 1 and kv_types != {"f16"}:
        words.append(f"--kv {next(iter(kv_types))}")
    return f"gpudesk fit {' '.join(words)}"


def _slots(handover: Handover) -> set[int]:
    """Return the numbers of slots in the plan, of models that generate: the others have one whatever is typed."""
    return {
        made.parallel
        for one, made in zip(handover.wanted, handover.plan.models, strict=True)
        if one.metadata.pooling_type is None
    }


def _kv_types(handover: Handover) -> set[str]:
    """Return the types of KV cache in the plan, of models that have one."""
    return {
        kv_type_words(one)
        for one, made in zip(handover.wanted, handover.plan.models, strict=True)
        if made.parts.kv_cache_bytes
    }


def kv_type_words(wanted: Wanted) -> str:
    """Return the type of KV cache as it is typed: `q8_0`, or `q8_0/q4_0`."""
    keys, values = wanted.options.kv_cache_type_k, wanted.options.kv_cache_type_v
    return keys if keys == values else f"{keys}/{values}"


def shell_heading(handover: Handover) -> str:
    """Say how near the command comes: it has one number of slots and one KV type for all models."""
    if len(_slots(handover)) > 1 or len(_kv_types(handover)) > 1:
        return "Nearly the same in a shell, where slots and KV type are one for all"
    return "The same in a shell"


def engine_settings(handover: Handover) -> list[str]:
    """Return the variables of Ollama by which the plan comes true; no request can change them."""
    slots, kv_types = _slots(handover), _kv_types(handover)
    # Ollama has one of each for all models; what differs from its own choice is what somebody wants.
    settings = [f"OLLAMA_NUM_PARALLEL={count}" for count in (max(slots, default=1),) if count > 1]
    settings += [f"OLLAMA_KV_CACHE_TYPE={kind}" for kind in sorted(kv_types - {"f16"})[:1]]
    return settings or ["OLLAMA_NUM_PARALLEL=1", "OLLAMA_KV_CACHE_TYPE=f16"]


def handover_lines(purpose: Purpose, handover: Handover, width: int) -> list[Line]:
    """Return the steps a plan comes to, then the plan in figures."""
    from gpudesk.output.fit import plan_lines
    from gpudesk.output.status_text import Style

    waiting = "nothing is carried out from here" if purpose is Purpose.MAKE_IT_SO else "nothing is saved from here"
    lines: list[Line] = paragraphs([f"{waiting}; this is what it comes to"], width, mark="!", role="warn")
    lines += [(), heading("Steps")]
    steps = [f"unload {name}" for name in handover.leaving]
    resident = {each.name: each for each in handover.ground.residents}
    if handover.needs_restart:
        steps.append(f"start {handover.ground.engine} again with {' and '.join(engine_settings(handover))}")
        resident = {}
    for one, made in zip(handover.wanted, handover.plan.models, strict=True):
        layers = f", {made.layers_on_gpu} of {made.layers_total} layers on the card" if (
            made.layers_on_gpu < made.layers_total) else ""  # fmt: skip
        slots = f"{made.parallel} slot{'' if made.parallel == 1 else 's'}"
        there = resident.get(one.name)
        same = there is not None and there.context_length in (None, made.context_length)
        verb = "load" if there is None else "keep" if same else "reload"
        steps.append(f"{verb} {one.name} with num_ctx {made.context_length}, {slots}, KV {kv_type_words(one)}{layers}")
    lines += paragraphs(steps, width)
    lines += [(), heading(shell_heading(handover))]
    lines += paragraphs([command_words(handover)], width, mark=" ")
    lines += [(), heading("The plan")]
    style = Style(width=max(40, width), color=False, ascii_only=False)
    for text in plan_lines(handover.plan, style, engine=handover.ground.engine):
        lines += [(Span(piece),) for piece in (wrap(text, width) if len(text) > width else [text])]
    return lines


class HandoverScreen(SheetScreen, inherit_bindings=False):
    """The plan as text."""

    BINDINGS = bindings_for(Scope.EVERYWHERE)

    def __init__(self, purpose: Purpose, handover: Handover, keymap: Mapping[str, str]) -> None:
        super().__init__(keymap)
        self._purpose = purpose
        self._handover = handover

    def contents(self, _scene: Scene, width: int) -> tuple[Line, Sequence[Line]]:
        """Return the plan as text."""
        return (Span(self._purpose.value.capitalize(), "title-focus"),), handover_lines(
            self._purpose, self._handover, width
        )
