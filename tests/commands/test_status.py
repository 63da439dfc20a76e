from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from gpudesk.clock import SYSTEM_CLOCK
from gpudesk.commands import status
from gpudesk.config.settings import EngineAddress, Settings
from gpudesk.domain.card import Card, CardsSample, Driver, ProcessAccounting
from gpudesk.domain.desk import Desk
from gpudesk.domain.engine import EngineSample
from gpudesk.domain.host import Host
from gpudesk.domain.reading import Sample
from gpudesk.errors import ExitCode, FailureKind, SourceError
from gpudesk.workstation import NothingFoundError, Workstation, found_in, is_readable, is_settled

URL = "http://127.0.0.1:11434"
GIBIBYTE = 1 << 30


class FakeSource:
    """A source that gives or raises what a test wants."""

    interval_seconds = 1.0

    def __init__(self, name: str, outcome: Sample | Exception | Callable[[], Sample]) -> None:
        self.name = name
        self._outcome = outcome

    def read(self, desk: Desk) -> Sample:
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome() if callable(self._outcome) else self._outcome

    def close(self) -> None:
        pass


CARD = Card(0, "GPU-1", "RTX", 24 * GIBIBYTE, 4 * GIBIBYTE, 20 * GIBIBYTE, process_accounting=ProcessAccounting.FULL)
CARDS = CardsSample((CARD,), Driver("580.95.05"))
NO_DRIVER = SourceError(FailureKind.MISSING, "no driver library", "install it")
REFUSED = SourceError(FailureKind.UNREACHABLE, f"{URL} refused the connection", "start it")


def workstation(cards: Sample | Exception, engine: Sample | Exception, banner: str | None = None) -> Workstation:
    """One driver, one engine, one host."""
    sources = (
        FakeSource("nvml", cards),
        FakeSource(f"ollama {URL}", engine),
        FakeSource("host", Host(64 << 30, 1 << 30)),
    )
    return Workstation(sources, SYSTEM_CLOCK, Settings(engines=(EngineAddress(URL),)), banner)


def shown(station: Workstation, *, as_json: bool = False) -> tuple[int, str]:
    """Exit code and output."""
    out = io.StringIO()
    return status.run(station, out, as_json=as_json, timeout_seconds=5), out.getvalue()


def test_cards_and_engine() -> None:
    code, text = shown(workstation(CARDS, EngineSample(URL, version="0.12.6")))
    assert code == ExitCode.OK
    assert text.startswith("card 0: RTX\n  4.0 of 24.0 GiB held, 20.0 GiB free")
    assert f"engine ollama 0.12.6 at {URL}\n" in text
    assert "no model is loaded" in text


def test_the_json_of_the_same() -> None:
    code, text = shown(workstation(CARDS, EngineSample(URL, version="0.12.6")), as_json=True)
    document = json.loads(text)
    assert code == ExitCode.OK
    assert document["cards"][0]["memory_free_bytes"] == 20 * GIBIBYTE
    assert document["engines"][0]["version"] == "0.12.6"
    assert document["problems"] == []
    assert document["demo"] is False


@pytest.mark.parametrize(
    ("cards", "engine", "code"),
    [
        (CARDS, REFUSED, ExitCode.OK),
        (NO_DRIVER, EngineSample(URL), ExitCode.OK),
        (SourceError(FailureKind.DENIED, "no permission"), REFUSED, ExitCode.UNREACHABLE),
        (NO_DRIVER, SourceError(FailureKind.DENIED, "401"), ExitCode.UNREACHABLE),
        (SourceError(FailureKind.LOST, "GPU is lost"), SourceError(FailureKind.TIMEOUT, "slow"), ExitCode.UNREACHABLE),
    ],
)
def test_one_source_that_was_read_is_enough(
    cards: Sample | Exception, engine: Sample | Exception, code: ExitCode
) -> None:
    found, text = shown(workstation(cards, engine))
    assert found == code
    assert text
    for outcome in (cards, engine):
        if isinstance(outcome, Exception):
            assert str(outcome) in text


def test_nothing_found_says_what_was_looked_for_and_what_to_do() -> None:
    out = io.StringIO()
    with pytest.raises(NothingFoundError) as raised:
        status.run(workstation(NO_DRIVER, REFUSED), out, as_json=False)
    assert out.getvalue() == ""
    assert raised.value.exit_code == ExitCode.UNREACHABLE
    assert raised.value.message.splitlines()[1:] == [
        "  NVIDIA driver: no driver library",
        "    -> install it",
        f"  {URL} refused the connection",
        "    -> start it",
    ]
    assert "--demo" in (raised.value.hint or "")


def test_nothing_found_is_still_a_document() -> None:
    out = io.StringIO()
    with pytest.raises(NothingFoundError):
        status.run(workstation(NO_DRIVER, REFUSED), out, as_json=True)
    document = json.loads(out.getvalue())
    assert [problem["source"] for problem in document["problems"]] == ["nvml", f"ollama {URL}"]
    assert document["cards"] == []


def test_a_demo_says_so_in_both_forms() -> None:
    station = workstation(CARDS, EngineSample(URL), banner="DEMO: simulated")
    assert shown(station)[1].startswith("DEMO: simulated\n\n")
    assert json.loads(shown(station, as_json=True)[1])["demo"] is True


def test_a_source_that_hangs_is_left_behind() -> None:
    from threading import Event

    released = Event()

    def hang() -> Sample:
        released.wait(30)
        return CARDS

    station = workstation(CARDS, EngineSample(URL))
    station = replace(station, sources=(FakeSource("nvml", hang), *station.sources[1:]))
    out = io.StringIO()
    try:
        code = status.run(station, out, as_json=False, timeout_seconds=0.3)
    finally:
        released.set()
    assert code == ExitCode.OK
    assert "problem: nvml: " in out.getvalue()
    assert "a driver call hangs" in out.getvalue()


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "color"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_color_is_for_terminals_and_never_with_no_color(environment: dict[str, str], color: bool) -> None:
    station = workstation(CARDS, EngineSample(URL))
    assert status.style_for(Screen(), station, environment).color is color
    assert status.style_for(io.StringIO(), station, environment).color is False


def test_a_pipe_has_its_own_width_and_signs() -> None:
    station = workstation(CARDS, EngineSample(URL))
    piped = status.style_for(io.StringIO(), station, {})
    assert (piped.width, piped.ascii_only) == (160, True)
    assert status.style_for(io.StringIO(), station, {"COLUMNS": "72"}).width == 72
    assert status.style_for(io.StringIO(), station, {"COLUMNS": "wide"}).width == 160
    assert status.style_for(io.StringIO(), station, {"COLUMNS": "1"}).width == 20
    assert status.style_for(Screen(), station, {}).ascii_only is False


def test_found_tells_absent_from_in_trouble() -> None:
    from gpudesk.watch.poller import sample_once

    def found(cards: Sample | Exception, engine: Sample | Exception) -> tuple[bool, tuple[str, ...], bool, bool]:
        station = workstation(cards, engine)
        desk = sample_once(station.sources, SYSTEM_CLOCK, 5)
        result = found_in(desk, station.settings)
        return result.driver, result.engines, result.anything, is_settled(desk, station.settings)

    assert found(NO_DRIVER, REFUSED) == (False, (), False, True)
    assert found(CARDS, REFUSED) == (True, (), True, True)
    assert found(NO_DRIVER, SourceError(FailureKind.INVALID, "HTML")) == (False, (URL,), True, True)
    assert found(SourceError(FailureKind.FAILED, "unknown error"), REFUSED) == (True, (), True, True)
    empty = Desk(SYSTEM_CLOCK.now())
    assert not is_settled(empty, Settings(engines=(EngineAddress(URL),)))
    assert not is_readable(empty)
    assert not found_in(empty, Settings()).anything
