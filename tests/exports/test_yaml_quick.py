"""The quick reader says what ruamel.yaml says, or nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpudesk.exports.yaml_inline import UnsureError
from gpudesk.exports.yaml_quick import read_quickly
from gpudesk.exports.yaml_tree import Node, YamlError, read
from gpudesk.exports.yaml_whole import DEEPEST, read_wholly
from tests.exports.configurations import configurations

PIECES = (
    "",
    " ",
    "  ",
    "\n",
    "\t",
    ":",
    ": ",
    "- ",
    "#",
    " #",
    "'",
    '"',
    "[",
    "]",
    "{",
    "}",
    ",",
    "&a ",
    "*a",
    "|",
    ">",
    "!x ",
    "%",
    "?",
    "---\n",
    "\\",
    "é",
    "\r",
    "\u2028",
    "\x07",
    "<<: ",
    "@",
    "`",
    "...\n",
    "a: ",
    "|2",
    "\ufeff",
)


def told(node: Node | None, text: str) -> Any:
    """Everything a tree tells, places among it; a null is nowhere in particular."""
    if node is None:
        return None
    value: Any = node.value
    if node.kind == "sequence":
        value = [told(item, text) for item in node.value]
    elif node.kind == "mapping":
        value = [(told(key, text), told(item, text)) for key, item in node.value]
    place = None if node.start == node.end else (node.start, node.end)
    return node.kind, place, node.style, node.anchor, node.tag, value


def same_as_ruamel(text: str) -> bool:
    """The quick reader read it, and ruamel agrees."""
    try:
        quick = read_quickly(text)
    except UnsureError:
        return False
    whole = read_wholly(text)
    assert quick.old == whole.old
    assert told(quick.root, text) == told(whole.root, text)
    return True


@pytest.mark.slow
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(configurations())
def test_reads_configurations_as_ruamel_does(text: str) -> None:
    same_as_ruamel(text)


@pytest.mark.slow
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(configurations(), st.data())
def test_accepts_no_broken_configuration_that_ruamel_refuses(text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 3))
        text = text[:place] + data.draw(st.sampled_from(PIECES)) + text[place + cut :]
    same_as_ruamel(text)


@pytest.mark.parametrize(
    "text",
    [
        "name: x\nversion: 1.0.0\nmodels: []\n",
        "models:\n- name: a\n  roles: [chat, 'edit']\n- name: b\n",
        "a: |\n  x\n\n  y\n\nb: >-\n  one\n  two\n\n  three\nc: 1\n",
        "a: &x {b: 1}\nc: *x\n",
        "%YAML 1.1\n---\na: &x\n  b: 1\nc:\n  <<: *x\n",
        "a: http://x:1/y#z # c\n",
        "\n# c\n  \na:\n  # d\n  - - 1\n    - 2\n  -\n    x: y\n  -\n",
        "a: \"\\u00e9\\n\"\nb: 'it''s'\n",
        "a:\r\n  - b: 1\r\n    c: |\r\n      text\r\n",
    ],
)
def test_reads_what_people_write(text: str) -> None:
    assert same_as_ruamel(text)


@pytest.mark.parametrize(
    "text",
    [
        "? a\n: b\n",
        "a: 1\na: 2\n",
        "a: *b\n",
        "a:\n\tb: 1\n",
        "a: 1\n---\nb: 2\n",
        "a: {b: 1, b: 2}\n",
        "a: b: c\n",
        "- a\n",
        "a: 1\n  b: 2\n",
        "a: @x\n",
        "a: %x\n",
        "a: \x07\n",
    ],
)
def test_leaves_what_it_does_not_know_to_ruamel(text: str) -> None:
    with pytest.raises(UnsureError):
        read_quickly(text)


@pytest.mark.parametrize(
    "odd",
    [
        "a: 'one\n  two'\n",
        "a: [1,\n 2]\n",
        "a: !!str 1\n",
        "a: |2\n   x\n",
        "a: [b: c]\n",
        "a: |\n  x",
        "a: one\n  two\n\n  three\n",
        "a:\n  ключ: 1\n",
        "a:\n  - 'one\n    two'\n  - &b !x {c: d}\n",
        "a: |+\n  x\n\n\n",
        "a:\n- x: >\n    one\n      two\n\n  y: *k\n",
    ],
)
def test_has_ruamel_read_one_odd_entry(odd: str) -> None:
    before = "k: &k {v: 1}\nl:\n  - m: 1\n"
    for text in (odd, before + odd, before + odd + ("" if odd.endswith("\n") else "\n") + "z: *k\n"):
        if "*k" not in odd or "&k" in text:
            assert same_as_ruamel(text)
            assert same_as_ruamel("%YAML 1.1\n---\n" + text)


@pytest.mark.parametrize(
    ("text", "line", "column", "reason"),
    [
        ("a: 1\nb: [1\nc: 2\n", 3, 2, "flow sequence"),
        ("a: 1\n\tb: 2\n", 2, 1, "tab"),
        ("a: 1\nb: 2\na: 3\n", 3, 1, "the key a is there twice"),
        ("%YAML 1.1\n---\ny: 1\nb: 2\nYes: 3\n", 5, 1, "the key Yes is there twice: y is the same"),
        ("%YAML 1.1\n---\na:\n  n: 1\n  off: 3\n", 5, 3, "the key off is there twice: n is the same"),
        ("a: 1\nb: *c\n", 2, 4, "no anchor &c"),
        ("a: 1\n---\nb: 2\n", 2, 1, "second document"),
        ("a: 1\n b: 2\n", 2, 3, "mapping values"),
        ("a: 1\nb: '\n", 3, 1, "quoted scalar"),
        ("a: \x07\n", 1, 4, "special characters"),
        ("a: 1\rb: 2\n", 1, 5, "carriage return"),
    ],
)
def test_says_where_it_is_no_yaml(text: str, line: int, column: int, reason: str) -> None:
    with pytest.raises(YamlError, match=f"line {line}, column {column}: .*{reason}") as caught:
        read(text)
    assert (caught.value.line, caught.value.column) == (line, column)


def test_aliases_of_aliases_stay_small() -> None:
    levels = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    document = read("a0: &a0 x\n" + levels)
    assert document.root is not None
    assert len(document.root.pairs()) == 30


def test_depth_is_bounded() -> None:
    for text in ("a: {}\n", "a: {}\nb: [unclosed\n"):
        with pytest.raises(YamlError, match="column 203: nested too deeply"):
            read(text.format("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1)))
    with pytest.raises(YamlError, match="column 401: nested too deeply"):
        read("- " * 1200 + "a\n")
    assert read("a: " + "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1) + "\n").root is not None
