"""What is silently wrong in configurations of editors other than Continue."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpudesk.domain.desk import Desk
from gpudesk.exports.editor import Surroundings
from gpudesk.exports.overview import all_fixes
from gpudesk.exports.registry import editor
from gpudesk.exports.requests import base_url, full_name
from gpudesk.exports.values import Edit, Finding, Severity
from gpudesk.exports.writing import apply
from gpudesk.records import replace
from tests.exports.editors.cases import CHAT, TAB, around, desk

ZED, VSCODE = ".config/zed/settings.json", ".config/Code/User/chatLanguageModels.json"
LLAMA, OPENCODE = ".config/Code/User/settings.json", ".config/opencode/opencode.json"
CODEX, CLAUDE, AIDER = ".codex/config.toml", ".claude/settings.json", ".aider.conf.yml"


def found(name: str, path: str, text: str, home: Path, seen: Desk | None) -> list[tuple[str, int | None]]:
    return [(each.code, each.line) for each in findings(name, path, text, home, seen)]


def findings(name: str, path: str, text: str, home: Path, seen: Desk | None) -> tuple[Finding, ...]:
    (home / path).parent.mkdir(parents=True, exist_ok=True)
    (home / path).write_text(text, encoding="utf-8")
    return editor(name).check(around(home), seen)


def zed(**told: str) -> str:
    values = {"url": "http://localhost:11434", "model": CHAT, "listed": '"max_tokens": 32768', "tab": TAB} | told
    text = (
        '{"agent": {"default_model": {"provider": "ollama", "model": "MODEL"}},\n'
        '"language_models": {"ollama": {"api_url": "URL", "available_models": [\n'
        '{"name": "MODEL", LISTED}]}},\n'
        '"edit_predictions": {"provider": "ollama", "ollama": {\n'
        '"model": "TAB", "api_url": "URL"}}}'
    )
    for word in ("url", "model", "listed", "tab"):
        text = text.replace(word.upper(), values[word])
    return text


ZED_HINT = ("context-not-sent", 5)


@pytest.mark.parametrize(
    ("name", "path", "text", "codes"),
    [
        ("zed", ZED, zed(), [ZED_HINT]),
        ("zed", ZED, zed(url="http://localhost:11434/v1"), [("v1-in-url", 2), ("v1-in-url", 5), ZED_HINT]),
        ("zed", ZED, zed(url="http://gpu-box.lan:11434"), []),
        ("zed", ZED, zed(model="llama3"), [("not-installed", 3), ZED_HINT]),
        ("zed", ZED, zed(listed='"max_tokens": 8192'), [("context-mismatch", 3), ZED_HINT]),
        ("zed", ZED, zed(listed='"x": 1'), [("context-unset", 3), ZED_HINT]),
        ("zed", ZED, zed(listed='"max_tokens": 32768, "keep_alive": 1800'), [("keep-alive-undoes-pin", 3), ZED_HINT]),
        ("zed", ZED, zed(listed='"max_tokens": 32768, "keep_alive": "30m"'), [("keep-alive-undoes-pin", 3), ZED_HINT]),
        ("zed", ZED, zed(listed='"max_tokens": 32768, "keep_alive": -1'), [ZED_HINT]),
        ("zed", ZED, zed(tab=CHAT), [("context-differs", 5), ("context-not-sent", 5)]),
        ("zed", ZED, zed(tab="nomic-embed-text"), [("chat-model-completes", 5), ("context-not-sent", 5)]),
        ("zed", ZED, '{\n"agent": {,}}', [("unreadable", 2)]),
        ("zed", ZED, "", []),
        ("zed", ZED, '{"agent": 5, "edit_predictions": [], "language_models": null}', []),
        (
            "vscode",
            VSCODE,
            (
                '[{"models": [\n{"id": "qwen3-coder:30b", "url": "http://127.0.0.1:11434/api/chat"}]},'
                ' 5, {"models": {}}]'
            ),
            [("v1-missing", 2), ("context-cannot-be-sent", 2)],
        ),
        (
            "vscode",
            VSCODE,
            '[{"models": [{"id": "x", "url": "http://127.0.0.1:11434/v1/chat"}]}]',
            [("not-installed", 1)],
        ),
        ("vscode", VSCODE, "{}", []),
        (
            "llama-vscode",
            LLAMA,
            (
                '{"llama-vscode.use_openai_endpoint": true,\n'
                '"llama-vscode.openai_client_model": "qwen2.5-coder:1.5b-base",\n'
                '"llama-vscode.endpoint": "http://127.0.0.1:11434"}'
            ),
            [("v1-missing", 3), ("context-cannot-be-sent", 3)],
        ),
        (
            "llama-vscode",
            LLAMA,
            (
                '{"llama-vscode.ai_model": "qwen3-coder:30b",\n'
                '"llama-vscode.endpoint_chat": "http://127.0.0.1:11434/v1/"}'
            ),
            [("v1-in-url", 2), ("context-cannot-be-sent", 2)],
        ),
        ("llama-vscode", LLAMA, '{\n"llama-vscode.openai_client_model": "x"}', [("model-not-used", 2)]),
        ("llama-vscode", LLAMA, '{"editor.fontSize": 5}', []),
        (
            "opencode",
            OPENCODE,
            (
                '{"model": "ollama/qwen3-coder:30b",\n'
                '"provider": {"ollama": {"options": {"baseURL": "http://localhost:11434"}}}}'
            ),
            [("v1-missing", 2), ("context-cannot-be-sent", 1)],
        ),
        ("opencode", OPENCODE, '{"model": "anthropic/x", "provider": {}}', []),
        (
            "codex",
            CODEX,
            (
                'model = "qwen3-coder:30b"\nmodel_provider = "o"\nprofile = "x"\n[model_providers.o]\n'
                'base_url = "http://localhost:11434"\nwire_api = "chat"\n'
            ),
            [("wire-api", 6), ("old-profile", 3), ("v1-missing", 5), ("context-cannot-be-sent", 1)],
        ),
        ("codex", CODEX, 'model = "gpt-5"\n', []),
        ("codex", CODEX, "a = 1\nb = \n", [("unreadable", 2)]),
        (
            "claude-code",
            CLAUDE,
            (
                '{"env": {\n"ANTHROPIC_BASE_URL": "http://localhost:11434/v1",\n"ANTHROPIC_MODEL": "qwen3-coder:30b",\n'
                '"ANTHROPIC_DEFAULT_OPUS_MODEL": "none", "ANTHROPIC_DEFAULT_SONNET_MODEL": ""}}'
            ),
            [
                ("v1-in-url", 2),
                ("context-cannot-be-sent", 3),
                ("not-installed", 4),
                ("model-missing", 2),
            ],
        ),
        ("claude-code", CLAUDE, '{"env": {"ANTHROPIC_BASE_URL": "https://api.anthropic.com"}}', []),
        ("aider", AIDER, f"# c\nmodel: ollama_chat/{CHAT}\n", [("context-unset", 2)]),
        (
            "aider",
            AIDER,
            "model: ollama/none\nset-env: OLLAMA_API_BASE=http://localhost:11434/v1\n",
            [("v1-in-url", 2), ("not-installed", 1)],
        ),
        ("aider", AIDER, "model: sonnet\n", []),
        ("aider", AIDER, "model: [\n", [("unreadable", 2)]),
    ],
)
def test_what_is_silently_wrong_is_found(
    name: str, path: str, text: str, codes: list[tuple[str, int | None]], tmp_path: Path
) -> None:
    assert found(name, path, text, tmp_path, desk()) == codes


def test_without_a_desk_only_the_file_speaks(tmp_path: Path) -> None:
    assert found("zed", ZED, zed(model="llama3", listed='"max_tokens": 1'), tmp_path, None) == []
    assert found("zed", ZED, zed(url="http://x/v1"), tmp_path, None) == [("v1-in-url", 2), ("v1-in-url", 5)]


def test_a_finding_says_where_what_happens_and_what_to_do(tmp_path: Path) -> None:
    text = zed(listed='"max_tokens": 32768, "keep_alive": "30m"')
    first = findings("zed", ZED, text, tmp_path, desk())[0]
    place = text.index("30m")
    assert first == Finding(
        "keep-alive-undoes-pin",
        Severity.WARNING,
        tmp_path / ZED,
        3,
        f"language_models.ollama.available_models[{CHAT}].keep_alive",
        "qwen3-coder:30b is pinned; Zed sends a keep-alive of 1800 s",
        "the first request turns the pin into that",
        "Set it to -1",
        (Edit(place, place + 3, "-1"),),
    )


@pytest.mark.parametrize(
    ("name", "effect"),
    [("llama-vscode", "/v1/chat/completions"), ("claude-code", "/v1/messages"), ("zed", "/api/…")],
)
def test_what_an_editor_adds_to_a_url_is_told(name: str, effect: str, tmp_path: Path) -> None:
    path, text = {
        "llama-vscode": (LLAMA, '{"llama-vscode.ai_model": "x", "llama-vscode.endpoint_tools": "http://x/v1"}'),
        "claude-code": (CLAUDE, '{"env": {"ANTHROPIC_BASE_URL": "http://x/v1", "ANTHROPIC_MODEL": "x"}}'),
        "zed": (ZED, zed(url="http://x/v1")),
    }[name]
    assert f"adds {effect} to it" in findings(name, path, text, tmp_path, None)[0].effect


def test_a_password_in_a_url_is_never_said(tmp_path: Path) -> None:
    urls = "http://ada:hunter2-hunter2@box:11434"
    cases = (
        ("zed", ZED, zed(url=f"{urls}/v1")),
        ("opencode", OPENCODE, f'{{"model": "o/x", "provider": {{"o": {{"options": {{"baseURL": "{urls}"}}}}}}}}'),
        ("aider", AIDER, f"model: ollama/x\nset-env: OLLAMA_API_BASE={urls}/v1\n"),
    )
    for name, path, text in cases:
        found = findings(name, path, text, tmp_path, None)
        assert found[0].code in {"v1-in-url", "v1-missing"}
        said = "".join(f"{each.message}{each.effect}{each.fix}{each.where}" for each in found)
        assert "hunter2" not in said
        assert "(hidden)" in said
        assert "hunter2" in found[0].edits[0].text, "what is written keeps it"


SETTINGS = ".aider.model.settings.yml"


@pytest.mark.parametrize(
    ("name", "path", "before", "after", "left"),
    [
        pytest.param(
            "zed", ZED, zed(url="http://localhost:11434/v1/"), zed(url="http://localhost:11434"),
            {"context-not-sent"}, id="zed-url",
        ),
        pytest.param(
            "zed", ZED, zed(listed='"max_tokens": 8192, // mine\n "keep_alive": "30m"'),
            zed(listed='"max_tokens": 32768, // mine\n "keep_alive": "-1"'), {"context-not-sent"}, id="zed-pin",
        ),
        pytest.param(
            "zed", ZED, zed(listed='"keep_alive": 60'), zed(listed='"keep_alive": -1').replace(
                '{"name"', '{"max_tokens": 32768, "name"'), {"context-not-sent"}, id="zed-missing",
        ),
        pytest.param(
            "vscode", VSCODE, f'[{{"models": [{{"id": "{CHAT}",\r\n "url": "http://127.0.0.1:11434/api/chat"}}]}},]',
            f'[{{"models": [{{"id": "{CHAT}",\r\n "url": "http://127.0.0.1:11434/v1/chat/completions"}}]}},]',
            {"context-cannot-be-sent"}, id="vscode",
        ),
        pytest.param(
            "llama-vscode", LLAMA,
            f'{{\n  // tab\n  "llama-vscode.openai_client_model": "{TAB}",\n  "llama-vscode.endpoint": "http://x/"\n}}',
            '{\n  // tab\n  "llama-vscode.use_openai_endpoint": true,\n'
            f'  "llama-vscode.openai_client_model": "{TAB}",\n  "llama-vscode.endpoint": "http://x/v1"\n}}',
            set(), id="llama-vscode",
        ),
        pytest.param(
            "llama-vscode", LLAMA, '{"llama-vscode.use_openai_endpoint":false,"llama-vscode.openai_client_model":"x",'
            '"llama-vscode.endpoint":"http://x/v1"}', '{"llama-vscode.use_openai_endpoint":true,'
            '"llama-vscode.openai_client_model":"x","llama-vscode.endpoint":"http://x/v1"}', set(), id="llama-switch",
        ),
        pytest.param(
            "opencode", OPENCODE,
            '{"model": "ollama/x", /* y */ "provider": {"ollama": {"options": {"baseURL": "x:1"}}}}',
            '{"model": "ollama/x", /* y */ "provider": {"ollama": {"options": {"baseURL": "http://x:1/v1"}}}}',
            set(), id="opencode",
        ),
        pytest.param(
            "codex", CODEX, 'model = "x"\nmodel_provider = "o" # mine\n[model_providers]\na.base_url = "http://x"\n'
            "o = {base_url = 'http://x', wire_api = \"chat\"}\n",
            'model = "x"\nmodel_provider = "o" # mine\n[model_providers]\na.base_url = "http://x"\n'
            "o = {base_url = 'http://x/v1', wire_api = \"responses\"}\n", set(), id="codex",
        ),
        pytest.param(
            "claude-code", CLAUDE,
            '{\n\t"env": {\n\t\t"ANTHROPIC_BASE_URL": "http://x/v1",\n\t\t"ANTHROPIC_MODEL": "a\\u00e9b"\n\t}\n}\n',
            '{\n\t"env": {\n\t\t"ANTHROPIC_DEFAULT_OPUS_MODEL": "a\\u00e9b",\n'
            '\t\t"ANTHROPIC_DEFAULT_SONNET_MODEL": "a\\u00e9b",\n\t\t"ANTHROPIC_DEFAULT_HAIKU_MODEL": "a\\u00e9b",\n'
            '\t\t"ANTHROPIC_BASE_URL": "http://x",\n\t\t"ANTHROPIC_MODEL": "a\\u00e9b"\n\t}\n}\n',
            set(), id="claude-code",
        ),
        pytest.param(
            "aider", AIDER, 'model: ollama/x\nset-env:\n  - "A=1"\n  - "OLLAMA_API_BASE=http://x/v1" # here\n',
            'model: ollama/x\nset-env:\n  - "A=1"\n  - "OLLAMA_API_BASE=http://x" # here\n', set(), id="aider-url",
        ),
        pytest.param(
            "aider", SETTINGS,
            f"- name: ollama_chat/{CHAT}\n  extra_params: {{num_ctx: 8192, keep_alive: 30m}} # x\n",
            f"- name: ollama_chat/{CHAT}\n  extra_params: {{num_ctx: 32768, keep_alive: -1}} # x\n", set(),
            id="aider-pin",
        ),
    ],
)  # fmt: skip
def test_what_is_safe_to_fix_is_fixed_and_nothing_else(
    name: str, path: str, before: str, after: str, left: set[str], tmp_path: Path
) -> None:
    if path == SETTINGS:
        (tmp_path / AIDER).write_text(f"model: ollama_chat/{CHAT}\n")
    found = findings(name, path, before, tmp_path, desk())
    fixable = {each.code for each in found if each.edits}
    assert fixable
    export, fixed = all_fixes(editor(name), around(tmp_path), desk())
    assert fixable <= {each.code for each in fixed}
    assert (tmp_path / path).read_bytes().decode() == before
    apply(export, state=tmp_path / "state")
    found = editor(name).check(around(tmp_path), desk())
    assert (tmp_path / path).read_bytes().decode() == after
    assert {each.code for each in found} == left
    assert not any(each.edits for each in found)


def test_a_context_is_not_changed_for_a_model_that_is_only_loaded(tmp_path: Path) -> None:
    (finding, _) = findings("zed", ZED, zed(listed='"max_tokens": 8192'), tmp_path, replace(desk(), pins=()))
    assert (finding.code, finding.edits) == ("context-mismatch", ())
    assert finding.fix == f"Set max_tokens of {CHAT} in language_models.ollama.available_models to 32768"


@pytest.mark.parametrize(
    ("name", "path", "text"),
    [
        ("zed", ZED, zed(url="http:\\/\\/x\\/v1")),
        ("aider", AIDER, "model: ollama/x\nset-env:\n  - >\n    OLLAMA_API_BASE=http://x/v1/\\\n    y\n"),
        ("codex", CODEX, 'model = "x"\nmodel_provider = "o"\n[model_providers.o]\nbase_url = """http://x"""\n'),
    ],
)
def test_what_is_written_in_an_odd_way_is_told_and_left_to_its_owner(
    name: str, path: str, text: str, tmp_path: Path
) -> None:
    found = findings(name, path, text, tmp_path, None)
    assert found
    assert not any(each.edits for each in found)


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ('profile = "work"\n', "Start it with  codex --profile NAME, and take profile out of this file"),
        (
            "[profiles.Work]\na = 1\n[profiles.home]\n",
            (
                "Put the keys of [profiles.Work] into Work.config.toml; the keys of [profiles.home] into "
                "home.config.toml, and take profiles out of this file"
            ),
        ),
    ],
)
def test_where_the_keys_of_an_old_profile_go_is_told(text: str, fix: str, tmp_path: Path) -> None:
    assert [each.fix for each in findings("codex", CODEX, text, tmp_path, None)] == [fix]


def test_a_pinned_model_that_is_not_loaded_gets_the_engines_keep_alive(tmp_path: Path) -> None:
    seen = replace(desk(), models=())
    codes = found("zed", ZED, zed(), tmp_path, seen)
    assert codes == [("context-not-sent", 5), ("keep-alive-cannot-be-sent", 5)]
    unpinned = replace(desk(), pins=())
    assert found("zed", ZED, zed(listed='"max_tokens": 4096, "keep_alive": 60'), tmp_path, unpinned) == [
        ("context-mismatch", 3),
        ("context-not-sent", 5),
    ], "loaded with 32768; a keep-alive undoes nothing where nothing is pinned"


def test_an_engine_that_tells_no_models_is_not_held_against_the_file(tmp_path: Path) -> None:
    assert found("zed", ZED, zed(model="llama3"), tmp_path, replace(desk(), installed=(), models=(), pins=())) == []


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://localhost:11434/", "http://127.0.0.1:11434"),
        ("http://LOCALHOST:11434/v1/chat/completions", "http://127.0.0.1:11434"),
        ("http://[::1]:11434", "http://127.0.0.1:11434"),
        ("http://0.0.0.0:11434/v1", "http://127.0.0.1:11434"),
        ("gpu-box:11434", "http://gpu-box:11434"),
        ("https://box.lan/ollama/v1/", "https://box.lan/ollama"),
        ("http://localhost.example:1/v1x", "http://localhost.example:1/v1x"),
    ],
)
def test_two_urls_of_one_server_are_the_same(url: str, base: str) -> None:
    assert base_url(url) == base


def test_names_have_tags() -> None:
    assert full_name("llama3") == "llama3:latest"
    assert full_name("llama3:8b") == "llama3:8b"
    assert full_name("hf.co:443/x/y") == "hf.co:443/x/y:latest"


@pytest.mark.parametrize(
    ("name", "platform", "environment", "path"),
    [
        ("zed", "linux", {"XDG_CONFIG_HOME": "/x"}, "/x/zed/settings.json"),
        ("zed", "darwin", {"XDG_CONFIG_HOME": "/x"}, "/home/ada/.config/zed/settings.json"),
        ("zed", "win32", {"APPDATA": "/r"}, "/r/Zed/settings.json"),
        ("vscode", "darwin", {}, "/home/ada/Library/Application Support/Code/User/chatLanguageModels.json"),
        ("vscode", "win32", {}, "/home/ada/AppData/Roaming/Code/User/chatLanguageModels.json"),
        ("llama-vscode", "linux", {}, "/home/ada/.config/Code/User/settings.json"),
        ("opencode", "linux", {}, "/home/ada/.config/opencode/gpudesk.json"),
        ("codex", "linux", {"CODEX_HOME": "/c"}, "/c/gpudesk.config.toml"),
        ("claude-code", "linux", {"CLAUDE_CONFIG_DIR": "/c"}, "/c/gpudesk.json"),
        ("aider", "linux", {}, "/home/ada/.aider.gpudesk.conf.yml"),
        ("neovim", "linux", {}, "/home/ada/.config/nvim/init.lua"),
        ("cline", "linux", {}, "/home/ada/.cline/data/globalState.json"),
    ],
)
def test_files_are_where_each_platform_has_them(
    name: str, platform: str, environment: dict[str, str], path: str
) -> None:
    assert editor(name).files(Surroundings(Path("/home/ada"), environment, platform))[0].path == Path(path)
