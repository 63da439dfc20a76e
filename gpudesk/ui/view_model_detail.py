"""Everything known of one model, loaded or only installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.domain.desk import LoadedModel, MemorySource
from gpudesk.domain.keep_alive import KeepAliveState
from gpudesk.domain.pin import Pin
from gpudesk.ui.cells import Line, Span
from gpudesk.ui.detail_lines import Detail, fact, heading, paragraphs, styled_fact
from gpudesk.ui.marks import letter, shade
from gpudesk.ui.view_lower import installed_key
from gpudesk.ui.view_models import keep_alive_line, share_cell
from gpudesk.units import age, gibibytes

if TYPE_CHECKING:
    from gpudesk.domain.model import InstalledModel, ModelDetails
    from gpudesk.domain.process import Runner
    from gpudesk.ui.scene import Scene


def model_detail(key: str, scene: Scene, width: int) -> Detail | None:
    """Return the detail of the model with a key, None when it is neither loaded nor installed."""
    model = next((model for model in scene.desk.models if model.key == key), None)
    installed = next((model for model in scene.desk.installed if installed_key(model) == key), None)
    if model is None and installed is None:
        return None
    name = model.name if model is not None else installed.name if installed is not None else key
    lines: list[Line] = []
    if model is not None:
        lines += _memory(model, scene, width)
        lines += _stay(model, scene, width)
        lines += _runner(model, width)
    lines += _files(model, installed, scene, width)
    mark = scene.marks.get(key)
    title = (Span(f"{letter(mark)} ", f"mark-{shade(mark)}"),) if mark is not None else ()
    state = "loaded" if model is not None else "installed, not loaded"
    return Detail((*title, Span(name, "title-focus"), Span(f"  {state}", "dim")), tuple(lines))


def _memory(model: LoadedModel, scene: Scene, width: int) -> list[Line]:
    """Measured against claimed, per card, and what explains the difference."""
    measured = model.memory_source is MemorySource.DRIVER
    lines = [heading("Memory")]
    lines += fact("measured", gibibytes(model.memory_bytes) if measured else None, width, role="strong",
                  note="" if measured else "the driver does not tell; the figures below are the engine's")  # fmt: skip
    for share in model.cards:
        card = next((state.card.name for state in scene.desk.cards if state.card.index == share.index), None)
        lines += fact(f"  on card {share.index}", f"{gibibytes(share.memory_bytes)}   {card or ''}".rstrip(), width)
    lines += fact("engine claims", gibibytes(model.reported_vram_bytes), width)
    lines += fact("  with the host", gibibytes(model.reported_bytes), width)
    if model.difference_bytes is not None:
        sign = "+" if model.difference_bytes > 0 else ""
        lines += fact("difference", f"{sign}{gibibytes(model.difference_bytes)}", width, role="warn")
    lines += fact("host memory", gibibytes(model.host_memory_bytes), width)
    lines.append(styled_fact("runs on", share_cell(model, scene)))
    if model.explanations:
        lines += [(), heading("What explains the difference"), *paragraphs(model.explanations, width)]
    if model.shares_runner_with:
        names = ", ".join(model.shares_runner_with)
        lines += paragraphs([f"the same runner serves {names}: counted once, under this name"], width)
    return [*lines, ()]


def _stay(model: LoadedModel, scene: Scene, width: int) -> list[Line]:
    """Keep-alive and pin."""
    lines = [heading("Stays"), styled_fact("keep-alive", keep_alive_line(model.keep_alive, scene.now))]
    current = None if model.keep_alive is None else model.keep_alive.at(scene.now)
    if current is not None and current.state is KeepAliveState.TIMED and current.expires_at is not None:
        lines += fact("until", f"{current.expires_at.astimezone():%H:%M:%S, %a %d %b} local time", width,
                      note="every request starts it anew when it ends")  # fmt: skip
    elif current is not None and current.state is KeepAliveState.FOREVER:
        lines += fact("until", "no end of its own", width, note="the engine still evicts it when another needs room")
    elif current is not None:
        lines += fact("until", "its time has passed", width, note="it is being unloaded, or still serves a request")
    return [*lines, *_pin(model, scene, width), ()]


def _pin(model: LoadedModel, scene: Scene, width: int) -> list[Line]:
    """Whether it is pinned, what became of that, and what to do."""
    names = (model.name, *model.shares_runner_with)
    states = [
        state for state in scene.desk.pins if state.wish.engine_url == model.engine_url and state.wish.name in names
    ]
    words = {Pin.NONE: "not pinned", Pin.HELD: "held", Pin.LOST: "! lost"}
    if not states:
        return fact("pin", words[model.pin], width, role="error" if model.pin is Pin.LOST else "")
    lines: list[Line] = []
    for state in states:
        lost = state.pin is Pin.LOST
        context = f", context {state.wish.context_length}" if state.wish.context_length else ""
        restore = "put right when it is lost" if state.wish.restore else "only told when it is lost"
        advice = f"{scene.pin_key} on the model puts it right or ends the pin"
        note = f"{state.reason or 'nobody told why'}. {advice}" if lost else restore
        lines += fact("pin", f"{words[state.pin]}{context}", width, role="error" if lost else "good", note=note)
    return lines


def _runner(model: LoadedModel, width: int) -> list[Line]:
    """What the engine's runner was started with."""
    lines = [heading("Runs with")]
    slots = model.parallel
    context = None if model.context_length is None else f"{model.context_length} tokens per slot"
    if model.context_length is not None and slots is not None and slots > 1:
        context = f"{context} × {slots} slots = {model.context_length * slots}"
    lines += fact("context", context, width)
    lines += fact("slots", None if slots is None else f"{slots}", width)
    lines += fact("KV cache", model.kv_cache_type, width)
    lines += fact("processes", ", ".join(f"pid {pid}" for pid in model.pids) or None, width)
    runner = model.runner
    if runner is not None:
        lines += _runner_facts(runner, width)
    lines += fact("engine", model.engine_url, width)
    return [*lines, ()]


def _runner_facts(runner: Runner, width: int) -> list[Line]:
    """The command line's facts, those that it states."""
    extras = [
        word
        for word, stated in (
            ("embedding", runner.embedding),
            ("speculative draft model", runner.draft_model),
            (f"{runner.lora_count} adapters", runner.lora_count > 0),
            ("projector", runner.projector_digest is not None),
        )
        if stated
    ]
    pairs = (
        ("runner", runner.kind.value),
        ("batch", None if runner.batch_size is None else f"{runner.batch_size}"),
        ("layers on card", None if runner.layers_on_gpu is None else f"{runner.layers_on_gpu}"),
        ("flash attention", runner.flash_attention),
        ("port", None if runner.port is None else f"{runner.port}"),
        ("also", ", ".join(extras) or None),
        ("model file", runner.model_path),
    )
    return [line for label, value in pairs if value is not None for line in fact(label, value, width)]


def _files(model: LoadedModel | None, installed: InstalledModel | None, scene: Scene, width: int) -> list[Line]:
    """What it is, and what it is made of on disk."""
    digest = (model.digest if model is not None else None) or (installed.digest if installed is not None else None)
    details: ModelDetails | None = next((entry for entry in scene.desk.details if entry.digest == digest), None)
    one = installed if installed is not None else model
    lines = [heading("The model")]
    capabilities = installed.capabilities if installed is not None else None
    if details is not None and details.capabilities is not None:
        capabilities = details.capabilities
    lines += fact("family", one.family if one is not None else None, width)
    lines += fact("parameters", one.parameter_size if one is not None else None, width)
    lines += fact("quantization", one.quantization if one is not None else None, width)
    lines += fact("capabilities", None if capabilities is None else ", ".join(capabilities), width)
    if details is not None:
        trained = details.context_length_trained
        lines += fact("trained context", None if trained is None else f"{trained} tokens", width)
        lines += fact("layers", None if details.layer_count is None else f"{details.layer_count}", width)
        if details.sliding_window is not None:
            lines += fact("sliding window", f"{details.sliding_window} tokens in some layers", width)
        lines += fact("license", details.license, width)
    if installed is not None:
        if installed.remote_host is not None:
            lines += fact("runs at", installed.remote_host, width, note="a cloud model holds no memory here")
        else:
            lines += fact("size on disk", gibibytes(installed.size_bytes), width)
        if installed.modified_at is not None:
            ago = age((scene.now - installed.modified_at).total_seconds())
            lines += fact("modified", f"{installed.modified_at.astimezone():%Y-%m-%d %H:%M} ({ago})", width)
    lines += fact("digest", digest, width)
    for index, blob in enumerate(details.blob_digests if details is not None else ()):
        lines += fact("weights" if index == 0 else "further file", f"sha256-{blob}", width)
    return lines
