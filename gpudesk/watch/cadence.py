"""When to look, as plain arithmetic on monotonic seconds.

Sources with the same or whole multiples of one interval are due at the same moments, so that a quiet desk wakes the
processor once per beat instead of once per source.
"""

from __future__ import annotations

import math

from gpudesk.domain.reading import Failure
from gpudesk.errors import FailureKind
from gpudesk.watch.names import CARDS, PROCESSES, engine_url, is_details, side_url
from gpudesk.watch.staleness import LEAST_STALE_SECONDS, stale_after_seconds

BACKOFF_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Waits after the first, second, … failure in a row; the last one repeats."""
BRISK_SECONDS = 0.5
"""How often a local engine is asked after memory jumped on a card: from Ollama 0.30 on a model is listed only when
its load is done (llm/llama_server.go:1047 at v0.33.0-rc2), and is to be seen within a blink of that."""
BRISK_PERIOD_SECONDS = 5.0
SPACING_SECONDS = 0.25
"""A source that something else wakes is not read more often than this."""
DETAILS_SECONDS = 35.0
"""What an engine may take to tell about one model: it decodes the whole header, perhaps from a cold disk."""
CHECK_SECONDS = LEAST_STALE_SECONDS
"""How often somebody looks for overdue reads while none is in progress; none can become overdue sooner."""
OVERDUE_REPEAT_RATIO = 2.0
OVERDUE_REPEAT_SECONDS = 60.0
"""An overdue read is told of again when its age has doubled, at least once a minute."""


def next_beat(now: float, interval_seconds: float, origin: float) -> float:
    """Return the next multiple of the interval after `now`, counted from `origin`."""
    interval = max(0.01, interval_seconds)
    beats = math.floor((now - origin) / interval + 1e-6) + 1
    return origin + beats * interval


def backoff(failures: int) -> float:
    """Return how long to wait after so many failures in a row (at least one)."""
    return BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS)) - 1]


def allowed_seconds(source: str, interval_seconds: float) -> float:
    """Return how long a read may take before it counts as not answering."""
    return DETAILS_SECONDS if is_details(source) else stale_after_seconds(interval_seconds)


def next_overdue(age_seconds: float) -> float:
    """Return at which age a read that is overdue is told of again."""
    return min(age_seconds * OVERDUE_REPEAT_RATIO, age_seconds + OVERDUE_REPEAT_SECONDS)


def overdue(source: str, age_seconds: float) -> Failure:
    """Return the failure of a read that has not come back for so long."""
    seconds = f"for {age_seconds:.0f} s"
    if source == CARDS:
        hint = "a driver call hangs, and nvidia-smi will hang as well; look for Xid errors in the kernel log"
        return Failure(FailureKind.TIMEOUT, f"no answer from the driver {seconds}", hint)
    url = engine_url(source) or side_url(source)
    if url is not None:
        return Failure(FailureKind.TIMEOUT, f"no answer from {url} {seconds}", "it may be busy loading a model")
    if source == PROCESSES:
        return Failure(FailureKind.TIMEOUT, f"no answer from the process table {seconds}")
    return Failure(FailureKind.TIMEOUT, f"no answer from {source} {seconds}")
