"""What gpudesk's check says of a file is what Continue's own parser does with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gpudesk.exports.editors.continue_check import check_files
from gpudesk.exports.editors.continue_facts import Facts
from gpudesk.exports.editors.continue_file import first_of_roles
from gpudesk.exports.editors.continue_report import REFUSED
from gpudesk.exports.text_file import read_text
from gpudesk.exports.values import Finding
from tests.exports.editors.fixed import fixed
from tests.exports.editors.people import CONFIGURATIONS
from tests.live.editors.continue_parser import NEWER_KEYS, ContinueParser, Parsed
from tests.live.editors.mangled import mangled

pytestmark = pytest.mark.live

HEAD = "name: a\nversion: 1.0.0\nschema: v1\n"
ENTRY = "  - name: one\n    provider: ollama\n    model: llama3.1:8b\n"
BROKEN: dict[str, str] = {
    "version is a number": "name: a\nversion: 1\n",
    "version is 1.0": "name: a\nversion: 1.0\n",
    "no name": "version: 1.0.0\n",
    "no version": "name: a\n",
    "name is a number": "name: 5\nversion: 1.0.0\n",
    "models null": f"{HEAD}models:\n",
    "models a mapping": f"{HEAD}models: {{a: b}}\n",
    "a list": "- a\n- b\n",
    "a scalar": "just words\n",
    "rules null": f"{HEAD}rules:\n",
    "two documents": f"{HEAD}---\n{HEAD}",
    "a key twice": f"{HEAD}name: b\n",
    "an unknown alias": f"{HEAD}models: *nothing\n",
    "an open bracket": f"{HEAD}models: [\n",
    "a tab": f"{HEAD}models:\n\t- name: a\n",
    "wrong indentation": f"{HEAD}models:\n  - name: a\n   provider: b\n",
    "merge keys in 1.2": f"{HEAD}models:\n  - &a {{name: a, provider: b, model: c}}\n  - {{<<: *a, name: b}}\n",
    "no model": f"{HEAD}models:\n  - name: a\n    provider: b\n",
    "no provider": f"{HEAD}models:\n  - name: a\n    model: b\n",
    "model is a number": f"{HEAD}models:\n  - name: a\n    provider: b\n    model: 5\n",
    "an unknown role": f"{HEAD}models:\n{ENTRY}    roles: [completion]\n",
    "roles a text": f"{HEAD}models:\n{ENTRY}    roles: chat\n",
    "a keep-alive with a unit": f"{HEAD}models:\n{ENTRY}    defaultCompletionOptions: {{contextLength: 8k}}\n",
    "a context in quotes": f"{HEAD}models:\n{ENTRY}    defaultCompletionOptions: {{contextLength: '8192'}}\n",
    "stop a text": f"{HEAD}models:\n{ENTRY}    defaultCompletionOptions: {{stop: x}}\n",
    "yes in 1.2": f"{HEAD}models:\n{ENTRY}    defaultCompletionOptions: {{stream: yes}}\n",
    "capabilities a mapping": f"{HEAD}models:\n{ENTRY}    capabilities: {{tools: true}}\n",
    "a null option": f"{HEAD}models:\n{ENTRY}    apiBase:\n",
    "a header with a number": f"{HEAD}models:\n{ENTRY}    requestOptions: {{headers: {{X: 5}}}}\n",
    "a template of no kind": f"{HEAD}models:\n{ENTRY}    promptTemplates: {{chat: mine}}\n",
    "an environment list": f"{HEAD}models:\n{ENTRY}    env: [a]\n",
    "a rule that is a number": f"{HEAD}rules:\n  - 5\n",
    "a context without provider": f"{HEAD}context:\n  - name: code\n",
    "a server without command": f"{HEAD}mcpServers:\n  - name: x\n",
    "a prompt without text": f"{HEAD}prompts:\n  - name: x\n",
    "a document without address": f"{HEAD}docs:\n  - name: x\n",
    "data of no level": f"{HEAD}data:\n  - {{name: x, destination: y, schema: z, level: some}}\n",
    "metadata with a number": f"{HEAD}metadata: {{n: 5}}\n",
    "a comment behind a bracket": f"{HEAD}models: []# none yet\n",
    "a comment behind a quote": 'name: "a"# mine\nversion: 1.0.0\n',
    "a comment behind a comma": f"{HEAD}rules: [a,# first\n  b]\n",
    "a line of a tab in a text": f"{HEAD}rules:\n  - |\n    one\n\t\n    two\n",
    "a list that goes on too far left": f"{HEAD}rules: [\none\n]\n",
    "a bracket too far left": f"{HEAD}context:\n  - {{\n    provider: code\n}}\n",
    "a quote that goes on too far left": f"{HEAD}rules:\n  - 'one\n  two'\n",
    "not a number": f"{HEAD}models:\n{ENTRY}    defaultCompletionOptions: {{temperature: .nan}}\n",
    "a number with a line in 1.1": f"%YAML 1.1\n---\n{HEAD}models:\n{ENTRY}    apiBase: 1_000\n",
    "a date in 1.1": f"%YAML 1.1\n---\n{HEAD}models:\n{ENTRY}    apiBase: 2024-01-01\n",
    "a time in 1.1": f"%YAML 1.1\n---\n{HEAD}models:\n{ENTRY}    apiBase: 11:34\n",
    "an octal number of 1.2 in 1.1": (
        f"%YAML 1.1\n---\n{HEAD}models:\n{ENTRY}    defaultCompletionOptions: {{contextLength: 0o17}}\n"
    ),
    "two words that are true in 1.1": f"%YAML 1.1\n---\n{HEAD}env: {{yes: a, on: b}}\n",
    "a name that is no text in 1.1": f"%YAML 1.1\n---\n{HEAD}models:\n  - name: no\n    provider: b\n    model: c\n",
    "a role that is no text in 1.1": f"%YAML 1.1\n---\n{HEAD}models:\n{ENTRY}    roles: [on]\n",
    "two ways to write a number as a key": f"{HEAD}env: {{0x10: a, 16: b}}\n",
    "a server of no kind": f"{HEAD}mcpServers:\n  - {{name: x, command: y, url: z, type: other}}\n",
    "a timeout in words": f"{HEAD}requestOptions: {{timeout: long}}\n",
}
FINE: dict[str, str] = {
    "an empty list": f"{HEAD}models: []\n",
    "unknown keys everywhere": (
        f"{HEAD}tabAutocompleteModel: {{a: b}}\nmodels:\n{ENTRY}    numCtx: 5\n    completionOptions: {{a: 1}}\n"
        "    requestOptions: {options: {num_ctx: 5}, keepAlive: 5}\n    autocompleteOptions: {maxTokens: 5}\n"
        "context:\n  - {provider: code, count: 5}\nprompts:\n  - {name: a, prompt: b, model: c}\n"
    ),
    "all newer keys": (
        f"{HEAD}models:\n{ENTRY}    contextLength: 8192\n    useResponsesApi: false\n"
        "    defaultCompletionOptions: {keepAlive: -1}\n"
    ),
    "capabilities of any word": f"{HEAD}models:\n{ENTRY}    capabilities: [tools, whatever]\n",
    "anything in an extra body": (
        f"{HEAD}models:\n{ENTRY}    requestOptions: {{extraBodyProperties: {{a: [1, {{b: ~}}], keep_alive: -1}}}}\n"
    ),
    "an environment of scalars": f"{HEAD}env: {{A: 1, B: true, C: x}}\n",
    "a rule and a rule in words": f"{HEAD}rules:\n  - words\n  - {{name: a, rule: b, globs: '*.py', regex: [x]}}\n",
    "a tab behind a dash": f'{HEAD}rules:\n  -\tone\n  -\t"two" # c\n  -\t|\n    http://three\n',
    "a tab within a word in brackets": f"{HEAD}rules: [on\te, two]\n",
    "brackets and quotes on several lines": (
        f"{HEAD}env: {{\n  A: b\n}}\nrules: [\n# c\n one, 'two\n\n  three'\n]\ncontext:\n- {{\n  provider: code\n}}\n"
    ),
    "a hash within a comment": f"{HEAD}rules: [one,\n  # not:#7b\n  two]\n",
    "a hash within a word": f"{HEAD}rules: [a#b, c:#d]\n",
    "a server with both keys": (
        f"{HEAD}mcpServers:\n  - {{name: x, command: y, args: [a], url: z, type: sse}}\n"
        "  - {name: z, command: y, url: 5}\n"
    ),
    "numbers of 1.1": (
        f"%YAML 1.1\n---\n{HEAD}models:\n{ENTRY}    defaultCompletionOptions:\n      contextLength: 8_192\n"
        "      maxTokens: 0b1000\n      topK: 010\n      temperature: 1_0.5_0\n"
        "      presencePenalty: 1:30\n      topP: 1e-1\n"
    ),
    "a version of 1.1 that is a text": f"%YAML 1.1\n---\n{HEAD}models:\n{ENTRY}    apiBase: 0o17\n",
    "words that are true in 1.1 and their texts": f"%YAML 1.1\n---\n{HEAD}env: {{y: a, 'yes': b, N: c}}\n",
    "true and its text": f"{HEAD}env: {{true: a, 'true': b}}\n",
    "a float as context": f"{HEAD}models:\n{ENTRY}    defaultCompletionOptions: {{contextLength: 8e3}}\n",
    "a hexadecimal number": f"{HEAD}models:\n{ENTRY}    defaultCompletionOptions: {{contextLength: 0x2000}}\n",
}
ALL: dict[str, bytes] = {
    **{name: text.encode() for name, text in {**BROKEN, **FINE}.items()},
    **{each.name: each.data for each in CONFIGURATIONS if not each.name.startswith("huge")},
}
MANGLED = 3000
_NEWER = re.compile(r"\.keepAlive$|^models\[\d+\]\.(?:contextLength|useResponsesApi)$")
"""Keys that the package is too old to look at."""
_DROPPED = {"unknown-key", "misplaced-key", "misspelled-key", "no-such-setting"}


@pytest.fixture(scope="module")
def read_by_continue(
    continue_parser: ContinueParser, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, Parsed]]:
    """Every file with what Continue makes of it."""
    folder = tmp_path_factory.mktemp("agreement")
    paths = {name: folder / f"{number}.yaml" for number, name in enumerate(ALL)}
    for name, path in paths.items():
        path.write_bytes(ALL[name])
    parsed = continue_parser.parse_all([(path,) for path in paths.values()])
    return {name: (path, each) for (name, path), each in zip(paths.items(), parsed, strict=True)}


def findings(path: Path) -> tuple[Finding, ...]:
    """What the check says of one file, with nothing known of any engine."""
    return check_files([read_text(path)], [], Facts(None))


def is_fatal(finding: Finding) -> bool:
    """Continue has no model at all because of it."""
    return finding.effect == REFUSED or finding.code in {"not-yaml", "not-readable", "empty-file"}


@pytest.mark.parametrize("name", ALL)
def test_the_check_refuses_what_continue_refuses(name: str, read_by_continue: dict[str, tuple[Path, Parsed]]) -> None:
    path, parsed = read_by_continue[name]
    told = [f"{finding.code} {finding.where}" for finding in findings(path) if is_fatal(finding)]
    assert (parsed.error is not None) == bool(told), (parsed.error, told)


def test_the_broken_are_broken_and_the_fine_are_fine(read_by_continue: dict[str, tuple[Path, Parsed]]) -> None:
    assert [name for name in BROKEN if read_by_continue[name][1].error is None] == []
    assert [name for name in FINE if read_by_continue[name][1].error is not None] == []


@pytest.mark.parametrize("name", [name for name in ALL if name not in BROKEN])
def test_the_check_tells_every_key_that_continue_drops(
    name: str, read_by_continue: dict[str, tuple[Path, Parsed]]
) -> None:
    path, parsed = read_by_continue[name]
    told = {re.sub(r"\[(\d+)\]", r".\1", finding.where) for finding in findings(path) if finding.code in _DROPPED}
    dropped = {each.partition(" ")[2] for each in parsed.stripped}
    assert told == {each for each in dropped if each.rpartition(".")[2] not in NEWER_KEYS or each in told}


def test_what_is_fixed_is_read_and_loses_less(
    continue_parser: ContinueParser, read_by_continue: dict[str, tuple[Path, Parsed]], tmp_path: Path
) -> None:
    before: dict[str, Parsed] = {}
    after: dict[str, Path] = {}
    for number, (name, (path, parsed)) in enumerate(read_by_continue.items()):
        file = read_text(path)
        repaired, done = fixed(file, Facts(None))
        if done:
            before[name] = parsed
            after[name] = tmp_path / f"{number}.yaml"
            after[name].write_bytes(file.encoded(repaired.text))
    assert len(after) > 15
    for (name, was), now in zip(
        before.items(), continue_parser.parse_all([(path,) for path in after.values()]), strict=True
    ):
        assert now.error is None or was.error is not None, (name, now.error)
        assert len(now.lost()) <= len(was.lost()) or was.error is not None, (name, now.lost())
        left = [finding for finding in findings(after[name]) if is_fatal(finding)]
        assert bool(left) == (now.error is not None), (name, now.error, left)


def test_a_key_that_is_true_in_1_1_is_dropped_until_it_is_in_quotes(
    continue_parser: ContinueParser, tmp_path: Path
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"%YAML 1.1\n---\n{HEAD}models:\n{ENTRY}    defaultCompletionOptions: {{n: 2, topK: 3}}\n")
    assert [finding.code for finding in findings(path) if finding.edits] == ["key-is-boolean"]
    assert continue_parser.parse(path).lost() == ["config.yaml models.0.defaultCompletionOptions.false"]
    repaired, _ = fixed(read_text(path), Facts(None))
    path.write_text(repaired.text)
    parsed = continue_parser.parse(path)
    assert parsed.lost() == []
    assert parsed.model("one")["defaultCompletionOptions"] == {"n": 2, "topK": 3}


@pytest.mark.slow
def test_thousands_of_mangled_files_are_refused_by_both_or_by_neither(
    continue_parser: ContinueParser, tmp_path: Path
) -> None:
    good = [data.decode() for name, data in ALL.items() if name in FINE or name.endswith(", as is")]
    paths = []
    for number, text in enumerate(mangled(good, MANGLED)):
        paths.append(tmp_path / f"{number}.yaml")
        paths[-1].write_bytes(text.encode())
    differ, refused = [], 0
    for path, parsed in zip(paths, continue_parser.parse_all([(path,) for path in paths]), strict=True):
        told = [each for each in findings(path) if is_fatal(each) and not _NEWER.search(each.where)]
        refused += bool(told)
        if (parsed.error is not None) != bool(told):
            differ.append((path.read_text(encoding="utf-8"), parsed.error, told))
    assert differ == []
    assert MANGLED / 10 < refused < MANGLED * 9 / 10


@pytest.mark.parametrize("name", [name for name in ALL if name not in BROKEN])
def test_the_first_model_of_a_role_is_the_one_that_continue_takes(
    name: str, read_by_continue: dict[str, tuple[Path, Parsed]]
) -> None:
    path, parsed = read_by_continue[name]
    if parsed.error is None:
        told = first_of_roles(read_text(path))
        asked = ("chat", "edit", "apply", "autocomplete", "embed")
        assert {role: told.get(role) for role in asked} == {
            role: next(iter(parsed.roles.get(role, [])), None) for role in asked
        }
