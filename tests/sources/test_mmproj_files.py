"""The projector beside a model: taken when it belongs to it, and said."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpudesk.sources.mmproj_files import beside
from tests.fit.headers import header

LENGTH = 2560


def write(path: Path, **keys: object) -> Path:
    path.write_bytes(header({"general.architecture": "clip", **keys}))
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"")
    return path


def test_nothing_beside_it_is_nothing_to_say(model: Path) -> None:
    (model.parent / "other.gguf").write_bytes(b"")
    found = beside(model, LENGTH)
    assert (found.path, found.notes) == (None, ())


def test_one_that_makes_embeddings_of_its_length_is_taken_and_named(model: Path) -> None:
    wrong = write(model.parent / "mmproj-a.gguf", **{"clip.vision.projection_dim": 1152})
    right = write(model.parent / "MMPROJ-f16.GGUF", **{"clip.vision.projection_dim": LENGTH})
    found = beside(model, LENGTH)
    assert found.path == right != wrong
    (note,) = found.notes
    assert note.startswith("MMPROJ-f16.GGUF beside it")
    assert "--mmproj none" in note


def test_one_of_another_model_is_left_and_said(model: Path) -> None:
    write(model.parent / "mmproj.gguf", **{"clip.vision.projection_dim": 1152})
    found = beside(model, LENGTH)
    assert found.path is None
    assert "is for embeddings of 1152, not of 2560" in found.notes[0]


@pytest.mark.parametrize("content", [b"", b"GGUF", b"\0" * 100])
def test_one_that_cannot_be_read_is_left(model: Path, content: bytes) -> None:
    (model.parent / "mmproj.gguf").write_bytes(content)
    assert beside(model, LENGTH).path is None


def test_one_that_does_not_tell_is_left_and_said(model: Path) -> None:
    write(model.parent / "mmproj.gguf")
    found = beside(model, LENGTH)
    assert found.path is None
    assert "does not say which model it is for" in found.notes[0]
