"""Which runner holds which loaded model.

Engines name models, the operating system names processes; a runner's command line, the modelfile and the manifests
hold the blob that both are made of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from functools import partial

from gpudesk.domain.engine import EngineSample, Era, era_of
from gpudesk.domain.model import EngineModel, ModelDetails
from gpudesk.domain.process import Process, Runner
from gpudesk.domain.serving import Serving
from gpudesk.records import dataclass

REGISTRY_PREFIXES = ("registry.ollama.ai/library/", "registry.ollama.ai/", "library/")


@dataclass(slots=True, eq=False)
class RunnerGroup:
    """One runner and the processes it started."""

    process: Process
    runner: Runner
    pids: tuple[int, ...]
    resident_bytes: int | None


@dataclass(slots=True, eq=False)
class ModelGroup:
    """The rows of one engine that share one set of weights, and the runners that hold them."""

    engine_url: str
    local: bool
    era: Era | None
    models: list[EngineModel]
    details: ModelDetails | None
    runners: list[RunnerGroup] = field(default_factory=list)

    @property
    def weights(self) -> str | None:
        """Digest of the file the runner was started with."""
        return self.details.blob_digests[0] if self.details and self.details.blob_digests else None

    @property
    def blobs(self) -> tuple[str, ...]:
        """Digests of every file the model is made of."""
        return self.details.blob_digests if self.details else ()

    @property
    def pids(self) -> tuple[int, ...]:
        """Every process that holds this model."""
        return tuple(sorted({pid for group in self.runners for pid in group.pids}))

    @property
    def resident_bytes(self) -> int | None:
        """Host memory of its processes."""
        known = [group.resident_bytes for group in self.runners if group.resident_bytes is not None]
        return sum(known) if known else None


def model_groups(engines: Sequence[EngineSample], details: Sequence[ModelDetails]) -> list[ModelGroup]:
    """Group every engine's models by weights, in the order the engines list them; a repeated name counts once.

    The same manifest, or the same first blob, means the same runner (ollama server/sched.go:108 at v0.33.0-rc2).
    """
    by_digest = {_plain(entry.digest): entry for entry in details}
    groups: dict[tuple[str, str], ModelGroup] = {}
    seen: set[tuple[str, str]] = set()
    for engine in engines:
        era = era_of(engine.version)
        for model in engine.models:
            if (engine.url, model.name) in seen:
                continue
            seen.add((engine.url, model.name))
            known = by_digest.get(_plain(model.digest)) if model.digest else None
            weights = known.blob_digests[0] if known and known.blob_digests else None
            identity = weights or (f"manifest {_plain(model.digest)}" if model.digest else f"name {model.name}")
            group = groups.get((engine.url, identity))
            if group is None:
                groups[engine.url, identity] = ModelGroup(engine.url, engine.local, era, [model], known)
            else:
                group.models.append(model)
    return list(groups.values())


def runner_groups(processes: dict[int, Process]) -> list[RunnerGroup]:
    """Return every runner with the children it has among the processes looked at (by pid), in pid order."""
    by_pid = {pid: process for pid, process in processes.items() if process.exists}
    members: dict[int, list[Process]] = {
        pid: [process] for pid, process in by_pid.items() if process.runner is not None
    }
    for process in by_pid.values():
        owner = _owner(process, by_pid)
        if owner is not None and owner != process.pid:
            members[owner].append(process)
    groups = []
    for pid in sorted(members):
        process = by_pid[pid]
        if process.runner is None:
            continue
        resident = [member.memory_resident_bytes for member in members[pid] if member.memory_resident_bytes is not None]
        pids = tuple(sorted(member.pid for member in members[pid]))
        groups.append(RunnerGroup(process, process.runner, pids, sum(resident) if resident else None))
    return groups


def _owner(process: Process, by_pid: dict[int, Process]) -> int | None:
    """Return the nearest runner above a process; a runner owns itself. Parents may form a circle in bad input."""
    current: Process | None = process
    for _step in range(8):
        if current is None:
            return None
        if current.runner is not None:
            return current.pid
        current = by_pid.get(current.parent_pid) if current.parent_pid is not None else None
    return None


def join(
    groups: Sequence[ModelGroup], runners: Sequence[RunnerGroup], serving: Serving | None = None
) -> list[RunnerGroup]:
    """Give every runner to the group whose model it holds; return the runners nobody claims.

    By blob, then by the name the command line (MLX) or the manifests tell, then by elimination: one runner and one
    model left over belong together unless their blobs are known to differ, or their servers.

    Args:
        groups: the engines' models.
        runners: what was found among the processes.
        serving: which server answers for which engine; what the clear cases here tell is added to it.
    """
    local = [group for group in groups if group.local]
    serving = Serving() if serving is None else serving
    left = list(runners)
    for by_first in (True, False):
        left = _join_by_blob(local, left, serving, by_first=by_first)
    left = _join_by_name(local, left, serving)
    open_groups = [group for group in local if not group.runners]
    if len(open_groups) == 1:
        (group,) = open_groups
        mine = [runner for runner in left if _may_serve(runner, group, serving)]
        if len(mine) == 1 and _may_be(mine[0], group):
            group.runners.append(mine[0])
            left.remove(mine[0])
    return left


def _join_by_blob(
    groups: Sequence[ModelGroup], runners: Sequence[RunnerGroup], serving: Serving, *, by_first: bool
) -> list[RunnerGroup]:
    """Join by the file a runner was started with: the weights, and in a second pass any file of the model."""
    holders: dict[str, list[ModelGroup]] = {}
    for group in groups:
        for blob in group.blobs[:1] if by_first else group.blobs[1:]:
            if group not in holders.setdefault(blob, []):
                holders[blob].append(group)
    return _give(runners, serving, lambda runner: holders.get(runner.blob_digest or "", []))


def _join_by_name(groups: Sequence[ModelGroup], runners: Sequence[RunnerGroup], serving: Serving) -> list[RunnerGroup]:
    holders: dict[str, list[ModelGroup]] = {}
    for group in groups:
        for model in group.models:
            holders.setdefault(plain_name(model.name), []).append(group)
    return _give(
        runners, serving, lambda runner: holders.get(plain_name(runner.model_name), []) if runner.model_name else []
    )


def _give(
    runners: Sequence[RunnerGroup], serving: Serving, candidates: Callable[[Runner], Sequence[ModelGroup]]
) -> list[RunnerGroup]:
    """Give each runner to the best candidate, the clear cases first; return those without a candidate.

    Several local engines may list the same weights. Runners of one engine have one parent, and each engine has one
    runner per set of weights, so a parent seen in a clear case, the context and a missing runner tell them apart.
    """
    open_cases: list[tuple[RunnerGroup, list[ModelGroup]]] = []
    clear_cases: list[tuple[RunnerGroup, ModelGroup]] = []
    left: list[RunnerGroup] = []
    for runner in runners:
        found = [group for group in candidates(runner.runner) if serving.allows(runner.process, group.engine_url)]
        if not found:
            left.append(runner)
        elif len(found) > 1:
            open_cases.append((runner, found))
        else:
            clear_cases.append((runner, found[0]))
    clear_cases.sort(key=lambda case: _score(case[1], runner=case[0], serving=serving), reverse=True)
    for runner, group in clear_cases:
        _give_to(group, runner, serving, left)
    for runner, found in open_cases:
        _give_to(max(found, key=partial(_score, runner=runner, serving=serving)), runner, serving, left)
    return sorted(left, key=lambda runner: runner.process.pid)


def _give_to(group: ModelGroup, runner: RunnerGroup, serving: Serving, left: list[RunnerGroup]) -> None:
    """Let a group have a runner, unless it has one of another server already."""
    known = {other.process.parent_pid for other in group.runners} - {None}
    if known and runner.process.parent_pid is not None and runner.process.parent_pid not in known:
        left.append(runner)
        return
    group.runners.append(runner)
    serving.learn(runner.process, group.engine_url)


def _score(group: ModelGroup, runner: RunnerGroup, serving: Serving) -> tuple[int, int, int]:
    bound = serving.learned(runner.process)
    context = runner.runner.context_per_slot
    same_context = context is not None and any(model.context_length == context for model in group.models)
    return (0 if bound is None else 1 if bound == group.engine_url else -1, int(not group.runners), int(same_context))


def _may_serve(runner: RunnerGroup, group: ModelGroup, serving: Serving) -> bool:
    """Tell whether a runner's server may be the one of a group's engine."""
    return serving.allows(runner.process, group.engine_url) and not serving.is_others(runner.process, group.engine_url)


def _may_be(runner: RunnerGroup, group: ModelGroup) -> bool:
    """Tell whether nothing that is known speaks against a pairing by elimination."""
    digest, name = runner.runner.blob_digest, runner.runner.model_name
    if digest and group.blobs and digest not in group.blobs:
        return False
    return name is None or any(plain_name(model.name) == plain_name(name) for model in group.models)


def plain_name(name: str) -> str:
    """Return a model name in the one spelling names are compared in: no default registry, a tag, lower case."""
    text = name.strip().lower()
    for prefix in REGISTRY_PREFIXES:
        if text.startswith(prefix):
            text = text.removeprefix(prefix)
            break
    return text if not text or ":" in text.rpartition("/")[2] else f"{text}:latest"


def _plain(digest: str) -> str:
    return digest.removeprefix("sha256:").lower()
