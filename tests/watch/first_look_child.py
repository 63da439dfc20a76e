"""Takes a first look in an interpreter with one thread, which test runners do not have; see test_first_look."""

from __future__ import annotations

import json
import os
import sys
import time

from gpudesk.clock import SYSTEM_CLOCK
from gpudesk.domain.alarm import AlarmLimits
from gpudesk.domain.desk import Desk
from gpudesk.domain.host import Host
from gpudesk.domain.reading import Sample
from gpudesk.errors import FailureKind, SourceError
from gpudesk.watch.first_look import SPACING_SECONDS, FirstLook, begin_first_look
from tests.watch.build import ENGINE, GIB, FakeSource, card, cards, engine, forever, model

ENDS_SECONDS = 20.0


def hang(_desk: Desk) -> Sample:
    while True:
        time.sleep(1.0)


def refuse(_desk: Desk) -> Sample:
    raise SourceError(FailureKind.UNREACHABLE, "nobody listens", "start it")


def crash(_desk: Desk) -> Sample:
    os._exit(3)


def chatter(_desk: Desk) -> Sample:
    os.write(1, b"drawn on the terminal")
    os.write(2, b"drawn on the terminal")
    return Host(8, 4)


def late(_desk: Desk) -> Sample:
    time.sleep(SPACING_SECONDS / 5)
    return Host(8, 4)


NVML = FakeSource("nvml", lambda desk: cards(card(0, (7, GIB))))
CASES = {
    "whole": [NVML, FakeSource(ENGINE, lambda desk: engine(model(keep_alive=forever()))), FakeSource("host", chatter)],
    "failure": [FakeSource(ENGINE, refuse)],
    "crash": [FakeSource(ENGINE, crash)],
    "late": [NVML, FakeSource("host", late), FakeSource(ENGINE, hang)],
    "hang": [FakeSource("host", lambda desk: Host(8, 4)), FakeSource("nvml", hang)],
}
CASES["leave"] = CASES["hang"]


def known(first: FirstLook) -> dict[str, object]:
    desk, watched = first.desk, first.watched
    if desk is None or watched is None:
        return {"desk": None, "watched": watched is None}
    return {
        "cards": [state.card.index for state in desk.cards],
        "models": [each.name for each in desk.models],
        "host": desk.host is not None and desk.host.memory_total_bytes,
        "events": len(desk.events),
        "problems": [each.message for each in desk.problems],
        "same": watched.desk == desk,
        "limit": watched.limits.free_memory_bytes,
    }


def main(case: str) -> dict[str, object]:
    first = begin_first_look(CASES[case], SYSTEM_CLOCK, AlarmLimits(free_memory_bytes=123))
    assert first is not None, "one thread on Linux"
    pid = first._pid
    assert pid is not None
    told: list[Desk] = []
    first.tell(told.append)
    if case in ("hang", "late", "leave"):
        deadline = time.monotonic() + ENDS_SECONDS
        while (first.desk is None or first.desk.host is None) and time.monotonic() < deadline:
            time.sleep(0.002)
        if case == "leave":
            sys.stdout.write(json.dumps({"pid": pid, "runs": os.path.exists(f"/proc/{pid}")}))  # noqa: PTH110
            sys.stdout.flush()
            os._exit(0)
        first.stop()
        count = len(told)
    assert first.ended.wait(ENDS_SECONDS)
    deadline = time.monotonic() + ENDS_SECONDS
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:  # noqa: PTH110
        time.sleep(0.002)
    first.stop()
    result = known(first) | {"gone": not os.path.exists(f"/proc/{pid}"), "last": bool(told) and told[-1] is first.desk}  # noqa: PTH110
    if case == "hang":
        result["quiet"] = len(told) == count
    return result | {"second": begin_first_look((), SYSTEM_CLOCK, AlarmLimits()) is None if case == "hang" else None}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
