from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudesk.errors import ExportError
from gpudesk.exports.text_file import LIMIT_BYTES, decoded, line_and_column, line_end_of, read_text


@given(st.text(st.characters(exclude_categories=["Cs"])), st.booleans())
def test_bytes_come_back(text: str, has_mark: bool) -> None:
    if text.startswith("\ufeff"):
        text = text[1:]
    data = (b"\xef\xbb\xbf" if has_mark else b"") + text.encode()
    file = decoded(Path("x"), data)
    if has_mark or not text.startswith("\ufeff"):
        assert (file.text, file.has_mark) == (text, has_mark)
    assert file.encoded(file.text) == data


@pytest.mark.parametrize(
    ("text", "end"),
    [("", "\n"), ("a", "\n"), ("a\nb\n", "\n"), ("a\r\nb\r\n", "\r\n"), ("a\r\nb\n", "\n"), ("a\r\nb\r\nc\n", "\r\n")],
)
def test_most_lines_end_alike(text: str, end: str) -> None:
    assert line_end_of(text) == end
    assert decoded(Path("x"), text.encode()).line_end == end


@pytest.mark.parametrize(("offset", "place"), [(0, (1, 1)), (2, (1, 3)), (3, (2, 1)), (5, (3, 1)), (6, (3, 2))])
def test_places_are_counted_from_one(offset: int, place: tuple[int, int]) -> None:
    assert line_and_column("ab\nc\ndé", offset) == place


def test_a_missing_file_is_empty(tmp_path: Path) -> None:
    file = read_text(tmp_path / "no" / "config.yaml")
    assert (file.data, file.text, file.has_mark) == (None, "", False)


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"a\r\n")
    (tmp_path / "link").symlink_to("real")
    assert read_text(tmp_path / "link").data == b"a\r\n"


def test_what_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with path.open("wb") as file:
        file.truncate(LIMIT_BYTES)
    with pytest.raises(ExportError, match="10 MB: too large"):
        read_text(path)
    with path.open("wb") as file:
        file.truncate(LIMIT_BYTES - 1)
    assert len(read_text(path).text) == LIMIT_BYTES - 1


def test_a_file_above_it_is_told(tmp_path: Path) -> None:
    (tmp_path / ".continue").write_bytes(b"")
    with pytest.raises(ExportError, match=r"config\.yaml cannot be read: not a directory"):
        read_text(tmp_path / ".continue" / "config.yaml")


def test_a_circle_of_links_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(ExportError, match="cannot be read"):
        read_text(tmp_path / "a")


@pytest.mark.parametrize(
    ("data", "line"), [(b"\xff", 1), (b"a\nb\xc3\n", 2), (b"\xef\xbb\xbfa\n\n\x80", 3), (b"a\xed\xa0\x80", 1)]
)
def test_what_is_not_utf8_is_told_with_its_line(data: bytes, line: int) -> None:
    with pytest.raises(ExportError, match=rf"x is not UTF-8: byte 0x[0-9a-f]{{2}} in line {line}"):
        decoded(Path("x"), data)
