"""What distinguishes architectures where memory is concerned: which layers slide, recur, share or have no KV.

Sources: llama.cpp src/llama-model.cpp and src/models/*.cpp at b10488 (`set_swa_pattern`, `recurrent_layer_arr`,
`n_layer_kv_from_start`), src/llama-arch.cpp (names); Ollama model/models/* and fs/ggml/ggml.go at v0.24.0.
"""

from __future__ import annotations

from enum import StrEnum
from itertools import chain

from gpudesk.fit.metadata import ModelMetadata
from gpudesk.records import dataclass

UNKNOWN_ARCHITECTURE = "unknown architecture"
"""The words of an estimate that knows only tensors and keys."""


class Recurrence(StrEnum):
    """Which state a recurrent layer keeps."""

    NONE = "none"
    MAMBA = "mamba"
    """Convolution and scan state; also the gated delta net of qwen3next and qwen35."""
    SHORT_CONVOLUTION = "short convolution"
    """lfm2: the last tokens of the convolution only."""
    KIMI_DELTA = "kimi delta attention"
    RWKV = "rwkv"


@dataclass(frozen=True, slots=True)
class ArchitectureRules:
    """One model's layers, each tuple as long as the model is deep."""

    name: str
    """llama.cpp's name for the architecture."""
    known: bool
    encoder: bool
    """Reads the whole text at once: no KV cache."""
    sliding: tuple[bool, ...]
    recurrent: tuple[bool, ...]
    owns_kv: tuple[bool, ...]
    """Has attention and its own cache rather than another layer's."""
    recurrence: Recurrence
    latent: bool
    """Multi-head latent attention: one compressed row per token."""
    one_slot: bool
    """Ollama loads it with one slot whatever is asked (server/sched.go:495 at v0.33.0-rc2)."""
    ollama_engine: bool
    """Ran on Ollama's own engine, not llama.cpp, before 0.30 (fs/ggml/ggml.go `OllamaEngineRequired`)."""
    notes: tuple[str, ...] = ()


ALIASES = {
    "gptoss": "gpt-oss",
    "qwen25vl": "qwen2vl",
    "qwen3vl": "qwen3vl",
    "phi4": "phi3",
    "codestral": "llama",
    "granite-hybrid": "granitehybrid",
    "nomic_bert": "nomic-bert",
    "nomicbert": "nomic-bert",
    "cohere": "command-r",
    "nemotron_h_omni": "nemotron_h_moe",
    "deepseek3": "deepseek2",
    "glm4moelite": "deepseek2",
}
"""Other names for the same thing: Ollama's own conversions and spellings of configurations."""


def _names(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


ENCODERS = _names(
    "bert nomic-bert nomic-bert-moe jina-bert-v2 jina-bert-v3 modern-bert neo-bert eurobert",
    "gemma-embedding t5encoder lfm2-encoder",
)
DECODERS = _names(
    "llama llama4 mllama mistral mistral3 mistral4 mixtral qwen qwen2 qwen2moe qwen2vl qwen3 qwen3moe",
    "qwen3vl qwen3vlmoe qwen3next qwen35 qwen35moe gemma gemma2 gemma3 gemma3n gemma4 phi2 phi3",
    "phimoe granite granitemoe granitehybrid deepseek deepseek2 gpt-oss glm4 glm4moe chatglm",
    "command-r cohere2 starcoder starcoder2 gpt2 gptj gptneox falcon falcon-h1 mamba mamba2 jamba",
    "olmo olmo2 olmoe exaone exaone4 internlm2 minicpm minicpm3 stablelm smollm3 smallthinker",
    "nemotron nemotron_h nemotron_h_moe lfm2 lfm2moe kimi-linear ernie4_5 ernie4_5-moe hunyuan-moe",
    "hunyuan-dense seed_oss dots1 bailingmoe bailingmoe2 arcee apertus plamo2 rwkv6 rwkv7 bloom mpt",
    "baichuan orion xverse dbrx grok minimax-m2 solar deci openelm codeshell",
)

PERIODS: dict[str, int] = {
    "gemma2": 2,
    "gemma3": 6,
    "gemma3n": 5,
    "gemma-embedding": 6,
    "gpt-oss": 2,
    "llama4": 4,
    "cohere2": 4,
    "olmo2": 4,
    "exaone4": 4,
    "smallthinker": 4,
}
"""Of `p` layers the last sees everything, the others the window, where the header has no pattern of its own."""

WITHOUT_WINDOW = _names(
    "phi3 phimoe phi4 qwen2 qwen2moe qwen2vl qwen3 qwen3moe llama mistral mistral3 starcoder2",
)
"""The header may name a window that llama.cpp does not use (`LLAMA_SWA_TYPE_NONE`)."""

DEFAULT_WINDOWS = {"llama4": 8192, "gemma2": 4096, "cohere2": 4096}

ONE_SLOT = _names(
    "mllama qwen3vl qwen3vlmoe qwen35 qwen35moe qwen3next lfm2 lfm2moe nemotron_h nemotron_h_moe",
)
OLLAMA_ENGINE = _names(
    "gemma3 gemma3n gemma4 gpt-oss llama4 mllama mistral3 qwen2vl qwen3vl qwen3vlmoe qwen3next qwen35",
    "qwen35moe gemma-embedding glm4moelite olmo3 lfm2 lfm2moe nemotron_h nemotron_h_moe deepseekocr",
)
DELTA_NETS = frozenset({"qwen3next", "qwen35", "qwen35moe"})
FULLY_RECURRENT = frozenset({"mamba", "mamba2", "rwkv6", "rwkv7", "rwkv6qwen2", "arwkv7"})
LATENT = frozenset({"deepseek2", "minicpm3", "plm", "kimi-linear", "mistral4"})
GEMMA3N_KV_LAYERS = 20
"""`n_layer_kv_from_start` (src/models/gemma3n.cpp at b10488)."""


def canonical(architecture: str) -> str:
    """Return llama.cpp's name of an architecture, as written where nothing is known of it."""
    name = architecture.strip().lower()
    return ALIASES.get(name, name)


def rules(metadata: ModelMetadata) -> ArchitectureRules:
    """Tell the layers of a model apart, from its architecture and where that is unknown from its keys and tensors."""
    name = canonical(metadata.architecture)
    known = name in DECODERS or name in ENCODERS
    encoder = name in ENCODERS or (not known and metadata.causal is False)
    recurrent = _recurrent(name, metadata)
    sliding = _sliding(name, metadata)
    latent = metadata.kv_lora_rank is not None and (metadata.key_length_mla is not None or _latent_shape(metadata))
    notes: tuple[str, ...] = (
        () if known else (f"{UNKNOWN_ARCHITECTURE} {metadata.architecture!r}: computed from its tensors and keys",)
    )
    if not known and metadata.sliding_window and not any(sliding):
        notes += ("which layers use the sliding window is not told: all are counted in full",)
    return ArchitectureRules(
        name=name,
        known=known,
        encoder=encoder,
        sliding=sliding,
        recurrent=recurrent,
        owns_kv=(False,) * metadata.layer_count if encoder else _owns_kv(name, metadata, recurrent),
        recurrence=_recurrence(name, metadata, recurrent),
        latent=latent,
        one_slot=name in ONE_SLOT,
        ollama_engine=name in OLLAMA_ENGINE,
        notes=notes,
    )


def _latent_shape(metadata: ModelMetadata) -> bool:
    """Tell whether keys are already the compressed row: one KV head as wide as rank and rope together."""
    width = (metadata.kv_lora_rank or 0) + (metadata.rope_dimension_count or 0)
    return max(metadata.head_count_kv, default=0) == 1 and metadata.key_length == width


def _sliding(name: str, metadata: ModelMetadata) -> tuple[bool, ...]:
    layers = metadata.layer_count
    window = metadata.sliding_window or DEFAULT_WINDOWS.get(name)
    if not window or name in WITHOUT_WINDOW:
        return (False,) * layers
    pattern = metadata.sliding_window_pattern
    if isinstance(pattern, tuple):
        return tuple(pattern[layer] if layer < len(pattern) else False for layer in range(layers))
    period = pattern if pattern is not None else PERIODS.get(name)
    if not period:
        return (False,) * layers
    if name == "smallthinker":
        return tuple(layer % period != 0 for layer in range(layers))
    return tuple(layer % period < period - 1 for layer in range(layers))


def _recurrent(name: str, metadata: ModelMetadata) -> tuple[bool, ...]:
    layers = metadata.layer_count
    if metadata.recurrent_layers is not None:
        return tuple(metadata.recurrent_layers[:layers])
    if name in DELTA_NETS:
        interval = metadata.full_attention_interval or 4
        return tuple((layer + 1) % interval != 0 for layer in range(layers))
    if name in FULLY_RECURRENT or name == "falcon-h1":
        return (True,) * layers
    if not (metadata.ssm_inner_size or metadata.shortconv_cache or name in {"kimi-linear", "plamo2"}):
        return (False,) * layers
    if not any(metadata.head_count_kv):
        return (True,) * layers
    widths = metadata.feed_forward_length
    only_feed_forward = name.startswith("nemotron_h") and len(widths) == layers
    return tuple(
        heads == 0 and not (only_feed_forward and widths[layer] > 0)
        for layer, heads in enumerate(metadata.head_count_kv)
    )


def _owns_kv(name: str, metadata: ModelMetadata, recurrent: tuple[bool, ...]) -> tuple[bool, ...]:
    layers = metadata.layer_count
    owners = layers - metadata.shared_kv_layers
    if name == "gemma3n" and not metadata.shared_kv_layers:
        owners = min(layers, GEMMA3N_KV_LAYERS)
    both = name == "falcon-h1"
    crossed = _cross_layers(metadata)
    return tuple(
        layer < owners and metadata.head_count_kv[layer] > 0 and (both or not recurrent[layer]) and layer not in crossed
        for layer in range(layers)
    )


def _cross_layers(metadata: ModelMetadata) -> frozenset[int]:
    """Return the layers that attend to an image instead of the text (mllama), told by their tensors."""
    found = set()
    for tensor in metadata.tensors:
        if ".cross_attn" not in tensor.name:
            continue
        parts = tensor.name.split(".")
        if len(parts) > 2 and parts[2].startswith("cross_attn") and parts[1].isdecimal():
            found.add(int(parts[1]))
    return frozenset(found)


def cross_layers(metadata: ModelMetadata) -> frozenset[int]:
    """Return the layers that attend to an image instead of the text (mllama)."""
    return _cross_layers(metadata) if canonical(metadata.architecture) == "mllama" else frozenset()


def _recurrence(name: str, metadata: ModelMetadata, recurrent: tuple[bool, ...]) -> Recurrence:
    if not any(recurrent):
        return Recurrence.NONE
    if name == "kimi-linear":
        return Recurrence.KIMI_DELTA
    if "rwkv" in name:
        return Recurrence.RWKV
    return Recurrence.SHORT_CONVOLUTION if metadata.shortconv_cache else Recurrence.MAMBA


def known_names() -> tuple[str, ...]:
    """Return every architecture the rules know, sorted."""
    return tuple(sorted(chain(DECODERS, ENCODERS)))
