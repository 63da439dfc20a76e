from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from gpudesk.acting.opening import Folders
from gpudesk.arguments import parser as arguments
from gpudesk.build import _simulated_sources, editor_means
from gpudesk.commands import acting, editors, editors_session
from gpudesk.commands.editors_session import EditorMeans
from gpudesk.config.settings import EngineAddress, Settings
from gpudesk.domain.desk import Desk
from gpudesk.domain.engine import CatalogSample, EngineSample
from gpudesk.domain.model import InstalledModel
from gpudesk.domain.pin import PinSample
from gpudesk.domain.working_set import SetModel, WorkingSet
from gpudesk.errors import ExitCode, ExportError, RefusedError, UsageError
from gpudesk.exports.editor import Surroundings
from gpudesk.planning.desk_planner import DeskPlanner
from gpudesk.records import replace
from gpudesk.sim.workstation import SimulatedWorkstation
from gpudesk.sources.base import Source
from gpudesk.sources.model_metadata import ModelMetadataSource
from gpudesk.sources.ollama_client import OllamaClient
from gpudesk.stores.working_sets import WorkingSetStore
from gpudesk.watch.names import catalog_source, engine_source
from gpudesk.workstation import Workstation
from tests.command_line import CommandLine, command_line, nobody_listens

CHAT, CODER, EMBED = "qwen3:14b", "qwen2.5-coder:1.5b", "nomic-embed-text:latest"
MINE = """\
# mine
name: Main
version: 1.0.0
models:
  - name: cloud
    provider: openai
    model: gpt
    apiKey: sk-abcdefghijklmnopqrstuvwxyz
"""


@pytest.fixture(scope="module")
def simulation() -> Iterator[SimulatedWorkstation]:
    with SimulatedWorkstation("coding") as simulated:
        yield simulated


class Place:
    """A home directory, gpudesk's folders, and a workstation to choose models of."""

    def __init__(self, folder: Path, simulation: SimulatedWorkstation) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.folders = Folders(folder / "data", folder / "state")
        self.settings = Settings(engines=(EngineAddress(simulation.url),))
        self.sources: tuple[Source, ...] | None = None
        """Instead of those of the simulation."""
        self._simulation = simulation

    def workstation(self) -> Workstation:
        """The same one each time; its sources are read once."""
        sources = self.sources or _simulated_sources(self._simulation, self.settings)
        return Workstation(sources, self._simulation.clock, self.settings, "DEMO")

    @property
    def means(self) -> EditorMeans:
        def folders() -> AbstractContextManager[Folders]:
            return nullcontext(self.folders)

        def planning(workstation: Workstation) -> DeskPlanner:
            clients = [OllamaClient(address) for address in workstation.settings.engines]
            return DeskPlanner(workstation.settings, lambda: ModelMetadataSource(clients))

        return EditorMeans(
            self.settings, self.workstation, folders, planning,
            lambda _: Surroundings(self.home, {}, "linux"),
        )  # fmt: skip

    @property
    def config(self) -> Path:
        return self.home / ".continue" / "config.yaml"

    @property
    def own(self) -> Path:
        return self.home / ".continue" / "models" / "gpudesk.yaml"

    def write_config(self, text: str = MINE) -> None:
        self.config.parent.mkdir(exist_ok=True)
        self.config.write_text(text)

    def run(self, *words: str) -> tuple[int, str]:
        out = io.StringIO()
        code = editors.run(vars(arguments.parse(["editors", *words])), self.means, out)
        return code, out.getvalue()

    def json(self, *words: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.run(*words, "--json")[1])
        return content


@pytest.fixture
def place(tmp_path: Path, simulation: SimulatedWorkstation) -> Place:
    return Place(tmp_path, simulation)


def answering(monkeypatch: pytest.MonkeyPatch, *answers: bool) -> list[str]:
    """Somebody is there who answers so."""
    asked: list[str] = []
    given = iter(answers)

    def ask(question: str, *, default: bool = False) -> bool:
        asked.append(question)
        return next(given)

    monkeypatch.setattr(acting, "can_ask", lambda: True)
    monkeypatch.setattr(acting, "ask", ask)
    return asked


# --- which models -----------------------------------------------------------------------------------------------


def models(content: dict[str, Any]) -> dict[str, tuple[list[str], int | None]]:
    return {each["name"]: (each["roles"], each["context_length"]) for each in content["models"]}


def test_by_itself_what_is_loaded_as_it_is_loaded(place: Place) -> None:
    content = place.json("diff", "continue")
    assert content["origin"] == "loaded or pinned"
    assert models(content) == {
        CHAT: (["chat", "edit", "apply"], 8192),
        CODER: (["autocomplete"], 4096),
        EMBED: (["embed"], 2048),
    }
    assert content["written"] is False
    assert not place.own.exists()


def test_by_hand_with_a_context(place: Place) -> None:
    content = place.json("diff", "continue", "--chat", "devstral:24b@12k", "--embed", "bge-m3")
    assert models(content) == {"devstral:24b": (["chat", "edit", "apply"], 12288), "bge-m3:latest": (["embed"], 2048)}
    assert content["origin"] == "by hand"


def test_of_a_working_set_with_its_keep_alive(place: Place) -> None:
    WorkingSetStore(place.folders.data).write(
        WorkingSet("coding", (SetModel("devstral:24b", 12288, pinned=True), SetModel(CODER, 2048)))
    )
    content = place.json("diff", "continue", "--set", "coding")
    assert models(content) == {"devstral:24b": (["chat", "edit", "apply"], 12288), CODER: (["autocomplete"], 2048)}
    assert content["models"][0]["keep_alive_seconds"] == -1


@pytest.mark.slow
def test_what_is_suggested_fits(place: Place) -> None:
    content = place.json("diff", "continue", "--suggest")
    assert content["origin"] == "suggested"
    assert {role for roles, _ in models(content).values() for role in roles} == {
        "chat", "edit", "apply", "autocomplete", "embed",
    }  # fmt: skip
    assert not [warning for warning in content["warnings"] if "stay loaded" in warning]


def test_a_pair_that_does_not_fit_is_said_with_numbers(place: Place) -> None:
    content = place.json("diff", "continue", "--chat", "devstral:24b", "--autocomplete", "codestral:22b")
    assert any("Every key press would swap devstral:24b for codestral:22b" in text for text in content["warnings"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("diff", "continue", "--chat", "qwen4:14b"), "qwen4:14b is not installed"),
        (("diff", "continue", "--chat", "bge-m3"), "only embeds"),
        (("diff", "continue", "--set", "none"), "there is no set none"),
        (("diff", "continu"), "there is no editor continu"),
        (("write",), "needs the name of an editor"),
        (("diff", "continue", "--chat", CHAT, "--set", "coding"), "--chat and --set each say"),
        (("diff", "continue", "--suggest", "--set", "coding"), "--set and --suggest each say"),
        (("check", "--chat", CHAT), "--chat is an option of editors diff and editors write"),
        (("restore", "continue", "--merge"), "--merge is an option of"),
        (("write", "continue", "--fix"), "--fix is an option of editors check"),
        (("write", "zed", "--migrate"), "Zed has no deprecated configuration"),
        (("write", "continue", "--migrate", "--merge"), "--migrate goes without"),
        (("restore", "continue", "--migrate"), "--migrate is an option of"),
        (("write", "zed", "--block"), "cannot be set up by own file"),
    ],
)
def test_what_cannot_be_done_is_a_usage_error(place: Place, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        place.run(*words)


def test_a_set_of_which_no_model_has_a_role_says_so(place: Place) -> None:
    WorkingSetStore(place.folders.data).write(WorkingSet("odd", ()))
    with pytest.raises(UsageError, match="no model for an editor: set odd"):
        place.run("diff", "continue", "--set", "odd")


# --- writing ----------------------------------------------------------------------------------------------------


def test_without_a_terminal_write_shows_the_change_and_makes_none(place: Place) -> None:
    place.write_config()
    before = place.config.read_bytes()
    out = io.StringIO()
    given = vars(arguments.parse(["editors", "write", "continue", "--merge"]))
    with pytest.raises(RefusedError) as refused:
        editors.run(given, place.means, out)
    assert refused.value.exit_code is ExitCode.REFUSED
    assert "--yes" in (refused.value.hint or "")
    assert f"+    model: {CHAT}" in out.getvalue()
    assert place.config.read_bytes() == before
    assert not place.folders.state.exists()


def test_without_a_terminal_the_document_is_written_as_well(place: Place) -> None:
    out = io.StringIO()
    given = vars(arguments.parse(["editors", "write", "continue", "--json"]))
    with pytest.raises(RefusedError):
        editors.run(given, place.means, out)
    content = json.loads(out.getvalue())
    assert content["written"] is False
    assert content["changes"][0]["kind"] == "create"
    written = place.json("write", "continue", "--yes")
    assert written["written"] is True
    assert place.own.exists()


def test_a_secret_is_never_shown(place: Place) -> None:
    place.write_config()
    _, text = place.run("diff", "continue", "--merge")
    content = json.dumps(place.json("diff", "continue", "--merge"))
    for shown in (text, content):
        assert "apiKey: (hidden)" in shown
        assert "sk-abc" not in shown


def test_yes_writes_and_restore_brings_back_every_byte(place: Place) -> None:
    place.write_config()
    code, _ = place.run("write", "continue", "--merge", "--yes")
    assert code == ExitCode.OK
    assert "gpudesk chat" in place.config.read_text()
    assert place.json("list")["editors"][0]["set_up"] is True
    assert place.run("restore", "continue", "--yes")[0] == ExitCode.OK
    assert place.config.read_text() == MINE


def test_restoring_keeps_what_was_written_after_gpudesk(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.write_config()
    place.run("write", "continue", "--merge", "--yes")
    place.config.write_text(place.config.read_text().replace("# mine", "# mine, and newer"))
    place.run("restore", "continue", "--yes")
    assert place.config.read_text() == MINE.replace("# mine", "# mine, and newer")
    assert "only what is gpudesk's is taken out" in capsys.readouterr().err


def test_restoring_again_goes_further_back_and_then_says_that_there_is_no_more(place: Place) -> None:
    place.write_config()
    place.run("write", "continue", "--merge", "--yes")
    first = place.config.read_bytes()
    place.run("write", "continue", "--merge", "--chat", "devstral:24b", "--yes")
    assert place.config.read_bytes() != first
    place.run("restore", "continue", "--yes")
    assert place.config.read_bytes() == first
    place.run("restore", "continue", "--yes")
    assert place.config.read_text() == MINE
    with pytest.raises(ExportError, match="nothing more to restore") as error:
        place.run("restore", "continue", "--yes")
    assert error.value.hint == "gpudesk editors show continue  lists the dated copies"
    assert place.config.read_text() == MINE
    place.run("write", "continue", "--merge", "--yes")
    place.run("restore", "continue", "--yes")
    assert place.config.read_text() == MINE, "a later write is the one that is taken back"
    with pytest.raises(ExportError, match="nothing more to restore"):
        place.run("restore", "continue", "--yes")
    shown = place.json("show", "continue")["writes"]
    assert [each["takes_back_from"] for each in shown] == [5, None, 1, 2, None, None]
    assert Path(shown[-1]["copies"][0]).read_text() == MINE
    _, text = place.run("show", "continue")
    assert re.search(r"restored 20\d\d-.* UTC: .*config.yaml\n    before: .*copies", text)


def test_a_write_that_was_taken_back_by_hand_is_not_in_the_way(place: Place) -> None:
    place.write_config()
    place.run("write", "continue", "--merge", "--yes")
    first = place.config.read_bytes()
    place.run("write", "continue", "--merge", "--chat", "devstral:24b", "--yes")
    place.config.write_bytes(first)
    place.run("restore", "continue", "--yes")
    assert place.config.read_text() == MINE


def test_what_was_written_after_gpudesk_is_not_lost_by_restoring_twice(place: Place) -> None:
    place.write_config()
    place.run("write", "continue", "--merge", "--yes")
    place.run("write", "continue", "--merge", "--chat", "devstral:24b", "--yes")
    place.config.write_text(place.config.read_text().replace("# mine", "# newer"))
    place.run("restore", "continue", "--yes")
    with pytest.raises(ExportError, match="nothing more to restore"):
        place.run("restore", "continue", "--yes")
    assert place.config.read_text() == MINE.replace("# mine", "# newer")


def test_restoring_lets_the_editor_read_again(place: Place) -> None:
    place.write_config()
    place.run("write", "continue", "--yes")
    os.utime(place.config, (1, 1))
    place.run("restore", "continue", "--yes")
    assert not place.own.exists()
    assert place.config.read_text() == MINE
    assert place.config.stat().st_mtime > 1


def test_restoring_leaves_no_folder_that_was_made_for_it(place: Place) -> None:
    place.run("write", "continue", "--yes")
    assert place.own.exists()
    place.run("restore", "continue", "--yes")
    assert list(place.home.iterdir()) == []
    place.own.parent.mkdir(parents=True)
    place.run("write", "continue", "--yes")
    place.run("restore", "continue", "--yes")
    assert place.own.parent.is_dir(), "it was there before"


def test_a_folder_with_something_else_in_it_stays(place: Place) -> None:
    place.run("write", "continue", "--yes")
    (place.own.parent / "mine.yaml").write_text("x")
    place.run("restore", "continue", "--yes")
    assert [path.name for path in place.own.parent.iterdir()] == ["mine.yaml"]


def test_there_is_nothing_to_restore(place: Place) -> None:
    with pytest.raises(ExportError, match="nothing to restore"):
        place.run("restore", "continue", "--yes")


def test_whoever_says_no_keeps_the_file(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write_config()
    asked = answering(monkeypatch, False)
    with pytest.raises(RefusedError):
        place.run("write", "continue", "--merge")
    assert asked == ["Set up Continue so? [y/N] "]
    assert place.config.read_text() == MINE


def test_whoever_says_yes_has_seen_the_change(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write_config()
    answering(monkeypatch, True)
    code, text = place.run("write", "continue", "--merge")
    assert code == ExitCode.OK
    assert "+  - name: gpudesk chat" in text
    assert "gpudesk chat" in place.config.read_text()


def test_the_same_twice_changes_nothing_and_asks_nobody(place: Place) -> None:
    place.write_config()
    place.run("write", "continue", "--merge", "--yes")
    before = place.config.read_bytes()
    code, text = place.run("write", "continue", "--merge")
    assert (code, text) == (ExitCode.OK, "")
    assert place.config.read_bytes() == before


def test_a_dry_run_writes_nothing_even_with_yes(place: Place) -> None:
    place.write_config()
    code, text = place.run("write", "continue", "--merge", "--dry-run", "--yes")
    assert code == ExitCode.OK
    assert "gpudesk chat" in text
    assert place.config.read_text() == MINE


def test_read_only_writes_nothing(place: Place) -> None:
    place.write_config()
    place.settings = replace(place.settings, read_only=True)
    for words in (("write", "continue", "--yes"), ("restore", "continue", "--yes"), ("check", "--fix", "--yes")):
        with pytest.raises(RefusedError, match="read-only"):
            place.run(*words)
    assert place.run("write", "continue", "--merge", "--dry-run")[0] == ExitCode.OK
    assert place.config.read_text() == MINE


def test_a_path_is_written_instead_of_the_usual_file(place: Place) -> None:
    profile = place.home / ".continue" / "agents" / "work.yaml"
    profile.parent.mkdir(parents=True)
    profile.write_text(MINE)
    place.run("write", "continue", "--merge", "--path", str(profile), "--yes")
    assert "gpudesk chat" in profile.read_text()
    assert not place.config.exists()


def test_a_broken_file_is_told_with_its_line_and_left_alone(place: Place) -> None:
    place.write_config("name: x\nversion: 1.0.0\nmodels: [\n")
    before = place.config.read_bytes()
    with pytest.raises(ExportError, match="line"):
        place.run("write", "continue", "--merge", "--yes")
    assert place.config.read_bytes() == before
    assert place.run("check", "continue")[0] == ExitCode.FAILED


OLD = '{"models": [{"title": "mine", "provider": "ollama", "model": "qwen3:14b", "contextLength": 8192}]}'


def test_a_deprecated_configuration_is_migrated_and_stays(place: Place) -> None:
    old = place.home / ".continue" / "config.json"
    old.parent.mkdir()
    old.write_text(OLD)
    _, text = place.run("diff", "continue", "--migrate")
    assert "+  - name: mine" in text
    assert not place.config.exists()
    with pytest.raises(RefusedError):
        place.run("write", "continue", "--migrate")
    assert not place.config.exists()
    assert place.run("write", "continue", "--migrate", "--yes")[0] == ExitCode.OK
    assert "contextLength: 8192" in place.config.read_text()
    assert old.read_text() == OLD
    place.run("restore", "continue", "--yes")
    assert not place.config.exists()


# --- looking ----------------------------------------------------------------------------------------------------


def test_list_tells_how_each_editor_stands(place: Place) -> None:
    place.write_config()
    states = {each["id"]: each for each in place.json("list")["editors"]}
    assert states["continue"]["found"] is True
    assert states["continue"]["set_up"] is False
    assert states["zed"]["found"] is False
    _, text = place.run("list")
    assert "not found" in text


@pytest.mark.slow
def test_show_lists_files_and_what_was_written(place: Place) -> None:
    place.write_config()
    place.run("write", "continue", "--yes")
    content = place.json("show", "continue")
    assert content["editor"]["set_up"] is True
    assert content["writes"][0]["paths"] == [str(place.own)]
    _, text = place.run("show", "continue")
    assert "models/gpudesk.yaml" in text
    assert "written 20" in text


WRONG = MINE.replace("    provider: openai", "    apibase: http://x\n    provider: openai")


def test_check_fails_where_something_is_wrong_and_passes_where_nothing_is(place: Place) -> None:
    place.write_config()
    code, text = place.run("check", "continue")
    assert code == ExitCode.OK
    assert "nothing is wrong" in text
    place.write_config(WRONG)
    code, text = place.run("check", "continue")
    assert code == ExitCode.FAILED
    assert "line 6: " in text
    (checked,) = place.json("check", "continue")["editors"]
    assert {finding["line"] for finding in checked["findings"] if finding["severity"] != "hint"} == {6}


PAIR = """\
name: mine
version: 1.0.0
models:
  - {name: a, provider: ollama, model: "qwen3:30b-a3b", apiBase: URL, roles: [chat], CONTEXT}
  - {name: b, provider: ollama, model: "codestral:22b", apiBase: URL, roles: [autocomplete], CONTEXT}
"""


@pytest.mark.slow
def test_check_finds_a_pair_that_does_not_fit_in_every_editor(place: Place) -> None:
    url = place.settings.engines[0].url
    pair = PAIR.replace("CONTEXT", "defaultCompletionOptions: {contextLength: 8192, maxTokens: 256}")
    place.write_config(pair.replace("URL", url))
    zed = place.home / ".config" / "zed" / "settings.json"
    zed.parent.mkdir(parents=True)
    zed.write_text(
        '{"agent": {"default_model": {"provider": "ollama", "model": "qwen3:30b-a3b"}}, "edit_predictions": {'
        f'"provider": "ollama", "ollama": {{"model": "codestral:22b", "api_url": "{url}"}}}},\n'
        f'"language_models": {{"ollama": {{"api_url": "{url}"}}}}}}'
    )
    for name in ("continue", "zed"):
        code, text = place.run("check", name)
        assert code == ExitCode.FAILED
        assert re.search(r"qwen3:30b-a3b and codestral:22b do not fit together: [\d.]+ GiB of [\d.]+ GiB", text), text
        assert re.search("(?i)every key press unloads one for the other", text)
    place.write_config(pair.replace("URL", url).replace("codestral:22b", "qwen2.5-coder:1.5b"))
    assert "does-not-fit" not in place.run("check", "continue")[1]


def test_fix_makes_the_safe_fixes_after_a_yes(place: Place) -> None:
    place.write_config(WRONG)
    out = io.StringIO()
    given = vars(arguments.parse(["editors", "check", "continue", "--fix"]))
    with pytest.raises(RefusedError):
        editors.run(given, place.means, out)
    assert place.config.read_text() == WRONG
    assert "-    apibase: http://x" in out.getvalue()
    code, _ = place.run("check", "continue", "--fix", "--yes")
    assert code == ExitCode.OK
    assert place.config.read_text() == WRONG.replace("apibase", "apiBase")


def test_what_a_fix_did_can_be_restored(place: Place) -> None:
    place.write_config(WRONG)
    place.run("check", "continue", "--fix", "--yes")
    place.run("restore", "continue", "--yes")
    assert place.config.read_text() == WRONG


TWICE_WRONG = MINE.replace("    provider: openai", "    maxtokens: '256'\n    provider: openai")


def test_fixes_that_make_way_for_others_are_one_question_and_one_write(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write_config(TWICE_WRONG)
    asked = answering(monkeypatch, True)
    code, text = place.run("check", "continue", "--fix")
    assert code == ExitCode.OK
    assert asked == ["Fix 2 findings of Continue? [y/N] "]
    assert "maxTokens: 256" in text, "what is shown is what is written"
    assert "maxTokens: 256" in place.config.read_text()
    assert "maxtokens" not in place.config.read_text()
    place.run("restore", "continue", "--yes")
    assert place.config.read_text() == TWICE_WRONG


# --- from a shell -----------------------------------------------------------------------------------------------


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[CommandLine]:
    with nobody_listens() as url:
        prepared = command_line(tmp_path, url)
        home = tmp_path / "home"
        home.mkdir()
        yield CommandLine({**prepared.environment, "HOME": str(home)}, home)


@pytest.mark.slow
def test_a_check_without_any_engine_checks_the_files(shell: CommandLine) -> None:
    done = shell.run("editors", "check")
    assert (done.returncode, done.stdout) == (0, "no editor was found on this computer\n")
    config = shell.folder / ".continue" / "config.yaml"
    config.parent.mkdir()
    config.write_text(WRONG)
    done = shell.run("editors", "check")
    assert done.returncode == 1
    assert "~/.continue/config.yaml" in done.stdout
    assert done.stderr == "gpudesk: no engine answered in time: what is installed and pinned was not looked at\n"


def test_choosing_without_any_engine_says_who_does_not_answer(shell: CommandLine) -> None:
    done = shell.run("editors", "diff", "continue")
    assert done.returncode == 2
    assert "does not answer" in done.stderr


@pytest.mark.slow
def test_nothing_that_reads_yaml_or_toml_is_loaded_before_an_editor_is_touched(shell: CommandLine) -> None:
    code = (
        "import sys; from gpudesk.cli import run\n"
        "run(['editors', 'list']); run(['status', '--json']); import gpudesk.build, gpudesk.ui.app\n"
        "print(*sorted(name for name in sys.modules if name.split('.')[0] in ('ruamel', 'tomlkit', 'jsonc')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True,
        env={**shell.environment, "COLUMNS": "100"},
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == ""


@pytest.mark.slow
def test_a_demo_has_a_home_of_its_own(shell: CommandLine) -> None:
    done = shell.run("editors", "write", "continue", "--demo", "--yes")
    assert done.returncode == 0, done.stderr
    assert list(shell.folder.iterdir()) == []


def test_a_demo_writes_its_home_as_a_tilde(shell: CommandLine) -> None:
    done = shell.run("--demo", "editors", "diff", "continue")
    assert "+++ ~/.continue/models/gpudesk.yaml\n" in done.stdout
    assert "gpudesk-demo-" not in done.stdout + done.stderr


def test_the_means_of_this_computer_look_at_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    means = editor_means(lambda: pytest.fail("nothing is opened"), Settings(), demo=False)
    around = means.around(Folders(tmp_path, tmp_path))
    assert (around.home, around.workspace, around.platform) == (tmp_path, None, sys.platform)
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    assert means.around(Folders(tmp_path, tmp_path)).workspace == tmp_path / "project"


def test_a_slow_engine_does_not_make_a_check_wait(place: Place) -> None:
    release, ended = threading.Event(), threading.Event()

    class Stuck:
        name = "ollama http://127.0.0.1:1"
        interval_seconds = 1.0

        def read(self, desk: Desk) -> PinSample:
            release.wait(60)
            ended.set()
            return PinSample()

        def close(self) -> None:
            pass

    place.sources = (Stuck(),)
    assert place.run("check")[0] == ExitCode.OK
    assert not ended.is_set()
    release.set()


@pytest.mark.parametrize(("url", "is_known"), [("http://127.0.0.1:1", True), ("http://10.255.255.1:1", False)])
def test_a_busy_engine_of_this_computer_is_waited_for(
    url: str, is_known: bool, place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever answers comes too late for the short wait, which is none here."""
    monkeypatch.setattr(editors_session, "QUICK_SECONDS", 0.0)
    monkeypatch.setattr(editors_session, "SLOW_SECONDS", 30.0)
    release = threading.Event()

    class Busy:
        interval_seconds = 1.0

        def __init__(self, name: str, sample: Any) -> None:
            self.name, self._sample = name, sample

        def read(self, desk: Desk) -> Any:
            if not is_known:
                release.wait(60)
            return self._sample

        def close(self) -> None:
            pass

    catalog = CatalogSample(url, (InstalledModel("llama3:latest", url),))
    place.sources = (Busy(engine_source(url), EngineSample(url)), Busy(catalog_source(url), catalog))
    place.write_config(PAIR.replace("URL", url).replace("CONTEXT", "contextLength: 8192"))
    _, text = place.run("check", "continue")
    release.set()
    assert ("not-installed" in text) == is_known
    assert ("no engine answered in time" in capsys.readouterr().err) != is_known


def test_nobody_reads_headers_of_another_computers_models(place: Place) -> None:
    from gpudesk.domain.engine import Engine
    from gpudesk.editor_desk import EditorChoice
    from gpudesk.exports.foresight import Planned
    from gpudesk.stores.working_sets import WorkingSetStore
    from tests.desks import NOW

    class Nobody:
        def __getattr__(self, name: str) -> Any:
            pytest.fail(f"{name} is asked")

    url = "http://gpu-box.lan:11434"
    desk = Desk(NOW, engines=(Engine(url, reachable=True, local=False),))
    choice = EditorChoice(desk, Nobody(), WorkingSetStore(place.home))
    assert choice.why_apart((Planned("qwen3:30b", url, 8192),)) is None


@pytest.mark.slow
def test_a_demo_writes_no_file_of_the_users(shell: CommandLine) -> None:
    mine = shell.folder / "mine.yaml"
    mine.write_text(MINE)
    for path in (mine, shell.folder / "new.yaml", shell.folder / "sub" / "new.yaml"):
        done = shell.run("--demo", "editors", "write", "continue", "--merge", "--path", str(path), "--yes")
        assert done.returncode == 4, done.stderr
        assert "a demo changes nothing outside of its own home" in done.stderr
        assert "set up" not in done.stderr
    assert [path.name for path in shell.folder.iterdir()] == ["mine.yaml"]
    assert mine.read_text() == MINE
    seen = shell.run("--demo", "editors", "diff", "continue", "--merge", "--path", str(mine))
    assert seen.returncode == 0
    assert "+  - name: gpudesk chat" in seen.stdout, "a file may be looked at"
    assert f"+++ {mine}\n" in seen.stdout, "~ is the home of the demo, and this is in another"
    done = shell.run("--demo", "editors", "write", "continue", "--merge", "--path", "~/.continue/config.yaml", "--yes")
    assert done.returncode == 0, "~ is the home of the demo"
    assert mine.read_text() == MINE
