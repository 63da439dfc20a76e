"""What the planner's screen asks: headers from sources, cards from the desk, plans from the formulas."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gpudesk.errors import GpudeskError, UsageError
from gpudesk.fit.values import LoadOptions
from gpudesk.quantities import parse_bytes
from gpudesk.watch.planning import Ground, PlannableModel

if TYPE_CHECKING:
    from gpudesk.config.settings import Settings
    from gpudesk.domain.desk import Desk
    from gpudesk.domain.model import InstalledModel
    from gpudesk.fit.calibration import Calibration
    from gpudesk.fit.values import EngineProfile, Plan, Wanted
    from gpudesk.planning.situation import Situation
    from gpudesk.sources.model_metadata import FoundModel, ModelMetadataSource


class DeskPlanner:
    """`watch.planning.Planning` over the real sources; opened when the planner is."""

    def __init__(
        self,
        settings: Settings,
        source: Callable[[], ModelMetadataSource],
        *,
        points_directory: Path | None = None,
    ) -> None:
        """Make it; nothing is opened or read yet.

        Args:
            settings: what the user set.
            source: opens who can tell about models; asked once.
            points_directory: where measured points are kept; None takes none into account.
        """
        self._settings = settings
        self._open = source
        self._source: ModelMetadataSource | None = None
        self._points_directory = points_directory
        self._calibration: Calibration | None = None
        self._points_stamp: object = ()
        self._profile: EngineProfile | None = None

    def ground(self, desk: Desk) -> Ground:
        """Return the cards of this computer as they are now."""
        from gpudesk.planning.situation import of_desk

        try:
            situation = of_desk(desk, reserve_bytes=self._settings.reserve_bytes, environment=os.environ)
        except GpudeskError as error:
            return Ground(problem=error.message)
        return self._ground(situation)

    def described(self, cards: str) -> Ground:
        """Return cards that need not be here.

        Raises:
            UsageError: a card nobody knows.
        """
        from gpudesk.planning.situation import described

        words = [word.strip() for word in cards.split(",") if word.strip()]
        sizes = [size for word in words if (size := parse_bytes(word)) is not None]
        names = [word for word in words if parse_bytes(word) is None]
        if not words:
            raise UsageError("no card was named")
        version = self._profile.version if self._profile is not None else None
        situation = described(
            names, sizes, reserve_bytes=self._settings.reserve_bytes, version=version, environment=os.environ
        )
        return replace(self._ground(situation), described=cards)

    def _ground(self, situation: Situation) -> Ground:
        self._profile = situation.profile
        return Ground(situation.cards, situation.profile, situation.residents, situation.engine, notes=situation.notes)

    def read(self, models: Sequence[InstalledModel]) -> tuple[tuple[PlannableModel, ...], tuple[tuple[str, str], ...]]:
        """Return the models whose headers could be had, and the others by name with the reason."""
        # Whoever asks for a plan next finds its modules loaded: they take longer than the plan.
        import gpudesk.fit.plan  # noqa: F401

        if self._source is None:
            self._source = self._open()
        found, failures = self._source.find_all(models)
        reasons = []
        known = {each.name for each in found}
        for model in models:
            if model.name not in known:
                prefix = f"{model.name}: "
                told = next((text for text in failures if text.startswith(prefix)), None)
                reasons.append((model.name, told or f"{prefix}the engine does not tell its digest"))
        return tuple(self._plannable(each) for each in found), tuple(reasons)

    def read_file(self, path: str) -> PlannableModel:
        """Read the header of a `.gguf` file, or a saved reply of `/api/show`.

        Raises:
            GpudeskError: it cannot be read.
        """
        from gpudesk.sources.model_metadata import read_file

        return self._plannable(read_file(Path(path).expanduser()))

    def _plannable(self, found: FoundModel) -> PlannableModel:
        from gpudesk.fit.prepared import prepare

        # Here, where headers are read in the background, rather than in the first plan that a key asks for.
        prepare(found.metadata)
        kv_type = self._profile.kv_cache_type if self._profile is not None else "f16"
        options = LoadOptions(
            context_length=found.parameters.get("num_ctx") or None,
            kv_cache_type_k=kv_type,
            kv_cache_type_v=kv_type,
            flash_attention=self._profile.flash_attention if self._profile is not None else None,
            batch_size=found.parameters.get("num_batch") or None,
            layers_on_gpu=found.parameters.get("num_gpu"),
            draft=found.draft,
            lora=found.adapters,
        )
        return PlannableModel(
            found.name, found.metadata, options, found.blob_digest, found.notes, capabilities=found.capabilities
        )

    def plan(
        self,
        wanted: Sequence[Wanted],
        ground: Ground,
        *,
        leaving: Sequence[str] = (),
        installed: Sequence[Wanted] = (),
        alternatives: bool = True,
    ) -> Plan:
        """Plan these models; what leaves counts as free."""
        from gpudesk.fit.plan import plan

        going = [resident for resident in ground.residents if resident.name in leaving]
        cards = tuple(
            replace(
                card,
                available_bytes=min(
                    card.memory_total_bytes - card.reserve_bytes,
                    card.available_bytes + sum(each.by_card[position] for each in going),
                ),
            )
            for position, card in enumerate(ground.cards)
        )
        staying = [resident for resident in ground.residents if resident.name not in leaving]
        return plan(
            wanted,
            cards,
            ground.profile,
            residents=staying,
            calibration=self._points(),
            installed=installed,
            alternatives=alternatives,
        )

    def _points(self) -> Calibration | None:
        """Return the measured points; read again when the store changed."""
        directory = self._points_directory
        if directory is None:
            return None
        from gpudesk.sources.calibration_store import CalibrationStore

        store = CalibrationStore(directory)
        stamp = _stamp(store.path)
        if stamp != self._points_stamp:
            from gpudesk.fit.calibration import Calibration

            self._points_stamp = stamp
            points = store.read()
            self._calibration = Calibration(points) if points else None
        return self._calibration

    def close(self) -> None:
        """Let go of connections."""
        if self._source is not None:
            self._source.close()


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size
