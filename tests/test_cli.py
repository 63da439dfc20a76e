"""The command line from outside: exit codes, streams, signals. Every case is a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpudesk import __version__, cli
from gpudesk.arguments import parser as arguments
from gpudesk.errors import UsageError
from gpudesk.keymap import BINDINGS
from gpudesk.sim.workstation import SimulatedWorkstation
from tests.command_line import CommandLine, command_line, nobody_listens


@pytest.fixture
def nothing(tmp_path: Path) -> Iterator[CommandLine]:
    """A computer with neither a driver nor an engine."""
    with nobody_listens() as url:
        yield command_line(tmp_path, url)


@pytest.fixture(scope="module")
def engine() -> Iterator[SimulatedWorkstation]:
    """A running engine; the driver below pynvml stays what it is."""
    with SimulatedWorkstation("coding", driver=False) as workstation:
        yield workstation


@pytest.fixture
def with_engine(tmp_path: Path, engine: SimulatedWorkstation) -> CommandLine:
    """A computer with an engine and without a driver."""
    return command_line(tmp_path, engine.url)


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version(nothing: CommandLine, option: str) -> None:
    done = nothing.run(option)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"gpudesk {__version__}\n", "")


def test_the_version_among_other_options(nothing: CommandLine) -> None:
    assert nothing.run("--demo", "--version").stdout == f"gpudesk {__version__}\n"


def test_the_help_has_everything_one_needs(nothing: CommandLine) -> None:
    done = nothing.run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for word in (
        "status",
        "doctor",
        "config",
        "examples:",
        "exit codes:",
        "  130  ",
        "OLLAMA_HOST",
        "NO_COLOR",
        "--demo",
    ):
        assert word in done.stdout
    for action in BINDINGS:
        assert re.search(rf"  {action.id} +{re.escape(action.help)}", done.stdout)
    assert "demo-if-empty" not in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 110


@pytest.mark.parametrize("verb", ["status", "doctor", "config"])
def test_each_command_has_help(nothing: CommandLine, verb: str) -> None:
    done = nothing.run(verb, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: gpudesk {verb}")
    assert "--ollama URL" in done.stdout


def test_every_option_can_be_suggested() -> None:
    parser = arguments.build_parser()
    text = parser.format_help()
    for verb in arguments.VERBS:
        with pytest.raises(SystemExit) as left:
            parser.parse_args([verb, "--help"])
        assert left.value.code == 0
    assert set(re.findall(r"(?<!\w)--[a-z-]+(?= |,|$)", text.split("examples:")[0])) <= arguments.ALL_OPTIONS


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["statsu"], "unknown command statsu\n  Did you mean status?"),
        (["--jsn"], "unknown option --jsn\n  Did you mean --json?"),
        (["--demo", "--json"], "--json is an option of status\n  Write gpudesk status --json"),
        (["status", "--wacth"], "unknown option --wacth\n  Did you mean --watch?"),
        (["status", "now"], "unknown argument now\n"),
        (["config", "shwo"], "unknown command shwo\n  Did you mean show?"),
        (["set", "foo"], "unknown command foo\n  It is one of save, list, show, edit, delete; see gpudesk set --help"),
        (["restore", "--unfinished", "x"], "--unfinished cannot be x\n  It is one of finish, undo, forget; see "),
        (["fit", "m", "--engine", "llama-srv"], "--engine cannot be llama-srv\n  Did you mean llama-server? It is one"),
        (["config"], "required: WHAT"),
        (["--theme", "nrod"], "'nrod' is not the name of a theme, perhaps nord"),
        (["--reserve", "much"], "'much' is not a size such as"),
        (["--interval", "0"], "'0' is not seconds from 0.2"),
        (["--ollama"], "expected one argument"),
        (["status", "--ollama", "http://host:99999"], "--ollama has the port '99999'"),
        (["status", "--ollama", "ftp://host"], "only http and https"),
        (["--config", "/no/such/file.toml"], "there is no file /no/such/file.toml"),
        (["status", "--ca-file", "/no/such.pem"], "there is no file /no/such.pem"),
        (["status", "--demo", "codign"], "there is no scenario codign\n  Did you mean coding?"),
        (["--js", "status"], "unknown option --js"),
    ],
)
def test_mistakes_exit_with_2_and_say_what_was_meant(nothing: CommandLine, words: list[str], said: str) -> None:
    done = nothing.run(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("gpudesk: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_nothing_found_exits_with_3_and_says_where_it_looked(nothing: CommandLine) -> None:
    for words in ((), ("status",), ("--reduced-motion",)):
        done = nothing.run(*words)
        assert done.returncode == 3
        assert done.stdout == ""
        assert "libnvidia-ml.so.1" in done.stderr
        assert nothing.environment["OLLAMA_HOST"] in done.stderr
        assert "--demo" in done.stderr
        assert "gpudesk doctor" in done.stderr


def test_nothing_found_as_json_is_a_document_and_exits_with_3(nothing: CommandLine) -> None:
    done = nothing.run("status", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 3
    assert document["cards"] == []
    assert document["engines"][0]["reachable"] is False
    assert {problem["source"].split()[0] for problem in document["problems"]} == {"nvml", "ollama"}


def test_an_engine_without_a_driver_is_shown(with_engine: CommandLine, engine: SimulatedWorkstation) -> None:
    done = with_engine.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert f"at {engine.url}" in done.stdout
    assert "qwen3:14b" in done.stdout
    assert "DEMO" not in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stdout.isascii()
    assert "problem: nvml: " in done.stdout


def test_the_json_of_an_engine(with_engine: CommandLine, engine: SimulatedWorkstation) -> None:
    done = with_engine.run("status", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert document["engines"][0]["url"] == engine.url
    assert {model["memory_source"] for model in document["models"]} == {"engine"}
    assert document["demo"] is False


def test_several_engines_before_and_after_the_verb(nothing: CommandLine, engine: SimulatedWorkstation) -> None:
    refused = nothing.environment["OLLAMA_HOST"]
    done = nothing.run("--ollama", refused, "status", "--json", "--ollama", engine.url)
    urls = {found["url"]: found["reachable"] for found in json.loads(done.stdout)["engines"]}
    assert urls == {refused: False, engine.url: True}
    assert done.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [("--demo", "status"), ("status", "--demo"), ("status", "--demo", "coding"), ("--demo",)]
)
def test_a_demo_says_so(nothing: CommandLine, words: tuple[str, ...]) -> None:
    done = nothing.run(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("DEMO: ")
    assert "card 0: NVIDIA" in done.stdout


def test_a_demo_if_empty_says_what_was_looked_for(nothing: CommandLine) -> None:
    done = nothing.run("--demo-if-empty")
    assert done.returncode == 0
    banner = " ".join(done.stdout.split("\n\n")[0].split())
    assert banner.startswith("DEMO: ")
    assert "no NVIDIA driver" in banner
    assert nothing.environment["OLLAMA_HOST"].removeprefix("http://") in banner
    assert len(banner) <= 78, "read whole on 80 columns"
    assert "problem: demo: the NVIDIA driver library was not found (looked for libnvidia-ml.so.1)" in done.stdout


def test_no_demo_where_an_engine_is(with_engine: CommandLine, engine: SimulatedWorkstation) -> None:
    done = with_engine.run("--demo-if-empty")
    assert "DEMO" not in done.stdout
    assert engine.url in done.stdout


@pytest.mark.parametrize("text", ["[screen\n", "[screen]\ntheme = 7\n", "[[engine]]\nurl = 'ftp://x'\n", "\xff"])
def test_a_broken_configuration_never_stops_the_monitor(with_engine: CommandLine, text: str) -> None:
    path = with_engine.folder / "broken.toml"
    path.write_bytes(text.encode("latin-1"))
    done = with_engine.run("status", GPUDESK_CONFIG=str(path))
    assert done.returncode == 0
    assert "qwen3:14b" in done.stdout
    assert f"problem: config: {path}" in done.stdout


def test_a_cache_that_cannot_be_written_never_stops_the_monitor(with_engine: CommandLine) -> None:
    blocked = with_engine.folder / "file"
    blocked.write_text("")
    done = with_engine.run("status", GPUDESK_CACHE_DIR=str(blocked / "cache"))
    assert done.returncode == 0
    assert "qwen3:14b" in done.stdout


def test_config_check(nothing: CommandLine) -> None:
    path = nothing.folder / "config.toml"
    done = nothing.run("config", "check", GPUDESK_CONFIG=str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "no such file" in done.stdout
    path.write_text("[watch]\ninterval = 2\n")
    done = nothing.run("config", "check", GPUDESK_CONFIG=str(path))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{path}: in order\n", "")
    path.write_text("[watch]\nintervall = 2\n")
    done = nothing.run("config", "check", "--config", str(path))
    assert done.returncode == 0
    assert f"{path} line 2: watch.intervall is not known" in done.stderr
    path.write_text("[watch]\ninterval = 'soon'\n[keys]\nquit = 'r'\n")
    done = nothing.run("config", "check", "--config", str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{path} line 2: watch.interval" in done.stderr
    assert "line 4" in done.stderr
    assert "2 mistakes" in done.stderr


def test_config_path(nothing: CommandLine) -> None:
    assert nothing.run("config", "path").stdout.strip().endswith("gpudesk/config.toml")
    assert nothing.run("config", "path", GPUDESK_CONFIG="/x/y.toml").stdout == "/x/y.toml\n"


def test_doctor_without_anything(nothing: CommandLine) -> None:
    done = nothing.run("doctor", OLLAMA_API_KEY="hunter2", OLLAMA_ORIGINS="*")
    assert (done.returncode, done.stderr) == (3, "")
    for word in (
        "problem  library",
        "libnvidia-ml.so.1 is not there",
        "nvidia-ml-py",
        "OLLAMA_ORIGINS",
        "set, not shown",
        "->",
    ):
        assert word in done.stdout
    assert "hunter2" not in done.stdout
    assert done.stdout.isascii()


def test_doctor_with_an_engine_as_json(with_engine: CommandLine) -> None:
    done = with_engine.run("doctor", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["usable"]) == (0, True)
    engines = next(group for group in document["groups"] if group["title"] == "engines")
    assert re.search(r"0\.\d+\.\d+ at http://127.0.0.1:\d+, answered in \d+ ms", engines["checks"][0]["found"])


@pytest.mark.slow
def test_ctrl_c_ends_the_watch_with_130(with_engine: CommandLine) -> None:
    with with_engine.start("status", "--watch", "--json", "--interval", "0.2") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        os.kill(process.pid, signal.SIGINT)
        rest, errors = process.communicate(timeout=10)
    documents = [json.loads(line) for line in [*lines, *rest.splitlines()]]
    assert process.returncode == 130
    assert errors == ""
    assert len(documents) >= 3
    assert {model["name"] for model in documents[0]["models"]} >= {"qwen3:14b"}
    moments = [document["taken_at"] for document in documents]
    assert moments == sorted(moments)


@pytest.mark.slow
def test_sigterm_ends_the_watch_between_two_lines(with_engine: CommandLine) -> None:
    with with_engine.start("status", "--watch", "--interval", "0.2") as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.terminate()
        rest, errors = process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGTERM
    assert errors == ""
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", line) for line in [first, *rest.splitlines()])
    assert rest == "" or rest.endswith("\n")


@pytest.mark.slow
def test_a_reader_that_leaves_ends_the_watch_quietly(with_engine: CommandLine) -> None:
    with with_engine.start("status", "--watch", "--json", "--interval", "0.2") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["schema_version"] == 1
        process.stdout.close()
        assert process.stderr is not None
        errors = process.stderr.read()
        assert process.wait(10) == 0
    assert errors == ""


def test_a_full_disk_is_told(with_engine: CommandLine) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "gpudesk", "status"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            env=dict(with_engine.environment),
        )
    assert done.returncode == 1
    assert done.stderr.startswith("gpudesk: ")
    assert "Traceback" not in done.stderr


def test_no_color_is_set_before_anything_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str | None] = []

    def handler(options: object) -> int:
        seen.append(os.environ.get("NO_COLOR"))
        return 0

    monkeypatch.setenv("NO_COLOR", "")
    monkeypatch.setattr(cli, "HANDLERS", {None: handler, "status": handler})
    assert cli.run(["--no-color"]) == 0
    assert cli.run(["status", "--no-color"]) == 0
    assert seen == ["1", "1"]


def test_a_screen_needs_a_terminal_on_all_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        def __init__(self, terminal: bool) -> None:
            self.terminal = terminal

        def isatty(self) -> bool:
            return self.terminal

    def has(stdin: bool, stdout: bool, stderr: bool, term: str = "xterm") -> bool:
        monkeypatch.setenv("TERM", term)
        for name, terminal in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)):
            monkeypatch.setattr(sys, name, Stream(terminal))
        return cli.has_terminal()

    results = (has(True, True, True), has(False, True, True), has(True, False, True), has(True, True, False))
    dumb = has(True, True, True, "dumb")
    monkeypatch.undo()
    assert (*results, dumb) == (True, False, False, False, False)


def test_the_verb_is_never_taken_for_a_scenario() -> None:
    assert vars(arguments.parse(["--demo", "status"])).get("demo") == ""
    assert vars(arguments.parse(["--demo", "coding", "status"])).get("demo") == "coding"
    assert vars(arguments.parse(["status", "--demo"])).get("demo") == ""
    with pytest.raises(UsageError):
        arguments.parse(["--demo", "coding", "stats"])


def test_models_may_stand_behind_options() -> None:
    mixed = arguments.parse(["fit", "chat:8b@8k", "--card", "RTX 4090", "embed", "--json"])
    assert mixed.models == arguments.parse(["fit", "chat:8b@8k", "embed"]).models
    with pytest.raises(UsageError, match="unknown option --vrm"):
        arguments.parse(["fit", "chat:8b", "--json", "embed", "--vrm"])
    with pytest.raises(UsageError, match="'embed@x' is not"):
        arguments.parse(["fit", "chat:8b", "--json", "embed@x"])
    with pytest.raises(UsageError, match="unknown argument embed"):
        arguments.parse(["status", "embed"])


def test_ctrl_c_while_it_is_still_being_imported_ends_it_without_a_traceback() -> None:
    early = (
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'gpudesk.cli':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "from gpudesk.__main__ import main\n"
        "main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", early], capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_a_limit_on_threads_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_options: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(cli, "HANDLERS", {"status": full})
    assert cli.run(["status"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("gpudesk: no further thread may be started here\n")
    assert "ulimit -u" in told.err
