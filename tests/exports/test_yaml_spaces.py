"""White space that ruamel.yaml takes and Continue does not; `tests/live/editors` asks Continue's parser the same."""

from __future__ import annotations

import pytest

from gpudesk.exports.yaml_tree import YamlError, read

HEAD = "name: a\nversion: 1.0.0\n"


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        (f"{HEAD}rules: [\na\n]\n", 4, 1),
        (f"{HEAD}env: {{\n A: 'b\nc'\n}}\n", 5, 1),
        (f"{HEAD}schema: 'a\n\n b\n'\n", 6, 1),
        (f"{HEAD}rules:\n- 'a\n  b\nc'\n", 6, 1),
        (f'{HEAD}rules:\n  - name: "a\n    b"\n    rule: x\n', 5, 5),
        (f"{HEAD}context:\r\n  - {{\r\n    provider: code\r\n}}\r\n", 6, 1),
        (f"{HEAD}context:\n  - {{\n    a: [\n  ] }}\n", 6, 3),
        (f"{HEAD}context: &x\n  - [\n  a]\n", 5, 3),
        (f"{HEAD}context:\n  - - [\n    a]\n", 5, 5),
    ],
)
def test_a_value_whose_further_lines_are_too_far_left_is_an_error(text: str, line: int, column: int) -> None:
    with pytest.raises(YamlError, match="indent it further: it belongs to a value that began above") as raised:
        read(text)
    assert (raised.value.line, raised.value.column) == (line, column)


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD}rules: [\n a\n]\n",
        f"{HEAD}rules: [\n# c\n a, 'b\n c'\n\n]\n",
        f"{HEAD}context:\n  - {{\n    provider: code\n  }}\n",
        f"{HEAD}rules:\n- 'a\n\n b'\n",
        f'{HEAD}rules:\n  - name: "a\n     b"\n    rule: x\n',
        f"{HEAD}context: &x\n  - [\n   a]\n",
        f"{HEAD}rules:\n  - |\n    [\n  - 'a'\n",
        '{\n"name": "a",\n"version": "1.0.0"\n}\n',
    ],
)
def test_a_value_whose_further_lines_are_indented_is_taken(text: str) -> None:
    assert read(text).root is not None


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        (f"{HEAD}models: []# c\n", 3, 11),
        ('name: "a"#c\n', 1, 10),
        (f"{HEAD}rules: [a,# c\n  b]\n", 3, 11),
        (f"{HEAD}rules: [# c\n  b]\n", 3, 9),
        (f"{HEAD}a: {{b: [c], d: 'e'#\n}}\n", 3, 19),
    ],
)
def test_a_comment_without_a_blank_before_it_is_an_error(text: str, line: int, column: int) -> None:
    with pytest.raises(YamlError, match="a comment needs a blank before it") as raised:
        read(text)
    assert (raised.value.line, raised.value.column) == (line, column)


@pytest.mark.parametrize(
    "text", ["a: b#c\n", "a: [b#c, d:#e] # f\n", "a: [b, # c:#d\n e]\n", "a: '#'\n", "a: |\n  x]#\n"]
)
def test_what_looks_like_such_a_comment_is_none(text: str) -> None:
    assert read(text).root is not None
