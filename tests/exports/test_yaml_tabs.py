"""Tabs that separate are taken, as npm `yaml` takes them; tabs that indent are told, as it tells them."""

from __future__ import annotations

import pytest

from gpudesk.exports.yaml_tree import YamlError, read

HEAD = "name: a\nversion: 1.0.0\n"


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD}schema: v1\t# c\n",
        f"{HEAD}schema: v1 \t \n",
        f"{HEAD}schema: v1\t\r\n",
        f"{HEAD}schema: 'v1'\t\n",
        f"{HEAD}schema:\tv1\n",
        f"{HEAD}schema\t: v1\n",
        f"{HEAD}schema: &v\tv1\n",
        f"{HEAD}schema: v1\n\t# c\n",
        "name: a\n\t\nversion: 1.0.0\n  \t\nschema: v1\n\t",
        f"---\t# c\n{HEAD}schema: v1\n",
        f"{HEAD}schema:\t# c\n  v1\n",
    ],
)
def test_a_tab_that_separates_is_white_space(text: str) -> None:
    document = read(text)
    assert document.text == text
    assert document.data(document.root) == {"name": "a", "version": "1.0.0", "schema": "v1"}
    node = document.at(("schema",))
    assert node is not None
    assert text[node.start : node.end].removeprefix("&v\t").strip("'") == "v1"


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        (f"{HEAD}models:\n  -\tname: a\n    model: c\n", 4, 4),
        (f"{HEAD}models:\n  - name: a\t# fine\n\t  model: c\n", 5, 1),
        (f"{HEAD}\tschema: v1\n", 3, 1),
    ],
)
def test_a_tab_that_indents_is_an_error(text: str, line: int, column: int) -> None:
    with pytest.raises(YamlError, match="a tab where YAML wants spaces") as raised:
        read(text)
    assert (raised.value.line, raised.value.column) == (line, column)


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        (f"{HEAD}rules:\n  - |\n    a\n  \t\n    b\n", 6, 3),
        (f"{HEAD}rules:\n  - >-\n    a\n\n\t# c\nschema: v1\n", 7, 1),
        (f"{HEAD}rules:\r\n  - |\r\n    a\r\n\t\r\n", 6, 1),
        (f"{HEAD}rules:\n- |\n  a\n\t", 6, 1),
    ],
)
def test_a_tab_too_far_to_the_left_in_a_text_is_an_error(text: str, line: int, column: int) -> None:
    with pytest.raises(YamlError, match="a tab where YAML wants spaces") as raised:
        read(text)
    assert (raised.value.line, raised.value.column) == (line, column)


def test_a_tab_inside_a_text_stays_where_no_other_is() -> None:
    document = read(f'{HEAD}schema: "a\tb"\nrules:\n  - |\n    x\ty\t\n')
    data = document.data(document.root)
    assert (data["schema"], data["rules"]) == ("a\tb", ["x\ty\t\n"])


def test_a_tab_between_words_is_taken() -> None:
    assert read(f"{HEAD}schema: a\tb\n").at(("schema",)) is not None
