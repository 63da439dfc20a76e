"""What gpudesk puts into people's configurations comes out again without a trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpudesk.exports.editors.continue_dev import Continue
from gpudesk.exports.values import Way
from gpudesk.exports.writing import apply
from tests.exports.editors import cases
from tests.exports.editors.people import CONFIGURATIONS, FEW, HUGE, Configuration

EVERY = pytest.mark.parametrize(
    "configuration",
    [pytest.param(each, id=each.name, marks=() if each in FEW else pytest.mark.slow) for each in CONFIGURATIONS],
)


def prepared(configuration: Configuration, home: Path) -> Path:
    """Write a configuration where Continue has it."""
    path = home / ".continue" / "config.yaml"
    path.parent.mkdir(parents=True)
    path.write_bytes(configuration.data)
    return path


def test_there_are_two_hundred_and_all_differ() -> None:
    assert len(CONFIGURATIONS) == 200
    assert len({each.data for each in CONFIGURATIONS}) == 200
    assert max(each.data.count(b"\n") for each in CONFIGURATIONS) > 7 * HUGE


@EVERY
def test_a_merge_is_taken_out_without_a_trace(configuration: Configuration, tmp_path: Path) -> None:
    home, state = tmp_path / "home", tmp_path / "state"
    path = prepared(configuration, home)
    around, editor = cases.around(home), Continue()
    apply(editor.export(cases.chosen(), around, Way.MERGE), state=state)
    merged = path.read_bytes()
    assert merged != configuration.data
    assert not any(change.changes for change in editor.export(cases.chosen(), around, Way.MERGE).changes)

    apply(editor.export(cases.chosen(context=8192), around, Way.MERGE), state=state)
    assert path.read_bytes() != merged
    apply(editor.export(cases.chosen(), around, Way.MERGE), state=state)
    assert path.read_bytes() == merged, "changing there and back"
    apply(editor.remove(around), state=state)
    assert path.read_bytes() == configuration.data


@EVERY
def test_a_file_of_its_own_touches_no_byte_of_the_other(configuration: Configuration, tmp_path: Path) -> None:
    home, state = tmp_path / "home", tmp_path / "state"
    path = prepared(configuration, home)
    around, editor = cases.around(home), Continue()
    before = cases.content(home)
    apply(editor.export(cases.chosen(), around, Way.OWN_FILE), state=state)
    assert path.read_bytes() == configuration.data
    assert cases.content(home).keys() - before.keys() == {".continue/models/gpudesk.yaml"}
    apply(editor.remove(around), state=state)
    assert cases.content(home) == before


@EVERY
def test_from_a_file_of_its_own_to_a_merge_and_back(configuration: Configuration, tmp_path: Path) -> None:
    home, state = tmp_path / "home", tmp_path / "state"
    path = prepared(configuration, home)
    around, editor = cases.around(home), Continue()
    for way in (Way.OWN_FILE, Way.MERGE, Way.OWN_FILE):
        apply(editor.export(cases.chosen(), around, way), state=state)
        own = cases.content(home).keys() - {".continue/config.yaml"}
        assert own == ({".continue/models/gpudesk.yaml"} if way is Way.OWN_FILE else set())
    assert path.read_bytes() == configuration.data
