"""Actions as they are run, against the engine itself: what they say is what it has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gpudesk.actions.lookup import find_loaded, loaded_now
from gpudesk.actions.ports import Ports
from gpudesk.actions.run import run
from gpudesk.actions.values import ActionId, Ending, Load, Origin, Outcome, Preview, Step, StepKind
from gpudesk.config.settings import EngineAddress
from gpudesk.domain.keep_alive import FOREVER, KeepAliveState, KeepAliveWish
from gpudesk.sources.ollama import OllamaCatalogSource, OllamaSource
from gpudesk.sources.ollama_client import OllamaClient
from gpudesk.sources.ollama_control import OllamaControl
from gpudesk.sources.ollama_details import OllamaDetailsSource
from gpudesk.sources.processes import ProcessSource
from gpudesk.stores.journal import FileJournal
from gpudesk.stores.pins import TomlPinStore
from gpudesk.stores.turn import FileTurn
from gpudesk.watch.poller import Poller
from tests.actions.rig import Oracle
from tests.live.models import CHAT, CODE, EMBED
from tests.live.residency import load
from tests.live.subject import Machine, Subject


@pytest.fixture
def ports(own_models: Subject, machine: Machine, tmp_path: Path) -> Iterator[Ports]:
    address = EngineAddress(own_models.api.url)
    sources = (
        OllamaSource(OllamaClient(address)),
        OllamaCatalogSource(OllamaClient(address)),
        OllamaDetailsSource(OllamaClient(address)),
        ProcessSource(machine.process_table(), models_directories=[tmp_path]),
    )
    poller, control = Poller(sources), OllamaControl(address)
    poller.start()
    yield Ports(poller, (control,), Oracle(), TomlPinStore(tmp_path), FileJournal(tmp_path), FileTurn(tmp_path))
    poller.stop()
    control.close()


def carry_out(ports: Ports, action: ActionId, *steps: Step) -> Outcome:
    before = loaded_now(ports.watch.fresh(10.0))
    return run(Preview(action, "it", steps, before=before), ports, origin=Origin.COMMAND)


def test_load_keep_and_unload_are_seen_to_be_so(own_models: Subject, ports: Ports) -> None:
    url = own_models.api.url
    loaded = carry_out(ports, ActionId.LOAD, Step(StepKind.LOAD, Load(url, CHAT, 512, KeepAliveWish(600.0))))
    assert loaded.ending is Ending.DONE, loaded
    assert set(own_models.loaded()) == {CHAT}
    pids = find_loaded(ports.watch.desk, CHAT).pids
    kept = carry_out(ports, ActionId.KEEP, Step(StepKind.KEEP_ALIVE, Load(url, CHAT, 512, FOREVER)))
    assert kept.ending is Ending.DONE, kept
    model = find_loaded(ports.watch.fresh(10.0), CHAT)
    assert model.keep_alive is not None
    assert model.keep_alive.state is KeepAliveState.FOREVER
    assert model.pids == pids or not pids, "it was not loaded again"
    gone = carry_out(ports, ActionId.UNLOAD, Step(StepKind.UNLOAD, Load(url, CHAT)))
    assert gone.ending is Ending.DONE, gone
    assert set(own_models.loaded()) == set()


def test_a_swap_that_fails_brings_back_what_was_there(own_models: Subject, ports: Ports) -> None:
    url = own_models.api.url
    load(own_models, CHAT, keep_alive=-1, options={"num_ctx": 512})
    steps = Step(StepKind.UNLOAD, Load(url, CHAT)), Step(StepKind.LOAD, Load(url, "gpudesk-nobody-has-this:1b"))
    outcome = carry_out(ports, ActionId.SWAP, *steps)
    assert outcome.ending is Ending.UNDONE, outcome
    assert set(own_models.loaded()) == {CHAT}
    model = find_loaded(ports.watch.fresh(10.0), CHAT)
    assert model.keep_alive is not None
    assert model.keep_alive.state is KeepAliveState.FOREVER


def test_a_set_with_a_pin_and_an_embedding_model_is_applied(own_models: Subject, ports: Ports) -> None:
    url = own_models.api.url
    load(own_models, CHAT, options={"num_ctx": 512})
    outcome = carry_out(
        ports,
        ActionId.APPLY,
        Step(StepKind.UNLOAD, Load(url, CHAT)),
        Step(StepKind.PIN, Load(url, CODE, 512)),
        Step(StepKind.LOAD, Load(url, EMBED, 256, FOREVER, embedding=True)),
    )
    assert outcome.ending is Ending.DONE, outcome
    assert set(own_models.loaded()) == {CODE, EMBED}
    assert [pin.name for pin in ports.pins.read()] == [CODE]
