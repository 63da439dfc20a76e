"""Learning begins some while after the watching, and ends with it."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from gpudesk.clock import SYSTEM_CLOCK
from gpudesk.commands import watch
from gpudesk.config.settings import Settings
from gpudesk.planning import learn_later
from gpudesk.workstation import Workstation

pytestmark = pytest.mark.usefixtures("own_folders")


@pytest.fixture
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))


class Feed:
    """Tells when somebody wants to know of changes."""

    def __init__(self) -> None:
        self.listened = Event()

    def subscribe(self, _listener: object) -> None:
        self.listened.set()


def test_it_begins_by_itself() -> None:
    feed: Any = Feed()
    stop = learn_later.learn_later(feed, 0.0)
    try:
        assert feed.listened.wait(10)
    finally:
        stop()


def test_it_does_not_begin_any_more_when_the_watching_ends_first() -> None:
    feed: Any = Feed()
    before = set(threading.enumerate())
    stop = learn_later.learn_later(feed, 3600.0)
    (waiting,) = set(threading.enumerate()) - before
    stop()
    waiting.join(10)
    assert not waiting.is_alive()
    assert not feed.listened.is_set()


class Gone(io.StringIO):
    """A reader that left."""

    def write(self, _text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize(("demo", "told"), [(False, ["begun", "ended"]), (True, [])])
def test_watching_from_a_shell_teaches_unless_it_is_simulated(
    monkeypatch: pytest.MonkeyPatch, demo: bool, told: list[str]
) -> None:
    seen: list[str] = []

    def begin(_feed: object) -> Any:
        seen.append("begun")
        return lambda: seen.append("ended")

    monkeypatch.setattr(learn_later, "learn_later", begin)
    monkeypatch.setattr(watch, "FIRST_SECONDS", 0.05)
    workstation = Workstation((), SYSTEM_CLOCK, Settings(engines=()), banner="DEMO" if demo else None)
    with pytest.raises(BrokenPipeError):
        watch.run(workstation, Gone(), as_json=False)
    assert seen == told
