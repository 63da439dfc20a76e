from __future__ import annotations

import time
from pathlib import Path

import pytest

from gpudesk import build
from gpudesk.actions import previews
from gpudesk.actions.run import run
from gpudesk.actions.values import Ending, Origin
from gpudesk.config.settings import Settings
from gpudesk.domain.pin import Pin
from gpudesk.paths import shortened
from gpudesk.screen_wiring import ActingOpener, LateFolders, LatePins, Once
from gpudesk.watch.poller import Poller


@pytest.mark.slow
def test_the_demo_acts_in_a_folder_of_its_own_that_goes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("GPUDESK_DATA_DIR", str(tmp_path / "own-data"))
    monkeypatch.setenv("GPUDESK_STATE_DIR", str(tmp_path / "own-state"))
    workstation = build.open_workstation(Settings(), demo="coding")
    folders = LateFolders(demo=True)
    poller = Poller((*workstation.sources, LatePins(folders.get)), workstation.clock)
    opener = ActingOpener(workstation, lambda: poller, folders, Once(lambda: build._desk_planner(workstation)))
    poller.start()
    try:
        assert not list(tmp_path.iterdir()), "nothing is made before it is needed"
        acting = opener.open(lambda _line: None)
        desk = poller.fresh(5.0, installed=True)
        model = next(each for each in desk.models if each.memory_bytes)
        preview = previews.pin(desk, model, acting.ports.forecaster)
        assert run(preview, acting.ports, origin=Origin.KEY).ending is Ending.DONE
        deadline = time.monotonic() + 10.0
        while not any(state.pin is Pin.HELD for state in poller.desk.pins):
            assert time.monotonic() < deadline, "the pin is never on the desk"
            time.sleep(0.02)
        assert [entry.action for entry in acting.journal.read(9)] == ["pin"]
        (folder,) = tmp_path.iterdir()
        assert folder.name.startswith("gpudesk-demo-")
        assert shortened(folder / "home" / "x") == "~/x"
    finally:
        opener.close()
        poller.stop()
        workstation.close()
    assert not list(tmp_path.iterdir())
    assert shortened(folder / "home" / "x") != "~/x"


def test_the_planner_is_made_once() -> None:
    made: list[int] = []

    def make() -> object:
        made.append(1)
        return object()

    once = Once(make)  # type: ignore[arg-type]
    assert once() is once()
    assert made == [1]
