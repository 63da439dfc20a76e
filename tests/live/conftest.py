"""The contract suite's fixtures: whom it asks, and in which state a test finds it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.live.api import Api, version_of
from tests.live.fixtures import CURRENT_VARIABLE, WRITE_VARIABLE, install_models, remove_models
from tests.live.simulated import simulated_subject
from tests.live.subject import Machine, RealMachine, Subject

SIMULATED_VERSIONS = ("0.5.4", "0.12.6", "0.33.0")
"""One of each era; the first is also the version of the real server."""

SUBJECTS = [
    *(pytest.param(f"simulated {version}", id=f"simulated-{version}") for version in SIMULATED_VERSIONS),
    pytest.param("real", id="real-0.5.4", marks=pytest.mark.live),
]
if os.environ.get(CURRENT_VARIABLE):
    SUBJECTS.append(pytest.param("current", id=CURRENT_VARIABLE, marks=pytest.mark.live))


@pytest.fixture(scope="session", params=SUBJECTS)
def shared_subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    """The engine under test, in whatever state the test before left it."""
    if request.param.startswith("simulated "):
        with simulated_subject(request.param, request.param.removeprefix("simulated ")) as subject:
            yield subject
        return
    if request.param == "real":
        server = request.getfixturevalue("real_ollama")
        api = Api(server.url)
        yield Subject(request.param, api, server.version, RealMachine(server))
        api.close()
        return
    api = Api(request.getfixturevalue("current_ollama"))
    version = version_of(api.get("/api/version").json["version"])
    writable = os.environ.get(WRITE_VARIABLE) == "1"
    if writable:
        install_models(api, version, tmp_path_factory.mktemp("models"))
    try:
        yield Subject(request.param, api, version, None, writable)
    finally:
        if writable:
            remove_models(api)
        api.close()


@pytest.fixture
def subject(shared_subject: Subject) -> Subject:
    """The engine under test, with none of the tiny models loaded."""
    if shared_subject.writable:
        for name in shared_subject.loaded():
            shared_subject.api.unload(name)
    return shared_subject


@pytest.fixture
def own_models(subject: Subject) -> Subject:
    """The engine under test, for tests that load and change models of their own."""
    if not subject.writable:
        pytest.skip(f"{WRITE_VARIABLE}=1 is not set: nothing is loaded or changed on a server that is not ours")
    return subject


@pytest.fixture
def machine(own_models: Subject) -> Machine:
    """What can be done to the engine from outside, for tests that fill, kill or restart it."""
    if own_models.machine is None:
        pytest.skip("filling, killing and restarting is only for servers that are ours")
    return own_models.machine
