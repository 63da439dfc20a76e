from __future__ import annotations

from pathlib import Path

import pytest

from gpudesk.exports.registry import MODULES, editor
from gpudesk.exports.values import Way
from gpudesk.exports.writing import apply
from tests.exports.editors import cases

OWN_TESTS = {"continue"}
"""Editors whose golden files have another form, with tests of their own."""
ALL = [(name, case) for name in MODULES if name not in OWN_TESTS for case in cases.cases(name)]


@pytest.mark.parametrize(("name", "case"), ALL)
def test_an_editor_is_set_up_as_the_golden_files_say(name: str, case: str, tmp_path: Path) -> None:
    home, state = tmp_path / "home", tmp_path / "state"
    home.mkdir()
    cases.prepared(name, case, home)
    original = cases.content(home)
    around, made = cases.around(home), editor(name)
    way = cases.way_of(case)
    assert way in made.ways
    export = made.export(cases.chosen(), around, way)
    assert cases.content(home) == original, "an export writes nothing"
    assert (way is Way.PRINT) == (not export.changes and export.snippet is not None)
    cases.check_text(name, case, "told.txt", cases.told(export).replace(str(home), "HOME"))
    apply(export, state=state)
    cases.check_files(name, case, home)
    cases.check_text(name, case, "check.txt", cases.findings_text(made.check(around, cases.desk()), home))

    again = made.export(cases.chosen(), around, way)
    assert not any(change.changes for change in again.changes), "a second time changes nothing"
    apply(made.export(cases.chosen(context=8192), around, way), state=state)
    apply(made.remove(around), state=state)
    assert cases.content(home) == original, "taking it out gives the same bytes"
    assert not made.remove(around).changes
