from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from gpudesk.commands import points
from gpudesk.fit.points import from_row
from gpudesk.sources.calibration_store import CalibrationStore
from tests.fit.test_calibration import point


def shown(what: str, folder: Path) -> tuple[int, str]:
    """Exit code and output."""
    out = io.StringIO()
    return points.run(what, folder, out), out.getvalue()


def test_an_empty_store(tmp_path: Path) -> None:
    code, text = shown("show", tmp_path)
    assert (code, text.split(" in ")[0]) == (0, "0 measured points")
    assert json.loads(shown("export", tmp_path)[1]) == {"schema_version": 1, "points": []}
    assert shown("forget", tmp_path) == (0, "0 measured points forgotten\n")
    assert list(tmp_path.iterdir()) == []


def test_what_the_points_say(tmp_path: Path) -> None:
    store = CalibrationStore(tmp_path)
    for number in range(4):
        store.add(point(number, 200))
    store.add(point(9, card_name="NVIDIA GeForce RTX 3060"))
    code, text = shown("show", tmp_path)
    assert code == 0
    assert text.startswith("5 measured points in ")
    assert "  NVIDIA GeForce RTX 4090, ollama 0.33.0: 4 of them\n    overhead +200 MiB, compute x 1.00, from 4" in text
    assert "  NVIDIA GeForce RTX 3060, ollama 0.33.0: 1 of them\n    nothing is corrected before 3" in text


def test_what_is_exported_can_be_read_back(tmp_path: Path) -> None:
    store = CalibrationStore(tmp_path)
    for number in range(3):
        store.add(point(number, number))
    exported = json.loads(shown("export", tmp_path)[1])["points"]
    assert tuple(from_row(row) for row in exported) == store.read()


def test_what_is_forgotten_is_gone(tmp_path: Path) -> None:
    CalibrationStore(tmp_path).add(point(1))
    assert shown("forget", tmp_path) == (0, "1 measured point forgotten\n")
    assert CalibrationStore(tmp_path).read() == ()


def test_a_wrong_store_is_said_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    CalibrationStore(tmp_path).path.write_bytes(b"no store")
    assert shown("show", tmp_path)[0] == 1
    assert "was set aside as" in capsys.readouterr().err
