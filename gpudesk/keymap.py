"""Every key of the screen, in one registry: the screen's bindings, footer, help, palette, `--help` and docs read it.

Pure data: no Textual here, so that `gpudesk config check` can validate a keymap without loading a screen.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from gpudesk.keys import ACTING as ACTING
from gpudesk.keys import BINDINGS as BINDINGS
from gpudesk.keys import OVERLAPS
from gpudesk.keys import WRITING as WRITING
from gpudesk.keys import KeyAction as KeyAction
from gpudesk.keys import Scope as Scope

_KEY_NAMES = frozenset(
    (
        *("up", "down", "left", "right", "pageup", "pagedown", "home", "end"),
        *("enter", "escape", "tab", "space", "backspace", "delete", "insert"),
        *(f"f{number}" for number in range(1, 25)),
    )
)

_SHORT_NAMES = {
    "solidus": "slash", "reverse_solidus": "backslash", "commercial_at": "at", "hyphen_minus": "minus",
    "plus_sign": "plus", "low_line": "underscore",
}  # fmt: skip
"""Unicode names that Textual replaces (textual keys.py KEY_NAME_REPLACEMENTS)."""

_MODIFIERS = frozenset({"ctrl", "shift", "alt", "super", "meta", "hyper"})

_DISPLAYS = {
    "up": "↑", "down": "↓", "left": "←", "right": "→", "pageup": "pgup", "pagedown": "pgdn", "escape": "esc",
    "question_mark": "?", "slash": "/", "backslash": "\\", "minus": "-", "plus": "+", "full_stop": ".", "comma": ",",
    "colon": ":", "semicolon": ";", "exclamation_mark": "!", "number_sign": "#", "equals_sign": "=", "at": "@",
    "underscore": "_", "asterisk": "*", "space": "space",
}  # fmt: skip


def key_name(key: str) -> str:
    """Return the name Textual gives a key: `/` is `slash`, `?` is `question_mark`, `a` is `a`."""
    key = key.strip()
    if len(key) != 1 or key.isalnum():
        return key
    try:
        name = unicodedata.name(key).lower().replace("-", "_").replace(" ", "_")
    except ValueError:
        return key
    return _SHORT_NAMES.get(name, name)


def display_key(key: str) -> str:
    """Return a key as it is shown: `slash` is `/`, `ctrl+p` is `^p`."""
    *modifiers, name = key.split("+")
    shown = _DISPLAYS.get(name, name)
    prefix = "".join("^" if modifier == "ctrl" else f"{modifier}+" for modifier in modifiers)
    return prefix + shown


def keys_of(action: KeyAction, keymap: Mapping[str, str]) -> tuple[str, ...]:
    """Return the keys of an action under a keymap that has passed `check_keymap`."""
    text = keymap.get(action.id)
    return tuple(key_name(key) for key in text.split(",")) if text else action.keys


def _usable(key: str) -> bool:
    """Tell whether a terminal can send such a key at all."""
    *modifiers, name = key.split("+")
    if not name or any(modifier not in _MODIFIERS for modifier in modifiers):
        return False
    if name in _KEY_NAMES or (len(name) == 1 and name.isprintable()):
        return True
    if name in _DISPLAYS or name in _SHORT_NAMES.values():
        return True
    try:
        unicodedata.lookup(name.replace("_", " "))
    except KeyError:
        try:
            unicodedata.lookup(name.replace("_", "-"))
        except KeyError:
            return False
    return True


def _nearest(name: str) -> str:
    """Return ` (did you mean …?)` for a misspelled id, or nothing."""
    from difflib import get_close_matches

    close = get_close_matches(name, [action.id for action in BINDINGS], n=1)
    return f", did you mean `{close[0]}`?" if close else ""


def _unusable(keymap: Mapping[str, str]) -> list[str]:
    """Find unknown ids and keys that no terminal sends."""
    known = {action.id for action in BINDINGS}
    errors: list[str] = []
    for identifier, text in keymap.items():
        if identifier not in known:
            errors.append(f"keymap: no action `{identifier}`{_nearest(identifier)}")
            continue
        if not isinstance(text, str) or not text.strip():
            errors.append(f"keymap: `{identifier}` needs at least one key")
            continue
        errors.extend(
            f"keymap: `{identifier}`: `{key.strip()}` is not a key"
            for key in text.split(",")
            if not _usable(key_name(key))
        )
    return errors


def check_keymap(mapping: Mapping[str, str]) -> tuple[str, ...]:
    """Return what is wrong with a keymap, one sentence each; empty when it can be applied.

    Textual itself ignores unknown ids, and when a key is taken from another action that is not itself remapped
    it drops that action's key without a word (textual binding.py, BindingsMap.apply_keymap, 8.2.8).
    """
    errors = _unusable(mapping)
    if errors:
        return tuple(errors)
    owners: dict[str, list[KeyAction]] = {}
    for action in BINDINGS:
        for key in dict.fromkeys(keys_of(action, mapping)):
            for other in owners.get(key, []):
                if other.scope in OVERLAPS[action.scope]:
                    errors.append(f"keymap: `{display_key(key)}` would mean both `{other.id}` and `{action.id}`")
            owners.setdefault(key, []).append(action)
    return tuple(errors)
