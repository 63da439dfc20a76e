"""Desks made by hand, a feed that serves them, and a clock that stands still: what the screen's tests look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from gpudesk.clock import Clock
from gpudesk.domain.card import Card, CardProcess, Driver, ProcessAccounting, Slice
from gpudesk.domain.desk import (
    CardShare,
    CardState,
    Desk,
    Holder,
    HolderKind,
    LoadedModel,
    MemorySource,
    SourceState,
)
from gpudesk.domain.engine import Engine
from gpudesk.domain.event import Event, EventKind, Severity
from gpudesk.domain.host import Host
from gpudesk.domain.keep_alive import KeepAlive, KeepAliveState
from gpudesk.domain.model import InstalledModel, ModelDetails
from gpudesk.domain.problem import Problem
from gpudesk.domain.process import Process, Runner, RunnerKind
from gpudesk.domain.reading import Failure
from gpudesk.errors import FailureKind
from gpudesk.text import clean
from gpudesk.watch.history import History

GIB = 1 << 30
MIB = 1 << 20
NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
URL = "http://127.0.0.1:11434"
REMOTE_URL = "http://10.0.0.5:11434"
DIGESTS = {name: (f"{index:x}" * 64)[:64] for index, name in enumerate(("chat", "coder", "embed"), start=10)}


class FakeFeed:
    """A feed that serves whatever desk a test puts into it."""

    def __init__(self, desk: Desk, now: datetime = NOW) -> None:
        self.desk = desk
        self.history = History()
        self.moment = now
        self.clock = Clock(now=lambda: self.moment, monotonic=lambda: self.moment.timestamp())
        self.listeners: list[Callable[[], None]] = []
        self.samples_requested = 0
        self.focused: bool | None = None
        self.stopped = False

    def subscribe(self, listener: Callable[[], None]) -> None:
        self.listeners.append(listener)

    def request_sample(self) -> None:
        self.samples_requested += 1

    def set_focused(self, focused: bool) -> None:
        self.focused = focused

    def stop(self) -> None:
        self.stopped = True


def seeded(desk: Desk) -> FakeFeed:
    """A feed whose histories show ten minutes of plausible work."""
    feed = FakeFeed(desk)
    for second in range(600, -1, -1):
        moment = NOW - timedelta(seconds=second)
        busy = (second // 7) % 5 / 5 + (second % 3) * 0.05
        held = 0.22 if second > 420 else 0.45 if second > 200 else 0.61
        cards = tuple(
            replace(
                state,
                card=replace(state.card, utilization_ratio=min(1.0, busy)),
                free_bytes=None
                if state.card.memory_total_bytes is None
                else int(state.card.memory_total_bytes * (1 - held)),
            )
            for state in desk.cards
        )
        sources = tuple(replace(state, last_value_at=moment, failure=None) for state in desk.sources)
        feed.history.record(replace(desk, taken_at=moment, cards=cards, sources=sources))
    return feed


def sources(*names: str, at: datetime = NOW) -> tuple[SourceState, ...]:
    return tuple(SourceState(name, 5, at, at) for name in names)


ALL_SOURCES = sources("nvml", "processes", "host", f"ollama {URL}", f"ollama-catalog {URL}", f"ollama-details {URL}")


def loaded(
    name: str,
    gib: float,
    *,
    claimed: float | None = None,
    digest: str | None = None,
    keep_alive: KeepAlive | None = None,
    pids: tuple[int, ...] = (),
    **changes: object,
) -> LoadedModel:
    memory = int(gib * GIB)
    claim = int((gib if claimed is None else claimed) * GIB)
    model = LoadedModel(
        name=name,
        engine_url=URL,
        digest=digest,
        memory_bytes=memory,
        memory_source=MemorySource.DRIVER,
        reported_bytes=claim,
        reported_vram_bytes=claim,
        cards=(CardShare(0, memory),),
        context_length=8192,
        parallel=1,
        kv_cache_type="f16",
        cpu_ratio=0.0,
        keep_alive=keep_alive,
        pids=pids,
        difference_bytes=memory - claim,
    )
    return replace(model, **changes)  # type: ignore[arg-type]


def timed(**distance: float) -> KeepAlive:
    return KeepAlive(KeepAliveState.TIMED, NOW + timedelta(**distance))


FOREVER = KeepAlive(KeepAliveState.FOREVER)
STOPPING = KeepAlive(KeepAliveState.STOPPING, NOW - timedelta(seconds=3))


def holder(model: LoadedModel, memory_bytes: int | None = None) -> Holder:
    return Holder(
        HolderKind.MODEL, model.name, memory_bytes or model.memory_bytes or 0, model.pids, model.engine_url,
        model.memory_source,
    )  # fmt: skip


def process_holder(name: str, gib: float, pid: int) -> Holder:
    return Holder(HolderKind.PROCESS, name, int(gib * GIB), (pid,))


def card_state(card: Card, *holders: Holder) -> CardState:
    """A card whose holders plus free are its total, the unattributed rest included."""
    total = card.memory_total_bytes or 0
    rest = Holder(HolderKind.UNATTRIBUTED, "unattributed", int(0.56 * GIB), note="driver reserve 0.4 GiB")
    every = (*holders, rest)
    return CardState(card, every, total - sum(one.memory_bytes for one in every))


def rtx4090(index: int = 0, **changes: object) -> Card:
    card = Card(
        index=index,
        uuid=f"GPU-{index:08x}-1c5a-4b7e-9d2f-5a3b7c9d1e2f",
        name="NVIDIA GeForce RTX 4090",
        memory_total_bytes=24564 * MIB,
        memory_used_bytes=14000 * MIB,
        memory_free_bytes=10104 * MIB,
        memory_reserved_bytes=460 * MIB,
        utilization_ratio=0.37,
        temperature_celsius=61,
        temperature_limit_celsius=83,
        power_draw_watts=212.4,
        power_limit_watts=450,
        graphics_clock_megahertz=2520,
        memory_clock_megahertz=10501,
        fan_ratio=0.42,
        pci_bus_id="00000000:01:00.0",
        processes=(
            CardProcess(4101, int(10.9 * GIB)),
            CardProcess(4102, int(1.9 * GIB)),
            CardProcess(4103, int(0.7 * GIB)),
            CardProcess(1830, int(0.34 * GIB), compute=False, graphics=True),
            CardProcess(2207, int(0.21 * GIB), compute=False, graphics=True),
        ),
        process_accounting=ProcessAccounting.FULL,
    )
    return replace(card, **changes)  # type: ignore[arg-type]


CHAT = loaded(
    "qwen3:14b", 10.9, claimed=9.6, digest=DIGESTS["chat"], keep_alive=timed(minutes=4, seconds=32), pids=(4101,),
    context_length=16384, parallel=2, kv_cache_type="q8_0", parameter_size="14.8B", quantization="Q4_K_M",
    family="qwen3", host_memory_bytes=int(0.9 * GIB),
    runner=Runner(
        RunnerKind.LLAMA_SERVER, blob_digest="3" * 64,
        model_path=f"/usr/share/ollama/.ollama/models/blobs/sha256-{'3' * 64}",
        context_total=32768, parallel=2, batch_size=512, kv_cache_type_k="q8_0", kv_cache_type_v="q8_0",
        flash_attention="on", port=40123,
    ),
    explanations=(
        "the CUDA context of the runner, about 0.5 GiB, is in no engine's figure",
        "compute buffers are allocated after the report was logged",
    ),
)  # fmt: skip
CODER = loaded(
    "qwen2.5-coder:1.5b-base", 1.9, claimed=1.6, digest=DIGESTS["coder"], keep_alive=FOREVER, pids=(4102,),
    context_length=4096, parallel=4, parameter_size="1.5B", quantization="Q4_K_M", family="qwen2",
)  # fmt: skip
EMBED = loaded(
    "nomic-embed-text:latest", 0.7, claimed=0.6, digest=DIGESTS["embed"], keep_alive=timed(seconds=41), pids=(4103,),
    context_length=2048, parameter_size="137M", quantization="F16", family="nomic-bert",
)  # fmt: skip


def installed_models(count: int = 40) -> tuple[InstalledModel, ...]:
    """`count` installed models; the first three are the loaded ones."""
    first = tuple(
        InstalledModel(
            model.name, URL, model.digest, int((model.memory_bytes or 0) * 0.85), model.parameter_size,
            model.quantization, model.family, capabilities, NOW - timedelta(days=days),
        )
        for model, capabilities, days in (
            (CHAT, ("completion", "tools", "thinking"), 3), (CODER, ("completion", "insert"), 12),
            (EMBED, ("embedding",), 40),
        )
    )  # fmt: skip
    families = ("llama3.1", "mistral", "gemma3", "phi4", "deepseek-r1", "granite3.3", "qwen3", "devstral")
    sizes = (
        ("8b", "8.0B", 4.7),
        ("24b", "23.6B", 14.3),
        ("4b", "4.3B", 3.1),
        ("14b", "14.7B", 8.9),
        ("32b", "32.8B", 19.2),
    )
    rest = []
    for index in range(count - 3):
        tag, parameters, gib = sizes[index % len(sizes)]
        family = families[index % len(families)]
        suffix = "" if index < len(families) * len(sizes) else f"-v{index}"
        rest.append(
            InstalledModel(
                f"{family}:{tag}{suffix}" + ("-instruct-q8_0" if index % 6 == 5 else ""), URL, f"{index:064x}",
                int(gib * GIB), parameters, "Q8_0" if index % 6 == 5 else "Q4_K_M", family,
                ("completion", "tools", "vision") if index % 4 == 2 else ("completion", "tools"),
                NOW - timedelta(days=index * 5 + 1, hours=index),
            )
        )  # fmt: skip
    cloud = InstalledModel(
        "gpt-oss:120b-cloud", URL, "c" * 64, 384, "116.8B", "MXFP4", "gptoss", ("completion", "tools", "thinking"),
        NOW - timedelta(days=20), "https://ollama.com:443",
    )  # fmt: skip
    return (*first, *rest[:-1], cloud) if rest else first[:count]


def some_events() -> tuple[Event, ...]:
    """One event of most kinds, oldest first."""

    def event(seconds: int, kind: EventKind, subject: str, message: str, severity: Severity = Severity.INFO) -> Event:
        return Event(kind, NOW - timedelta(seconds=seconds), subject, message, severity, engine_url=URL)

    return (
        event(2400, EventKind.LOADED, CHAT.name, "qwen3:14b loaded (10.9 GiB, context 8192)"),
        event(1900, EventKind.LOADED, "devstral:24b", "devstral:24b loaded (15.2 GiB, context 8192)"),
        event(1899, EventKind.EVICTED, CHAT.name, "qwen3:14b evicted for devstral:24b, 21m before its time",
              Severity.WARNING),
        event(1300, EventKind.UNLOADED, "devstral:24b", "devstral:24b unloaded: its keep-alive was over"),
        event(1204, EventKind.LOADED, CHAT.name, "qwen3:14b loaded (10.9 GiB, context 8192)"),
        event(902, EventKind.RELOADED, CHAT.name, "qwen3:14b reloaded with context 16384 instead of context 8192"),
        event(611, EventKind.ENGINE_GONE, URL, f"{URL} is gone: refused the connection: nothing listens there",
              Severity.ERROR),
        event(598, EventKind.ENGINE_BACK, URL, f"{URL} answers"),
        event(420, EventKind.MEMORY_TAKEN, "blender", "blender took 2.1 GiB on card 0", Severity.WARNING),
        event(300, EventKind.MEMORY_RELEASED, "blender", "blender released 2.1 GiB on card 0"),
        event(95, EventKind.LOADED, EMBED.name, "nomic-embed-text:latest loaded (0.7 GiB, context 2048)"),
        event(28, EventKind.KEEP_ALIVE_CHANGED, CHAT.name, "keep-alive of qwen3:14b changed from forever to 5m",
              Severity.WARNING),
    )  # fmt: skip


def one_card() -> Desk:
    """One card, three loaded models, forty installed: the everyday desk."""
    return Desk(
        taken_at=NOW,
        cards=(
            card_state(
                rtx4090(), holder(CHAT), holder(CODER), holder(EMBED), process_holder("Xorg", 0.34, 1830),
                process_holder("gnome-shell", 0.21, 2207),
            ),
        ),
        models=(CHAT, CODER, EMBED),
        installed=installed_models(),
        engines=(Engine(URL, version="0.33.0", reachable=True),),
        processes=(
            Process(4101, "llama-server", "ollama", 900, runner=CHAT.runner),
            Process(1830, "Xorg", "root", 1),
            Process(2207, "gnome-shell", "ada", 1500, NOW - timedelta(hours=5)),
        ),
        details=(
            ModelDetails(
                DIGESTS["chat"], ("3" * 64, "4" * 64), ("completion", "tools", "thinking"), "qwen3", 40960, 40,
                license="Apache License 2.0",
            ),
        ),
        host=Host(int(62.7 * GIB), int(41.2 * GIB), 16, 0.21),
        driver=Driver("580.95.05", "13.580.95.05", "13.0"),
        sources=ALL_SOURCES,
        events=some_events(),
    )  # fmt: skip


def spilled() -> Desk:
    """Everyday desk, with a model that did not fit."""
    desk = one_card()
    big = loaded(
        "qwen3:32b", 12.2, claimed=11.8, cpu_ratio=0.48, keep_alive=STOPPING, pids=(4104,),
        reported_bytes=int(22.7 * GIB),
        host_memory_bytes=int(10.9 * GIB),
    )  # fmt: skip
    return replace(
        desk,
        cards=(card_state(rtx4090(), holder(big), holder(CODER), process_holder("Xorg", 0.34, 1830)),),
        models=(big, CODER),
    )


def two_cards() -> Desk:
    """Two cards, one model on both, one near its limit, one engine far away."""
    desk = one_card()
    both = replace(
        loaded("llama3.3:70b-instruct-q4_K_M", 38.0, claimed=36.9, keep_alive=FOREVER, pids=(5001,)),
        cards=(CardShare(0, int(19.6 * GIB)), CardShare(1, int(18.4 * GIB))),
    )
    away = replace(
        loaded("gemma3:27b", 17.3, keep_alive=timed(hours=2, minutes=5)),
        engine_url=REMOTE_URL, local=False, memory_source=MemorySource.ENGINE, cards=(), difference_bytes=None,
        kv_cache_type=None, parallel=None,
    )  # fmt: skip
    first = rtx4090(
        0, temperature_celsius=84, utilization_ratio=0.98, power_draw_watts=441.0,
        processes=(
            CardProcess(5001, int(19.6 * GIB)),
            CardProcess(1830, int(0.34 * GIB), compute=False, graphics=True),
        ),
    )  # fmt: skip
    second = rtx4090(
        1, name="NVIDIA RTX A5000", temperature_celsius=79, utilization_ratio=0.91,
        processes=(CardProcess(5001, int(18.4 * GIB)), CardProcess(4102, int(1.9 * GIB))),
    )  # fmt: skip
    return replace(
        desk,
        cards=(
            card_state(first, holder(both, int(19.6 * GIB)), process_holder("Xorg", 0.34, 1830)),
            card_state(second, holder(both, int(18.4 * GIB)), holder(CODER)),
        ),
        models=(both, CODER, away),
        engines=(
            Engine(URL, version="0.33.0", reachable=True),
            Engine(REMOTE_URL, version="0.12.6", local=False, reachable=True),
        ),
        sources=(*ALL_SOURCES, *sources(f"ollama {REMOTE_URL}")),
    )


def many() -> Desk:
    """8 cards, 200 processes, 20 loaded and 500 installed models."""
    desk = one_card()
    cards, models, processes = [], [], []
    for index in range(8):
        own = [
            replace(
                loaded(f"family{index}-model:{size}b", 1.5 + size, keep_alive=timed(minutes=size + index)),
                pids=(6000 + index * 10 + size,),
            )
            for size in range(1, 4 if index < 4 else 3)
        ]
        models += own
        on_card = tuple(CardProcess(20000 + index * 25 + n, (40 + n) * MIB) for n in range(25))
        processes += [Process(one.pid, f"worker-{one.pid}", "ada") for one in on_card]
        card = rtx4090(index, name="NVIDIA H100 80GB HBM3", memory_total_bytes=81559 * MIB, processes=on_card)
        others = [process_holder(f"worker-{one.pid}", (one.memory_bytes or 0) / GIB, one.pid) for one in on_card]
        cards.append(card_state(card, *(holder(model) for model in own), *others))
    return replace(
        desk,
        cards=tuple(cards),
        models=tuple(models),
        installed=installed_models(500),
        processes=tuple(processes),
    )


def wsl() -> Desk:
    """No per-process figures: models are shown in the engine's figures."""
    desk = one_card()
    models = tuple(
        replace(model, memory_source=MemorySource.ENGINE, memory_bytes=model.reported_vram_bytes, difference_bytes=None)
        for model in desk.models
    )
    card = rtx4090(process_accounting=ProcessAccounting.PIDS_ONLY, fan_ratio=None)
    problem = Problem(
        "nvml", "the driver does not tell memory per process (WSL)", "figures of models are the engine's, marked with ~"
    )
    return replace(
        desk, cards=(card_state(card, *(holder(model) for model in models)),), models=models, problems=(problem,)
    )


def driver_missing() -> Desk:
    """No NVIDIA driver, but an engine."""
    desk = one_card()
    failure = Failure(
        FailureKind.MISSING,
        "no NVIDIA driver: libnvidia-ml.so.1 was not found on the library path",
        "install the NVIDIA driver, or check that /usr/lib/x86_64-linux-gnu is readable; `gpudesk doctor` says more",
    )
    states = tuple(
        SourceState("nvml", 3, NOW, None, failure) if state.source == "nvml" else state for state in ALL_SOURCES
    )
    models = tuple(
        replace(
            model,
            memory_source=MemorySource.ENGINE,
            memory_bytes=model.reported_vram_bytes,
            cards=(),
            difference_bytes=None,
        )
        for model in desk.models
    )
    problem = Problem("nvml", failure.message, failure.hint)
    return replace(desk, cards=(), driver=None, models=models, sources=states, problems=(problem,))


def engine_down() -> Desk:
    """The engine refuses; the card goes on."""
    desk = one_card()
    failure = Failure(
        FailureKind.UNREACHABLE,
        "connection refused at 127.0.0.1:11434",
        "start it with `ollama serve`, or set OLLAMA_HOST",
    )
    source = f"ollama {URL}"
    states = tuple(
        SourceState(source, 9, NOW, NOW - timedelta(seconds=47), failure) if state.source == source else state
        for state in ALL_SOURCES
    )
    return replace(
        desk,
        cards=(card_state(rtx4090(), process_holder("Xorg", 0.34, 1830)),),
        models=(),
        engines=(Engine(URL, version="0.33.0", reachable=False, error=failure.message, hint=failure.hint),),
        sources=states,
        problems=(Problem(source, failure.message, failure.hint),),
    )


def stale() -> Desk:
    """The driver hangs: what is shown is seven seconds old."""
    desk = one_card()
    failure = Failure(
        FailureKind.TIMEOUT, "no sample from the driver for 7 s", "the driver may hang; see dmesg for Xid"
    )
    states = tuple(
        SourceState("nvml", 9, NOW, NOW - timedelta(seconds=7), failure) if state.source == "nvml" else state
        for state in ALL_SOURCES
    )
    return replace(desk, sources=states, problems=(Problem("nvml", failure.message, failure.hint),))


def lost_card() -> Desk:
    """One of two cards has fallen off the bus."""
    desk = two_cards()
    lost = CardState(
        Card(index=1, name="NVIDIA RTX A5000", error="GPU is lost: reboot, or reset it with nvidia-smi -r")
    )
    return replace(desk, cards=(desk.cards[0], lost))


def mig() -> Desk:
    """A card cut into slices."""
    desk = one_card()
    card = rtx4090(
        name="NVIDIA A100 80GB PCIe",
        memory_total_bytes=81920 * MIB,
        slices=(
            Slice(1, "MIG-1", "3g.40gb", 40192 * MIB, 11000 * MIB, 29192 * MIB),
            Slice(2, "MIG-2", "2g.20gb", 19968 * MIB, 12 * MIB, 19956 * MIB),
        ),
    )
    return replace(desk, cards=(card_state(card, holder(CHAT)),))


def empty() -> Desk:
    """The very first moment: nothing has answered yet."""
    return Desk(taken_at=NOW, engines=(Engine(URL),))


HOSTILE_NAMES = tuple(
    clean(name)
    for name in (
        "[bold red]markup[/]:7b",
        "[link=file:///etc/passwd]x[/link]",
        "模型模型模型模型模型模型模型模型模型模型:70b",
        "e\u0301\u0301\u0301combining\u0308:1b",
        "abcdefghij" * 25,
        "שלום-עולם:8b",
        "👩‍👩‍👧‍👦🏳️‍🌈flags:3b",
        "\\[escaped\\]$primary",
        "{curly} %s %d \\x1b[31m",
    )
)


def hostile() -> Desk:
    """Names that want to be something else than names. Control characters are dropped before they get here."""
    desk = one_card()
    models = tuple(
        replace(loaded(name, 0.4 + index / 4, keep_alive=timed(minutes=index + 1)), pids=(7000 + index,))
        for index, name in enumerate(HOSTILE_NAMES)
    )
    installed = tuple(InstalledModel(name, URL, None, GIB, name, name, name, (name,), NOW) for name in HOSTILE_NAMES)
    events = tuple(
        Event(EventKind.LOADED, NOW - timedelta(seconds=index), name, f"{name} was loaded")
        for index, name in enumerate(HOSTILE_NAMES)
    )
    problems = tuple(Problem(name, name, name) for name in HOSTILE_NAMES)
    card = rtx4090(name=HOSTILE_NAMES[0])
    return replace(
        desk,
        cards=(card_state(card, *(holder(model) for model in models), process_holder(HOSTILE_NAMES[2], 0.3, 1830)),),
        models=models,
        installed=installed,
        events=events,
        problems=problems,
        processes=tuple(Process(1830 + n, name) for n, name in enumerate(HOSTILE_NAMES)),
        driver=Driver(HOSTILE_NAMES[1]),
    )


ALL_DESKS = {
    "one_card": one_card, "spilled": spilled, "two_cards": two_cards, "many": many, "wsl": wsl,
    "driver_missing": driver_missing, "engine_down": engine_down, "stale": stale, "lost_card": lost_card,
    "mig": mig, "empty": empty, "hostile": hostile,
}  # fmt: skip
