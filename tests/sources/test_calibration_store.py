from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gpudesk.fit.points import COLUMNS, MeasuredPoint, PointError, from_row
from gpudesk.sources import calibration_store
from gpudesk.sources.calibration_store import FILE_NAME, CalibrationStore
from tests.fit.test_calibration import point

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
ASIDE = f"{FILE_NAME}.20260302T093000Z.wrong"


@pytest.fixture
def store(tmp_path: Path) -> CalibrationStore:
    return CalibrationStore(tmp_path / "data", now=lambda: NOW)


def changed(store: CalibrationStore, statement: str, *values: object) -> None:
    """Do something to the file that gpudesk would not."""
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute(statement, values)


def test_nothing_is_read_and_nothing_made_before_the_first_point(store: CalibrationStore) -> None:
    assert store.read() == ()
    assert store.problem is None
    assert not store.path.parent.exists()


def test_points_come_back_as_they_were_oldest_first(store: CalibrationStore) -> None:
    points = (point(1, 20, engine_buffers_bytes=7, flash_attention="auto"), point(2, 5, batch_size=None), point(3, 1))
    assert all(store.add(each) for each in points)
    assert store.read() == points
    assert store.problem is None


def test_a_load_is_kept_once_with_its_newest_figure(store: CalibrationStore) -> None:
    store.add(point(1, 20))
    store.add(point(2, 0))
    store.add(point(1, 90))
    assert [(each.load, each.residual_bytes >> 20) for each in store.read()] == [("load 2", 0), ("load 1", 90)]


def test_the_oldest_make_room(store: CalibrationStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration_store, "MOST_POINTS", 3)
    for number in range(5):
        store.add(point(number))
    assert [each.load for each in store.read()] == ["load 2", "load 3", "load 4"]


def test_forgetting_deletes_the_file_and_says_how_many_there_were(store: CalibrationStore) -> None:
    store.add(point(1))
    store.add(point(2))
    assert store.forget() == 2
    assert not store.path.exists()
    assert store.forget() == 0


@pytest.mark.parametrize("content", [b"", b"no store at all", b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_file_that_is_no_store_is_set_aside(store: CalibrationStore, content: bytes) -> None:
    store.path.parent.mkdir()
    store.path.write_bytes(content)
    assert store.read() == ()
    assert store.problem is not None
    assert ASIDE in store.problem
    assert (store.path.parent / ASIDE).read_bytes() == content
    assert store.add(point(1))
    assert store.read() == (point(1),)


def test_what_is_set_aside_never_replaces_what_was(store: CalibrationStore) -> None:
    store.path.parent.mkdir()
    for content in (b"first", b"second"):
        store.path.write_bytes(content)
        store.read()
    assert (store.path.parent / ASIDE).read_bytes() == b"first"
    assert (store.path.parent / f"{FILE_NAME}.20260302T093000Z-2.wrong").read_bytes() == b"second"


def test_a_damaged_page_is_not_believed(store: CalibrationStore) -> None:
    for number in range(60):
        store.add(point(number))
    content = bytearray(store.path.read_bytes())
    content[8192:16384] = b"\xa5" * 8192
    store.path.write_bytes(content)
    assert store.read() == ()
    assert (store.path.parent / ASIDE).exists()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("measured_bytes", -1),
        ("measured_bytes", 0),
        ("measured_bytes", 1 << 60),
        ("measured_bytes", "many"),
        ("parallel", 0),
        ("weights_bytes", 1.5),
        ("card_name", None),
        ("card_name", "x" * 1000),
        ("era", "tertiary"),
        ("load", b"\xff\xfe"),
        ("context_length", None),
        ("engine_buffers_bytes", -3),
    ],
)
def test_a_row_that_cannot_be_true_discredits_the_store(store: CalibrationStore, column: str, value: object) -> None:
    store.add(point(1))
    store.add(point(2))
    changed(store, f"UPDATE points SET {column} = ? WHERE number = 2", value)
    assert store.read() == ()
    assert (store.path.parent / ASIDE).exists()


def test_text_that_is_no_text_discredits_the_store(store: CalibrationStore) -> None:
    store.add(point(1))
    changed(store, "UPDATE points SET card_name = CAST(x'fffe41' AS TEXT)")
    assert store.read() == ()
    assert (store.path.parent / ASIDE).exists()


@pytest.mark.parametrize(
    "statement", ["PRAGMA user_version = 2", "DROP TABLE points", "ALTER TABLE points DROP COLUMN era"]
)
def test_a_store_of_another_form_is_set_aside(store: CalibrationStore, statement: str) -> None:
    store.add(point(1))
    changed(store, statement)
    assert not store.add(point(2)) or store.read() == (point(2),)
    assert (store.path.parent / ASIDE).exists()
    assert store.read() in ((), (point(2),))


def test_a_file_that_is_far_too_large_is_not_read(store: CalibrationStore) -> None:
    store.add(point(1))
    with store.path.open("r+b") as file:
        file.truncate(calibration_store.MOST_BYTES + 1)
    assert store.read() == ()
    assert "larger than" in (store.problem or "")


def test_a_store_that_is_busy_is_left_alone(store: CalibrationStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration_store, "BUSY_SECONDS", 0.0)
    store.add(point(1))
    with closing(sqlite3.connect(store.path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert not store.add(point(2))
        assert "locked" in (store.problem or "")
        assert store.path.exists()
        other.rollback()
    assert store.read() == (point(1),)
    assert store.problem is None


def test_a_folder_in_the_place_of_the_file(store: CalibrationStore) -> None:
    store.path.mkdir(parents=True)
    assert store.read() == ()
    assert (store.path.parent / ASIDE).is_dir()


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are others there")
def test_a_folder_that_cannot_be_made_is_a_problem_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = CalibrationStore(tmp_path / "file" / "data")
    assert not store.add(point(1))
    assert store.problem is not None
    assert store.read() == ()


def test_a_path_with_signs_of_an_address(tmp_path: Path) -> None:
    store = CalibrationStore(tmp_path / "a?b#c%20 d")
    assert store.add(point(1))
    assert store.read() == (point(1),)
    assert [path.name for path in tmp_path.iterdir()] == ["a?b#c%20 d"]


def test_rows_name_the_field_that_is_wrong() -> None:
    row: dict[str, object] = dict(point(1).to_row())
    assert tuple(row) == COLUMNS
    assert from_row(row) == point(1)
    with pytest.raises(PointError, match="kv_cache_bytes"):
        from_row({**row, "kv_cache_bytes": True})


def test_no_name_of_a_model_is_kept() -> None:
    made: MeasuredPoint = replace(point(1), load="17@unknown")
    assert not any("qwen" in str(value) for value in made.to_row().values())
