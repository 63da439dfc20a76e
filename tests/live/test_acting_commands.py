"""The commands that change something, as processes, against a real Ollama."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpudesk.stores.pins import TomlPinStore
from tests.command_line import CommandLine, command_line
from tests.live.api import Api
from tests.live.engine import OllamaProcess
from tests.live.models import CHAT, CODE, EMBED

pytestmark = pytest.mark.live

DERIVED = "gpudesk-test-chat-1k:latest"


class Commands:
    """gpudesk with folders of its own, asking one real server."""

    def __init__(self, folder: Path, server: OllamaProcess, api: Api) -> None:
        self.server, self.api = server, api
        self.data = folder / "data"
        own = {
            "GPUDESK_DATA_DIR": self.data,
            "GPUDESK_STATE_DIR": folder / "state",
            "GPUDESK_CACHE_DIR": folder / "cache",
        }
        plain = command_line(folder, server.url)
        self.line = CommandLine({**plain.environment, **{name: str(path) for name, path in own.items()}}, folder)

    def done(self, *words: str) -> Any:
        """Run a command that must work, and return its document."""
        done = self.line.run(*words, "--json", timeout=60)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        document = json.loads(done.stdout)
        assert document["outcome"]["ending"] == "done"
        return document

    def loaded(self) -> dict[str, tuple[int, int]]:
        """Return pid and context of each runner by the file of its model."""
        return {
            runner.argument("--model"): (runner.pid, int(runner.argument("--ctx-size")))
            for runner in self.server.runners()
        }


@pytest.fixture
def commands(real_ollama: OllamaProcess, tmp_path: Path) -> Iterator[Commands]:
    api = Api(real_ollama.url)
    for name in api.loaded():
        api.unload(name)
    try:
        yield Commands(tmp_path, real_ollama, api)
    finally:
        for name in api.loaded():
            api.unload(name)
        if DERIVED in api.installed():
            api.request("DELETE", "/api/delete", {"model": DERIVED})
        api.close()


def test_load_keep_pin_and_unload(commands: Commands) -> None:
    document = commands.done("load", f"{CHAT}@512", "--keep-alive", "2h")
    assert [step["kind"] for step in document["outcome"]["steps"]] == ["load"]
    (before,) = commands.loaded().values()
    assert commands.api.loaded().keys() == {CHAT}
    commands.done("keep", CHAT, "forever")
    commands.done("pin", f"{CHAT}@512")
    assert [(pin.name, pin.context_length) for pin in TomlPinStore(commands.data).read()] == [(CHAT, 512)]
    assert list(commands.loaded().values()) == [before], "nothing was loaded again"
    assert commands.api.loaded()[CHAT]["expires_at"] > "2100"
    refused = commands.line.run("unload", CHAT)
    assert refused.returncode == 4
    assert "its pin ends" in refused.stderr
    commands.done("unload", CHAT, "--yes")
    assert commands.api.loaded() == {}
    assert commands.server.runners() == ()
    assert TomlPinStore(commands.data).read() == ()


def test_a_third_load_never_costs_a_pinned_model(commands: Commands) -> None:
    """This server keeps two models."""
    commands.done("load", f"{CODE}@512", "--keep-alive", "1h")
    commands.done("pin", f"{CHAT}@512")
    done = commands.line.run("load", EMBED, "--yes", "--json", timeout=60)
    assert CHAT in commands.api.loaded(), done
    assert json.loads(done.stdout)["outcome"]["ending"] in ("done", "undone")


def test_swap_and_working_set(commands: Commands) -> None:
    commands.done("load", f"{CHAT}@512")
    saved = commands.line.run("set", "save", "chat")
    assert saved.returncode == 0, saved.stderr
    commands.done("swap", CHAT, f"{CODE}@512", "--yes")
    assert commands.api.loaded().keys() == {CODE}
    commands.done("apply", "chat", "--yes")
    assert commands.api.loaded().keys() == {CHAT}


def test_derive_and_rm(commands: Commands) -> None:
    commands.done("derive", CHAT, "--ctx", "1024", "--as", DERIVED)
    assert DERIVED in commands.api.installed()
    commands.done("load", DERIVED)
    assert [context // 2 for _, context in commands.loaded().values()] == [1024], "of each of two slots"
    commands.done("rm", DERIVED, "--yes")
    assert DERIVED not in commands.api.installed()
    assert commands.api.loaded() == {}


def test_an_embedding_model_is_loaded_too(commands: Commands) -> None:
    commands.done("load", EMBED)
    assert commands.api.loaded().keys() == {EMBED}


def test_an_unknown_model_is_an_error(commands: Commands) -> None:
    done = commands.line.run("load", "gpudesk-test-nothing:1b")
    assert done.returncode == 2
    assert "is not installed" in done.stderr


def test_ctrl_c_takes_a_swap_back(commands: Commands) -> None:
    """The new model's runner is stopped while it loads, as one is that reads from a slow disk."""
    commands.done("load", f"{CHAT}@512", "--keep-alive", "1h")
    (pid,) = [runner.pid for runner in commands.server.runners()]
    with commands.line.start("swap", CHAT, f"{CODE}@512", "--yes", "--json") as process:
        deadline = time.monotonic() + 20
        stopped = None
        while stopped is None and process.poll() is None and time.monotonic() < deadline:
            for runner in commands.server.runners():
                if runner.pid != pid:
                    commands.server.signal_runner(runner.pid, signal.SIGSTOP)
                    stopped = runner.pid
            time.sleep(0.001)
        assert stopped is not None, "the new runner was not seen"
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert json.loads(out)["outcome"]["ending"] == "undone"
    assert commands.api.loaded().keys() == {CHAT}
