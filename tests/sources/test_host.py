from __future__ import annotations

import sys
from datetime import UTC, datetime
from types import SimpleNamespace

import psutil
import pytest

from gpudesk.domain.desk import Desk
from gpudesk.errors import FailureKind, SourceError
from gpudesk.sources.host import HostSource

DESK = Desk(datetime(2026, 1, 1, tzinfo=UTC))


def test_the_real_host() -> None:
    host = HostSource().read(DESK)
    assert host.memory_total_bytes is not None
    assert host.memory_total_bytes == psutil.virtual_memory().total
    assert host.memory_available_bytes is not None
    assert 0 < host.memory_available_bytes <= host.memory_total_bytes
    assert host.cpu_count == psutil.cpu_count()
    if sys.platform == "linux":
        assert host.load_ratio is not None
        assert host.load_ratio >= 0


def test_what_a_source_must_have() -> None:
    source = HostSource()
    assert (source.name, source.interval_seconds) == ("host", 5.0)
    source.close()


def test_load_is_per_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "getloadavg", lambda: (6.0, 1.0, 1.0))
    monkeypatch.setattr(psutil, "cpu_count", lambda: 4)
    assert HostSource().read(DESK).load_ratio == 1.5


def test_unknown_parts_stay_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_count", lambda: None)
    host = HostSource().read(DESK)
    assert (host.cpu_count, host.load_ratio) == (None, None)
    monkeypatch.setattr(psutil, "cpu_count", lambda: 4)

    def refuse() -> tuple[float, float, float]:
        raise OSError("unobtainable")

    monkeypatch.setattr(psutil, "getloadavg", refuse)
    assert HostSource().read(DESK).load_ratio is None
    monkeypatch.setattr(psutil, "WINDOWS", True)
    monkeypatch.setattr(psutil, "getloadavg", lambda: (0.0, 0.0, 0.0))
    assert HostSource().read(DESK).load_ratio is None


@pytest.mark.parametrize(("available", "shown"), [(-1, 0), (5, 5), (11, 10)])
def test_available_is_at_most_the_total(monkeypatch: pytest.MonkeyPatch, available: int, shown: int) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=10, available=available))
    assert HostSource().read(DESK).memory_available_bytes == shown


def test_a_total_of_zero_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=0, available=0))
    host = HostSource().read(DESK)
    assert (host.memory_total_bytes, host.memory_available_bytes) == (None, None)


def test_unreadable_memory_is_a_failure_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(psutil, "virtual_memory", refuse)
    with pytest.raises(SourceError) as caught:
        HostSource().read(DESK)
    assert caught.value.kind is FailureKind.FAILED
    assert "Permission denied" in caught.value.message
    assert caught.value.hint
