"""The fixtures that give a test a real engine; `tests/conftest.py` hands them to every test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.environment import OUTER_ENVIRONMENT
from tests.live.api import Api
from tests.live.engine import OllamaProcess, StartError
from tests.live.installation import SetupError, install
from tests.live.models import ALIAS, CHAT, TINY_MODELS, WIDE, WIDE_CONTEXT, write_model

CURRENT_VARIABLE = "GPUDESK_TEST_OLLAMA"
"""Address of a running server of any version that the contract suite is to run against as well."""
WRITE_VARIABLE = "GPUDESK_TEST_OLLAMA_WRITE"
"""1: the suite may make, load and delete models of its own there, which can push others out of memory."""

MAX_LOADED_MODELS = 2
NUM_PARALLEL = 2
LOG_CHARACTERS = 3000
"""How much of a server's log is shown below a test that failed."""
NO_LIVE_REASON = "--no-live: real engines left out on request"


_running: list[OllamaProcess] = []


def log_tail() -> str:
    """The end of the running server's log, for the report of a failed test."""
    return "\n".join(server.log[-LOG_CHARACTERS:] for server in _running)


@pytest.fixture(scope="session")
def real_ollama(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OllamaProcess]:
    """Run a real Ollama 0.5.4 with the tiny models; shared by the session, so leave nothing loaded behind.

    It is set up on first use, in seconds when cached. Where that is impossible the tests fail; only `--no-live`
    leaves them out.
    """
    if pytestconfig.getoption("--no-live"):
        pytest.skip(NO_LIVE_REASON)
    directory = tmp_path_factory.mktemp("ollama")
    try:
        installation = install(OUTER_ENVIRONMENT)
        variables = {"OLLAMA_MAX_LOADED_MODELS": str(MAX_LOADED_MODELS), "OLLAMA_NUM_PARALLEL": str(NUM_PARALLEL)}
        server = OllamaProcess(installation, directory, variables)
        server.start()
    except (SetupError, StartError) as error:
        pytest.fail(f"no real Ollama to test against (--no-live leaves these tests out): {error}", pytrace=False)
    _running.append(server)
    try:
        api = Api(server.url)
        install_models(api, server.version, directory)
        api.close()
        yield server
    finally:
        _running.remove(server)
        server.stop()


@pytest.fixture(scope="session")
def current_ollama(pytestconfig: pytest.Config) -> str:
    """Return the address in GPUDESK_TEST_OLLAMA; whoever uses it must leave its models as they are."""
    if pytestconfig.getoption("--no-live"):
        pytest.skip(NO_LIVE_REASON)
    url = os.environ.get(CURRENT_VARIABLE)
    if not url:
        pytest.skip(f"{CURRENT_VARIABLE} names no server")
    return url.rstrip("/")


def install_models(api: Api, version: tuple[int, ...], directory: Path) -> None:
    """Make the tiny models, a copy and a derived one."""
    for model in TINY_MODELS:
        path = directory / f"{model.architecture}-{model.seed}.gguf"
        write_model(model, path)
        api.create_from_file(model.name, path, version)
    assert api.post("/api/copy", source=CHAT, destination=ALIAS).status == 200
    api.create_derived(WIDE, CHAT, WIDE_CONTEXT, version)


def remove_models(api: Api) -> None:
    """Unload and delete them again."""
    for name in (WIDE, ALIAS, *(model.name for model in TINY_MODELS)):
        if name in api.installed():
            api.unload(name)
            assert api.request("DELETE", "/api/delete", {"model": name}).status == 200
