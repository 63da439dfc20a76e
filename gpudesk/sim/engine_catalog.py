"""Installed models of the simulated workstation: some forty names as one finds them, and as many more as wanted.

The shapes are those of the published models, so that weights, KV cache and everything that follows from them are
consistent with each other; sizes come out within a few percent of the real files.
"""

from __future__ import annotations

from functools import lru_cache

from gpudesk.sim.models import Projector, Shape, SimulatedModel

_FIM = (
    "{{- if .Suffix }}<|fim_prefix|>{{ .Prompt }}<|fim_suffix|>{{ .Suffix }}<|fim_middle|>"
    "{{ else }}{{ .Prompt }}{{ end }}"
)
_CHAT = "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
_TOOLS = "{{- if .Tools }}{{ .Tools }}{{ end }}" + _CHAT
_GPT_OSS = "<|start|>system<|message|>{{ .System }}<|end|>{{ .Prompt }}"

_CLIP = Projector(27, 1152, 4304, 16, image_size=896, patch_size=14)
_QWEN_VISION = Projector(32, 1280, 3420, 16, image_size=560, patch_size=14)
_LLAVA_VISION = Projector(24, 1024, 4096, 16, image_size=336, patch_size=14, embedded=False)
_PIXTRAL = Projector(24, 1024, 4096, 16, image_size=1540, patch_size=14)


def _qwen3(blocks: int, width: int, inner: int, heads: int, **more: object) -> Shape:
    return Shape("qwen3", blocks, width, inner, heads, 8, 151936, 40960, key_length=128, query_key_norm=True, **more)  # type: ignore[arg-type]


def _qwen2(blocks: int, width: int, inner: int, heads: int, heads_kv: int, **more: object) -> Shape:
    return Shape("qwen2", blocks, width, inner, heads, heads_kv, 151936, 32768, attention_bias=True, **more)  # type: ignore[arg-type]


def _gemma3(blocks: int, width: int, inner: int, heads: int, heads_kv: int, projector: Projector | None) -> Shape:
    return Shape(
        "gemma3", blocks, width, inner, heads, heads_kv, 262145, 131072, key_length=256, tied_output=True,
        sliding_window=1024 if blocks > 26 else 512, sliding_pattern=6, query_key_norm=True, projector=projector,
    )  # fmt: skip


QWEN3_14B = _qwen3(40, 5120, 17408, 40)
QWEN3_8B = _qwen3(36, 4096, 12288, 32)
QWEN3_4B = _qwen3(36, 2560, 9728, 32, tied_output=True)
QWEN3_32B = _qwen3(64, 5120, 25600, 64)
QWEN3_06B = _qwen3(28, 1024, 3072, 16, tied_output=True)
QWEN3_30B_A3B = Shape(
    "qwen3moe", 48, 2048, 6144, 32, 4, 151936, 262144, key_length=128, query_key_norm=True,
    expert_count=128, expert_used_count=8, expert_feed_forward_length=768,
)  # fmt: skip
QWEN25_CODER_15B = _qwen2(28, 1536, 8960, 12, 2, tied_output=True)
QWEN25_CODER_7B = _qwen2(28, 3584, 18944, 28, 4)
QWEN25_CODER_32B = _qwen2(64, 5120, 27648, 40, 8)
QWEN25_VL_7B = Shape("qwen25vl", 28, 3584, 18944, 28, 4, 152064, 128000, attention_bias=True, projector=_QWEN_VISION)
LLAMA31_8B = Shape("llama", 32, 4096, 14336, 32, 8, 128256, 131072, rope_dimension_count=128)
LLAMA32_3B = Shape("llama", 28, 3072, 8192, 24, 8, 128256, 131072, rope_dimension_count=128, tied_output=True)
LLAMA32_1B = Shape("llama", 16, 2048, 8192, 32, 8, 128256, 131072, rope_dimension_count=64, tied_output=True)
LLAMA33_70B = Shape("llama", 80, 8192, 28672, 64, 8, 128256, 131072, rope_dimension_count=128)
MISTRAL_7B = Shape("llama", 32, 4096, 14336, 32, 8, 32768, 32768, rope_dimension_count=128)
MISTRAL_NEMO = Shape("llama", 40, 5120, 14336, 32, 8, 131072, 1024000, key_length=128)
MISTRAL_SMALL = Shape("mistral3", 40, 5120, 32768, 32, 8, 131072, 131072, key_length=128, projector=_PIXTRAL)
DEVSTRAL = Shape("llama", 40, 5120, 32768, 32, 8, 131072, 131072, key_length=128)
CODESTRAL = Shape("llama", 56, 6144, 16384, 48, 8, 32768, 32768, rope_dimension_count=128)
CODELLAMA_7B = Shape("llama", 32, 4096, 11008, 32, 32, 32016, 16384, rope_dimension_count=128)
LLAVA_7B = Shape("llama", 32, 4096, 14336, 32, 8, 32000, 32768, projector=_LLAVA_VISION)
SMOLLM2 = Shape("llama", 24, 2048, 8192, 32, 32, 49152, 8192, tied_output=True)
GEMMA3_12B = _gemma3(48, 3840, 15360, 16, 8, _CLIP)
GEMMA3_27B = _gemma3(62, 5376, 21504, 32, 16, _CLIP)
GEMMA3_4B = _gemma3(34, 2560, 10240, 8, 4, _CLIP)
GEMMA3_1B = _gemma3(26, 1152, 6912, 4, 1, None)
GEMMA2_9B = Shape(
    "gemma2", 42, 3584, 14336, 16, 8, 256000, 8192, key_length=256, tied_output=True,
    sliding_window=4096, sliding_pattern=2,
)  # fmt: skip
PHI4 = Shape("phi3", 40, 5120, 17920, 40, 10, 100352, 16384, rope_dimension_count=128)
PHI4_MINI = Shape("phi3", 32, 3072, 8192, 24, 8, 200064, 131072, tied_output=True, rope_dimension_count=96)
STARCODER2_3B = Shape(
    "starcoder2", 30, 3072, 12288, 24, 2, 49152, 16384, tied_output=True, gated=False, attention_bias=True
)
GRANITE33_8B = Shape("granite", 40, 4096, 12800, 32, 8, 49159, 131072, tied_output=True, rope_dimension_count=128)
COMMAND_R7B = Shape(
    "cohere2", 32, 4096, 14336, 32, 8, 256000, 8192, key_length=128, tied_output=True,
    sliding_window=4096, sliding_pattern=4,
)  # fmt: skip
DEEPSEEK_CODER_V2 = Shape(
    "deepseek2", 27, 2048, 10944, 16, 16, 102400, 163840, key_length=192, value_length=128, kv_lora_rank=512,
    rope_dimension_count=64, expert_count=64, expert_used_count=6, expert_feed_forward_length=1408,
    leading_dense_block_count=1,
)  # fmt: skip
GPT_OSS_20B = Shape(
    "gptoss", 24, 2880, 2880, 64, 8, 201088, 131072, key_length=64, sliding_window=128, sliding_pattern=2,
    attention_bias=True, expert_count=32, expert_used_count=4, expert_feed_forward_length=2880,
)  # fmt: skip
NOMIC_EMBED = Shape(
    "nomic-bert", 12, 768, 3072, 12, 12, 30522, 2048, causal=False, pooling_type=1,
)  # fmt: skip
MXBAI_EMBED = Shape("bert", 24, 1024, 4096, 16, 16, 30522, 512, causal=False, gated=False, pooling_type=2)
ALL_MINILM = Shape("bert", 6, 384, 1536, 12, 12, 30522, 512, causal=False, gated=False, pooling_type=1)
BGE_M3 = Shape("bert", 24, 1024, 4096, 16, 16, 250002, 8192, causal=False, gated=False, pooling_type=2)
QWEN3_DRAFT = Shape("qwen3", 1, 5120, 17408, 40, 8, 32000, 40960, key_length=128)

_TEXT = ("completion",)
_WITH_TOOLS = ("completion", "tools")
_THINKS = ("completion", "tools", "thinking")
_FILLS = ("completion", "tools", "insert")
_SEES = ("completion", "vision")
_EMBEDS = ("embedding",)

_ROWS: tuple[tuple[str, Shape, str, str, tuple[str, ...], str], ...] = (
    ("qwen3:14b", QWEN3_14B, "Q4_K_M", "14.8B", _THINKS, _TOOLS),
    ("qwen2.5-coder:1.5b", QWEN25_CODER_15B, "Q4_K_M", "1.5B", _FILLS, _FIM),
    ("nomic-embed-text:latest", NOMIC_EMBED, "F16", "137M", _EMBEDS, "{{ .Prompt }}"),
    ("qwen2.5-coder:7b", QWEN25_CODER_7B, "Q4_K_M", "7.6B", _FILLS, _FIM),
    ("gemma3:12b", GEMMA3_12B, "Q4_K_M", "12.2B", _SEES, _CHAT),
    ("gpt-oss:20b", GPT_OSS_20B, "MXFP4", "20.9B", _THINKS, _GPT_OSS),
    ("llama3.1:8b", LLAMA31_8B, "Q4_K_M", "8.0B", _WITH_TOOLS, _TOOLS),
    ("deepseek-coder-v2:16b", DEEPSEEK_CODER_V2, "Q4_0", "15.7B", ("completion", "insert"), _FIM),
    ("mistral-small3.2:24b", MISTRAL_SMALL, "Q4_K_M", "24.0B", ("completion", "vision", "tools"), _TOOLS),
    ("phi4:14b", PHI4, "Q4_K_M", "14.7B", _TEXT, _CHAT),
    ("codestral:22b", CODESTRAL, "Q4_0", "22.2B", ("completion", "insert"), _FIM),
    ("starcoder2:3b", STARCODER2_3B, "Q4_0", "3.0B", ("completion", "insert"), _FIM),
    ("granite3.3:8b", GRANITE33_8B, "Q4_K_M", "8.2B", _FILLS, _FIM),
    ("qwen3:30b-a3b", QWEN3_30B_A3B, "Q4_K_M", "30.5B", _THINKS, _TOOLS),
    ("qwen3:8b", QWEN3_8B, "Q4_K_M", "8.2B", _THINKS, _TOOLS),
    ("qwen3:4b", QWEN3_4B, "Q4_K_M", "4.0B", _THINKS, _TOOLS),
    ("qwen3:0.6b", QWEN3_06B, "Q4_K_M", "751.63M", _THINKS, _TOOLS),
    ("qwen3:32b", QWEN3_32B, "Q4_K_M", "32.8B", _THINKS, _TOOLS),
    ("qwen3-coder:30b", QWEN3_30B_A3B, "Q4_K_M", "30.5B", _WITH_TOOLS, _TOOLS),
    ("qwen2.5-coder:32b", QWEN25_CODER_32B, "Q4_K_M", "32.8B", _FILLS, _FIM),
    ("qwen2.5-coder:1.5b-base", QWEN25_CODER_15B, "Q4_K_M", "1.5B", _TEXT, "{{ .Prompt }}"),
    ("qwen2.5vl:7b", QWEN25_VL_7B, "Q4_K_M", "8.3B", _SEES, _CHAT),
    ("llama3.2:3b", LLAMA32_3B, "Q4_K_M", "3.2B", _WITH_TOOLS, _TOOLS),
    ("llama3.2:1b", LLAMA32_1B, "Q8_0", "1.2B", _WITH_TOOLS, _TOOLS),
    ("llama3.3:70b", LLAMA33_70B, "Q4_K_M", "70.6B", _WITH_TOOLS, _TOOLS),
    ("mistral:7b", MISTRAL_7B, "Q4_K_M", "7.2B", _WITH_TOOLS, _TOOLS),
    ("mistral-nemo:12b", MISTRAL_NEMO, "Q4_0", "12.2B", _WITH_TOOLS, _TOOLS),
    ("devstral:24b", DEVSTRAL, "Q4_K_M", "23.6B", _WITH_TOOLS, _TOOLS),
    ("codellama:7b-code", CODELLAMA_7B, "Q5_K_M", "6.7B", ("completion", "insert"), _FIM),
    ("llava:7b", LLAVA_7B, "Q4_0", "7.2B", _SEES, _CHAT),
    ("smollm2:1.7b", SMOLLM2, "Q8_0", "1.7B", _WITH_TOOLS, _TOOLS),
    ("gemma3:27b", GEMMA3_27B, "Q4_K_M", "27.4B", _SEES, _CHAT),
    ("gemma3:4b", GEMMA3_4B, "Q4_K_M", "4.3B", _SEES, _CHAT),
    ("gemma3:1b", GEMMA3_1B, "Q4_K_M", "999.89M", _TEXT, _CHAT),
    ("gemma2:9b", GEMMA2_9B, "Q4_0", "9.2B", _TEXT, _CHAT),
    ("phi4-mini:3.8b", PHI4_MINI, "Q4_K_M", "3.8B", _WITH_TOOLS, _TOOLS),
    ("command-r7b:7b", COMMAND_R7B, "Q4_K_M", "8.0B", _WITH_TOOLS, _TOOLS),
    ("mxbai-embed-large:latest", MXBAI_EMBED, "F16", "334M", _EMBEDS, "{{ .Prompt }}"),
    ("all-minilm:latest", ALL_MINILM, "F16", "23M", _EMBEDS, "{{ .Prompt }}"),
    ("bge-m3:latest", BGE_M3, "F16", "566.70M", _EMBEDS, "{{ .Prompt }}"),
)
"""Name, shape, quantization, size label, capabilities, template; the most recently pulled first."""


@lru_cache(maxsize=1)
def catalog() -> tuple[SimulatedModel, ...]:
    """Return the installed models, the latest first.

    Beside the plain ones: a derived model that shares the file of `qwen3:14b`, one with a draft model, one cloud stub.
    """
    plain = [
        SimulatedModel(
            name,
            shape,
            quantization,
            label,
            capabilities,
            template=template,
            modified_seconds_ago=7200 + number * 97_000,
        )
        for number, (name, shape, quantization, label, capabilities, template) in enumerate(_ROWS)
    ]
    return tuple(sorted([*plain, *_special()], key=lambda model: model.modified_seconds_ago))


def _special() -> list[SimulatedModel]:
    return [
        SimulatedModel(
            "qwen3-desk:14b", QWEN3_14B, "Q4_K_M", "14.8B", _THINKS, template=_TOOLS, modified_seconds_ago=5400,
            parameters=(("num_ctx", 16384), ("temperature", 0.6)), blob_key="qwen3:14b", parent_model="qwen3:14b",
        ),
        SimulatedModel(
            "qwen3-mtp:14b", QWEN3_14B, "Q4_0", "14.8B", _THINKS, template=_TOOLS, modified_seconds_ago=700_000,
            draft=QWEN3_DRAFT,
        ),
        SimulatedModel(
            "gpt-oss:120b-cloud", GPT_OSS_20B, "MXFP4", "116.8B", _THINKS, modified_seconds_ago=450_000,
            remote_host="https://ollama.com:443", remote_model="gpt-oss:120b",
        ),
    ]  # fmt: skip


_OWNERS = ("", "alice/", "hf.co/bartowski/", "hf.co/unsloth/", "team/", "")
_SIZED = ("Q4_K_M", "Q5_K_M", "Q8_0", "Q4_0", "Q6_K", "F16")


@lru_cache(maxsize=4)
def synthetic(count: int) -> tuple[SimulatedModel, ...]:
    """Return `count` installed models: the catalog, then variations of its rows under other owners and types."""
    found = list(catalog())[:count]
    for number in range(len(found), count):
        name, shape, _quantization, label, capabilities, template = _ROWS[number % len(_ROWS)]
        quantization = _SIZED[number // len(_ROWS) % len(_SIZED)] if shape.causal else "F16"
        if shape.architecture == "gptoss":
            quantization = "MXFP4"
        owner = _OWNERS[number % len(_OWNERS)]
        base, _colon, tag = name.partition(":")
        found.append(
            SimulatedModel(
                f"{owner}{base}:{tag}-{quantization.lower()}-v{number}", shape, quantization, label, capabilities,
                template=template, modified_seconds_ago=500_000.0 + number * 41_000,
            )
        )  # fmt: skip
    return tuple(found)


def small() -> tuple[SimulatedModel, ...]:
    """Return the forty of the bench: the plain rows."""
    return tuple(model for model in catalog() if not model.parent_model and not model.draft and not model.remote)
