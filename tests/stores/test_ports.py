from __future__ import annotations

from pathlib import Path

from gpudesk.actions.ports import Journal, PinStore, Turn
from gpudesk.stores.journal import FileJournal
from gpudesk.stores.pins import TomlPinStore
from gpudesk.stores.turn import FileTurn


def test_the_stores_are_what_actions_ask_for_and_make_nothing_before_they_must(tmp_path: Path) -> None:
    """The annotations are checked by mypy; that nothing is made by looking is checked here."""
    pins: PinStore = TomlPinStore(tmp_path / "data")
    journal: Journal = FileJournal(tmp_path / "state")
    turn: Turn = FileTurn(tmp_path / "state")
    assert pins.read() == ()
    journal.finish()
    turn.take("load")
    assert list(tmp_path.iterdir()) == []
