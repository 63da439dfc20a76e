"""Models by name for tests of the commands, known without any file or engine."""

from __future__ import annotations

from collections.abc import Sequence

from gpudesk.commands.planning_session import PlanningMeans
from gpudesk.config.settings import Settings
from gpudesk.domain.model import InstalledModel
from gpudesk.errors import FailureKind, SourceError, UsageError
from gpudesk.sources.model_metadata import FoundModel, ModelMetadataSource, Progress
from gpudesk.workstation import Workstation
from tests.fit.models import metadata_of, simulated


class NamedModels(ModelMetadataSource):
    """Knows what it was given; words that end in `.gguf` mean the model of that name."""

    def __init__(self, *names: str, listed: bool = True) -> None:
        super().__init__()
        self._names = names
        self._listed = listed
        self.closed = 0

    def find(
        self,
        words: Sequence[str],
        installed: Sequence[InstalledModel] | None = None,
        progress: Progress | None = None,
    ) -> tuple[FoundModel, ...]:
        return tuple(self._found(word.removesuffix(".gguf")) for word in words)

    def find_all(
        self, installed: Sequence[InstalledModel], progress: Progress | None = None
    ) -> tuple[tuple[FoundModel, ...], tuple[str, ...]]:
        return tuple(self._found(model.name) for model in installed), ()

    def listing(self) -> tuple[InstalledModel, ...]:
        if not self._listed:
            raise SourceError(FailureKind.UNREACHABLE, "nobody answers")
        return tuple(InstalledModel(name, "http://127.0.0.1:11434") for name in self._names)

    def close(self) -> None:
        self.closed += 1

    def _found(self, name: str) -> FoundModel:
        if name not in self._names:
            raise UsageError(f"{name} is not installed")
        return FoundModel(name, metadata_of(simulated(name)))


def means_with(models: ModelMetadataSource) -> PlanningMeans:
    """PlanningMeans that look at nothing but these models."""

    def no_workstation() -> Workstation:
        raise AssertionError("nobody asked for this computer")

    return PlanningMeans(Settings(), no_workstation, lambda workstation: models)
