from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudesk.config.file import FileSettings, Finding, read_config_file
from gpudesk.config.layers import Effective, Overrides, effective
from gpudesk.config.settings import THEMES, Settings
from gpudesk.domain.alarm import AlarmLimits
from gpudesk.errors import UsageError
from gpudesk.toml_text import line_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def read(path: Path, text: str) -> FileSettings:
    """Read a file with this text."""
    path.write_text(text, encoding="utf-8")
    return read_config_file(path)


def messages(found: FileSettings) -> list[str]:
    """Everything that was said about the file."""
    return [finding.problem.message for finding in found.findings]


def only(found: FileSettings) -> Finding:
    """The one finding there is."""
    assert len(found.findings) == 1, messages(found)
    return found.findings[0]


WHOLE = """\
[screen]
theme = "nord"
reduced_motion = true
ansi = true

[watch]
interval = "500ms"
reserve = "1.5 GiB"

[[engine]]
url = "gpu-box"

[[engine]]
url = "https://far.example:8443/ollama"
api_key_env = "FAR_KEY"
ca_file = "~/certs/far.pem"
insecure = true

[keys]
filter = "slash,f3"
"""


def test_a_whole_file(path: Path) -> None:
    found = read(path, WHOLE)
    assert messages(found) == []
    assert (found.theme, found.reduced_motion, found.ansi_colors) == ("nord", True, True)
    assert (found.interval_seconds, found.reserve_bytes) == (0.5, 3 << 29)
    assert [entry.url for entry in found.engines] == ["gpu-box", "https://far.example:8443/ollama"]
    assert found.engines[1].api_key_env == "FAR_KEY"
    assert found.engines[1].insecure
    assert found.keymap == {"filter": "slash,f3"}


def test_no_file_is_no_problem(path: Path) -> None:
    assert read_config_file(path) == FileSettings(path)


@pytest.mark.parametrize(
    "text", ["", "\n\n", "# nothing\n", "\ufeff[watch]\ninterval = 2\n", "[watch]\r\ninterval = 2\r\n"]
)
def test_harmless_files(path: Path, text: str) -> None:
    found = read(path, text)
    assert messages(found) == []
    assert found.found


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('[screen]\ntheme = "nrod"\n', 2, 'screen.theme is "nrod", expected the name of a theme, perhaps nord'),
        ("[screen]\ntheme = 5\n", 2, "screen.theme is 5, expected one of gpudesk-dark"),
        ('[screen]\n\n# x\nansi = "yes"\n', 4, 'screen.ansi is "yes", expected true or false'),
        ("[screen]\nansi = 1\n", 2, "screen.ansi is 1, expected true or false"),
        ('[watch]\ninterval = "soon"\n', 2, 'watch.interval is "soon", expected seconds from 0.2 to 3600'),
        ("[watch]\ninterval = 0\n", 2, "watch.interval is 0, expected seconds from 0.2"),
        ("[watch]\ninterval = true\n", 2, "watch.interval is true, expected seconds"),
        ("[watch]\ninterval = nan\n", 2, "watch.interval is NaN, expected seconds"),
        ("[watch]\nreserve = -1\n", 2, 'watch.reserve is -1, expected a size such as "1GiB"'),
        ('[watch]\nreserve = "much"\n', 2, 'watch.reserve is "much", expected a size'),
        ("watch.reserve = 1.5\n", 1, "watch.reserve is 1.5, expected a size"),
        ("[[engine]]\nurl = 5\n", 2, "engine.url is 5, expected a text in quotes"),
        ("[[engine]]\nurl = 'a'\n[[engine]]\nca_file = 'b'\n", 3, "engine 2 has no url"),
        ("[engine]\nurl = 'a'\n", 1, "engine is not a list"),
        ("screen = 5\n", 1, "screen is 5, expected a table"),
        ("[keys]\nfilter = 5\n", 2, 'keys.filter is 5, expected keys such as "ctrl+f"'),
    ],
)
def test_a_wrong_value_names_file_line_key_and_what_is_expected(path: Path, text: str, line: int, said: str) -> None:
    finding = only(read(path, text))
    assert finding.fatal
    assert finding.problem.source == "config"
    assert finding.problem.message.startswith(f"{path} line {line}: {said}")


@pytest.mark.parametrize(
    ("text", "line", "said", "hint"),
    [
        ('[screen]\nthem = "nord"\n', 2, "screen.them is not known and is ignored", "Did you mean theme?"),
        ("[sceen]\nansi = true\n", 1, "sceen is not known and is ignored", "Did you mean screen?"),
        ("colour = 3\n", 1, "colour is not known and is ignored", None),
        ("[[engine]]\nurl = 'a'\nadress = 'b'\n", 3, "engine.adress is not known and is ignored", None),
        ("[watch]\nintervall = 2\n", 2, "watch.intervall is not known and is ignored", "Did you mean interval?"),
    ],
)
def test_an_unknown_key_is_a_warning_with_the_nearest_name(
    path: Path, text: str, line: int, said: str, hint: str | None
) -> None:
    finding = only(read(path, text))
    assert not finding.fatal
    assert finding.problem.message == f"{path} line {line}: {said}"
    assert finding.problem.hint == hint


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[screen\n", "at line 1, column 8"),
        ('[screen]\ntheme = "nord\n', "at line 2, column 14"),
        ("a = 1\na = 2\n", "at line 2, column 6"),
        ("[watch]\ninterval =", "at line 2, the end of the file"),
    ],
)
def test_broken_toml_names_line_and_column_and_leaves_the_defaults(path: Path, text: str, where: str) -> None:
    found = read(path, text)
    finding = only(found)
    assert finding.fatal
    assert "not valid TOML" in finding.problem.message
    assert where in finding.problem.message
    assert (found.theme, found.engines, found.keymap) == (None, (), {})


def test_one_wrong_value_does_not_spoil_the_others(path: Path) -> None:
    found = read(path, '[screen]\ntheme = "nrod"\nansi = true\n[watch]\nreserve = "1GiB"\n')
    assert (found.theme, found.ansi_colors, found.reserve_bytes) == (None, True, 1 << 30)


def test_a_key_in_the_file_is_refused_and_never_repeated(path: Path) -> None:
    finding = only(read(path, "[[engine]]\nurl = 'a'\napi_key = 'hunter2'\n"))
    assert "line 3" in finding.problem.message
    assert "api_key_env" in (finding.problem.hint or "")
    assert "hunter2" not in str(finding)


def test_a_keymap_with_a_mistake_is_not_used_at_all(path: Path) -> None:
    found = read(path, "[keys]\nfilter = 'f'\nfilterr = 'x'\n")
    assert found.keymap == {}
    assert any("filterr" in message and "line 3" in message for message in messages(found))


def test_unreadable_files_are_told(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b'[screen]\ntheme = "\xff\xfe"\n')
    assert "not UTF-8 at line 2" in only(read_config_file(path)).problem.message
    assert "cannot be read: Is a directory" in only(read_config_file(tmp_path)).problem.message
    path.write_bytes(b"#" * (1 << 21))
    assert "larger than 1 MiB" in only(read_config_file(path)).problem.message


@pytest.mark.slow
@given(st.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_without_an_exception(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    read_config_file(path)


VALUES = st.recursive(
    st.sampled_from(["1", "-1", "1.5", "true", '"x"', '"1GiB"', "[]", "{}", "2020-01-01", "nan", '"""a\nb"""']),
    lambda deeper: st.lists(deeper, max_size=2).map(lambda items: f"[{', '.join(items)}]"),
    max_leaves=3,
)
KEYS = st.sampled_from(
    ["theme", "reduced_motion", "ansi", "interval", "reserve", "url", "api_key_env", "filter", "zzz"]
)


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(st.sampled_from(["[screen]", "[watch]", "[[engine]]", "[keys]", "[other]"]), KEYS, VALUES), max_size=6
    )
)
@settings(max_examples=300, deadline=None)
def test_any_combination_of_keys_and_values_is_read(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[str, str, str]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "combined.toml"
    found = read(path, "\n".join(f"{header}\n{key} = {value}" for header, key, value in parts))
    assert found.theme is None or found.theme in THEMES
    assert found.interval_seconds is None or 0.2 <= found.interval_seconds <= 3600
    effective(Overrides(), found, {})


def test_lines_are_found_where_they_are() -> None:
    text = "# c\n[[engine]]\nurl = 1\n[[engine]]\n'url' = 2\n[screen] # x\ntheme = 3\n"
    assert line_of(text, "engine", "url", 0) == 3
    assert line_of(text, "engine", "url", 1) == 5
    assert line_of(text, "engine", "url", 2) is None
    assert line_of(text, "screen", "theme") == 7
    assert line_of(text, "screen") == 6


def layered(
    path: Path, text: str = "", environment: dict[str, str] | None = None, overrides: Overrides | None = None
) -> Effective:
    """The settings in force."""
    return effective(overrides or Overrides(), read(path, text), environment or {})


def urls(found: Effective) -> list[str]:
    """The engines in force."""
    return [engine.url for engine in found.settings.engines]


def test_without_anything_the_defaults_stand(path: Path) -> None:
    found = layered(path)
    assert urls(found) == ["http://127.0.0.1:11434"]
    defaults = Settings(engines=found.settings.engines)
    assert found.settings == defaults
    assert set(found.origins.values()) == {"default"}
    assert found.problems == ()


def test_the_command_line_beats_the_file_beats_the_environment(path: Path) -> None:
    environment = {"OLLAMA_HOST": "from-environment"}
    text = "[[engine]]\nurl = 'from-file'\n[watch]\ninterval = 3\nreserve = '1GiB'\n"
    typed = Overrides(ollama=("typed", "typed-too:99"), interval_seconds=7.0)
    assert urls(layered(path, environment=environment)) == ["http://from-environment:11434"]
    assert urls(layered(path, text, environment)) == ["http://from-file:11434"]
    found = layered(path, text, environment, typed)
    assert urls(found) == ["http://typed:11434", "http://typed-too:99"]
    assert (found.settings.interval_seconds, found.settings.reserve_bytes) == (7.0, 1 << 30)
    assert (found.origins["interval"], found.origins["reserve"], found.origins["theme"]) == (
        "command line",
        "file",
        "default",
    )


def test_false_on_the_command_line_is_not_absence(path: Path) -> None:
    assert (
        layered(path, "[screen]\nansi = true\n", overrides=Overrides(ansi_colors=False)).settings.ansi_colors is False
    )


def test_the_same_engine_twice_is_one(path: Path) -> None:
    assert urls(layered(path, overrides=Overrides(ollama=("localhost", "http://localhost:11434/")))) == [
        "http://localhost:11434"
    ]
    one_server = Overrides(ollama=("127.0.0.1", "localhost", "0.0.0.0", "localhost:11435"))
    assert urls(layered(path, overrides=one_server)) == ["http://127.0.0.1:11434", "http://localhost:11435"]


def test_a_typed_address_that_is_wrong_stops(path: Path) -> None:
    with pytest.raises(UsageError, match="--ollama"):
        layered(path, overrides=Overrides(ollama=("http://host:99999",)))


def test_wrong_addresses_elsewhere_do_not_stop(path: Path) -> None:
    found = layered(path, environment={"OLLAMA_HOST": "http://[broken"})
    assert urls(found) == ["http://127.0.0.1:11434"]
    assert "OLLAMA_HOST" in found.problems[0].message
    found = layered(path, "[[engine]]\nurl = 'ftp://x'\n[[engine]]\nurl = 'good'\n")
    assert urls(found) == ["http://good:11434"]
    assert "line 2" in found.problems[0].message


def test_keys_come_from_where_the_file_says(path: Path, tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(" secret-in-file \n")
    text = f"[[engine]]\nurl='https://a'\napi_key_env='A_KEY'\n[[engine]]\nurl='https://b'\napi_key_file='{key_file}'\n"
    found = layered(path, text, {"A_KEY": "secret-in-variable", "OLLAMA_API_KEY": "another"})
    assert [engine.api_key for engine in found.settings.engines] == ["secret-in-variable", "secret-in-file"]
    assert [origin.key for origin in found.engine_origins] == ["A_KEY", f"file {key_file}"]
    assert "secret" not in repr(found.settings)


def test_a_key_that_is_not_there_is_told(path: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    text = (
        "[[engine]]\nurl='https://a'\napi_key_env='A_KEY'\n[[engine]]\nurl='https://b'\napi_key_file='/no/such'\n"
        f"[[engine]]\nurl='https://c'\napi_key_file='{tmp_path / 'empty'}'\n"
    )
    found = layered(path, text)
    assert [engine.api_key for engine in found.settings.engines] == [None, None, None]
    told = [problem.message for problem in found.problems]
    assert "A_KEY, which is not set" in told[0]
    assert "No such file" in told[1]
    assert "holds no key" in told[2]


def test_the_users_own_key_never_travels_readable(path: Path) -> None:
    environment = {"OLLAMA_API_KEY": "secret"}
    typed = Overrides(ollama=("https://far", "http://near"))
    assert [engine.api_key for engine in layered(path, "", environment, typed).settings.engines] == ["secret", None]


def test_certificate_options_speak_of_every_engine(path: Path) -> None:
    text = "[[engine]]\nurl='https://a'\nca_file='~/own.pem'\n[[engine]]\nurl='https://b'\n"
    found = layered(path, text).settings.engines
    assert [(engine.ca_file, engine.verify) for engine in found] == [(str(Path.home() / "own.pem"), True), (None, True)]
    typed = Overrides(ca_file="/x.pem", insecure=True)
    found = layered(path, text, overrides=typed).settings.engines
    assert [(engine.ca_file, engine.verify) for engine in found] == [("/x.pem", False), ("/x.pem", False)]


def test_every_theme_of_textual_is_known() -> None:
    from textual.theme import BUILTIN_THEMES

    from gpudesk.ui.themes import own_themes

    assert set(THEMES) == set(BUILTIN_THEMES) | {theme.name for theme in own_themes()}


def test_alarms_and_actions_are_read_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        '[alarms]\nenabled = false\nfree_memory = "512MiB"\ndesktop = false\n'
        "[actions]\nread_only = true\nrestore_pins = true\n"
    )
    made = effective(Overrides(), read_config_file(path), {})
    settings = made.settings
    assert settings.alarms == AlarmLimits(free_memory_bytes=512 << 20, enabled=False)
    assert (settings.desktop_notifications, settings.read_only, settings.restore_pins) == (False, True, True)
    assert made.origins["free_memory"] == "file"


def test_what_alarms_and_actions_do_not_know_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[alarms]\nfree_memroy = "1GiB"\n[actions]\nread_only = "yes"\n')
    found = read_config_file(path)
    texts = [finding.problem.message for finding in found.findings]
    assert any("alarms.free_memroy is not known" in text for text in texts)
    assert any("actions.read_only" in text and "true or false" in text for text in texts)
    assert effective(Overrides(), found, {}).settings.read_only is False


def test_read_only_may_be_typed(tmp_path: Path) -> None:
    made = effective(Overrides(read_only=True), read_config_file(tmp_path / "none.toml"), {})
    assert (made.settings.read_only, made.origins["read_only"]) == (True, "command line")
