"""Short ways to build the values that attribution works on."""

from __future__ import annotations

from collections.abc import Sequence

from gpudesk.domain.attribution import Attribution
from gpudesk.domain.card import Card, CardProcess, ProcessAccounting
from gpudesk.domain.desk import CardState, Holder, HolderKind, LoadedModel
from gpudesk.domain.engine import EngineSample
from gpudesk.domain.model import EngineModel, ModelDetails
from gpudesk.domain.process import Process, ProcessSample, Runner, RunnerKind
from gpudesk.units import GIBIBYTE, MEBIBYTE

URL = "http://127.0.0.1:11434"
OTHER_URL = "http://127.0.0.1:11500"
TOTAL = 24 * GIBIBYTE
RESERVE = 400 * MEBIBYTE


def blob(number: int) -> str:
    """Return a digest of a file."""
    return f"{number:064x}"


def manifest(number: int) -> str:
    """Return a digest of a manifest, never equal to one of a file."""
    return f"f{number:063x}"


def card(
    *entries: tuple[int, int | None],
    used: int | None = 20 * GIBIBYTE,
    index: int = 0,
    total: int | None = TOTAL,
    reserved: int | None = RESERVE,
    accounting: ProcessAccounting = ProcessAccounting.FULL,
    unified: bool = False,
) -> Card:
    """Return a card with (pid, bytes) entries whose own figures agree."""
    free = None if total is None or used is None else total - used - (reserved or 0)
    return Card(
        index,
        memory_total_bytes=total,
        memory_used_bytes=used,
        memory_free_bytes=free,
        memory_reserved_bytes=reserved,
        processes=tuple(CardProcess(pid, memory) for pid, memory in entries),
        process_accounting=accounting,
        unified_memory=unified,
    )


def model(name: str, number: int = 1, *, vram: int | None = 8 * GIBIBYTE, size: int | None = None) -> EngineModel:
    """Return an engine's row for the manifest with this number."""
    return EngineModel(
        name, URL, digest=manifest(number), size_bytes=vram if size is None else size, size_vram_bytes=vram
    )


def engine(*models: EngineModel, url: str = URL, version: str | None = "0.33.0", local: bool = True) -> EngineSample:
    """Return what an engine lists."""
    return EngineSample(url, version=version, local=local, models=models)


def told(number: int = 1, weights: int | None = None, *others: int) -> ModelDetails:
    """Return details that join manifest and file of the same number, or of `weights`."""
    return ModelDetails(manifest(number), (blob(number if weights is None else weights), *map(blob, others)))


def runner(
    pid: int, number: int | None = 1, *, name: str | None = None, parent: int | None = 900, context: int | None = 8192
) -> Process:
    """Return a llama-server that holds the file with this number."""
    return Process(
        pid,
        "llama-server",
        parent_pid=parent,
        memory_resident_bytes=GIBIBYTE,
        runner=Runner(
            RunnerKind.LLAMA_SERVER,
            None if number is None else blob(number),
            model_name=name,
            context_total=context,
            parallel=1,
        ),
    )


def seen(*processes: Process, in_container: bool = False) -> ProcessSample:
    """Return what a look at the process table gave."""
    return ProcessSample(processes, in_container)


def holders_by_name(state: CardState) -> dict[str, Holder]:
    """Return holders by name; a repeated name is an error of the test."""
    found = {holder.name: holder for holder in state.holders}
    assert len(found) == len(state.holders)
    return found


def sizes(state: CardState) -> dict[str, int]:
    """Return the bytes of each holder by name."""
    return {name: holder.memory_bytes for name, holder in holders_by_name(state).items()}


def rest(state: CardState) -> Holder:
    """Return the unattributed holder."""
    return next(holder for holder in state.holders if holder.kind is HolderKind.UNATTRIBUTED)


def only(models: Sequence[LoadedModel]) -> LoadedModel:
    """Return the single model."""
    (found,) = models
    return found


def assert_adds_up(result: Attribution) -> None:
    """Check the promise: on every card holders and free are the total, and nothing is negative."""
    for state in result.cards:
        held = sum(holder.memory_bytes for holder in state.holders)
        assert all(holder.memory_bytes > 0 for holder in state.holders)
        total = state.card.memory_total_bytes
        if total is None or total <= 0:
            assert state.free_bytes is None
        else:
            assert state.free_bytes is not None
            assert state.free_bytes >= 0
            assert held + state.free_bytes == total
