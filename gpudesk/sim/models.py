"""What a simulated model is: its shape, its files and its names. All sizes follow from the shape."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256


@dataclass(frozen=True, slots=True)
class Projector:
    """The part that turns pictures into embeddings."""

    blocks: int
    embedding_length: int
    feed_forward_length: int
    head_count: int
    image_size: int
    patch_size: int
    embedded: bool = True
    """True: `v.`/`mm.` tensors in the model's own file; False: a blob of its own."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The dimensions of an architecture, named like the GGUF keys they become (ollama fs/ggml/ggml.go)."""

    architecture: str
    """`general.architecture`: the prefix of the metadata keys."""
    block_count: int
    embedding_length: int
    feed_forward_length: int
    head_count: int
    head_count_kv: int
    vocabulary: int
    context_length: int
    key_length: int | None = None
    """Default: embedding_length / head_count."""
    value_length: int | None = None
    tied_output: bool = False
    """The output layer is the token embedding: no `output.weight`, and a copy of the embedding on the card."""
    sliding_window: int | None = None
    sliding_pattern: int | None = None
    """Every so many layers one sees everything; the others only the window."""
    expert_count: int = 0
    expert_used_count: int = 0
    expert_feed_forward_length: int = 0
    leading_dense_block_count: int = 0
    kv_lora_rank: int | None = None
    """Latent attention: one K row of kv_lora_rank + rope_dimension_count, no V."""
    q_lora_rank: int | None = None
    rope_dimension_count: int | None = None
    pooling_type: int | None = None
    """Present: an embedding model, and nothing but that (ollama server/images.go:171)."""
    causal: bool = True
    """False: an encoder (BERT), which has no KV cache at all."""
    gated: bool = True
    attention_bias: bool = False
    query_key_norm: bool = False
    projector: Projector | None = None

    @property
    def key_size(self) -> int:
        """Elements of one K head."""
        return self.key_length or self.embedding_length // self.head_count

    @property
    def value_size(self) -> int:
        """Elements of one V head."""
        return self.value_length or self.key_size

    @property
    def listed_head_count_kv(self) -> int:
        """`attention.head_count_kv` of the file: latent attention is listed as a single head."""
        return 1 if self.kv_lora_rank else self.head_count_kv

    def sees_everything(self, layer: int) -> bool:
        """Tell whether a layer attends to the whole context (llama.cpp: `il % p < p - 1` slides)."""
        if not self.sliding_window or not self.sliding_pattern:
            return True
        return layer % self.sliding_pattern == self.sliding_pattern - 1


@dataclass(frozen=True)
class SimulatedModel:
    """One installed name. Copies share everything but the name; derived models share the blob."""

    name: str
    """DisplayShortest of the full name: the tag is always there."""
    shape: Shape
    quantization: str
    parameter_size: str
    capabilities: tuple[str, ...] = ("completion",)
    family: str | None = None
    """Family in `details` when it is not the architecture."""
    families: tuple[str, ...] | None = None
    modified_seconds_ago: float = 86400.0
    parameters: tuple[tuple[str, object], ...] = ()
    """PARAMETER lines of the Modelfile."""
    template: str = "{{ .Prompt }}"
    system: str = ""
    license: str = "Apache License\nVersion 2.0, January 2004"
    blob_key: str = ""
    """What the weights' file is: names with equal keys share one blob. Default: the name."""
    parent_model: str = ""
    remote_host: str = ""
    remote_model: str = ""
    draft: Shape | None = None
    """A small model for speculation, loaded into the same process."""

    def __hash__(self) -> int:
        return hash((self.name, self.blob_digest))

    @property
    def remote(self) -> bool:
        """A cloud stub: nothing of it is ever loaded here."""
        return bool(self.remote_host)

    @cached_property
    def blob_digest(self) -> str:
        """Digest of the weights' file, 64 hex digits."""
        return sha256(f"blob {self.blob_key or self.name}".encode()).hexdigest()

    @cached_property
    def projector_digest(self) -> str | None:
        """Digest of the projector's own file; None when it has none."""
        projector = self.shape.projector
        if projector is None or projector.embedded:
            return None
        return sha256(f"projector {self.blob_key or self.name}".encode()).hexdigest()

    @cached_property
    def draft_digest(self) -> str | None:
        """Digest of the draft model's file."""
        return sha256(f"draft {self.blob_key or self.name}".encode()).hexdigest() if self.draft else None

    @cached_property
    def digest(self) -> str:
        """Digest of the manifest: the same for copies, different as soon as a parameter differs."""
        content = repr((self.blob_digest, self.parameters, self.template, self.system, self.license, self.remote_model))
        return sha256(content.encode()).hexdigest()

    @property
    def parameter_values(self) -> dict[str, object]:
        """The Modelfile's parameters as options."""
        return dict(self.parameters)

    def can(self, capability: str) -> bool:
        """Tell whether the model has a capability."""
        return capability in self.capabilities
