"""The longer stories: what an afternoon with an editor, a game and a full card looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.sim.cards import GIBIBYTE, MEBIBYTE

if TYPE_CHECKING:
    from gpudesk.sim.models import SimulatedModel
    from gpudesk.sim.scenarios_stage import Stage

CHAT, COMPLETE, EMBED = "qwen3:14b", "qwen2.5-coder:1.5b", "nomic-embed-text:latest"
LARGE = "mistral-small3.2:24b"
GPU_IS_LOST = 15
"""NVML_ERROR_GPU_IS_LOST."""
GAME_ARGV = ("/home/dev/.steam/steam/steamapps/common/Baldurs Gate 3/bin/bg3", "-fullscreen")
ROUND_SECONDS = 180
"""The afternoon repeats itself."""


def _is_left_alone(stage: Stage) -> bool:
    """Tell whether only models of the story are there or coming: whoever tries something else is not to be fought."""
    return {runner.model.name for runner in stage.server.scheduler.runners} <= {CHAT, COMPLETE, EMBED, LARGE}


def _autocomplete(stage: Stage) -> None:
    if _is_left_alone(stage) and stage.random.random() < 0.6:
        stage.ask(COMPLETE, num_ctx=4096, tokens=stage.random.randint(12, 40), prompt_tokens=900)


def _play(stage: Stage, seconds: float) -> None:
    pid = stage.program("bg3", GAME_ARGV, 1200 * MEBIBYTE, resident_bytes=5 * GIBIBYTE)

    def grow(memory_bytes: int) -> None:
        with stage.cards.lock:
            process = stage.cards.cards[0].processes.get(pid)
            if process is not None:
                process.memory_bytes = memory_bytes

    def leave() -> None:
        stage.other_load.pop(0, None)
        stage.quit(pid)

    stage.other_load[0] = 0.7
    stage.at(2, lambda: grow(3 * GIBIBYTE))
    stage.at(5, lambda: grow(6 * GIBIBYTE))
    stage.at(seconds, leave)


def working_day(stage: Stage) -> None:
    """Chat pinned, autocomplete counting down, embedding forever; then an editor, a second client, a game."""
    stage.desktop()
    stage.loaded(EMBED, keep_alive=-1)
    stage.loaded(COMPLETE, keep_alive=1800, num_ctx=4096, idle=205)
    stage.loaded(CHAT, keep_alive=-1, num_ctx=8192)
    stage.enliven()
    stage.every(4, lambda: _autocomplete(stage), first=2)
    stage.every(ROUND_SECONDS, lambda: _afternoon(stage), first=0.5)


def _afternoon(stage: Stage) -> None:
    at = stage.at

    def ask(
        name: str,
        *,
        keep_alive: float | None = None,
        num_ctx: int | None = None,
        tokens: int = 0,
        prompt_tokens: int = 600,
    ) -> None:
        if _is_left_alone(stage):
            stage.ask(name, keep_alive=keep_alive, num_ctx=num_ctx, tokens=tokens, prompt_tokens=prompt_tokens)

    def expire(name: str) -> None:
        if _is_left_alone(stage):
            stage.server.scheduler.expire(_model(stage, name))

    at(6, lambda: ask(CHAT, num_ctx=8192, tokens=360, prompt_tokens=2200))
    # An editor that always sends its own keep-alive: the pin is gone.
    at(20, lambda: ask(CHAT, num_ctx=8192, keep_alive=1800, tokens=220))
    # A second client wants the same model with another context, and back: two reloads.
    at(38, lambda: ask(CHAT, num_ctx=16384, tokens=120))
    at(56, lambda: ask(CHAT, num_ctx=8192, keep_alive=-1, tokens=160))
    at(72, lambda: _play(stage, 40))
    # Too big beside a game: some of it goes to the processor, and others must go.
    at(84, lambda: ask(LARGE, num_ctx=16384, keep_alive=25, tokens=90))
    at(128, lambda: ask(CHAT, num_ctx=8192, keep_alive=-1, tokens=200))
    # What was loaded beside the big model runs on the processor and stays there until somebody unloads it.
    at(142, lambda: expire(COMPLETE))
    at(143, lambda: ask(COMPLETE, num_ctx=4096, keep_alive=1800, tokens=24))
    at(150, lambda: ask(EMBED, keep_alive=-1))


def editor_resets(stage: Stage) -> None:
    """After ten seconds an editor sends its default keep-alive to a model that was to stay forever."""
    stage.desktop()
    stage.enliven()
    stage.loaded(CHAT, keep_alive=-1, num_ctx=8192)
    stage.loaded(COMPLETE, keep_alive=-1, num_ctx=4096)
    stage.at(10, lambda: stage.ask(CHAT, num_ctx=8192, keep_alive=1800, tokens=40))


def ping_pong(stage: Stage) -> None:
    """Every 20 seconds the other of two clients asks, and the model is loaded again with its context."""
    stage.desktop()
    stage.enliven()
    stage.loaded(CHAT, keep_alive=-1, num_ctx=8192)
    contexts = [16384, 8192]

    def ask() -> None:
        stage.ask(CHAT, num_ctx=contexts[0], tokens=30)
        contexts.reverse()

    stage.every(20, ask, first=10)


def spill(stage: Stage) -> None:
    """On a 12 GiB card a 24B model takes what it gets; the rest runs on the processor."""
    stage.desktop()
    stage.enliven()
    stage.loaded("mistral-small3.2:24b", keep_alive=-1, num_ctx=16384)
    stage.every(15, lambda: stage.ask("mistral-small3.2:24b", num_ctx=16384, tokens=40), first=5)


def hot_card(stage: Stage) -> None:
    """A long answer; after ten seconds the card's fans stop, and after seventy they turn again."""
    stage.desktop()
    stage.enliven()
    stage.loaded(CHAT, keep_alive=-1, num_ctx=8192)
    stage.loaded(COMPLETE, keep_alive=1800, num_ctx=4096)
    stage.other_load[0] = 0.6
    stage.every(12, lambda: stage.ask(CHAT, num_ctx=8192, tokens=600), first=2)
    stage.at(10, lambda: stage.still_fans.add(0))
    stage.at(70, lambda: stage.still_fans.discard(0))


def lost_gpu(stage: Stage) -> None:
    """After ten seconds every call about the card fails; after forty it answers again."""
    stage.desktop()
    stage.enliven()
    stage.loaded(CHAT, keep_alive=-1, num_ctx=8192)

    def lose() -> None:
        with stage.cards.lock:
            stage.cards.cards[0].errors["*"] = GPU_IS_LOST

    def find() -> None:
        with stage.cards.lock:
            stage.cards.cards[0].errors.pop("*", None)

    stage.at(10, lose)
    stage.at(40, find)


def server_dies(stage: Stage) -> None:
    """A swap begins, the server dies during the load, and is back after twenty seconds with nothing loaded."""
    stage.desktop()
    stage.enliven()
    stage.loaded(EMBED, keep_alive=-1)
    stage.loaded(CHAT, keep_alive=-1, num_ctx=8192)
    stage.at(8, lambda: stage.server.scheduler.expire(_model(stage, CHAT)))
    stage.at(9, lambda: stage.ask("gemma3:12b", num_ctx=8192, keep_alive=-1))
    stage.at(11, stage.server.stop_soon)
    stage.at(31, stage.server.restart)


def game(stage: Stage) -> None:
    """Two models, then a game beside them, then they are alone again."""
    stage.desktop()
    stage.enliven()
    stage.loaded(CHAT, keep_alive=-1, num_ctx=8192)
    stage.loaded(COMPLETE, keep_alive=-1, num_ctx=4096)
    stage.at(10, lambda: _play(stage, 60))


def two_cards(stage: Stage) -> None:
    """A 70B model over both cards, a small one on the freer of them, a training job on the second."""
    stage.desktop()
    stage.enliven()
    stage.loaded("qwen2.5-coder:32b", keep_alive=-1, num_ctx=32768)
    stage.loaded(COMPLETE, keep_alive=1800, num_ctx=8192)
    stage.program(
        "python", ("/home/dev/.venv/bin/python", "train.py", "--epochs", "3"), 2300 * MEBIBYTE, card=1, compute=True
    )
    stage.every(11, lambda: stage.ask("qwen2.5-coder:32b", num_ctx=32768, tokens=60), first=4)


def mig(stage: Stage) -> None:
    """The engine on the largest slice, a training job on the next."""
    stage.loaded(CHAT, keep_alive=-1, num_ctx=8192)
    stage.loaded(EMBED, keep_alive=300)
    stage.program(
        "python", ("/opt/venv/bin/python", "train.py"), 6200 * MEBIBYTE, compute=True, slice_index=1, user="ana"
    )
    stage.cards.cards[0].slices[1].memory_used_bytes += 6200 * MEBIBYTE
    stage.enliven()


def many(stage: Stage) -> None:
    """Eight cards full of everything."""
    listed = [model for model, _modified in stage.server.store.listed() if model.can("completion")]
    small_ones = [model.name for model in listed if model.shape.block_count <= 36 and not model.shape.expert_count]
    for number in range(20):
        stage.loaded(
            small_ones[number * 3 % len(small_ones)], keep_alive=-1 if number % 3 else 1200 + 60 * number, num_ctx=4096
        )
    for number in range(180):
        kind = number % 4
        if kind == 0:
            argv: tuple[str, ...] = ("/opt/conda/bin/python", f"worker_{number}.py")
            name = "python"
        elif kind == 1:
            argv, name = ("/usr/lib/firefox/firefox", f"-contentproc={number}"), "firefox"
        elif kind == 2:
            argv, name = ("/usr/bin/blender", "-b", f"shot{number}.blend"), "blender"
        else:
            argv, name = ("/usr/bin/ffmpeg", "-i", f"take{number}.mkv"), "ffmpeg"
        stage.program(name, argv, (40 + number % 9 * 23) * MEBIBYTE, card=number % 8, compute=kind in (0, 2))
    stage.enliven()


def _model(stage: Stage, name: str) -> SimulatedModel:
    found = stage.server.store.find(name)
    assert found is not None, name
    return found
