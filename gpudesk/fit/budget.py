"""Reading a budget file: the parts of a mixed pipeline, language models and everything else, as TOML.

```toml
title = "Voice assistant"
units = "GB"                 # how sizes are shown: GB (10**9) or GiB (2**30, the default)
host_memory = "64GB"         # for `--simple`
reserve = "512MiB"           # left free on each card

[[card]]                     # none: this computer's cards
name = "RTX 4090"
memory = "24GB"              # left out: looked up by name
unified = false              # true: an Apple chip, the GPU may not have all of it

[[entry]]
name = "chat"
kind = "language"            # language, vision, embedding, speech, game, other
model = "qwen3:8b"           # calculated: an installed model, or gguf = "path"
context = 16384              # also parallel, kv, layers_on_gpu
engine = "ollama"            # or "llama-server" (with gguf), whose --fit is foretold unless fit = false
count = 1                    # how many of them
card = 0

[[entry]]
name = "speech"
kind = "speech"
idle = "1.8GB"               # declared
peak = "2.5GB"

[[entry]]
name = "camera"
pid = 4711                   # measured now; peak may stand beside it

[[entry]]
name = "codellama"
parameters = 7               # billions, with a quantization: from the simple planner's table
quantization = "Q5_K_M"
priority = 1                 # `--simple`: 1 comes first

[[entry]]
name = "coder"
fraction = 0.55              # a vLLM instance: its share of the card's total memory
weights = "12.2GB"           # optional, or parameters and quantization ("fp16", "awq"); with kv_bytes_per_token and
context = 32768              # context: how many requests at once; also lora_slots and lora_slot = "80MB"

[claim]                      # what somebody else says it comes to, to be checked
source = "an article"
idle = "10.1GB"
peak = "14.3GB"
headroom = "9GB"
card = "RTX 5090"
memory = "24GB"
```
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from enum import StrEnum

from gpudesk.errors import UsageError
from gpudesk.fit.budget_table import Table
from gpudesk.fit.values import LoadOptions
from gpudesk.records import dataclass
from gpudesk.text import clean
from gpudesk.toml_text import shown

ENTRY_LIMIT = 256
"""Entries in one file; more is something else by mistake."""

ENGINES = ("ollama", "llama-server")
"""Engines that load an entry with `gguf`, the first also one with `model`; vLLM's entries have a `fraction`."""

KV_TYPES = ("f16", "bf16", "f32", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "iq4_nl")
"""What llama.cpp accepts as cache type (common/arg.cpp)."""


class EntryKind(StrEnum):
    """What an entry is; a label, the arithmetic is the same."""

    LANGUAGE = "language"
    VISION = "vision"
    EMBEDDING = "embedding"
    SPEECH = "speech"
    GAME = "game"
    OTHER = "other"


class Units(StrEnum):
    """How sizes are shown."""

    GB = "GB"
    GIB = "GiB"


@dataclass(frozen=True, slots=True)
class Entry:
    """One part of the pipeline as written."""

    name: str
    kind: EntryKind = EntryKind.LANGUAGE
    idle_bytes: int | None = None
    peak_bytes: int | None = None
    pid: int | None = None
    model: str | None = None
    gguf: str | None = None
    options: LoadOptions = field(default_factory=LoadOptions)
    engine: str = "ollama"
    fit: bool = True
    """llama-server's `--fit`."""
    parameters_billion: float | None = None
    quantization: str | None = None
    priority: int | None = None
    fraction: float | None = None
    weights_bytes: int | None = None
    kv_bytes_per_token: int | None = None
    lora_slots: int = 0
    lora_slot_bytes: int = 0
    count: int = 1
    card: int | None = None


@dataclass(frozen=True, slots=True)
class CardEntry:
    """A card as written."""

    name: str | None = None
    memory_bytes: int | None = None
    unified: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """What somebody else says the budget comes to."""

    source: str
    idle_bytes: int | None = None
    peak_bytes: int | None = None
    headroom_bytes: int | None = None
    card: str | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class BudgetFile:
    """A checked budget file."""

    entries: tuple[Entry, ...]
    cards: tuple[CardEntry, ...] = ()
    title: str | None = None
    units: Units = Units.GIB
    host_bytes: int | None = None
    reserve_bytes: int = 0
    claims: tuple[Claim, ...] = ()


_TOP = ("title", "units", "host_memory", "reserve", "card", "entry", "claim")
_CARD = ("name", "memory", "unified")
_ENTRY = (
    "name", "kind", "idle", "peak", "pid", "model", "gguf", "context", "parallel", "kv", "layers_on_gpu", "engine",
    "fit", "parameters", "quantization", "priority", "fraction", "weights", "kv_bytes_per_token", "lora_slots",
    "lora_slot", "count", "card",
)  # fmt: skip
_CLAIM = ("source", "idle", "peak", "headroom", "card", "memory")
_TOKENS = 1 << 31


def read_budget(text: str, where: str) -> BudgetFile:
    """Read and check a budget file.

    Args:
        text: the file.
        where: its name, for complaints.

    Raises:
        UsageError: names the file, the entry, the key and what was expected.
    """
    import tomllib

    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where}: not valid TOML: {clean(str(error))}") from error
    except (RecursionError, ValueError) as error:
        raise UsageError(f"{where}: not valid TOML: a value that cannot be read") from error
    top = Table(where, "", data, _TOP)
    entries = tuple(_entry(where, number, value) for number, value in enumerate(_tables(top, "entry"), start=1))
    if not entries:
        raise UsageError(f"{where}: has no entry", 'Add [[entry]] with a name and idle = "5.5GB", peak = "7.5GB"')
    _check_names(where, entries)
    cards = tuple(_card(where, number, value) for number, value in enumerate(_tables(top, "card"), start=1))
    for number, entry in enumerate(entries, start=1):
        if cards and entry.card is not None and entry.card >= len(cards):
            place = f"{where}: entry {number} ({entry.name}): card is {entry.card}"
            raise UsageError(f"{place}, expected 0 to {len(cards) - 1}: the file has {len(cards)} [[card]]")
    return BudgetFile(
        entries=entries,
        cards=cards,
        title=top.text("title"),
        units=Units(top.choice("units", tuple(Units)) or Units.GIB),
        host_bytes=top.size("host_memory"),
        reserve_bytes=top.size("reserve") or 0,
        claims=tuple(_claim(where, number, value) for number, value in enumerate(_tables(top, "claim"), start=1)),
    )


def _tables(top: Table, key: str) -> list[Mapping[str, object]]:
    """Return every `[[key]]`; a single `[key]` counts as one."""
    value = top.values.get(key, [])
    tables = [value] if isinstance(value, dict) else value
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise top.wrong(key, f"[[{key}]] tables")
    if len(tables) > ENTRY_LIMIT:
        raise UsageError(f"{top.where}: {len(tables)} [[{key}]], expected at most {ENTRY_LIMIT}")
    return tables


def _check_names(where: str, entries: Sequence[Entry]) -> None:
    names = [entry.name for entry in entries]
    for number, name in enumerate(names, start=1):
        if name in names[: number - 1]:
            first = names.index(name) + 1
            raise UsageError(
                f"{where}: entry {number} ({name}): name is the same as in entry {first}, expected one of its own",
                "count = 2 says that there are two of them",
            )


def _card(where: str, number: int, values: Mapping[str, object]) -> CardEntry:
    table = Table(where, f"card {number}: ", values, _CARD)
    card = CardEntry(table.text("name"), table.size("memory"), table.flag("unified"))
    if card.name is None and card.memory_bytes is None:
        raise table.wrong("memory", 'a size such as "24GB", or a name such as "RTX 4090"')
    if card.memory_bytes == 0:
        raise table.wrong("memory", "more than nothing")
    return card


def _claim(where: str, number: int, values: Mapping[str, object]) -> Claim:
    table = Table(where, f"claim {number}: ", values, _CLAIM)
    return Claim(
        source=table.text("source") or "claimed",
        idle_bytes=table.size("idle"),
        peak_bytes=table.size("peak"),
        headroom_bytes=table.size("headroom"),
        card=table.text("card"),
        memory_bytes=table.size("memory"),
    )


def _entry(where: str, number: int, values: Mapping[str, object]) -> Entry:
    name = values.get("name")
    known = f" ({clean(name, 60)})" if isinstance(name, str) and clean(name) else ""
    table = Table(where, f"entry {number}{known}: ", values, _ENTRY)
    named = table.text("name", "a name in quotes")
    if named is None:
        raise table.wrong("name", "a name in quotes")
    entry = Entry(
        name=named,
        kind=EntryKind(table.choice("kind", tuple(EntryKind)) or EntryKind.LANGUAGE),
        idle_bytes=table.size("idle"),
        peak_bytes=table.size("peak"),
        pid=table.whole("pid", 1, 1 << 31, "the number of a process"),
        model=table.text("model", 'the name of an installed model, such as "qwen3:8b"'),
        gguf=table.text("gguf", "the path of a .gguf file"),
        options=_options(table),
        engine=table.choice("engine", ENGINES) or ENGINES[0],
        fit=table.flag("fit", default=True),
        parameters_billion=table.real("parameters", 10_000, "billions of parameters above 0, such as 7"),
        quantization=table.text("quantization", 'a quantization such as "Q4_K_M"'),
        priority=table.whole("priority", 0, 1_000_000, "a whole number, 1 comes first"),
        fraction=table.real("fraction", 1.0, "a share of the card's total memory above 0 and at most 1, such as 0.55"),
        weights_bytes=table.size("weights"),
        kv_bytes_per_token=table.whole("kv_bytes_per_token", 1, 1 << 40, "bytes per token, such as 131072"),
        lora_slots=table.whole("lora_slots", 0, 1024, "a number of adapters") or 0,
        lora_slot_bytes=table.size("lora_slot") or 0,
        count=table.whole("count", 1, 1000, "a whole number from 1 to 1000") or 1,
        card=table.whole("card", 0, 1023, "the index of a card, counted from 0"),
    )
    _check_origin(table, entry)
    return entry


def _options(table: Table) -> LoadOptions:
    kv = table.choice("kv", KV_TYPES) or "f16"
    return LoadOptions(
        context_length=table.whole("context", 1, _TOKENS, "tokens, a whole number such as 16384"),
        parallel=table.whole("parallel", 1, 1024, "a number of slots from 1 to 1024"),
        kv_cache_type_k=kv,
        kv_cache_type_v=kv,
        layers_on_gpu=table.whole("layers_on_gpu", 0, 100_000, "a number of layers"),
    )


def _check_origin(table: Table, entry: Entry) -> None:
    """See that there is one way, and only one, to know what the entry takes."""
    given = [key for key in ("model", "gguf", "pid", "parameters", "fraction") if key in table.values]
    if "parameters" in given and "fraction" in given:
        given.remove("parameters")
    declared = [key for key in ("idle", "peak") if key in table.values]
    if given and given[0] in {"model", "gguf", "fraction"}:
        given += declared
    if len(given) > 1:
        raise UsageError(f"{table.where}: {table.place}{' and '.join(given)} exclude each other, expected one of them")
    if not given and entry.idle_bytes is None and entry.peak_bytes is None:
        raise UsageError(
            f"{table.where}: {table.place}says nothing about its size, expected idle and peak, or one of model, gguf, "
            "pid, fraction, parameters with quantization"
        )
    if entry.idle_bytes is not None and entry.peak_bytes is not None and entry.peak_bytes < entry.idle_bytes:
        raise table.wrong("peak", f"at least idle, which is {shown(table.values['idle'])}")
    if (entry.parameters_billion is None) != (entry.quantization is None):
        missing = "quantization" if entry.quantization is None else "parameters"
        expected = 'a quantization such as "Q4_K_M"' if missing == "quantization" else "billions of parameters"
        raise table.wrong(missing, f"{expected}, because the other half is there")
    if entry.engine == "llama-server" and entry.gguf is None:
        raise table.wrong("engine", "ollama, or gguf beside it: llama-server loads files")
    _check_quantization(table, entry)


def _check_quantization(table: Table, entry: Entry) -> None:
    if entry.parameters_billion is None or entry.quantization is None:
        return
    from gpudesk.fit.simple import file_size
    from gpudesk.fit.vllm import weights_bytes

    try:
        if entry.fraction is not None:
            weights_bytes(entry.parameters_billion, entry.quantization)
        else:
            file_size(entry.parameters_billion, entry.quantization)
    except ValueError as error:
        known = '"fp16", "fp8" or "awq"' if entry.fraction is not None else '"Q4_K_M", "Q5_K_M", "Q8_0" or "F16"'
        raise table.wrong("quantization", f"one such as {known}") from error
