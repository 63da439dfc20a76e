"""What gpudesk makes of an engine: its own sources, from the wire and the process table to the desk."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gpudesk.clock import SYSTEM_CLOCK
from gpudesk.config.settings import EngineAddress
from gpudesk.domain.desk import Desk, LoadedModel
from gpudesk.domain.keep_alive import KeepAliveState
from gpudesk.sources.ollama import OllamaCatalogSource, OllamaSource
from gpudesk.sources.ollama_client import OllamaClient
from gpudesk.sources.ollama_details import OllamaDetailsSource
from gpudesk.sources.processes import ProcessSource
from gpudesk.watch.once import sample_once
from tests.live.engine import OllamaProcess
from tests.live.models import ALIAS, CHAT, CODE, EMBED, TINY_CHAT, WIDE
from tests.live.residency import load
from tests.live.subject import Machine, Subject

ANSWER_SECONDS = 10.0


def desk_of(subject: Subject, machine: Machine, models_directory: Path) -> Desk:
    """Read everything once, as `gpudesk status` does."""
    address = EngineAddress(subject.api.url)
    sources = (
        OllamaSource(OllamaClient(address)),
        OllamaCatalogSource(OllamaClient(address)),
        OllamaDetailsSource(OllamaClient(address)),
        ProcessSource(machine.process_table(), models_directories=[models_directory]),
    )
    return sample_once(sources, SYSTEM_CLOCK, ANSWER_SECONDS)


def only_model(desk: Desk) -> LoadedModel:
    """The one model on the desk."""
    (model,) = desk.models
    return model


def test_the_engine_and_its_catalog_are_read_without_a_problem(
    own_models: Subject, machine: Machine, tmp_path: Path
) -> None:
    desk = desk_of(own_models, machine, tmp_path)
    assert desk.problems == ()
    (engine,) = desk.engines
    assert engine.reachable
    assert engine.local
    assert engine.version == own_models.api.get("/api/version").json["version"]
    assert abs(engine.clock_skew_seconds or 0) < 2
    installed = {model.name: model for model in desk.installed}
    assert {CHAT, CODE, EMBED, ALIAS, WIDE} <= set(installed)
    assert installed[CHAT].quantization == "F16"
    assert installed[CHAT].size_bytes == own_models.api.installed()[CHAT]["size"]


def test_a_loaded_model_is_joined_with_its_runner(own_models: Subject, machine: Machine, tmp_path: Path) -> None:
    load(own_models, CHAT, keep_alive=-1, options={"num_ctx": 512})
    desk = desk_of(own_models, machine, tmp_path)
    (runner,) = machine.runners()
    model = only_model(desk)
    assert model.name == CHAT
    assert model.pids == (runner.pid,)
    assert model.keep_alive is not None
    assert model.keep_alive.state is KeepAliveState.FOREVER
    assert model.cpu_ratio == 1.0, "no card here: all of it is in host memory"
    assert model.reported_vram_bytes == 0
    assert model.host_memory_bytes
    told_by_argv = own_models.version < (0, 11, 5) or own_models.version >= (0, 30)
    assert model.context_length == 512, "from the API since 0.9.7, before that from the command line"
    assert model.parallel == (own_models.num_parallel if told_by_argv else None)


def test_two_names_of_one_file_are_one_loaded_model(own_models: Subject, machine: Machine, tmp_path: Path) -> None:
    load(own_models, ALIAS, keep_alive="10m")
    load(own_models, CHAT)
    model = only_model(desk_of(own_models, machine, tmp_path))
    assert model.name == ALIAS
    assert model.keep_alive is not None
    assert 590 < (model.keep_alive.remaining_seconds(SYSTEM_CLOCK.now()) or 0) <= 600


def test_details_come_from_show_and_name_the_file_of_the_runner(
    own_models: Subject, machine: Machine, tmp_path: Path
) -> None:
    load(own_models, CHAT)
    desk = desk_of(own_models, machine, tmp_path)
    model = only_model(desk)
    (details,) = [one for one in desk.details if one.digest == model.digest]
    assert details.context_length_trained == TINY_CHAT.context_length
    assert details.layer_count == TINY_CHAT.block_count
    assert details.family == "llama"
    assert model.runner is not None
    assert details.blob_digests == (model.runner.blob_digest,)


def test_a_killed_runner_leaves_a_model_without_a_process(
    own_models: Subject, machine: Machine, tmp_path: Path
) -> None:
    load(own_models, CHAT, keep_alive=-1)
    (runner,) = machine.runners()
    machine.kill_runner(runner.pid)
    own_models.api.wait_until(lambda: not machine.runners(), "the runner is gone")
    model = only_model(desk_of(own_models, machine, tmp_path))
    assert model.name == CHAT
    assert model.pids == ()


@pytest.mark.live
@pytest.mark.slow
def test_the_status_command_tells_of_a_real_engine(real_ollama: OllamaProcess) -> None:
    command = [sys.executable, "-m", "gpudesk", "status", "--json", "--ollama", real_ollama.url]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    (engine,) = answer["engines"]
    assert engine["reachable"] is True
    assert engine["version"].startswith("0.5.4")
