"""How tests bring models into memory and ask how long they will stay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from tests.live.models import EMBED
from tests.live.subject import Subject

TALK = {"temperature": 0, "num_predict": -1}
"""Options with which a tiny model talks for seconds."""
FIVE_MINUTES = 300.0
WRITTEN_SECONDS = 5.0
LATE_SECONDS = 10.0
"""How much later than the request the expiry may be looked at: a busy machine takes its time."""


def expiry(subject: Subject, name: str) -> datetime:
    """When a model will go, as `/api/ps` tells it."""
    expires_at = datetime.fromisoformat(subject.loaded()[name]["expires_at"])
    assert expires_at.tzinfo is not None
    return expires_at


def remaining_seconds(subject: Subject, name: str) -> float:
    """How long a model will stay."""
    return (expiry(subject, name) - subject.now()).total_seconds()


def check_stay(subject: Subject, name: str, seconds: float) -> None:
    """Check that a model's keep-alive was set to this by the request just answered.

    The engine writes the expiry a moment after it has sent the answer, so the first look may come too early.
    """
    subject.api.wait_until(
        lambda: seconds - LATE_SECONDS <= remaining_seconds(subject, name) <= seconds,
        f"{name} stays for {seconds:.1f} s",
        seconds=WRITTEN_SECONDS,
    )


def check_forever(subject: Subject, name: str) -> None:
    """Check that a model's keep-alive is 292 years, which is how "forever" shows."""
    subject.api.wait_until(lambda: expiry(subject, name).year > 2300, f"{name} stays forever", seconds=WRITTEN_SECONDS)


@contextmanager
def renewal(subject: Subject, name: str) -> Iterator[None]:
    """Make a request inside, and be sure afterwards that its expiry has been written."""
    before = expiry(subject, name)
    yield
    subject.api.wait_until(
        lambda: expiry(subject, name) != before, f"the expiry of {name} is written", seconds=WRITTEN_SECONDS
    )


def load(subject: Subject, name: str, **fields: Any) -> None:
    """Load a model in the way that fits it, and wait until the engine has done with the request."""
    answer = subject.api.post("/api/embed" if name == EMBED else "/api/generate", model=name, **fields)
    assert answer.status == 200, answer
    settle(subject)


def settle(subject: Subject) -> None:
    """Wait until every expiry has been written.

    The engine ends a request a moment after it has sent the answer; until then a model that was just loaded counts as
    busy, and its expiry is made up anew at each look.
    """
    looks = [subject.loaded()]

    def is_steady() -> bool:
        looks.append(subject.loaded())
        return looks[-1] == looks[-2]

    subject.api.wait_until(is_steady, "all requests are over", seconds=WRITTEN_SECONDS)


@contextmanager
def talking(subject: Subject, name: str, **fields: Any) -> Iterator[Iterator[str]]:
    """Keep a model busy: a request that has begun to answer and goes on; leaving closes the connection."""
    with subject.api.stream("/api/generate", model=name, prompt="x", options=TALK, **fields) as response:
        assert response.headers["content-type"] == "application/x-ndjson"
        lines = response.iter_lines()
        next(lines)
        yield lines
