"""Plans made by hand, and someone who hands them out: what the planner's tests look at."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from gpudesk.domain.desk import Desk
from gpudesk.domain.model import InstalledModel
from gpudesk.errors import UsageError
from gpudesk.fit.metadata import ModelMetadata
from gpudesk.fit.values import (
    Alternative,
    CardBudget,
    CardPlan,
    EngineProfile,
    Estimate,
    LoadOptions,
    Parts,
    Plan,
    Resident,
    ServerForecast,
    Verdict,
    Wanted,
)
from gpudesk.ui.planner.board import Board
from gpudesk.watch.planning import Ground, PlannableModel

GIB = 1 << 30
MIB = 1 << 20
LAYERS = 40


def metadata(gib: float, *, trained: int = 40960) -> ModelMetadata:
    return ModelMetadata(
        architecture="qwen3", layer_count=LAYERS, embedding_length=5120, head_count=(40,) * LAYERS,
        head_count_kv=(8,) * LAYERS, key_length=128, value_length=128, context_length_trained=trained,
        file_bytes=int(gib * GIB),
    )  # fmt: skip


def weigh(wanted: Wanted) -> Parts:
    """A rule simple enough to check in the head: 96 KiB of cache per token in f16, half in q8_0."""
    per_token = {"f16": 96, "q8_0": 51}.get(wanted.options.kv_cache_type_k, 27) * 1024
    context = wanted.options.context_length or 4096
    return Parts(
        weights_bytes=wanted.metadata.file_bytes or 0,
        kv_cache_bytes=per_token * context * (wanted.options.parallel or 1),
        compute_bytes=300 * MIB,
        overhead_bytes=440 * MIB,
    )


class HandMade:
    """Answers the planner's screen with plans of that rule."""

    def __init__(self, *, cards: Sequence[CardBudget] | None = None, problem: str | None = None) -> None:
        self.cards = cards
        self.problem = problem
        self.questions: list[tuple[Wanted, ...]] = []
        self.left: list[tuple[str, ...]] = []
        self.reads: list[str] = []
        self.may_read = threading.Event()
        self.may_read.set()
        self.may_plan = threading.Event()
        self.may_plan.set()
        self.evicts: tuple[str, ...] = ()
        self.broken: dict[str, str] = {}
        self.trained: dict[str, int] = {}

    def ground(self, desk: Desk) -> Ground:
        if self.problem is not None or not desk.cards:
            return Ground(problem=self.problem or "no card is known: no NVIDIA driver")
        cards = self.cards or [
            CardBudget(
                state.card.index, state.card.name or "", state.card.memory_total_bytes or 0,
                max(0, (state.free_bytes or 0) - GIB), 1e12, GIB,
            )
            for state in desk.cards
        ]  # fmt: skip
        residents = tuple(
            Resident(
                model.name, model.memory_bytes or 0,
                tuple(
                    sum(share.memory_bytes for share in model.cards if share.index == state.card.index)
                    for state in desk.cards
                ),
                300.0, context_length=model.context_length,
            )
            for model in desk.models
            if model.local
        )  # fmt: skip
        return Ground(tuple(cards), EngineProfile(version="0.33.0"), residents, "Ollama 0.33.0")

    def described(self, cards: str) -> Ground:
        if "4090" not in cards and "5090" not in cards:
            raise UsageError(f"no card is called {cards}")
        budget = CardBudget(0, cards, 24564 * MIB, 23540 * MIB, 1e12, GIB)
        return Ground((budget,), EngineProfile(version="0.33.0"), (), "Ollama 0.33.0", cards)

    def read(self, models: Sequence[InstalledModel]) -> tuple[tuple[PlannableModel, ...], tuple[tuple[str, str], ...]]:
        self.may_read.wait(10)
        self.reads += [model.name for model in models]
        known = tuple(
            PlannableModel(
                model.name,
                metadata((model.size_bytes or 0) / GIB, trained=self.trained.get(model.name, 40960)),
                blob_digest=model.digest,
            )
            for model in models
            if model.name not in self.broken
        )
        return known, tuple((name, self.broken[name]) for name in self.broken if name in {m.name for m in models})

    def read_file(self, path: str) -> PlannableModel:
        if not path.endswith(".gguf"):
            raise UsageError(f"{path} is no .gguf file")
        return PlannableModel(path.rsplit("/", 1)[-1], metadata(5.0))

    def plan(
        self,
        wanted: Sequence[Wanted],
        ground: Ground,
        *,
        leaving: Sequence[str] = (),
        installed: Sequence[Wanted] = (),
        alternatives: bool = True,
    ) -> Plan:
        self.may_plan.wait(10)
        self.questions.append(tuple(wanted))
        self.left.append(tuple(leaving))
        freed = [each for each in ground.residents if each.name in leaving or each.name in {one.name for one in wanted}]
        available = sum(card.available_bytes for card in ground.cards) + sum(each.memory_bytes for each in freed)
        return self.made(tuple(wanted), ground, available, alternatives=alternatives)

    def made(self, wanted: tuple[Wanted, ...], ground: Ground, available: int, *, alternatives: bool) -> Plan:
        """Put everything on the first card; what is too much stays on the CPU."""
        estimates, left = [], available
        for one in wanted:
            parts = weigh(one)
            layers = LAYERS + 1
            if parts.total_bytes > left and parts.weights_bytes:
                layers = max(
                    0, min(LAYERS, (left - parts.total_bytes + parts.weights_bytes) * layers // parts.weights_bytes)
                )
            kept = replace(parts, weights_bytes=parts.weights_bytes * layers // (LAYERS + 1))
            left -= kept.total_bytes
            rest = tuple(Parts() for _ in ground.cards[1:])
            estimates.append(
                Estimate(
                    one.name, kept, kept.total_bytes - 200 * MIB, kept.total_bytes + 400 * MIB, (kept, *rest),
                    parts.total_bytes - kept.total_bytes, LAYERS + 1, layers, one.options.context_length or 4096,
                    one.options.parallel or 1,
                )
            )  # fmt: skip
        total = sum(each.parts.total_bytes for each in estimates)
        spills = any(each.layers_on_gpu < each.layers_total for each in estimates)
        verdict = Verdict.SPILLS if spills else Verdict.TIGHT if left < 400 * MIB else Verdict.FITS
        if any(each.layers_on_gpu == 0 for each in estimates):
            verdict = Verdict.DOES_NOT_FIT
        cards = tuple(
            CardPlan(replace(card, available_bytes=available), total, total + 400 * MIB, verdict) if not index
            else CardPlan(card, 0, 0, Verdict.FITS)
            for index, card in enumerate(ground.cards)
        )  # fmt: skip
        server = ServerForecast(
            self.evicts, estimates[0].context_length, 1, 512,
            notes=tuple(f"Ollama will evict {name} before it loads {wanted[-1].name}: it allows itself 80 % of what "
                        f"it believes to be free; set num_ctx 16384 and it will not" for name in self.evicts),
        )  # fmt: skip
        found = self._alternatives(wanted, ground, available) if alternatives else ()
        longest = 24576 if verdict in (Verdict.FITS, Verdict.TIGHT) else None
        return Plan(verdict, tuple(estimates), cards, total, server, found, longest)

    def _alternatives(self, wanted: tuple[Wanted, ...], ground: Ground, available: int) -> tuple[Alternative, ...]:
        changes = (
            ("kv:q8_0", "KV cache in q8_0 instead of f16", {"kv_cache_type_k": "q8_0", "kv_cache_type_v": "q8_0"}),
            ("context:4096", f"{wanted[0].name} with a context of 4096", {"context_length": 4096}),
            ("offload:30", f"30 of 41 layers of {wanted[0].name} on the card, the rest on the CPU",
             {"layers_on_gpu": 30}),
        )  # fmt: skip
        found = []
        for key, description, options in changes:
            first = replace(wanted[0], options=replace(wanted[0].options, **options))
            changed = (first, *wanted[1:])
            made = self.made(changed, ground, available, alternatives=False)
            free = available - made.total_bytes
            seconds = 12.0 if key.startswith("offload") else None
            found.append(Alternative(key, description, made.verdict, made.total_bytes, free, seconds, wanted=changed))
        return tuple(found)


def options(context: int | None = None, kv_type: str = "f16") -> LoadOptions:
    return LoadOptions(context_length=context, kv_cache_type_k=kv_type, kv_cache_type_v=kv_type)


def settled(board: Board) -> bool:
    """Every header is read and the whole plan is made, if there is anything to plan."""
    readable = any(each.chosen and each.installed is not None and each.failure is None for each in board.choices)
    planned = board.plan is not None and not board.partial
    return not board.headers.reading.going_on and (planned or not board.ground.cards or not readable)
