"""A connection that is given up is closed, whoever was quicker: who made it or who gave it up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpcore
import pytest

from gpudesk.sources.ollama_deadline import DeadlineBackend
from gpudesk.sources.ollama_lifeline import Lifeline, LifelineBackend


class Connections:
    """A server that accepts, and every connection that was made to it."""

    def __init__(self, listener: socket.socket) -> None:
        self.port: int = listener.getsockname()[1]
        self.made: list[httpcore.NetworkStream] = []
        self.gate = threading.Event()
        """Connections are made once it is set."""
        self.gate.set()

    def open_ones(self) -> int:
        return sum(stream.get_extra_info("socket").fileno() != -1 for stream in self.made)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connections]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = Connections(listener)
        connect = DeadlineBackend.connect_tcp

        def noted(*values: Any) -> httpcore.NetworkStream:
            assert found.gate.wait(10)
            found.made.append(connect(*values))
            return found.made[-1]

        monkeypatch.setattr(DeadlineBackend, "connect_tcp", noted)
        yield found
        for stream in found.made:
            stream.close()


def connecting(connections: Connections, line: Lifeline) -> httpcore.NetworkStream:
    backend = LifelineBackend()
    backend.hang_on(line)
    backend.deadline.start(10)
    try:
        return backend.connect_tcp("127.0.0.1", connections.port, 10.0)
    finally:
        line.release()


def test_a_connection_is_handed_over_open(connections: Connections) -> None:
    assert connecting(connections, Lifeline()) is connections.made[0]
    assert connections.open_ones() == 1


def test_a_line_cut_just_after_the_connection_was_made_closes_it(connections: Connections) -> None:
    line = Lifeline()

    class CutThen(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert super().wait(timeout)
            line.cut()
            return True

    line.changed = CutThen()
    with pytest.raises(httpcore.ConnectError, match="canceled"):
        connecting(connections, line)
    assert len(connections.made) == 1
    assert connections.open_ones() == 0


def test_a_connection_made_while_it_is_given_up_is_closed(connections: Connections) -> None:
    class MadeAtLast(Lifeline):
        def cut(self) -> None:
            connections.gate.set()
            assert self.changed.wait(10)
            super().cut()

    class NotYet(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            return not connections.gate.is_set() or super().wait(timeout)

    connections.gate.clear()
    line = MadeAtLast()
    line.changed = NotYet()
    with pytest.raises(httpcore.ConnectTimeout):
        connecting(connections, line)
    assert len(connections.made) == 1
    assert connections.open_ones() == 0
