"""What is put into a YAML document comes out again without a trace, and touches nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from gpudesk.errors import ExportError
from gpudesk.exports.values import Edit
from gpudesk.exports.yaml_splice import apply, with_entries
from gpudesk.exports.yaml_tree import read
from tests.exports.configurations import configurations

CHAT: dict[str, Any] = {
    "name": "gpudesk chat",
    "model": "qwen3-coder:30b",
    "roles": ["chat", "edit"],
    "defaultCompletionOptions": {"contextLength": 32768, "keepAlive": -1},
}
TAB: dict[str, Any] = {"name": "gpudesk autocomplete", "model": "yes", "x": {"y": {"z": "a: b # c"}}, "n": None}


def ours(entry: Any) -> str | None:
    name = entry.get("name") if isinstance(entry, dict) else None
    return name if isinstance(name, str) and name.startswith("gpudesk ") else None


def merged(text: str, *entries: dict[str, Any]) -> str:
    return with_entries(read(text), "models", entries, ours)


def loaded(text: str) -> Any:
    """What ruamel makes of it by itself."""
    return YAML(typ="safe", pure=True).load(text)


@pytest.mark.slow
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(configurations())
def test_comes_out_without_a_trace(text: str) -> None:
    with_ours = merged(text, CHAT, TAB)
    assert merged(with_ours) == text
    assert merged(with_ours, CHAT, TAB) == with_ours

    before, after = loaded(text), loaded(with_ours)
    theirs, models = before.pop("models", None) or [], after.pop("models")
    if text.endswith("\n") or models[-1] == TAB:
        assert models == [*theirs, CHAT, TAB]
    else:  # behind a block scalar without a line end nothing can come without changing it
        assert models == [*theirs[:-1], CHAT, TAB, theirs[-1]]
    assert after == before


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(configurations(), st.permutations([CHAT, TAB]))
def test_every_line_that_was_there_is_there(text: str, entries: list[dict[str, Any]]) -> None:
    with_ours = merged(text, *entries)
    left = iter(with_ours)
    assert all(character in left for character in text)  # the text is what it was with something put in


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(configurations())
def test_an_entry_is_replaced_in_its_place(text: str) -> None:
    changed = {**CHAT, "model": "llama3.1:8b"}
    with_ours = merged(merged(text, CHAT, TAB), changed, TAB)
    assert with_ours == merged(text, changed, TAB)
    assert merged(merged(with_ours, TAB), TAB, CHAT) == merged(text, TAB, CHAT)
    assert merged(with_ours) == text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("models: []\n", "models: # gpudesk: instead of []\n  - name: gpudesk a\n"),
        ("models: [ ]  # none\nx: 1", "models: # gpudesk: instead of [ ]  # none\n  - name: gpudesk a\nx: 1"),
        ("models:\nx: 1\n", "models: # gpudesk: instead of\n  - name: gpudesk a\nx: 1\n"),
        ("x: 1\n", "x: 1\nmodels: # gpudesk: added\n  - name: gpudesk a\n"),
        ("x: 1", "x: 1\nmodels: # gpudesk: added\n  - name: gpudesk a"),
        ("x: |\n  y", "models: # gpudesk: added\n  - name: gpudesk a\nx: |\n  y"),
        ("w: 1\nx: |\n  y", "w: 1\nmodels: # gpudesk: added\n  - name: gpudesk a\nx: |\n  y"),
        ("x:\n- y\n...\n", "x:\n- y\nmodels: # gpudesk: added\n- name: gpudesk a\n...\n"),
        ("models:\n- name: b\n", "models:\n- name: b\n- name: gpudesk a\n"),
        ("models:\n-   name: b\n", "models:\n-   name: b\n-   name: gpudesk a\n"),
        ("models:\n  - b: |+\n      c\n\n\nx: 1\n", "models:\n  - b: |+\n      c\n\n\n  - name: gpudesk a\nx: 1\n"),
        ("models:\n  - b: c # d\n    # e\n\n# f\n", "models:\n  - b: c # d\n    # e\n  - name: gpudesk a\n\n# f\n"),
        ("models:\n  - b\n  - |\n    c", "models:\n  - b\n  - name: gpudesk a\n  - |\n    c"),
        ("models:\r\n  - b\r\n", "models:\r\n  - b\r\n  - name: gpudesk a\r\n"),
        ("models: [b]\n", 'models: [b, {"name": "gpudesk a"}]\n'),
        ("models: [b, # c\n  d, ]\n", 'models: [b, # c\n  d, {"name": "gpudesk a"}, ]\n'),
        ("models: &m []\n", 'models: &m [{"name": "gpudesk a"}]\n'),
        ("{models: []}", '{models: [{"name": "gpudesk a"}]}'),
        ("{}", '{"models"  :  [{"name": "gpudesk a"}]}'),
        ('{"x":1}', '{"x":1, "models"  :  [{"name": "gpudesk a"}]}'),
        ('{"models":[]}', '{"models":[{"name": "gpudesk a"}]}'),
        ("models:\n  - b:\n", "models:\n  - b:\n  - name: gpudesk a\n"),
        ("models:\n  -\n", "models:\n  -\n  - name: gpudesk a\n"),
    ],
)
def test_looks_like_what_is_there(before: str, after: str) -> None:
    entry = {"name": "gpudesk a"}
    assert merged(before, entry) == after
    assert merged(after) == before


@pytest.mark.parametrize(
    ("text", "line", "column", "why"),
    [
        ("x: &m\n  - a\nmodels: *m\n", 3, 9, "is an alias"),
        ("models: &m\n  - a\nx: *m\n", 1, 9, "is used elsewhere as \\*m"),
        ("\nmodels: {a: 1}\n", 2, 9, "is a mapping"),
        ("models: none\n", 1, 9, "is not a list"),
        ("- a\n", 1, 1, "no mapping of keys"),
        ("%YAML 1.1\n---\na: &x\n  models: []\n<<: *x\n", 3, 1, "may come from what << merges in"),
    ],
)
def test_refuses_what_would_touch_something_else(text: str, line: int, column: int, why: str) -> None:
    with pytest.raises(ExportError, match=f"line {line}, column {column}: .*{why}"):
        merged(text, CHAT)


def test_refuses_to_take_out_what_others_use() -> None:
    text = "models:\n  - name: gpudesk chat\n    x: &shared {a: 1}\n  - name: b\n    x: *shared\n"
    with pytest.raises(ExportError, match="line 2, column 5: this entry is used elsewhere as \\*shared"):
        merged(text)


def test_the_users_changes_after_it_stay() -> None:
    text = "name: x\nmodels: []\n"
    changed = merged(text, CHAT) + "  # mine\n  - name: mine\n    model: m\nrules: []\n"
    assert merged(changed) == (
        "name: x\nmodels: # gpudesk: instead of []\n  # mine\n  - name: mine\n    model: m\nrules: []\n"
    )


def test_a_comment_among_ours_is_not_lost() -> None:
    text = merged("x: 1\n", CHAT, TAB).replace(
        "  - name: gpudesk autocomplete", "  # mine\n  - name: gpudesk autocomplete"
    )
    assert merged(text) == "x: 1\nmodels: [] # gpudesk: added\n  # mine\n"


def test_what_continue_has_written_anew_is_found_again() -> None:
    """Its own changes write the whole file again, without comments and in its own style."""
    text = "name: x\nmodels:\n  - name: gpudesk chat\n    model: m\n"
    assert merged(text) == "name: x\nmodels: []\n"


def test_names_that_are_there_twice_become_one() -> None:
    text = "models:\n  - name: gpudesk chat\n    a: 1\n  - b\n  - name: gpudesk chat\n    a: 2\n"
    assert merged(text, {"name": "gpudesk chat"}) == "models:\n  - name: gpudesk chat\n  - b\n"


def test_other_names_take_the_place_of_all_of_ours() -> None:
    text = "models:\n  - name: gpudesk chat\n  - name: gpudesk edit\n"
    assert merged(text, {"name": "gpudesk a"}, {"name": "gpudesk b"}) == (
        "models:\n  - name: gpudesk a\n  - name: gpudesk b\n"
    )


def test_flow_entries_are_cut_with_their_comma() -> None:
    mine = '{"name": "gpudesk a"}'
    assert merged(f"models: [{mine}, b, {mine}, {mine}, c]\n") == "models: [b, c]\n"
    assert merged(f"models: [{mine}, {mine}]\n") == "models: []\n"


def test_edits_must_not_overlap() -> None:
    assert apply("abc", [Edit(2, 3, "z"), Edit(0, 1, "x"), Edit(1, 1, "y")]) == "xybz"
    with pytest.raises(ValueError, match="overlap"):
        apply("abc", [Edit(0, 2, ""), Edit(1, 3, "")])


def test_a_huge_file_is_changed() -> None:
    text = "models:\n" + "".join(f"  - name: m{n}\n    provider: ollama  # größer\n" for n in range(2_000))
    with_ours = merged(text, CHAT)
    assert with_ours.startswith(text.rstrip("\n"))
    assert merged(with_ours) == text
