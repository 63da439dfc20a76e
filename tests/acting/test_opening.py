"""The whole of acting, as it is wired: previews, stores, orders and watch over the simulated workstation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpudesk import build
from gpudesk.acting import opening
from gpudesk.actions import previews
from gpudesk.actions.lookup import find_loaded
from gpudesk.actions.run import run
from gpudesk.actions.values import Ending, Load, Origin
from gpudesk.config.settings import Settings
from gpudesk.watch.poller import Poller


@contextmanager
def opened(folders: opening.Folders) -> Iterator[tuple[opening.Acting, Poller]]:
    workstation = build.open_workstation(Settings(), demo="coding")
    sources = opening.watch_sources(workstation.sources, folders)
    poller = Poller(sources, workstation.clock)
    poller.start()
    planner = build._desk_planner(workstation)
    everything = opening.open_acting(poller, workstation.settings, folders, lambda: planner)
    try:
        yield everything, poller
    finally:
        poller.stop()
        everything.close()
        planner.close()
        workstation.close()


@pytest.mark.slow
def test_previews_of_the_demo_are_carried_out_as_they_say(tmp_path: Path) -> None:
    folders = opening.Folders(tmp_path / "data", tmp_path / "state")
    with opened(folders) as (everything, poller):
        ports = everything.ports
        desk = poller.fresh(5.0, installed=True)
        assert not list(tmp_path.iterdir())
        one = max(desk.models, key=lambda model: model.memory_bytes or 0)
        unloaded = run(previews.unload(desk, [one]), ports, origin=Origin.COMMAND)
        assert unloaded.ending is Ending.DONE, unloaded
        assert one.name not in {model.name for model in poller.desk.models}
        preview = previews.load(poller.desk, Load(one.engine_url, one.name, 4096), ports.forecaster)
        assert run(preview, ports, origin=Origin.COMMAND).ending is Ending.DONE
        again = find_loaded(poller.fresh(5.0), one.name)
        assert again.context_length == 4096
        assert run(previews.pin(poller.desk, again, ports.forecaster), ports, origin=Origin.KEY).ending is Ending.DONE
        assert [(wish.name, wish.context_length) for wish in ports.pins.read()] == [(one.name, 4096)]
        assert [entry.action for entry in everything.journal.read(9)] == ["unload", "load", "pin"]
        assert everything.journal.unfinished() is None
