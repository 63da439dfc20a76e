"""A gpudesk that is killed in the middle of a swap: run as a program by `test_recover`."""

from __future__ import annotations

import sys
from pathlib import Path

from gpudesk.actions.lookup import loaded_now
from gpudesk.actions.ports import Forecast, Ports
from gpudesk.actions.run import run
from gpudesk.actions.values import ActionId, Load, Origin, Preview, Step, StepKind
from gpudesk.config.settings import EngineAddress
from gpudesk.sources.ollama import OllamaSource
from gpudesk.sources.ollama_client import OllamaClient
from gpudesk.sources.ollama_control import OllamaControl
from gpudesk.stores.journal import FileJournal
from gpudesk.stores.pins import TomlPinStore
from gpudesk.stores.turn import FileTurn
from gpudesk.watch.poller import Poller


class Fits:
    """Everything fits."""

    def forecast(self, desk: object, loads: object, leaving: object = ()) -> Forecast:
        return Forecast(verdict="fits")


def main() -> None:
    """Swap; the parent kills this process while the new model loads."""
    url, folder, old, new = sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    poller = Poller((OllamaSource(OllamaClient(EngineAddress(url))),))
    poller.start()
    steps = Step(StepKind.UNLOAD, Load(url, old, 8192)), Step(StepKind.LOAD, Load(url, new, 8192))
    before = loaded_now(poller.fresh(5.0))
    preview = Preview(ActionId.SWAP, f"{old} to {new}", steps, loses=(f"{old} goes",), verdict="fits", before=before)
    journal, turn = FileJournal(folder), FileTurn(folder)
    ports = Ports(poller, (OllamaControl(EngineAddress(url)),), Fits(), TomlPinStore(folder), journal, turn)
    run(preview, ports, origin=Origin.COMMAND)


if __name__ == "__main__":
    main()
