"""The tiny models: real GGUF files, small, and the same every time."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest

from tests.live.models import PREFIX, TINY_EMBED, TINY_MODELS, TinyModel, write_model


@pytest.mark.parametrize("model", TINY_MODELS, ids=lambda model: model.name)
def test_a_tiny_model_is_small_and_says_what_it_is(model: TinyModel, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_model(model, path)
    assert path.stat().st_size < 10_000_000
    fields = gguf.GGUFReader(path).fields
    assert fields["general.architecture"].contents() == model.architecture
    assert fields[f"{model.architecture}.block_count"].contents() == model.block_count
    assert len(fields["tokenizer.ggml.tokens"].data) == model.vocabulary


def test_the_same_shape_and_seed_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_model(TINY_EMBED, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_no_name_can_be_a_users(tmp_path: Path) -> None:
    assert all(model.name.startswith(PREFIX) for model in TINY_MODELS)
    assert len({model.seed for model in TINY_MODELS}) == len(TINY_MODELS)
