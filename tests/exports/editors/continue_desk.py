"""A small desk for what Continue's configuration is checked against."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from gpudesk.domain.desk import Desk, LoadedModel
from gpudesk.domain.engine import Engine
from gpudesk.domain.keep_alive import KeepAlive, KeepAliveState
from gpudesk.domain.model import InstalledModel, ModelDetails
from gpudesk.domain.pin import PinState, PinWish
from gpudesk.exports.editors.continue_check import check_files
from gpudesk.exports.editors.continue_facts import Facts
from gpudesk.exports.text_file import TextFile

if TYPE_CHECKING:
    from gpudesk.exports.values import Finding

URL = "http://127.0.0.1:11434"
CHAT, TAB, EMBED, ODD = "qwen3:14b", "qwen2.5-coder:1.5b-base", "nomic-embed-text:latest", "gpudesk-tab:latest"
HEAD = "name: Main\nversion: 1.0.0\n"


def desk(
    *,
    pinned: dict[str, int | None] | None = None,
    loaded: dict[str, int] | None = None,
    forever: bool = False,
    trained: int | None = 40960,
) -> Desk:
    """Return a desk with four installed models."""
    installed = (
        InstalledModel(CHAT, URL, digest="c", family="qwen3", capabilities=("completion", "tools")),
        InstalledModel(TAB, URL, digest="t", family="qwen2", capabilities=("completion",)),
        InstalledModel(EMBED, URL, digest="e", family="nomic-bert", capabilities=("embedding",)),
        InstalledModel(ODD, URL, digest="o", family="qwen2", capabilities=("completion",)),
    )
    timer = KeepAlive(KeepAliveState.FOREVER) if forever else None
    return Desk(
        taken_at=datetime(2026, 11, 21, tzinfo=UTC),
        engines=(Engine(URL, reachable=True),),
        installed=installed,
        details=(ModelDetails("c", context_length_trained=trained),),
        models=tuple(
            LoadedModel(name, URL, context_length=context, keep_alive=timer) for name, context in (loaded or {}).items()
        ),
        pins=tuple(PinState(PinWish(URL, name, context_length=context)) for name, context in (pinned or {}).items()),
    )


def text_file(text: str, path: str = "/home/u/.continue/config.yaml") -> TextFile:
    """Return a file as it would be read."""
    return TextFile(Path(path), text.encode("utf-8", "surrogatepass"), text)


def found(text: str, facts: Facts | None = None) -> tuple[Finding, ...]:
    """Return what is found in one configuration."""
    return check_files([text_file(text)], [], facts or Facts(None))


def entry(body: str) -> str:
    """Return a configuration with one entry; more lines of it are given."""
    lines = "".join(f"    {line}\n" for line in body.strip("\n").split("\n"))
    return f"{HEAD}models:\n  -" + lines[3:]
