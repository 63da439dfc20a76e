"""Desks made by hand: what the commands and the screen are shown in tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gpudesk.domain.card import Card, CardProcess, Driver, ProcessAccounting, Slice
from gpudesk.domain.desk import CardShare, CardState, Desk, Holder, HolderKind, LoadedModel, MemorySource, SourceState
from gpudesk.domain.engine import Engine
from gpudesk.domain.event import Event, EventKind, Severity
from gpudesk.domain.host import Host
from gpudesk.domain.keep_alive import KeepAlive, KeepAliveState
from gpudesk.domain.pin import Pin
from gpudesk.domain.problem import Problem
from gpudesk.domain.process import Process
from gpudesk.domain.reading import Failure
from gpudesk.errors import FailureKind

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30
NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
LOCAL = "http://127.0.0.1:11434"
REMOTE = "https://gpu-box.lan:443"
HOST = Host(memory_total_bytes=64 * GIBIBYTE, memory_available_bytes=41 * GIBIBYTE, cpu_count=16, load_ratio=0.2)
DRIVER = Driver(version="580.95.05", nvml_version="13.580.95.05", cuda_version="13.0")


def timed(seconds: float) -> KeepAlive:
    """A keep-alive that ends in so many seconds."""
    return KeepAlive(KeepAliveState.TIMED, NOW + timedelta(seconds=seconds))


FOREVER = KeepAlive(KeepAliveState.FOREVER)


def source(name: str, failure: Failure | None = None, value_age: float | None = 0.0) -> SourceState:
    """The state of one source."""
    seen = None if value_age is None else NOW - timedelta(seconds=value_age)
    return SourceState(name, sequence=3, last_taken_at=NOW, last_value_at=seen, failure=failure)


def card(index: int = 0, **changes: object) -> Card:
    """A card of 24 GiB with everything known."""
    values: dict[str, object] = {
        "index": index,
        "uuid": f"GPU-0000000{index}-0000-4000-8000-000000000000",
        "name": "NVIDIA GeForce RTX 4090",
        "memory_total_bytes": 24 * GIBIBYTE,
        "memory_used_bytes": 17 * GIBIBYTE,
        "memory_free_bytes": 6 * GIBIBYTE,
        "memory_reserved_bytes": 1 * GIBIBYTE,
        "utilization_ratio": 0.43,
        "temperature_celsius": 61.0,
        "power_draw_watts": 210.25,
        "power_limit_watts": 450.0,
        "process_accounting": ProcessAccounting.FULL,
    }
    return Card(**{**values, **changes})  # type: ignore[arg-type]


def model(name: str, gibibytes: float, **changes: object) -> LoadedModel:
    """A model measured on card 0."""
    size = int(gibibytes * GIBIBYTE)
    values: dict[str, object] = {
        "name": name,
        "engine_url": LOCAL,
        "digest": f"{abs(len(name)):064x}",
        "memory_bytes": size,
        "memory_source": MemorySource.DRIVER,
        "reported_bytes": size - GIBIBYTE // 2,
        "reported_vram_bytes": size - GIBIBYTE // 2,
        "difference_bytes": GIBIBYTE // 2,
        "cards": (CardShare(0, size),),
        "context_length": 8192,
        "parallel": 1,
        "kv_cache_type": "f16",
        "cpu_ratio": 0.0,
        "keep_alive": timed(272),
        "pids": (4000 + len(name),),
        "quantization": "Q4_K_M",
    }
    return LoadedModel(**{**values, **changes})  # type: ignore[arg-type]


def held(loaded: LoadedModel, **changes: object) -> Holder:
    """What a model holds on its first card."""
    values: dict[str, object] = {
        "kind": HolderKind.MODEL,
        "name": loaded.name,
        "memory_bytes": loaded.cards[0].memory_bytes,
        "pids": loaded.pids,
        "engine_url": loaded.engine_url,
    }
    return Holder(**{**values, **changes})  # type: ignore[arg-type]


def rest(memory_bytes: int, note: str | None = None) -> Holder:
    """The unattributed rest."""
    return Holder(HolderKind.UNATTRIBUTED, "unattributed", memory_bytes, note=note)


def engine(url: str = LOCAL, **changes: object) -> Engine:
    """An engine that answers."""
    return Engine(url, **{"version": "0.12.6", "reachable": True, **changes})  # type: ignore[arg-type]


def one_card() -> Desk:
    """One card, three models, a desktop."""
    chat = model("qwen3:14b", 9.75, explanations=("CUDA context and compute buffers are not in the engine's figure",))
    complete = model(
        "qwen2.5-coder:1.5b-base", 1.5, keep_alive=FOREVER, pin=Pin.HELD, context_length=16384, parallel=4,
        kv_cache_type="q8_0", difference_bytes=-GIBIBYTE // 4,
    )  # fmt: skip
    embed = model("nomic-embed-text:latest", 0.5, keep_alive=KeepAlive(KeepAliveState.STOPPING, NOW), parallel=None,
                  kv_cache_type=None, difference_bytes=20 * MEBIBYTE)  # fmt: skip
    desktop = Holder(HolderKind.PROCESS, "Xorg", 3 * GIBIBYTE // 4, pids=(1201,))
    game = Holder(HolderKind.PROCESS, "factorio", 4 * GIBIBYTE, pids=(7001, 7002))
    state = CardState(
        card(),
        (held(chat), held(complete), held(embed), game, desktop, rest(3 * GIBIBYTE // 2, "driver reserve 1.0 GiB")),
        free_bytes=6 * GIBIBYTE,
    )
    processes = (Process(1201, "Xorg", "root"), Process(7001, "factorio", "ada"), Process(7002, "factorio", "ada"))
    return Desk(
        NOW, cards=(state,), models=(chat, complete, embed), engines=(engine(),), host=HOST, driver=DRIVER,
        processes=processes, sources=(source("nvml"), source(f"ollama {LOCAL}"), source("host"), source("processes")),
    )  # fmt: skip


def nothing() -> Desk:
    """Neither driver nor engine."""
    missing = Failure(FailureKind.MISSING, "libnvidia-ml.so.1 is not there", "Install NVIDIA's driver")
    refused = Failure(FailureKind.UNREACHABLE, "connection refused", "Start it with `ollama serve`")
    return Desk(
        NOW,
        host=HOST,
        engines=(Engine(LOCAL, reachable=False, error=refused.message, hint=refused.hint),),
        sources=(source("nvml", missing, None), source(f"ollama {LOCAL}", refused, None), source("host")),
        problems=(
            Problem("nvml", missing.message, missing.hint),
            Problem(f"ollama {LOCAL}", refused.message, refused.hint),
        ),
    )


def wsl() -> Desk:
    """The driver names processes but not their memory, so that the engine's claim stands in."""
    chat = model("qwen3:14b", 9.25, memory_source=MemorySource.ENGINE, reported_bytes=int(9.25 * GIBIBYTE),
                 reported_vram_bytes=int(9.25 * GIBIBYTE), difference_bytes=None, parallel=None, kv_cache_type=None,
                 pids=())  # fmt: skip
    wsl_card = card(
        process_accounting=ProcessAccounting.PIDS_ONLY, processes=(CardProcess(33, None),), memory_reserved_bytes=None,
        temperature_celsius=None, power_draw_watts=None, power_limit_watts=None, memory_free_bytes=7 * GIBIBYTE,
    )  # fmt: skip
    state = CardState(
        wsl_card,
        (held(chat, source=MemorySource.ENGINE), rest(17 * GIBIBYTE - int(9.25 * GIBIBYTE))),
        free_bytes=7 * GIBIBYTE,
        notes=("the driver's list of processes has no sizes",),
    )
    return Desk(
        NOW, cards=(state,), models=(chat,), engines=(engine(),), host=HOST, driver=DRIVER,
        sources=(source("nvml"), source(f"ollama {LOCAL}")),
        problems=(Problem("nvml", "the driver does not tell sizes per process, as always under WSL", None),),
    )  # fmt: skip


def remote() -> Desk:
    """An empty card here, a model on another computer, whose clock is off."""
    far = model("llama3.3:70b", 41.0, engine_url=REMOTE, local=False, memory_source=MemorySource.ENGINE, cards=(),
                difference_bytes=None, parallel=None, kv_cache_type=None, pids=(), keep_alive=None)  # fmt: skip
    empty = CardState(
        card(memory_used_bytes=200 * MEBIBYTE, memory_free_bytes=24 * GIBIBYTE - 660 * MEBIBYTE,
             memory_reserved_bytes=460 * MEBIBYTE, utilization_ratio=0.0),
        (rest(660 * MEBIBYTE, "driver reserve 0.4 GiB"),), free_bytes=24 * GIBIBYTE - 660 * MEBIBYTE,
    )  # fmt: skip
    gone = Engine(LOCAL, reachable=False, version="0.12.6", error="connection refused", hint="Start `ollama serve`")
    refused = Failure(FailureKind.UNREACHABLE, "connection refused", "Start `ollama serve`")
    return Desk(
        NOW, cards=(empty,), models=(far,), host=HOST, driver=DRIVER,
        engines=(gone, engine(REMOTE, version="0.33.0-rc2", local=False, clock_skew_seconds=-31.5)),
        sources=(source("nvml"), source(f"ollama {LOCAL}", refused, 75), source(f"ollama {REMOTE}")),
        problems=(Problem(f"ollama {LOCAL}", "connection refused", "Start `ollama serve`"),),
    )  # fmt: skip


def spilled() -> Desk:
    """A model that runs half on the processor, a name as nasty as names come."""
    name = "hf.co/ünïcode/模型-[bold]-with-a-very-long-name-that-goes-on-and-on-GGUF:Q4_K_M"
    big = model(name, 20.0, cpu_ratio=0.48, host_memory_bytes=19 * GIBIBYTE, reported_bytes=40 * GIBIBYTE,
                reported_vram_bytes=int(20.8 * GIBIBYTE), difference_bytes=-int(0.8 * GIBIBYTE))  # fmt: skip
    state = CardState(card(memory_used_bytes=int(20.5 * GIBIBYTE)), (held(big), rest(3 * GIBIBYTE // 2)),
                      free_bytes=5 * GIBIBYTE // 2)  # fmt: skip
    event = Event(EventKind.SPILLED, NOW - timedelta(seconds=3), name, f"{name} spilled to the CPU", Severity.WARNING)
    return Desk(
        NOW, cards=(state,), models=(big,), engines=(engine(),), host=HOST, driver=DRIVER, events=(event,),
        sources=(source("nvml"), source(f"ollama {LOCAL}")),
    )  # fmt: skip


def two_cards() -> Desk:
    """A model over two cards, one of them cut into slices; a third card that is lost, a fourth asleep."""
    size = 18 * GIBIBYTE
    wide = model(
        "llama3.3:70b", 36.0, cards=(CardShare(0, size), CardShare(1, size)), shares_runner_with=("big:latest",)
    )
    parts = (Slice(1, "MIG-1", "1g.5gb", 5 * GIBIBYTE, GIBIBYTE, 4 * GIBIBYTE), Slice(2, None, None, None, None, None))
    states = (
        CardState(card(0, memory_used_bytes=size), (held(wide), rest(GIBIBYTE)), free_bytes=5 * GIBIBYTE),
        CardState(card(1, memory_used_bytes=size, slices=parts), (held(wide), rest(GIBIBYTE)), free_bytes=5 * GIBIBYTE),
        CardState(Card(2, name="NVIDIA RTX A4000", error="GPU is lost")),
        CardState(Card(3, name="NVIDIA T600 Laptop GPU", asleep=True)),
    )
    return Desk(
        NOW, cards=states, models=(wide,), engines=(engine(),), host=Host(), driver=DRIVER,
        sources=(source("nvml"), source(f"ollama {LOCAL}")),
    )  # fmt: skip


DESKS = {
    "one_card": one_card, "nothing": nothing, "wsl": wsl, "remote": remote, "spilled": spilled, "two_cards": two_cards,
}  # fmt: skip
