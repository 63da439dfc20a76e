"""What every source is: a blocking read that gives a sample or raises SourceError.

The poller runs each source in its own daemon thread and turns what it raises into a failed Reading; a source
therefore needs no error handling beyond translating foreign exceptions, and may block as long as it must.
"""

from __future__ import annotations

from typing import Protocol

from gpudesk.domain.desk import Desk
from gpudesk.domain.reading import Sample


class Source(Protocol):
    """One thing that can be looked at again and again."""

    name: str
    """Unique: `nvml`, `processes`, `host`, `ollama <url>`, `ollama-catalog <url>`, `ollama-details <url>`."""
    interval_seconds: float
    """How often it wants to be read while the terminal has the focus."""

    def read(self, desk: Desk) -> Sample:
        """Look once.

        Args:
            desk: what is known so far; a source may use it to know what to look for (the process source reads the
                pids on the cards), never to copy from it.

        Raises:
            SourceError: nothing could be read; says what was tried and what to do.
        """
        ...

    def close(self) -> None:
        """Let go of handles and connections. Called at most once, from the source's own thread, and may be skipped."""
        ...
