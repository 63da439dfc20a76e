from __future__ import annotations

from collections import Counter

import pytest
from textual.keys import _character_to_key

from gpudesk.keymap import BINDINGS, KeyAction, Scope, check_keymap, display_key, key_name, keys_of


def action(identifier: str) -> KeyAction:
    return next(one for one in BINDINGS if one.id == identifier)


def test_the_defaults_are_free_of_conflicts() -> None:
    assert check_keymap({}) == ()


def test_ids_are_unique_and_every_action_explains_itself() -> None:
    assert [name for name, count in Counter(one.id for one in BINDINGS).items() if count > 1] == []
    for one in BINDINGS:
        assert one.description, one.id
        assert one.help.endswith(tuple("abcdefghijklmnopqrstuvwxyz0123456789")), one.id


@pytest.mark.parametrize("character", "/?!#%&'()*+-.:;<=>@[\\]^_`{|}~\"$aZ5ä")
def test_key_names_are_textuals(character: str) -> None:
    assert key_name(character) == _character_to_key(character)


def test_an_unknown_id_is_told_with_the_nearest_one() -> None:
    (error,) = check_keymap({"filtr": "slash"})
    assert "`filtr`" in error
    assert "did you mean `filter`?" in error


@pytest.mark.parametrize("key", ["ctrl+", "hyperspace", "ctrl+shift+nothing_like_that", "abc"])
def test_a_key_that_no_terminal_sends_is_told(key: str) -> None:
    (error,) = check_keymap({"filter": key})
    assert "is not a key" in error
    assert f"`{key}`" in error


@pytest.mark.parametrize("key", ["slash", "/", "ctrl+x", "shift+f5", "f12", "ä", "ctrl+alt+delete", "space", "?"])
def test_keys_that_terminals_send_are_accepted(key: str) -> None:
    errors = [error for error in check_keymap({"reverse_sort": key}) if "is not a key" in error]
    assert errors == []


def test_taking_a_key_from_an_action_that_keeps_it_is_refused() -> None:
    """Textual would drop that action's key without a word."""
    (error,) = check_keymap({"filter": "q"})
    assert "`q`" in error
    assert "`quit`" in error
    assert "`filter`" in error


def test_swapping_two_keys_is_fine() -> None:
    assert check_keymap({"filter": "q", "quit": "slash"}) == ()


def test_one_key_may_mean_different_things_where_they_never_meet() -> None:
    assert action("details").scope is Scope.LIST
    assert action("detail_close").scope is Scope.DETAIL
    assert check_keymap({"detail_close": "o"}) == ()


def test_a_conflict_between_everywhere_and_details_is_refused() -> None:
    assert any("`detail_down`" in error for error in check_keymap({"quit": "down"}))


def test_an_empty_key_is_refused() -> None:
    assert check_keymap({"quit": "  "}) == ("keymap: `quit` needs at least one key",)


def test_keys_under_a_keymap_replace_the_defaults() -> None:
    assert keys_of(action("filter"), {"filter": "/, ctrl+f"}) == ("slash", "ctrl+f")
    assert keys_of(action("filter"), {}) == ("slash",)


@pytest.mark.parametrize(
    ("key", "shown"),
    [("slash", "/"), ("question_mark", "?"), ("ctrl+p", "^p"), ("shift+tab", "shift+tab"), ("up", "↑"), ("q", "q")],
)
def test_keys_are_shown_as_people_write_them(key: str, shown: str) -> None:
    assert display_key(key) == shown
