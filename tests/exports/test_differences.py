from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudesk.exports.differences import between, change_text, difference, masked
from gpudesk.exports.values import Export, FileChange, Way

SECRET = "hunter2-hunter2-hunter2"


def test_a_change_is_a_unified_diff() -> None:
    before = "".join(f"line {number}\n" for number in range(1, 21)).encode()
    after = before.replace(b"line 10\n", b"line ten\nand more\n")
    assert between("config.yaml", before, after) == (
        "--- config.yaml\n+++ config.yaml\n@@ -7,7 +7,8 @@\n line 7\n line 8\n line 9\n-line 10\n+line ten\n+and more\n"
        " line 11\n line 12\n line 13\n"
    )


def test_new_and_removed_files_are_told() -> None:
    assert between("new", None, b"a\n") == "--- /dev/null\n+++ new\n@@ -0,0 +1 @@\n+a\n"
    assert between("old", b"a\n", None) == "--- old\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n"
    assert between("new", None, b"") == "--- /dev/null\n+++ new\n"


def test_a_line_that_does_not_end_is_told() -> None:
    assert between("x", b"a\n", b"a") == "--- x\n+++ x\n@@ -1 +1 @@\n-a\n+a\n\\ No newline at end of file\n"


def test_line_ends_of_windows_are_not_shown_on_every_line() -> None:
    assert between("x", b"a\r\nb\r\n", b"a\r\nc\r\n") == "--- x\n+++ x\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n"
    assert "\\u000d" in between("x", b"a\nb\nc\n", b"a\nb\r\nc\n")


def test_what_moves_a_cursor_is_spelled_out() -> None:
    text = between("x", b"", "\x1b[2J\u202eevil\tx\n".encode())
    assert "+\\u001b[2J\\u202eevil\tx\n" in text


def test_a_touched_file_is_one_line(tmp_path: Path) -> None:
    change = FileChange(tmp_path / "config.yaml", b"a", b"a", "touched so that Continue reads again")
    assert change_text(change) == f"# {tmp_path}/config.yaml: touched so that Continue reads again\n"
    new = FileChange(tmp_path / "new", None, b"b\n", "new")
    assert difference(Export("zed", Way.MERGE, (change, new))) == change_text(change) + change_text(new)


@pytest.mark.parametrize(
    "line",
    [
        f"    apiKey: {SECRET}",
        f"apiKey: '{SECRET}'  # mine",
        f'  "api_key": "{SECRET}",',
        f'"Authorization": "Bearer {SECRET}"',
        f"- X-Api-Key: {SECRET}",
        f'ANTHROPIC_AUTH_TOKEN = "{SECRET}"',
        f"export OPENAI_API_KEY={SECRET}",
        f'"apiKey":"a\\"{SECRET}","model":"x"',
        f"{{name: x, apiKey: {SECRET}, model: y}}",
        f"proxy: http://me:{SECRET}@proxy:80/",
        f'"args": ["--header", "Authorization: Bearer {SECRET}"]',
        f"password: {SECRET} with blanks",
        "note: sk-abcdefghijklmnopqrstuvwxyz0123",
        "note: ghp_abcdefghijklmnopqrstuvwxyz0123",
        f"apiKey: |\n  {SECRET}\n  second {SECRET}",
        f"secretAccessKey: {SECRET}",
        f"clientSecret: {SECRET}",
    ],
)
def test_secrets_are_hidden(line: str) -> None:
    shown = masked(line)
    assert SECRET not in shown
    assert "abcdefghijkl" not in shown
    assert "(hidden)" in shown
    assert SECRET not in between("x", None, line.encode())


@pytest.mark.parametrize(
    "line",
    [
        "maxTokens: 256",
        '"max_tokens": 32768,',
        "apiKey: ${{ secrets.OPENAI }}",
        'ANTHROPIC_AUTH_TOKEN: "ollama"',
        'apiKey: ""',
        "maxPromptTokens: 1024",
        "tokenizer: qwen2",
        "model: qwen3:14b",
        "apiBase: http://127.0.0.1:11434",
        "contextLength: 32768 # tokens: many",
        '"token_count": 5',
    ],
)
def test_what_is_no_secret_is_shown(line: str) -> None:
    assert masked(line) == line


def test_what_follows_a_secret_is_shown() -> None:
    assert masked("key:\n  apiKey: |\n    abc\n  model: x\n") == "key:\n  apiKey: |\n    (hidden)\n  model: x\n"
    assert masked(f'{{"apiKey": "{SECRET}", "model": "x"}}') == '{"apiKey": "(hidden)", "model": "x"}'


def test_a_change_of_a_secret_alone_is_told_and_not_shown() -> None:
    text = between("x", b"apiKey: one-secret\n", b"apiKey: two-secret\n")
    assert text == "--- x\n+++ x\n@@ what differs is hidden, or cannot be seen @@\n"


PIECES = (
    "", "  ", "a: 1", "  b: 2", "apiKey: |", "  token: >-", "    one secret", "  another", "      third", "- secret: |",
    f"apiKey: {SECRET}", "\tx: 1",
)  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=24), st.lists(st.sampled_from(PIECES), max_size=24), st.data())
def test_what_is_hidden_in_the_whole_file_is_hidden_in_a_part_of_it(
    head: list[str], tail: list[str], data: st.DataObject
) -> None:
    old = [*head, data.draw(st.sampled_from(PIECES)), *tail]
    new = [*head, *data.draw(st.lists(st.sampled_from(PIECES), max_size=3)), *tail]
    before, after = ("\n".join(lines) + "\n" for lines in (old, new))
    for line in between("x", before.encode(), after.encode()).splitlines()[2:]:
        if not line.startswith("@@"):
            shown = line[1:].replace("\\u0009", "\t")
            assert shown in masked(after if line.startswith("+") else before).split("\n"), line


def test_a_secret_of_many_lines_is_hidden_where_only_its_end_is_shown() -> None:
    secret = "".join(f"      secret {number}\n" for number in range(50))
    before = f"models:\n  - name: a\n    apiKey: |\n{secret}rules: []\n".encode()
    text = between("x", before, before.replace(b"[]", b"[]\nname: b"))
    assert text.splitlines()[2:] == ["@@ -52,3 +52,4 @@", *["       (hidden)"] * 2, " rules: []", "+name: b"]


def test_a_windows_file_with_a_secret_of_many_lines_is_shown_as_one() -> None:
    text = between("x", b"apiKey: |\r\n  a\r\n  b\r\nx: 1\r\n", b"apiKey: |\r\n  a\r\n  b\r\nx: 2\r\n")
    assert "\\u000d" not in text


@pytest.mark.slow
def test_large_files_are_compared_only_where_they_differ() -> None:
    lines = [f"line {number}\n" for number in range(300_000)]
    before = "".join(lines).encode()
    lines[150_000] = "changed\n"
    text = between("x", before, "".join(lines).encode())
    assert text.count("\n") == 11
    assert "@@ -149998,7 +149998,7 @@" in text
    other = "".join(f"row {number}\n" for number in range(9_000)).encode()
    assert between("x", before[:100_000], other).startswith("--- x\n+++ x\n@@ ")


@given(st.lists(st.sampled_from(["a", "b", "c", "d"])), st.lists(st.sampled_from(["a", "b", "c", "d"])))
def test_a_diff_says_what_patch_would_do(old: list[str], new: list[str]) -> None:
    before = "".join(line + "\n" for line in old).encode()
    after = "".join(line + "\n" for line in new).encode()
    lines = between("x", before, after).splitlines()[2:]
    assert applied(old, lines) == new


def applied(old: list[str], lines: list[str]) -> list[str]:
    """Do what a unified diff says."""
    result: list[str] = []
    place = 0
    for line in lines:
        if line.startswith("@@ "):
            numbers = line.split()[1][1:].split(",")
            start = int(numbers[0]) - (numbers[1:] != ["0"])
            result += old[place:start]
            place = start
        elif line.startswith("+"):
            result.append(line[1:])
        else:
            assert old[place] == line[1:]
            place += 1
            if line.startswith(" "):
                result.append(line[1:])
    return result + old[place:]


def test_the_home_directory_is_shortened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", os.fspath(tmp_path))
    assert between(tmp_path / "x", b"", b"a\n").startswith("--- ~/x\n+++ ~/x\n")
