"""What is found in a configuration: every code where it is so, and not where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gpudesk.domain.model import InstalledModel
from gpudesk.exports.editor import Surroundings
from gpudesk.exports.editors.continue_blocks import blocks
from gpudesk.exports.editors.continue_check import check, check_files
from gpudesk.exports.editors.continue_facts import Facts
from gpudesk.exports.foresight import Planned
from gpudesk.exports.values import Chosen, ChosenModel, Role, Severity
from gpudesk.exports.yaml_text import entry_lines
from gpudesk.records import replace
from tests.exports.editors.continue_desk import CHAT, EMBED, HEAD, ODD, TAB, URL, desk, entry, found, text_file
from tests.exports.editors.fixed import fixed

if TYPE_CHECKING:
    from pathlib import Path

    from gpudesk.exports.values import Finding

OLLAMA = f"name: a\nprovider: ollama\nmodel: {CHAT}\n"
TABS = f"name: t\nprovider: ollama\nmodel: {TAB}\nroles: [autocomplete]\n"
SAME = f"  - {{name: b, provider: ollama, model: {CHAT}"
OLD = "%YAML 1.1\n---\n"
ROOM = "defaultCompletionOptions: {contextLength: 4096, maxTokens: 256}\n"


def chat(more: str = "", model: str = CHAT) -> str:
    return entry(OLLAMA.replace(CHAT, model) + more)


def tab(more: str = "", model: str = TAB) -> str:
    return entry(TABS.replace(TAB, model) + more)


CASES: dict[str, list[tuple[str, str]]] = {
    "misspelled-key": [
        (chat("api_base: http://h:1"), chat("apiBase: http://h:1")),
        (chat("completionOptions: {maxTokens: 9}"), chat("defaultCompletionOptions: {maxTokens: 9}")),
        (chat("defaultCompletionOptions: {num_ctx: 9}"), chat("contextLength: 9")),
        (chat("role: [chat]"), chat("roles: [chat]")),
        (HEAD + "mcpServer: []\n", HEAD + "mcpServers: []\n"),
    ],
    "misplaced-key": [
        (chat("numCtx: 8192"), chat("defaultCompletionOptions: {contextLength: 8192}")),
        (chat("temperature: 0.1"), chat("defaultCompletionOptions: {temperature: 0.1}")),
        (chat("keep_alive: -1"), chat("defaultCompletionOptions: {keepAlive: -1}")),
        (chat("requestOptions: {keep_alive: 1}"), chat("requestOptions: {extraBodyProperties: {keep_alive: 1}}")),
        (chat("requestOptions: {options: {num_ctx: 1}}"), chat("requestOptions: {timeout: 1}")),
        (chat("debounceDelay: 500"), chat("autocompleteOptions: {debounceDelay: 500}")),
        (chat("region: x"), chat("env: {region: x}")),
        (HEAD + "tabAutocompleteModel: {model: x}\n", HEAD + "models: []\n"),
        (HEAD + "provider: ollama\n", HEAD + "env: {provider: ollama}\n"),
        (HEAD + "numCtx: 3\n", HEAD),
    ],
    "no-such-setting": [
        (chat("numGpu: 99"), chat()),
        (chat("defaultCompletionOptions: {use_mmap: true}"), chat()),
    ],
    "unknown-key": [(chat("zebra: 1"), chat()), (HEAD + "zebra: 1\n", HEAD)],
    "merge-key": [
        (
            f"{HEAD}x-a: &a {{model: m}}\nmodels:\n  - <<: *a\n    name: b\n    provider: openai\n",
            f"%YAML 1.1\n---\n{HEAD}models:\n  - &a {{name: b, provider: openai, model: m}}\n  - <<: *a\n    name: c\n",
        )
    ],
    "key-is-boolean": [
        (OLD + chat("defaultCompletionOptions: {n: 1}"), chat("defaultCompletionOptions: {n: 1}")),
        (OLD + chat("defaultCompletionOptions: {n: 1}"), OLD + chat("defaultCompletionOptions: {'n': 1}")),
        (
            OLD + chat("requestOptions: {extraBodyProperties: {a: {Yes: 1}}}"),
            OLD + chat("requestOptions: {extraBodyProperties: {a: {Yesterday: 1}}}"),
        ),
        (OLD + chat("requestOptions: {headers: {on: x}}"), OLD + chat("requestOptions: {headers: {'on': x}}")),
        (OLD + HEAD + "env: {N: x}\n", HEAD + "env: {N: x}\n"),
    ],
    "missing-key": [
        ("version: 1.0.0\n", HEAD),
        (entry("name: a\nprovider: openai"), entry("name: a\nprovider: openai\nmodel: x")),
        (f"{HEAD}mcpServers:\n  - name: x\n", f"{HEAD}mcpServers:\n  - {{name: x, url: y}}\n"),
    ],
    "version-not-text": [("name: a\nversion: 1\n", HEAD), ("name: a\nversion: 1.0\n", 'name: a\nversion: "1.0"\n')],
    "wrong-type": [
        (chat("contextLength: '8192'"), chat("contextLength: 8192")),
        (chat("capabilities: tool_use"), chat("capabilities: [tool_use]")),
        (chat("apiKey:"), chat("apiKey: k")),
        (chat("autocompleteOptions: {disable: yes}"), chat("autocompleteOptions: {disable: true}")),
        (
            OLD + entry("name: no\nprovider: openai\nmodel: x"),
            OLD + entry("name: 'no'\nprovider: openai\nmodel: x"),
        ),
        (OLD + chat("roles: [on]"), OLD + chat("roles: [chat]")),
        (f"%YAML 1.1\n---\n{HEAD}schema: yes\n", f"%YAML 1.1\n---\n{HEAD}schema: 'yes'\n"),
        ("[]\n", HEAD),
        (
            HEAD + "data: [{name: a, destination: d, schema: '1'}]\n",
            HEAD + "data: [{name: a, destination: d, schema: 0.2.0}]\n",
        ),
        (
            HEAD + "mcpServers: [{name: a, url: u, connectionTimeout: -1}]\n",
            HEAD + "mcpServers: [{name: a, url: u, connectionTimeout: 1}]\n",
        ),
    ],
    "keep-alive-text": [
        (chat("defaultCompletionOptions: {keepAlive: 30m}"), chat("defaultCompletionOptions: {keepAlive: 1800}"))
    ],
    "empty-value": [(HEAD + "models:\n", HEAD + "models: []\n"), (HEAD + "context: null\n", HEAD + "context: []\n")],
    "unknown-role": [(chat("roles: [chat, tab]"), chat("roles: [chat, edit]"))],
    "wrong-choice": [
        (chat("embedOptions: {embeddingPrefixes: {a: b}}"), chat("embedOptions: {embeddingPrefixes: {query: b}}")),
        (
            HEAD + "mcpServers: [{name: a, url: u, type: http}]\n",
            HEAD + "mcpServers: [{name: a, url: u, type: sse}]\n",
        ),
        (chat("promptTemplates: {chat: nope}"), chat("promptTemplates: {chat: chatml}"))
    ],
    "unknown-provider": [(entry(OLLAMA.replace("ollama", "Ollama")), chat())],
    "roles-missing": [
        (chat(model="nomic-embed-text"), chat("roles: [embed]", "nomic-embed-text")),
        (chat(model=TAB), tab()),
    ],
    "roles-empty": [(chat("roles: []"), chat("roles: [chat]"))],
    "rerank-unsupported": [
        (chat("roles: [rerank]"), entry("name: a\nprovider: vllm\nmodel: r\nroles: [rerank]"))
    ],
    "api-base-path": [
        (chat("apiBase: http://h:1/v1/"), chat("apiBase: http://h:1/v1x")),
        (chat('apiBase: "http://h:1/api"'), entry("name: a\nprovider: openai\nmodel: m\napiBase: http://h:1/v1")),
    ],
    "api-base-scheme": [(chat("apiBase: localhost:11434"), chat("apiBase: http://localhost:11434"))],
    "no-room-for-prompt": [
        (tab("contextLength: 4096"), tab(ROOM)),
        (tab("contextLength: 2048\nautocompleteOptions: {maxPromptTokens: 512}"),
         tab(ROOM + "autocompleteOptions: {maxPromptTokens: 512}")),
        (chat("defaultCompletionOptions: {contextLength: 4096, maxTokens: 4000}"),
         chat("defaultCompletionOptions: {contextLength: 4096, maxTokens: 3000}")),
    ],
    "chat-model-autocomplete": [
        (tab(model="llama3.1:8b"), tab()),
        (tab(model="nomic-embed-text"), tab(model="codestral:22b")),
        (tab(model="gemma3:4b"), tab(model="codegemma:2b")),
        (tab(model="qwen3:8b"), tab(model="qwen3-coder:30b")),
        (tab(model="deepseek-r1:8b"), tab(model="deepseek-coder:1.3b")),
        (tab(model="mistral:7b-instruct"), tab(model="starcoder2:3b")),
    ],
    "fim-template": [
        (tab(model="gpudesk-tab"), tab("autocompleteOptions: {template: x}", "gpudesk-tab")),
        (tab(model="granite-fim"), tab(model="granite-code:3b")),
        (tab(model="my-fim"), tab("promptTemplates: {autocomplete: x}", "my-fim")),
    ],
    "context-by-name": [
        (chat(model="devstral-small:24b"), chat("contextLength: 9", "devstral-small:24b")),
    ],
    "autodetect": [(chat(model="AUTODETECT"), chat())],
    "hub-slug": [
        (f"{HEAD}models:\n  - uses: ollama/qwen2.5-coder-1.5b\n", f"{HEAD}models:\n  - uses: file:///x.yaml\n"),
        (f"{HEAD}context:\n  - uses: continuedev/diff-context\n", f"{HEAD}context:\n  - provider: diff\n"),
    ],
    "block-file-missing": [(f"{HEAD}models:\n  - uses: ./x.yaml\n", f"{HEAD}models:\n  - uses: /x.yaml\n")],
    "options-replaced": [
        (chat("requestOptions: {extraBodyProperties: {options: {num_gpu: 9}}}"),
         chat("requestOptions: {extraBodyProperties: {options: {num_gpu: 9, num_ctx: 8192}}}")),
    ],
    "extra-ignored": [
        (chat("requestOptions: {extraBodyProperties: {num_ctx: 9}}"),
         entry("name: a\nprovider: vllm\nmodel: m\nrequestOptions: {extraBodyProperties: {top_k: 9}}")),
        (chat("requestOptions: {extraBodyProperties: {keepAlive: -1}}"),
         chat("requestOptions: {extraBodyProperties: {keep_alive: -1}}")),
    ],
    "keep-alive-unit": [
        (chat("requestOptions: {extraBodyProperties: {keep_alive: '-1'}}"),
         chat("requestOptions: {extraBodyProperties: {keep_alive: 30m}}")),
    ],
    "env-ignored": [
        (chat("env: {OLLAMA_KEEP_ALIVE: -1}"), chat("env: {region: eu}")),
        (chat("env: {u: 1}"), chat("env: {useLegacyCompletionsEndpoint: true}")),
    ],
    "not-ascii": [
        (chat("apiKey: sk-“x”"), chat("apiKey: sk-x")),
        (chat("requestOptions: {headers: {X: ü}}"), chat("requestOptions: {headers: {X: u}}")),
    ],
    "secret-not-filled": [
        (chat("apiKey: ${OPENAI_API_KEY}"), chat("apiKey: ${{ secrets.OPENAI_API_KEY }}")),
        (chat("apiKey: <your key>"), chat("apiKey: ${{secrets.K}}")),
    ],
    "duplicate-name": [
        (chat() + "  - {name: a, provider: vllm, model: x}\n", chat() + "  - {name: b, provider: vllm, model: x}\n"),
        (HEAD + "prompts: [{name: p, prompt: x}, {name: p, prompt: y}]\n", HEAD + "prompts: [{name: p, prompt: x}]\n"),
    ],
    "context-mismatch": [
        (chat("contextLength: 4096") + SAME + ", contextLength: 8192}\n",
         chat("contextLength: 8192") + SAME + ", contextLength: 8192}\n"),
        (chat("contextLength: 4096") + SAME + "}\n",
         chat("contextLength: 4096") + SAME + ", roles: [embed]}\n"),
    ],
    "keep-alive-mismatch": [
        (chat("defaultCompletionOptions: {keepAlive: -1}") + SAME + "}\n",
         chat() + SAME + "}\n"),
    ],
    "empty-file": [("", HEAD), (" \n\t\n", HEAD), ("# nothing\n", "# all\n" + HEAD)],
    "not-yaml": [
        ("name: a\n\tversion: x\n", HEAD),
        (HEAD + "name: b\n", HEAD),
        (HEAD + "---\nname: b\n", "---\n" + HEAD),
        ("models: [\n", HEAD),
        ("a: *b\n", HEAD),
    ],
}  # fmt: skip
PAIRS = [(code, wrong, right) for code, pairs in CASES.items() for wrong, right in pairs]


@pytest.mark.parametrize(("code", "wrong", "right"), PAIRS)
def test_a_code_is_found_where_it_is_so_and_nowhere_else(code: str, wrong: str, right: str) -> None:
    assert code in {finding.code for finding in found(wrong)}
    assert code not in {finding.code for finding in found(right)}


@pytest.mark.parametrize(("code", "wrong", "right"), PAIRS)
def test_every_finding_says_where_what_happens_and_how_to_put_it_right(code: str, wrong: str, right: str) -> None:
    for finding in (*found(wrong), *found(right)):
        assert finding.line is not None
        assert 1 <= finding.line <= wrong.count("\n") + right.count("\n") + 1
        assert finding.message
        assert finding.effect
        assert finding.fix


def test_lines_are_those_of_the_file() -> None:
    text = f"# top\n{HEAD}models:\n  - name: a\n    provider: ollama\n    model: {CHAT}\n    numGpu: 1\n"
    (finding,) = found(text)
    assert (finding.code, finding.line, finding.where) == ("no-such-setting", 8, "models[0].numGpu")


def facts(**more: object) -> Facts:
    return Facts(desk(**more))  # type: ignore[arg-type]


def codes(text: str, about: Facts) -> dict[str, Finding]:
    return {finding.code: finding for finding in found(text, about)}


def test_the_default_keep_alive_undoes_a_pin() -> None:
    told = codes(chat(), facts(pinned={CHAT: None}))["keep-alive-undoes-pin"]
    assert "1800" in told.message
    assert "30 minutes" in told.effect
    assert told.edits
    assert "keep-alive-undoes-pin" not in codes(chat(), facts())
    assert "keep-alive-undoes-pin" in codes(chat(), facts(loaded={CHAT: 8192}, forever=True))
    assert "keep-alive-undoes-pin" not in codes(chat(), facts(loaded={CHAT: 8192}))
    assert "keep-alive-undoes-pin" not in codes(chat("roles: [embed]"), facts(pinned={CHAT: None}))
    extra = chat("requestOptions: {extraBodyProperties: {keep_alive: -1}}")
    assert "keep-alive-undoes-pin" not in codes(extra, facts(pinned={CHAT: None}))


def test_a_keep_alive_that_extra_properties_replace() -> None:
    text = entry(
        OLLAMA + "defaultCompletionOptions: {keepAlive: -1}\nrequestOptions: {extraBodyProperties: {keep_alive: 60}}"
    )
    assert "keep-alive-undoes-pin" in codes(text, facts(pinned={CHAT: None}))


def test_properties_for_all_models_count_unless_a_model_has_its_own() -> None:
    everywhere = "requestOptions: {extraBodyProperties: {keep_alive: -1}}\n"
    about = facts(pinned={CHAT: None})
    assert "keep-alive-undoes-pin" not in codes(chat() + everywhere, about)
    own = chat("requestOptions: {extraBodyProperties: {x: 1}}") + everywhere
    assert "keep-alive-undoes-pin" in codes(own, about)


@pytest.mark.parametrize(
    ("versions", "severity"),
    [((), Severity.HINT), (((1, 2, 18),), Severity.WARNING), (((1, 3, 34),), Severity.WARNING), (((2, 0, 0),), None)],
)
def test_versions_that_drop_keep_alive(versions: tuple[tuple[int, int, int], ...], severity: Severity | None) -> None:
    text = chat("defaultCompletionOptions: {keepAlive: -1}")
    told = codes(text, Facts(desk(pinned={CHAT: None}), versions=versions)).get("keep-alive-old-versions")
    assert (told.severity if told else None) == severity
    both = text.rstrip("\n") + "\n    requestOptions: {extraBodyProperties: {keep_alive: -1}}\n"
    assert "keep-alive-old-versions" not in codes(both, Facts(desk(pinned={CHAT: None}), versions=versions))


def test_another_context_than_the_resident_one() -> None:
    text = chat("contextLength: 8192")
    pinned = codes(text, facts(pinned={CHAT: 16384}))["context-reloads"]
    assert "8192" in pinned.message
    assert "16384" in pinned.message
    assert pinned.edits
    loaded = codes(text, facts(loaded={CHAT: 16384}))["context-reloads"]
    assert not loaded.edits
    assert "context-reloads" not in codes(text, facts(pinned={CHAT: 8192}))
    assert "context-reloads" not in codes(text, facts())


def test_the_engine_cuts_a_context_to_what_was_trained() -> None:
    text = chat("contextLength: 131072")
    assert "context-reloads" not in codes(text, facts(loaded={CHAT: 40960}))
    assert "context-reloads" in codes(text, facts(loaded={CHAT: 40960}, trained=None))


def test_a_context_that_the_model_itself_may_bring_is_no_certain_reload() -> None:
    about = Facts(desk(loaded={CHAT: 16384}))
    assert codes(chat(), about)["context-reloads"].severity is Severity.HINT
    assert codes(chat("contextLength: 8192"), about)["context-reloads"].severity is Severity.WARNING


def test_a_model_that_is_not_installed_names_the_nearest() -> None:
    told = codes(chat(model="qwen3:14b-q8"), facts())["not-installed"]
    assert CHAT in (told.fix or "")
    for name in (CHAT, "QWEN3:14b", "nomic-embed-text", "${{ secrets.M }}", "AUTODETECT"):
        assert "not-installed" not in codes(chat(model=name), facts())
    elsewhere = chat("apiBase: http://other:11434", "x")
    assert "not-installed" not in codes(elsewhere, facts())
    assert "not-installed" in codes(chat("apiBase: http://localhost:11434/", "x"), facts())


def test_continues_own_word_for_a_model() -> None:
    assert "qwen2.5-coder:7b is" in codes(chat(model="qwen2.5-coder-7b"), facts())["not-installed"].message


def test_a_pair_that_does_not_fit() -> None:
    asked: list[tuple[Planned, ...]] = []

    def fits(models: tuple[Planned, ...]) -> str | None:
        asked.append(models)
        return "3.1 GiB too much"

    text = chat("contextLength: 8192") + f"  - {{name: t, provider: ollama, model: {TAB}, roles: [autocomplete]}}\n"
    told = codes(text, Facts(desk(), fits=fits))["does-not-fit"]
    assert "3.1 GiB too much" in told.message
    assert asked == [(Planned(CHAT, URL, 8192), Planned(TAB, URL, 8192))]
    assert "does-not-fit" not in codes(text, Facts(desk(), fits=lambda models: None))


def test_what_the_desk_knows_of_a_model_counts_more_than_its_name() -> None:
    text = tab(model=ODD)
    assert "another" not in codes(text, facts())["fim-template"].message
    derived = tab(model="codellama-mine")
    about = desk()
    with_insert = replace(
        about, installed=(InstalledModel("codellama-mine", URL, family="qwen2", capabilities=("insert",)),)
    )
    without = replace(about, installed=(InstalledModel("codellama-mine", URL, family="qwen2", capabilities=()),))
    assert "fim-template" not in codes(derived, Facts(with_insert))
    assert "another" in codes(derived, Facts(without))["fim-template"].message


SECRETS = ["sk-live-5f3a", "hunter2-token", "https://user:pw@h/v1", "Bearer 77aa"]


def test_no_secret_is_ever_said() -> None:
    text = (
        f"{HEAD}api_key: {SECRETS[0]}\nenv: {{A: [{SECRETS[0]}]}}\nmodels:\n  - name: a\n    provider: ollama\n"
        f"    model: {CHAT}\n    api_key: {SECRETS[0]}\n    apiKey: [{SECRETS[1]}]\n    apiBase: {SECRETS[2]}\n"
        f"    env: {{token: [{SECRETS[1]}]}}\n    requestOptions:\n"
        f"      headers: {{Authorization: [{SECRETS[3]}]}}\n"
        f"      header: {SECRETS[3]}\n      clientCertificate: {SECRETS[1]}\n      proxy: [x]\n"
        f"  - name: b\n    provider: ollama\n    model: {CHAT}\n    apiKey: “{SECRETS[0]}”\n"
    )
    told = found(text)
    assert len(told) > 6
    for finding in told:
        words = f"{finding.message} {finding.effect} {finding.fix} {finding.where}"
        assert not any(secret in words for secret in (*SECRETS, "user", "77aa", "sk-"))


def test_what_gpudesk_writes_has_nothing_wrong_with_it() -> None:
    chosen = Chosen(
        (
            ChosenModel(CHAT, (Role.CHAT, Role.EDIT, Role.APPLY), URL, 16384, capabilities=("completion", "tools")),
            ChosenModel(TAB, (Role.AUTOCOMPLETE,), URL, 4096, family="qwen2"),
            ChosenModel(EMBED, (Role.EMBED,), URL),
            ChosenModel(ODD, (Role.AUTOCOMPLETE,), URL, 4096, family="qwen2"),
        )
    )
    lines = [line for block in blocks(chosen) for line in entry_lines(block)]
    text = HEAD + "models:\n" + "".join(f"  {line}\n" for line in lines)
    about = Facts(desk(pinned={CHAT: 16384, TAB: 4096, EMBED: None, ODD: 4096}), versions=((1, 2, 0),))
    assert found(text, about) == ()


def around(home: Path) -> Surroundings:
    return Surroundings(home, {}, "linux")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_files_on_the_disk(tmp_path: Path) -> None:
    base = tmp_path / ".continue"
    write(base / "config.json", "{}")
    assert [finding.code for finding in check(around(tmp_path), None)] == ["config-json-deprecated"]
    write(base / "config.yaml", chat())
    write(base / "models" / "other.yaml", chat())
    write(base / "agents" / "mine.yaml", "\tname: a")
    told = [(finding.path.name, finding.code) for finding in check(around(tmp_path), None)]
    assert told == [("mine.yaml", "not-yaml"), ("other.yaml", "duplicate-name"), ("config.json", "config-json-ignored")]


def test_a_file_that_cannot_be_read_is_told_and_the_others_are_checked(tmp_path: Path) -> None:
    base = tmp_path / ".continue"
    (base / "config.yaml").mkdir(parents=True)
    write(base / "models" / "x.yaml", "name: a\nversion: 1\n")
    assert {finding.code for finding in check(around(tmp_path), None)} == {"not-readable", "version-not-text"}


def test_a_name_that_a_block_takes_from_a_profile_counts_once_per_profile() -> None:
    profile = text_file(chat())
    second = text_file(entry(OLLAMA.replace("name: a", "name: z")), "/home/u/.continue/agents/z.yaml")
    block = text_file(chat(), "/home/u/.continue/models/b.yaml")
    told = check_files([profile, second], [block], Facts(None))
    assert [(finding.code, finding.path.name) for finding in told] == [("duplicate-name", "b.yaml")]


@pytest.mark.parametrize("text", [
    "&a [*a]\n", f"{HEAD}models: &a [*a, *a]\n", f"{HEAD}models: &m\n  - *m\n",
    "? [a]\n: b\n", "name: !!binary aGk=\nversion: 1.0.0\n", f"{HEAD}env: &e {{x: *e}}\n",
    "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nmodels: [*b,*b,*b,*b,*b]\n",
])  # fmt: skip
def test_odd_documents_end(text: str) -> None:
    assert isinstance(found(text), tuple)
    assert isinstance(fixed(text_file(text), Facts(None))[1], tuple)
