"""From the key registry to Textual's bindings."""

from __future__ import annotations

from textual.binding import Binding, BindingType

from gpudesk.keymap import BINDINGS, Scope


def bindings_for(*scopes: Scope, only: str | None = None) -> list[BindingType]:
    """Return the bindings of these scopes (of one action, with `only`); their ids let a keymap replace the keys."""
    return [
        Binding(
            ",".join(action.keys),
            action.action,
            action.description,
            id=action.id,
            show=action.in_footer,
            tooltip=action.help,
            priority=action.id == "interrupt",
        )
        for action in BINDINGS
        if action.scope in scopes and only in (None, action.id)
    ]
