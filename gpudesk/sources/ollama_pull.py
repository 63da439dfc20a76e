"""Downloading a model: what the lines of `/api/pull` add up to.

Ollama answers 200 before it has asked the registry, so every failure is a line of the stream, an unknown model
included (ollama/ollama server/routes.go:1102 at v0.33.0-rc2). What was downloaded stays and is not asked for again.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from gpudesk.actions.ports import PullProgress
from gpudesk.errors import FailureKind, SourceError
from gpudesk.sources.ollama_channel import StatusError
from gpudesk.sources.ollama_refusals import download_failure
from gpudesk.sources.ollama_values import as_count, as_text, encoded

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpudesk.cancellation import Cancellation
    from gpudesk.clock import Clock
    from gpudesk.sources.ollama_channel import OllamaChannel

STALL_SECONDS = 180.0
"""Without a line. While it downloads Ollama sends 16 lines a second, even when nothing arrives
(server/download.go:440); before that it may try the registry for a minute or two."""
VERIFY_SECONDS = 3600.0
"""Without a line while it reads everything once more: 100 GB from a slow disk take half an hour."""
TOLD_SECONDS = 0.05
TOLD_RATIO = 0.01
"""Progress is told again after so long or so much of the whole, however many lines come: a line may be the last one
for minutes, but nobody looks at a thousand a second."""
_MOST_LAYERS = 4096
"""Of one model; safetensors models have some thousand."""


class Tally:
    """Adds up what the lines of a download say."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int]] = {}
        self._status = ""
        self.succeeded = False

    @property
    def progress(self) -> PullProgress:
        """How far it is. Bytes are known from the first layer on."""
        if not self._layers:
            return PullProgress(self._status)
        completed, total = (sum(column) for column in zip(*self._layers.values(), strict=True))
        return PullProgress(self._status, completed, total)

    @property
    def patience_seconds(self) -> float:
        """How long the next line may take."""
        return STALL_SECONDS if self._status.startswith("pulling") or not self._layers else VERIFY_SECONDS

    def add(self, line: dict[str, Any]) -> None:
        """Take a line into account. `completed` is left out while it is 0 (api/types.go `ProgressResponse`).

        Layers come one after the other, and the end of one is not told: the next line is about something else
        (server/download.go:446 `Wait`).
        """
        self._status = as_text(line.get("status")) or self._status
        self.succeeded = self._status == "success"
        total = as_count(line.get("total"))
        layer = as_text(line.get("digest")) or self._status
        if layer not in self._layers and len(self._layers) < _MOST_LAYERS:
            self._layers = {earlier: (size, size) for earlier, (_, size) in self._layers.items()}
        if total is None:
            return
        if layer in self._layers or len(self._layers) < _MOST_LAYERS:
            self._layers[layer] = (min(as_count(line.get("completed")) or 0, total), total)


def pull(
    channel: OllamaChannel,
    name: str,
    tell: Callable[[PullProgress], None],
    cancel: Cancellation,
    clock: Clock,
    *,
    insecure: bool = False,
) -> None:
    """Download a model and return when Ollama says that it is there.

    Raises:
        CanceledError: `cancel` was; what has arrived stays and another pull goes on from there.
        SourceError: it failed, in plain words.
    """
    tally, told_at, told_bytes = Tally(), float("-inf"), 0
    fields: dict[str, Any] = {"model": name, "stream": True}
    if insecure:
        fields["insecure"] = True
    body = encoded(fields)
    lines = channel.lines("/api/pull", body, cancel, patience=lambda: tally.patience_seconds)
    with closing(lines):
        try:
            for line in lines:
                tally.add(line)
                now, progress = clock.monotonic(), tally.progress
                completed, total = progress.completed_bytes or 0, progress.total_bytes or 0
                if now - told_at >= TOLD_SECONDS or completed - told_bytes > TOLD_RATIO * total:
                    told_at, told_bytes = now, completed
                    tell(progress)
        except StatusError as error:
            raise download_failure(error, channel.url, name) from None
    if not tally.succeeded:
        message = f"{channel.url} ended the download of {name} without saying that it succeeded"
        raise SourceError(FailureKind.LOST, message, "Pull it again: it goes on where it ended")
    tell(tally.progress)
