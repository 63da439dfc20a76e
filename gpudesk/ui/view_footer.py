"""The last line of the screen: the keys that work here, from the registry, each clickable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gpudesk.keymap import ACTING, BINDINGS, WRITING, KeyAction, Scope, display_key, keys_of
from gpudesk.ui.cells import Line, Span, fit_line, line_width


def footer_actions(scopes: Sequence[Scope], first: Sequence[Scope] = ()) -> list[KeyAction]:
    """Return the registry's actions that the footer shows in these scopes, the local ones first.

    Args:
        scopes: where we are.
        first: scopes whose actions come before all others, in this order.
    """
    shown = [action for action in BINDINGS if action.in_footer and action.scope in scopes]
    return sorted(shown, key=lambda action: (
        first.index(action.scope) if action.scope in first else len(first), action.scope is Scope.EVERYWHERE,
        action.group != ACTING,
    ))  # fmt: skip


def filter_footer_line(keymap: Mapping[str, str], width: int) -> Line:
    """Return what ends the typing of a filter: every other key is a letter meanwhile."""
    back = next(action for action in BINDINGS if action.id == "back")
    keys = (("enter", "keep the filter"), (display_key(keys_of(back, keymap)[0]), "clear it"))
    spans = [span for key, word in keys for span in (Span(f" {key}", "key"), Span(f" {word} ", "dim"))]
    return fit_line(tuple(spans), width)


def footer_line(
    scopes: Sequence[Scope],
    keymap: Mapping[str, str],
    width: int,
    extra: Line = (),
    *,
    first: Sequence[Scope] = (),
    acting: bool = True,
) -> Line:
    """Return as many keys as fit, `help` and `quit` before all others.

    Args:
        scopes: where we are.
        keymap: the user's keys.
        width: cells of the line.
        extra: stands at the right.
        first: scopes whose actions come before all others.
        acting: the keys that change something work.
    """
    entries: list[tuple[KeyAction, Line]] = []
    for action in footer_actions(scopes, first):
        if not acting and (action.group == ACTING or action.id in WRITING):
            continue
        keys = keys_of(action, keymap)
        run = f"screen.run_binding('{action.id}')"
        entries.append((action, (
            Span(f" {display_key(keys[0])}", "key", run), Span(f" {action.description} ", "dim", run),
        )))  # fmt: skip
    room = width - line_width(extra) - 1
    while entries and sum(line_width(line) for _, line in entries) > room:
        dispensable = [index for index, (action, _) in enumerate(entries) if action.id not in ("help", "quit")]
        entries.pop(dispensable[-1] if dispensable else -1)
    line = tuple(span for _, spans in entries for span in spans)
    return (*fit_line(line, max(0, width - line_width(extra))), *extra)
