"""Which server answers for which engine, and whose a runner can be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpudesk.domain.attribution import attribute
from gpudesk.domain.desk import HolderKind
from gpudesk.domain.engine import EngineSample
from gpudesk.domain.process import Process, ProcessSample, ServerProcess
from gpudesk.domain.serving import Serving, answers_at, may_be_watched
from gpudesk.units import GIBIBYTE
from tests.domain.builders import (
    OTHER_URL,
    URL,
    assert_adds_up,
    card,
    engine,
    holders_by_name,
    model,
    runner,
    sizes,
    told,
)

HERE, THERE = ("127.0.0.1", 11434), ("127.0.0.1", 11500)


def server(pid: int, *listens: tuple[str, int]) -> ServerProcess:
    return ServerProcess(pid, listens=listens or None)


@pytest.mark.parametrize(
    ("url", "address", "answers"),
    [
        (URL, "127.0.0.1", True),
        (URL, "0.0.0.0", True),
        (URL, "::", True),
        (URL, "::1", False),
        (URL, "192.168.1.5", False),
        ("http://localhost:11434", "127.0.0.1", True),
        ("http://localhost:11434", "::1", True),
        ("http://localhost:11434", "192.168.1.5", False),
        ("http://[::1]:11434", "::1", True),
        ("http://[::1]:11434/ollama", "::1", True),
        ("http://192.168.1.5:11434", "192.168.1.5", True),
        ("http://workstation:11434", "192.168.1.5", True),
        ("http://workstation:11434", "127.0.0.1", False),
        ("http://127.0.0.1:11435", "127.0.0.1", False),
    ],
)
def test_who_answers_at_an_address(url: str, address: str, answers: bool) -> None:
    assert answers_at(server(1, (address, 11434)), url) is answers


def test_nobody_answers_whose_sockets_cannot_be_seen() -> None:
    assert not answers_at(server(1), URL)


def shares(servers: tuple[ServerProcess, ...], *engines: EngineSample, **parents: int) -> dict[str | None, int]:
    """Attribute runners of the same weights, 3 and 4 GiB, with these parents; return bytes by engine."""
    runners = tuple(runner(int(name[1:]), parent=parent) for name, parent in parents.items())
    entries = [(process.pid, (3 + position) * GIBIBYTE) for position, process in enumerate(runners)]
    result = attribute([card(*entries)], engines, ProcessSample(runners, servers=servers), [told()])
    assert_adds_up(result)
    held: dict[str | None, int] = {}
    for holder in result.cards[0].holders:
        if holder.kind is not HolderKind.UNATTRIBUTED:
            held[holder.engine_url] = held.get(holder.engine_url, 0) + holder.memory_bytes // GIBIBYTE
    return held


MINE, OTHERS = engine(model("a:1b")), engine(model("a:1b"), url=OTHER_URL)


def test_two_engines_with_the_same_weights_have_their_own_runners() -> None:
    servers = (server(900, *[THERE]), server(901, *[HERE]))
    assert shares(servers, MINE, OTHERS, p10=900, p11=901) == {OTHER_URL: 3, URL: 4}
    assert shares(servers, OTHERS, MINE, p10=901, p11=900) == {URL: 3, OTHER_URL: 4}


def test_one_known_server_tells_both_apart() -> None:
    servers = (server(900), server(901, HERE))
    assert shares(servers, MINE, OTHERS, p10=900, p11=901) == {OTHER_URL: 3, URL: 4}


def test_the_runner_of_an_engine_that_is_not_watched_is_no_model_of_ours() -> None:
    servers = (server(900, THERE), server(901, HERE))
    assert shares(servers, MINE, p10=900) == {None: 3}
    assert shares(servers, MINE, p10=900, p11=901) == {None: 3, URL: 4}


def test_an_engine_behind_a_forwarded_port_has_the_runners_that_no_other_has() -> None:
    assert shares((server(900, THERE),), MINE, p10=900) == {URL: 3}
    assert shares((server(900, THERE),), MINE, OTHERS, p10=900) == {OTHER_URL: 3}


def test_where_no_server_is_known_one_engine_has_runners_of_one_parent() -> None:
    assert shares((), MINE, p10=900, p11=901) == {URL: 3, None: 4}
    assert shares((), MINE, p10=900, p11=900) == {URL: 7}


def test_a_runner_left_behind_is_nobodys() -> None:
    left = replace(runner(10, parent=1), orphaned=True)
    own = runner(11, parent=901)
    for servers in ((), (server(901, HERE),)):
        result = attribute([card((10, 3), (11, 4))], [MINE], ProcessSample((left, own), servers=servers), [told()])
        assert_adds_up(result)
        assert result.models[0].pids == (11,)
        holder = holders_by_name(result.cards[0])["ollama runner (a:1b)"]
        assert (holder.memory_bytes, holder.note) == (3, "its server ended and left it behind")
        alone = attribute([card((10, 3))], [MINE], ProcessSample((left,), servers=servers), [told()])
        assert alone.models[0].pids == ()
        assert sizes(alone.cards[0])["ollama runner (a:1b)"] == 3


def test_elimination_asks_for_the_server_too() -> None:
    unknown = engine(model("b:1b", 2))
    servers = (server(900, THERE), server(901, HERE))
    theirs, own = runner(10, 7, parent=900), runner(11, 8, parent=901)
    result = attribute([], [unknown], ProcessSample((theirs, own), servers=servers), [])
    assert result.models[0].pids == (11,)
    assert attribute([], [unknown], ProcessSample((theirs,), servers=servers), []).models[0].pids == ()


def test_the_server_of_an_engine_is_learned_from_its_runner() -> None:
    sample = ProcessSample((runner(10, parent=900),), servers=(server(900), server(901)))
    found = attribute([], [MINE], sample, [told()]).servers
    assert [each.engine_urls for each in found] == [(URL,), ()]


def test_two_servers_at_one_address_tell_nothing() -> None:
    servers = (server(900, ("::1", 11434)), server(901, HERE))
    local = EngineSample("http://localhost:11434")
    assert [each.engine_urls for each in Serving(servers, [local]).servers()] == [(), ()]


def test_a_remote_engine_has_no_server_here() -> None:
    assert Serving((server(900, HERE),), [EngineSample(URL, local=False)]).servers()[0].engine_urls == ()


def test_while_a_server_is_gone_its_engine_has_nobodys_runners() -> None:
    gone = replace(server(901, HERE), exists=False)
    other = server(900, THERE)
    assert shares((other, gone), MINE, p10=900) == {None: 3}
    assert shares((other, gone, server(902, ("0.0.0.0", 11434))), MINE, p10=900, p11=902) == {None: 3, URL: 4}


def test_a_runner_may_be_watched_unless_it_is_known_to_be_elsewhere() -> None:
    mine, other = ServerProcess(900, engine_urls=(URL,)), ServerProcess(901)
    watched = [EngineSample(URL)]

    def child(parent: int | None, *, orphaned: bool = False) -> Process:
        return Process(10, parent_pid=parent, orphaned=orphaned)

    assert may_be_watched(child(900), [mine, other], watched)
    assert may_be_watched(child(None), [mine, other], watched)
    assert not may_be_watched(child(901), [mine, other], watched)
    assert not may_be_watched(child(1, orphaned=True), [], watched)
    assert may_be_watched(child(901), [mine, other], [*watched, EngineSample(OTHER_URL)])
    assert not may_be_watched(child(901), [mine, other], [*watched, EngineSample(OTHER_URL, local=False)])
