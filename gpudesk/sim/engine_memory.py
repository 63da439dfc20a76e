"""What a runner really allocates; the driver of the simulated card shows this.

The numbers are those of `gpudesk.fit` for the simulated card and the version of the engine, so that a plan made for
this workstation is true on it. Only the driver's own share differs a little, as it does from model to model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from gpudesk.domain.engine import Era, era_of
from gpudesk.fit import kv_cache as caches
from gpudesk.fit import projector
from gpudesk.fit.estimate import MATRICES_OF_A_LAYER, estimate
from gpudesk.fit.from_keys import metadata_from_keys
from gpudesk.fit.from_show import with_projector
from gpudesk.fit.metadata import Tensor
from gpudesk.fit.overhead import overhead
from gpudesk.fit.prepared import Prepared, prepare
from gpudesk.fit.values import CardBudget, EngineProfile, LoadOptions, Wanted
from gpudesk.records import replace
from gpudesk.sim.cards import MEBIBYTE
from gpudesk.sim.models import SimulatedModel
from gpudesk.sim.ollama_show import all_tensors, model_info, projector_info

if TYPE_CHECKING:
    from gpudesk.sim.models import Shape

CONTEXT_BYTES = 457 * MEBIBYTE
"""What Ollama takes for a CUDA context with cuBLAS, whatever the card (ollama ml/device.go:359)."""

ROOMY_CARDS = (CardBudget(0, "", 1 << 50, 1 << 50), CardBudget(1, "", 1 << 50, 1 << 50))
"""Cards that take everything: what lies on them depends on the model alone."""

CACHE_TYPES = {
    "": "F16", "f16": "F16", "bf16": "BF16", "f32": "F32", "q8_0": "Q8_0", "q5_1": "Q5_1", "q5_0": "Q5_0",
    "q4_1": "Q4_1", "q4_0": "Q4_0", "iq4_nl": "IQ4_NL",
}  # fmt: skip
"""OLLAMA_KV_CACHE_TYPE to tensor type; llama.cpp common/arg.cpp:305."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a runner was started with, as far as memory depends on it."""

    context_length: int
    """Per slot."""
    parallel: int = 1
    batch: int = 512
    cache_type: str = ""
    flash_attention: bool = True
    version: str = "0.33.0"
    """Of the server."""

    @property
    def load(self) -> LoadOptions:
        """The same as the formulas take it."""
        kind = self.cache_type or "f16"
        return LoadOptions(
            context_length=self.context_length, parallel=self.parallel, kv_cache_type_k=kind, kv_cache_type_v=kind,
            flash_attention=self.flash_attention, batch_size=self.batch,
        )  # fmt: skip


@lru_cache(maxsize=64)
def profile_of(version: str) -> EngineProfile:
    """Return the engine of a version."""
    return EngineProfile(version=version, era=era_of(version) or Era.LLAMA_SERVER)


@lru_cache(maxsize=512)
def header(shape: Shape, quantization: str) -> Prepared:
    """Read a model's header as everybody reads it who asks `/api/show`, its tensors summed."""
    model = SimulatedModel("header", shape, quantization, "")
    told = {key: value for key, value in model_info(model, verbose=False).items() if value is not None}
    listed = [Tensor(tensor.name, tensor.type, tensor.shape) for tensor in all_tensors(model)]
    metadata = metadata_from_keys(told, listed)
    if shape.projector is not None and not shape.projector.embedded:
        metadata = with_projector(metadata, projector_info(model))
    return prepare(metadata)


def context_bytes(model: SimulatedModel, card: CardBudget, version: str) -> int:
    """Return what a process takes on a card besides its buffers: what is expected there, and a few MiB to either side.

    Memory pools and graphs differ from model to model; the difference is taken from the digest, so that it is
    stable and nobody can mistake it for a formula.
    """
    _low, expected, _high = overhead(profile_of(version), card)
    return expected + (int(model.blob_digest[:2], 16) % 11 - 6) * MEBIBYTE


@lru_cache(maxsize=2048)
def _cache(shape: Shape, quantization: str, options: RunOptions) -> caches.KvLayout:
    prepared = header(shape, quantization)
    return caches.kv_cache(
        prepared.metadata,
        options.load,
        options.context_length,
        options.parallel,
        profile_of(options.version).era,
        known=prepared.rules,
        batch=options.batch,
        flash_attention=options.flash_attention,
    )


def kv_by_layer(shape: Shape, options: RunOptions, quantization: str = "F16") -> tuple[int, ...]:
    """Return the KV bytes of every layer."""
    return _cache(shape, quantization, options).layers


def sees_window(shape: Shape, quantization: str = "F16") -> tuple[bool, ...]:
    """Tell of every layer whether it sees only a window."""
    return header(shape, quantization).rules.sliding


@lru_cache(maxsize=2048)
def compute_bytes(shape: Shape, options: RunOptions, quantization: str = "F16", *, several: bool = False) -> int:
    """Return the compute buffer of one card; of one among several that share all layers."""
    wanted = Wanted("", header(shape, quantization).metadata, options.load)
    profile = replace(profile_of(options.version), spread=several)
    return estimate(wanted, profile, ROOMY_CARDS if several else ROOMY_CARDS[:1]).by_card[0].compute_bytes


def copied_bytes(shape: Shape, quantization: str) -> int:
    """Return what a card's compute buffer takes more when layers lie in host memory: a matrix of the largest."""
    return max(header(shape, quantization).weights.layers, default=0) // MATRICES_OF_A_LAYER


def projector_bytes(shape: Shape, quantization: str, version: str) -> tuple[int, int]:
    """Return the weights of the projector, and the buffer of the encoder that reads an image."""
    prepared = header(shape, quantization)
    held = prepared.projector_bytes
    return held, projector.projector(prepared.metadata, profile_of(version).era, held) - held


def draft_bytes(model: SimulatedModel, options: RunOptions) -> tuple[int, int]:
    """Return the weights of the draft model that shares the process, and its cache and buffers; zeros without one."""
    if model.draft is None:
        return 0, 0
    weights = header(model.draft, "Q4_0").weights.card_bytes
    return weights, sum(kv_by_layer(model.draft, options, "Q4_0")) + compute_bytes(model.draft, options, "Q4_0")


def host_compute_bytes(shape: Shape, options: RunOptions) -> int:
    """Return the pinned host buffer every runner has: inputs and logits."""
    return options.batch * shape.embedding_length * 4 + shape.vocabulary * options.parallel * 4 + 16 * MEBIBYTE
