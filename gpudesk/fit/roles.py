"""Which installed model is good for which work: by capabilities first, then by name and size."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from math import prod

from gpudesk.fit.metadata import ModelMetadata
from gpudesk.fit.server_rules import file_bytes, is_embedding, sees
from gpudesk.fit.values import Wanted
from gpudesk.records import dataclass

ROLE_CONTEXT = {"chat": 16384, "code": 16384, "tools": 16384, "vision": 8192, "autocomplete": 8192, "embed": 2048,
                "rerank": 2048}  # fmt: skip
"""Room to work: the context a role is planned with when nobody says another."""
_CODE = re.compile(r"code|coder|devstral|starcoder|codestral|stable-code|granite-code|codegemma|replit|sqlcoder")
_FILLS = re.compile(r"starcoder|codestral|coder|code-?(base|fim)|codellama.*code|-base\b|refact|stable-code|codegemma")
_RERANK = re.compile(r"rerank")
_OLD = re.compile(r"llama2|vicuna|alpaca|orca|falcon|gpt-?j|tinyllama")


@dataclass(frozen=True, slots=True)
class Candidate:
    """An installed model that may take a role."""

    wanted: Wanted
    capabilities: tuple[str, ...] | None = None
    """As the engine tells (`completion`, `insert`, `embedding`, …); None when it does not."""
    context_is_set: bool = False
    """The context of `wanted` was asked for and is kept in every role."""

    @property
    def name(self) -> str:
        """The model's name."""
        return self.wanted.name

    def can(self, capability: str) -> bool | None:
        """Tell whether the engine says so; None when it says nothing."""
        return None if self.capabilities is None else capability in self.capabilities


@dataclass(frozen=True, slots=True)
class Suitability:
    """How well a model does a role, and why."""

    score: float
    """0 to 10."""
    reason: str


def fills_by_name(name: str) -> bool:
    """Tell whether a model's name says that it was trained to fill in the middle."""
    return _FILLS.search(name.lower()) is not None


def billions(metadata: ModelMetadata) -> float:
    """Return parameters in units of 10**9; by file size at 5 bits each when no tensor is known."""
    count = sum(prod(tensor.shape) for tensor in metadata.tensors) if metadata.tensors else 0
    return (count or file_bytes(metadata) * 8 / 5) / 1e9


def active_billions(metadata: ModelMetadata, total: float) -> float:
    """Return the parameters one token uses: of a mixture, the experts used."""
    if not metadata.expert_count or not metadata.expert_used_count:
        return total
    return total * min(1.0, 0.08 + 0.92 * metadata.expert_used_count / metadata.expert_count)


def suitability(candidate: Candidate, role: str, size: float) -> Suitability | None:
    """Judge a model for a role; None when it cannot do it.

    Args:
        candidate: the model.
        role: one of `ROLE_CONTEXT`.
        size: its parameters in units of 10**9.
    """
    metadata, name = candidate.wanted.metadata, candidate.name.lower()
    embeds = candidate.can("embedding") is True or is_embedding(metadata)
    if role == "rerank":
        return Suitability(8.0, "a reranker by its name") if _RERANK.search(name) else None
    if role == "embed":
        return _embed(metadata, size) if embeds and not _RERANK.search(name) else None
    if embeds or candidate.can("completion") is False or _RERANK.search(name):
        return None
    if role == "autocomplete":
        return _autocomplete(candidate, name, size)
    return _writes(candidate, name, size, role)


def _embed(metadata: ModelMetadata, size: float) -> Suitability:
    best = 5 + 2 * math.exp(-((math.log2(max(size, 0.01) / 0.35)) ** 2) / 8)
    if (metadata.context_length_trained or 0) < ROLE_CONTEXT["embed"]:
        short = f"an embedding model of {_size(size)} for short texts"
        return Suitability(best - 1.5, short)
    return Suitability(best, f"an embedding model of {_size(size)}")


def _autocomplete(candidate: Candidate, name: str, size: float) -> Suitability | None:
    fills = candidate.can("insert")
    if fills is not True and not _FILLS.search(name):
        return None
    active = active_billions(candidate.wanted.metadata, size)
    fast = 6 * math.exp(-((math.log2(max(active, 0.05) / 2.0)) ** 2) / 3)
    score = fast + (2.5 if fills else 1.0) + (1.0 if _CODE.search(name) else 0.0)
    why = "fills in the middle" if fills else "fills in the middle, by its name"
    fast_words = "small and fast" if size <= 4 else "fast"
    speed = fast_words if active <= 4 else "slow for every key press" if active > 9 else "not the fastest"
    measure = _size(size) if active > size * 0.9 else f"{_size(active)} of {_size(size)} per token"
    return Suitability(score, f"{why}, {speed} ({measure})")


def _writes(candidate: Candidate, name: str, size: float, role: str) -> Suitability | None:
    metadata = candidate.wanted.metadata
    tools, vision = candidate.can("tools"), candidate.can("vision") or sees(metadata)
    if (role == "vision" and not vision) or (role == "tools" and not tools):
        return None
    score = 1.6 * math.log2(1 + max(size, 0.05))
    why = [_size(size)]
    if tools:
        score += 0.8
        why.append("uses tools")
    codes = bool(_CODE.search(name))
    if role == "code":
        score += 1.5 if codes else -0.5
        why.append("made for code" if codes else "not made for code")
    elif codes and role == "chat":
        score -= 0.7
        why.append("made for code")
    if "base" in name or (candidate.capabilities is not None and candidate.capabilities == ("completion",)):
        score -= 0.8
    if _OLD.search(name):
        score -= 2
        why.append("an older model")
    return Suitability(max(0.0, min(10.0, score)), ", ".join(why))


def _size(size: float) -> str:
    return f"{size:.1f}B" if size >= 1 else f"{size * 1000:.0f}M"


def context_for(candidate: Candidate, roles: Sequence[str]) -> int:
    """Return the context a model is planned with in these roles: the longest they need, never above the trained."""
    options = candidate.wanted.options
    if candidate.context_is_set and options.context_length is not None:
        return options.context_length
    need = max(ROLE_CONTEXT.get(role, 8192) for role in roles)
    return min(need, candidate.wanted.metadata.context_length_trained or need)
