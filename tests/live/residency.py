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


def stays_for(subject: Subject, name: str, seconds: float) -> bool:
    """Whether a model's keep-alive was set to this just now."""
    return seconds - LATE_SECONDS <= remaining_seconds(subject, name) <= seconds


def stays_forever(subject: Subject, name: str) -> bool:
    """Whether a model's keep-alive is 292 years, which is how "forever" shows."""
    return expiry(subject, name).year > 2300


def load(subject: Subject, name: str, **fields: Any) -> None:
    """Load a model in the way that fits it."""
    answer = subject.api.post("/api/embed" if name == EMBED else "/api/generate", model=name, **fields)
    assert answer.status == 200, answer


@contextmanager
def talking(subject: Subject, name: str, **fields: Any) -> Iterator[Iterator[str]]:
    """Keep a model busy: a request that has begun to answer and goes on; leaving closes the connection."""
    with subject.api.stream("/api/generate", model=name, prompt="x", options=TALK, **fields) as response:
        assert response.headers["content-type"] == "application/x-ndjson"
        lines = response.iter_lines()
        next(lines)
        yield lines
