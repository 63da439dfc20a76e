"""What Continue's own parser makes of files: the published package, read in one go by a script for Node."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.live.editors.node import run

SCRIPT = Path(__file__).parent / "continue_parser.mjs"
SECONDS = 120.0
NEWER_KEYS = ("keepAlive", "contextLength", "useResponsesApi")
"""Of the last commit (d0a3c0b626), unknown to the published package, which is older: it drops them."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """What became of one configuration."""

    error: str | None
    """Continue would have no model at all."""
    messages: list[str]
    """Of `validateConfigYaml`."""
    models: list[Mapping[str, Any]]
    """In Continue's order, those of block files last; without what was dropped."""
    roles: Mapping[str, list[str]]
    """Names of models."""
    stripped: list[str]
    """Keys that the published schema drops in silence: `config.yaml models.0.numCtx`."""
    refused: list[str]
    """What a strict schema of the last commit refuses: `config.yaml models.0.numCtx: unrecognized_keys`."""

    def model(self, name: str) -> Mapping[str, Any]:
        """Return the one model of this name."""
        (found,) = [model for model in self.models if model["name"] == name]
        return found

    def lost(self) -> list[str]:
        """Return what the published schema drops, less what it is only too old for."""
        return [path for path in self.stripped if path.rpartition(".")[2] not in NEWER_KEYS]


class ContinueParser:
    """The package in one installation."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def parse(self, main: Path, *blocks: Path) -> Parsed:
        """Read one configuration with its block files."""
        (parsed,) = self.parse_all([(main, *blocks)])
        return parsed

    def parse_all(self, configurations: Sequence[Sequence[Path]]) -> list[Parsed]:
        """Read many, each the main file and its block files."""
        asked = [{"main": str(main), "blocks": [str(path) for path in blocks]} for main, *blocks in configurations]
        answers = json.loads(run(SCRIPT, (), self._directory, json.dumps(asked), SECONDS))
        assert len(answers) == len(asked)
        return [Parsed(**answer) for answer in answers]
