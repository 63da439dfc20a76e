"""The Ollama sources against servers that are not ours to bend: the real 0.5.4 and the simulated one."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpudesk.clock import SYSTEM_CLOCK, Clock
from gpudesk.config.settings import EngineAddress
from gpudesk.domain.desk import Desk, LoadedModel
from gpudesk.domain.engine import EngineSample
from gpudesk.sim.workstation import SimulatedWorkstation
from gpudesk.sources.ollama import OllamaCatalogSource, OllamaDetailsSource, OllamaSource
from gpudesk.sources.ollama_cache import DetailsCache
from gpudesk.sources.ollama_client import OllamaClient
from tests.live.api import Api, version_of
from tests.live.engine import OllamaProcess
from tests.live.models import CHAT


def read_everything(url: str, clock: Clock, cache: Path) -> tuple[EngineSample, Desk, Desk]:
    """Read all three sources until the details are complete; return the sample, the desk before and after."""
    client = OllamaClient(EngineAddress(url))
    sample = OllamaSource(client, clock).read(Desk(clock.now()))
    installed = OllamaCatalogSource(client, clock).read(Desk(clock.now())).installed
    desk = Desk(
        clock.now(),
        models=tuple(LoadedModel(model.name, url, model.digest) for model in sample.models),
        installed=installed,
    )
    source = OllamaDetailsSource(client, clock, cache_directory=cache)
    for _ in range(len(installed) + 1):
        details = source.read(desk)
    client.close()
    assert details.problems == ()
    return sample, desk, Desk(clock.now(), installed=installed, details=details.details)


@pytest.mark.slow
def test_the_simulated_workstation_reads_like_any_other(tmp_path: Path) -> None:
    with SimulatedWorkstation() as workstation:
        sample, before, after = read_everything(workstation.url, workstation.clock, tmp_path)
    assert sample.version
    assert sample.local
    assert sample.problems == ()
    assert sample.clock_skew_seconds is None, "its Date header follows its own clock"
    assert before.models
    assert before.installed
    assert all(model.keep_alive is not None and model.context_length for model in sample.models)
    local = {model.digest for model in after.installed if model.remote_host is None}
    assert {details.digest for details in after.details} >= local
    for details in after.details:
        assert details.blob_digests
        assert details.layer_count
        metadata = DetailsCache(tmp_path).metadata(details.digest)
        assert metadata is not None
        assert metadata["tensors"]


@pytest.mark.live
def test_a_real_ollama_reads_whole(real_ollama: OllamaProcess, tmp_path: Path) -> None:
    api = Api(real_ollama.url)
    try:
        api.post("/api/generate", model=CHAT, keep_alive="5m")
        sample, before, after = read_everything(real_ollama.url, SYSTEM_CLOCK, tmp_path)
    finally:
        api.unload(CHAT)
        api.close()
    assert version_of(sample.version or "") == real_ollama.version
    assert sample.local
    assert sample.clock_skew_seconds is None
    assert [model.name for model in sample.models] == [CHAT]
    assert sample.models[0].size_bytes
    assert sample.models[0].keep_alive is not None
    assert before.installed
    assert {details.digest for details in after.details} == {model.digest for model in before.installed}
    for details in after.details:
        assert details.blob_digests, "the modelfile names the blobs"
        assert details.family
        assert details.layer_count
