"""What --fix makes of a file: right, and otherwise the same bytes."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudesk.exports.editor import Surroundings
from gpudesk.exports.editors.continue_facts import Facts
from gpudesk.exports.editors.continue_report import REFUSED
from gpudesk.exports.overview import all_fixes
from gpudesk.exports.registry import editor
from gpudesk.exports.yaml_tree import YamlError, read
from tests.exports.editors.continue_desk import CHAT, HEAD, TAB, desk, entry, found, text_file
from tests.exports.editors.fixed import fixed
from tests.exports.editors.test_continue_check import PAIRS
from tests.golden import check_golden

if TYPE_CHECKING:
    from gpudesk.exports.values import Finding

GOLDEN = Path(__file__).parent / "golden" / "continue_check"


def lines(findings: tuple[Finding, ...]) -> str:
    return "".join(
        f"{finding.line}: {finding.severity} {finding.code}{' *' if finding.edits else ''}\n    {finding.where}\n"
        f"    {finding.message}\n    {finding.effect}\n    {finding.fix}\n"
        for finding in findings
    )


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.yaml")), ids=lambda path: path.stem)
def test_configurations_as_people_have_them(path: Path) -> None:
    file = text_file(path.read_bytes().decode())
    facts = Facts(desk(pinned={CHAT: 16384, TAB: 4096}))
    after, done = fixed(file, facts)
    change = difflib.unified_diff(file.text.splitlines(), after.text.splitlines(), "before", "after", n=0, lineterm="")
    told = f"{lines(found(file.text, facts))}---- fixed: {len(done)}\n" + "".join(f"{line}\n" for line in change)
    check_golden(str(path.with_suffix(".txt")), told + f"---- left\n{lines(found(after.text, facts))}")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("name: a\nversion: 1   # one\n", "name: a\nversion: 1.0.0   # one\n"),
        ("name: a\nversion: 2.5\n", 'name: a\nversion: "2.5"\n'),
        ("# top\nversion: 1.0.0\n", "# top\nname: Main Config\nversion: 1.0.0\n"),
        (HEAD + "models: # none yet\n", HEAD + "models: [] # none yet\n"),
        (HEAD + "models: ~\r\n", HEAD + "models: []\r\n"),
        (f"%YAML 1.1\n---\n{HEAD}env: {{N: 1}}\n", f'%YAML 1.1\n---\n{HEAD}env: {{"N": 1}}\n'),
        (f"%YAML 1.1\n---\n{HEAD}env: {{N: 1, 'N': 2}}\n", f"%YAML 1.1\n---\n{HEAD}env: {{N: 1, 'N': 2}}\n"),
        (f"%YAML 1.1\n---\n{HEAD}schema: yes\n", f'%YAML 1.1\n---\n{HEAD}schema: "yes"\n'),
    ],
)
def test_the_top_of_a_file(before: str, after: str) -> None:
    assert fixed(text_file(before), Facts(None))[0].text == after


OLLAMA = f"name: a\nprovider: ollama\nmodel: {CHAT}\n"
EXTRA = "extraBodyProperties: {keep_alive: -1}"
MOVED = "defaultCompletionOptions: {contextLength: 8192}"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("api_base: 'http://h:1/v1/' # x", "apiBase: 'http://h:1' # x"),
        ("apiBase: localhost:11434", "apiBase: http://localhost:11434"),
        ("roles: [chat,  Edit, embeddings]", "roles: [chat,  edit, embed]"),
        ("roles: chat, edit", "roles: [chat, edit]"),
        ("numCtx: 8192 # much", f"{MOVED} # much"),
        ("num_ctx: 8192\ndefaultCompletionOptions:\n    maxTokens: 9 # y\n\n# end",
         "defaultCompletionOptions:\n    maxTokens: 9 # y\n    contextLength: 8192\n\n# end"),
        ("num_ctx: 8192\ndefaultCompletionOptions: { maxTokens: 9 }",
         "defaultCompletionOptions: { maxTokens: 9, contextLength: 8192 }"),
        ("completionOptions:\n  num_ctx: '8192'\n  keep_alive: 1h30m",
         "defaultCompletionOptions:\n  contextLength: 8192\n  keepAlive: 5400"),
        ("keep_alive: -1", "defaultCompletionOptions: {keepAlive: -1}"),
        ("requestOptions: {keep_alive: -1}", "requestOptions: {extraBodyProperties: {keep_alive: -1}}"),
        ("requestOptions:\n  extraBodyProperties:\n    keepAlive: '-1'",
         "requestOptions:\n  extraBodyProperties:\n    keep_alive: -1"),
        ("capabilities: tool_use", 'capabilities: ["tool_use"]'),
        ("requestOptions: {verifySsl: no, timeout: '30'}", "requestOptions: {verifySsl: false, timeout: 30}"),
        ("temperature: 0.1\ntopP: 0.9", "defaultCompletionOptions: {temperature: 0.1, topP: 0.9}"),
    ],
)  # fmt: skip
def test_an_entry(before: str, after: str) -> None:
    assert fixed(text_file(entry(OLLAMA + before)), Facts(None))[0].text == entry(OLLAMA + after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "defaultCompletionOptions: {keepAlive: -1}\nrequestOptions: {extraBodyProperties: {keep_alive: -1}}"),
        ("defaultCompletionOptions:\n  keepAlive: 60 # s\nrequestOptions:\n  timeout: 3",
         f"defaultCompletionOptions:\n  keepAlive: -1 # s\nrequestOptions:\n  timeout: 3\n  {EXTRA}"),
        ("requestOptions: {extraBodyProperties: {keep_alive: 0}}",
         "requestOptions: {extraBodyProperties: {keep_alive: -1}}\ndefaultCompletionOptions: {keepAlive: -1}"),
    ],
)  # fmt: skip
def test_a_pin_is_kept(before: str, after: str) -> None:
    done = fixed(text_file(entry(OLLAMA + before)), Facts(desk(pinned={CHAT: None})))[0]
    assert done.text == entry(OLLAMA + after)


def test_the_context_of_a_pin_is_taken_over() -> None:
    facts = Facts(desk(pinned={CHAT: 16384}))
    kept = "requestOptions: {extraBodyProperties: {keep_alive: -1}}\n"
    before = entry(OLLAMA + kept + "contextLength: 8192")
    assert fixed(text_file(before), facts)[0].text == entry(OLLAMA + kept + "contextLength: 16384")


@pytest.mark.parametrize(
    "text",
    [
        entry(OLLAMA + "num_ctx: 8192\ncontextLength: 4096\ndefaultCompletionOptions: {contextLength: 1}"),
        entry(OLLAMA + "apiBase: http://a\napi_base: http://b"),
        f"{HEAD}env: {{}}\nmodels:\n  - &a\n    name: a\n    provider: ollama\n    model: nomic-embed-text\n  - *a\n",
        entry(OLLAMA + "defaultCompletionOptions: {keepAlive: soon, contextLength: 8k}"),
        entry(OLLAMA + "completionOptions: {keepAlive: soon}"),
        entry(OLLAMA + "defaultCompletionOptions: {num_ctx: 8k}"),
        "name: a\n\tversion: 1\n",
    ],
)
def test_what_is_a_guess_is_left_alone(text: str) -> None:
    file, done = fixed(text_file(text), Facts(None))
    assert (file.text, done) == (text, ())


@pytest.mark.parametrize(("code", "wrong", "right"), PAIRS)
def test_a_fix_removes_what_was_found_and_brings_nothing_new(code: str, wrong: str, right: str) -> None:
    for text in (wrong, right):
        before = found(text)
        file, done = fixed(text_file(text), Facts(None))
        after = found(file.text)
        assert not {(each.code, each.where) for each in after if each.edits}
        assert fatal(after) <= fatal(before)
        assert not {(each.code, each.where) for each in done} & {(each.code, each.where) for each in after}
        assert bool(done) == (file.text != text)


def fatal(findings: tuple[Finding, ...]) -> int:
    return sum(finding.effect == REFUSED for finding in findings)


LINES = st.sampled_from(
    [
        *("api_base: http://h:1/v1", "numCtx: 8192", "num_ctx: '4096'  # why", "keep_alive: 30m", "temperature: 0.2"),
        *("roles: [chat, tab]", "roles: autocomplete", "completionOptions: {num_predict: 3}", "numGpu: 1", "topK: 3"),
        *(
            "defaultCompletionOptions:\n  keepAlive: 5m\n  maxTokens: '9'",
            "defaultCompletionOptions: {}",
            "role: [embed]",
        ),
        *("requestOptions: {keep_alive: -1, timeout: '3'}", "requestOptions:\n  headers: {a: b}", "apiKey: 12345678"),
        *(
            "capabilities: tool_use",
            "env: {num_gpu: 3}",
            "chatOptions:\n  baseSystemMessage: |\n    text: a",
            "# a comment",
        ),
    ]
)


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(
    entries=st.lists(st.lists(LINES, max_size=6, unique=True), min_size=1, max_size=4),
    end=st.sampled_from(["\n", "\r\n"]),
    final=st.booleans(),
    pinned=st.booleans(),
)
def test_whatever_stands_there_a_fixed_file_can_be_read_and_keeps_its_other_lines(
    entries: list[list[str]], end: str, final: bool, pinned: bool
) -> None:
    text = "# mine\n" + HEAD + "models:\n"
    for number, body in enumerate(entries):
        text += f"  - name: m{number}\n    provider: ollama\n    model: {CHAT}\n"
        text += "".join(f"    {line}\n" for part in body for line in part.split("\n"))
    text = text.replace("\n", end) if final else text.replace("\n", end).removesuffix(end)
    facts = Facts(desk(pinned={CHAT: 16384} if pinned else {}))
    try:
        read(text)
    except YamlError:
        assert fixed(text_file(text), facts)[0].text == text
        return
    file, done = fixed(text_file(text), facts)
    read(file.text)
    assert fatal(found(file.text, facts)) <= fatal(found(text, facts))
    assert (file.text.count("\r\n") > 0) == (text.count("\r\n") > 0)
    assert file.text.count("\n") == file.text.count(end)
    for line in ("# mine", "    # a comment", "      baseSystemMessage: |", "        text: a", "    numGpu: 1"):
        assert file.text.split(end).count(line) == text.split(end).count(line)
    again, more = fixed(file, facts)
    assert (again.text, more) == (file.text, ())
    assert len(done) >= (text != file.text)


def test_the_files_on_the_disk_are_only_read(tmp_path: Path) -> None:
    base = tmp_path / ".continue"
    (base / "models").mkdir(parents=True)
    (base / "config.yaml").write_bytes(b"\xef\xbb\xbfname: a\r\nversion: 1\r\n")
    (base / "models" / "x.yaml").write_text(HEAD, encoding="utf-8")
    (base / "models" / "y.yaml").write_text("\t", encoding="utf-8")
    export, done = all_fixes(editor("continue"), Surroundings(tmp_path, {}, "linux"), None)
    assert [finding.code for finding in done] == ["version-not-text"]
    (change,) = export.changes
    assert change.after == b"\xef\xbb\xbfname: a\r\nversion: 1.0.0\r\n"
    assert change.secret
    assert change.before == (base / "config.yaml").read_bytes()
