"""Something the user should know: which source, what is wrong, what to do."""

from __future__ import annotations

from gpudesk.records import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, told where it belongs. Never shown without saying what to do, if anything helps."""

    source: str
    """Who says so: `nvml`, `host`, `processes`, `ollama http://127.0.0.1:11434`, `config`."""
    message: str
    """What is wrong, a sentence without a full stop."""
    hint: str | None = None
    """What to do about it."""
