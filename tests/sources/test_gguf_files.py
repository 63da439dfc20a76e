from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gpudesk.errors import FailureKind, SourceError
from gpudesk.fit.gguf import HeaderError
from gpudesk.fit.metadata import Tensor
from gpudesk.sources.gguf_files import read_adapter, read_model
from tests.fit.headers import (
    INT32,
    LLAMA_KEYS,
    LLAMA_TENSORS,
    UINT16,
    Typed,
    header,
    llama_file,
    size_of,
    weights_bytes,
)

PARTS = 3


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def refused(path: Path, *, projector: Path | None = None) -> SourceError:
    with pytest.raises(SourceError) as caught:
        read_model(path, projector=projector)
    return caught.value


def split(folder: Path, *, claimed: int = len(LLAMA_TENSORS)) -> list[Path]:
    """Write the small model in three parts, as gguf-split does: keys in the first one only."""
    paths: list[Path] = []
    share = -(-len(LLAMA_TENSORS) // PARTS)
    for number in range(PARTS):
        tensors = LLAMA_TENSORS[number * share : (number + 1) * share]
        keys = (LLAMA_KEYS if number == 0 else {}) | {
            "split.no": Typed(UINT16, number),
            "split.count": Typed(UINT16, PARTS),
            "split.tensors.count": Typed(INT32, claimed),
        }
        path = folder / f"tiny-Q4_K_M-{number + 1:05}-of-{PARTS:05}.gguf"
        paths.append(written(path, header(keys, tensors) + b"\0" * weights_bytes(tensors)))
    return paths


def test_a_file(tmp_path: Path) -> None:
    path = written(tmp_path / "tiny.gguf", llama_file())
    found = read_model(path)
    assert found.name == "tiny"
    assert found.tensors == LLAMA_TENSORS
    assert found.file_bytes == path.stat().st_size
    assert found.projector_tensors == ()


def test_a_blob_of_ollama_needs_no_ending(tmp_path: Path) -> None:
    assert read_model(written(tmp_path / f"sha256-{'a' * 64}", llama_file())).layer_count == 2


def test_any_part_stands_for_the_whole_model(tmp_path: Path) -> None:
    paths = split(tmp_path)
    for path in paths:
        found = read_model(path)
        assert found.name == "tiny-Q4_K_M"
        assert found.tensors == LLAMA_TENSORS
        assert found.file_bytes == sum(part.stat().st_size for part in paths)
        assert found.layer_count == 2


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    paths = split(tmp_path)
    paths[1].unlink()
    caught = refused(paths[0])
    assert caught.kind is FailureKind.MISSING
    assert paths[1].name in caught.message
    assert "3 parts" in caught.message
    paths[2].unlink()
    assert "and 1 more" in refused(paths[0]).message


def test_a_part_under_another_name(tmp_path: Path) -> None:
    paths = split(tmp_path)
    caught = refused(paths[0].rename(tmp_path / "renamed.gguf"))
    assert isinstance(caught, HeaderError)
    assert caught.field == "split.count"
    assert "3 parts" in caught.message


def test_parts_in_the_wrong_order(tmp_path: Path) -> None:
    first, second, third = split(tmp_path)
    content = second.read_bytes()
    second.write_bytes(third.read_bytes())
    third.write_bytes(content)
    caught = refused(first)
    assert isinstance(caught, HeaderError)
    assert caught.field == "split.no"
    assert second.name in caught.message


def test_parts_that_lack_tensors(tmp_path: Path) -> None:
    caught = refused(split(tmp_path, claimed=len(LLAMA_TENSORS) + 1)[0])
    assert isinstance(caught, HeaderError)
    assert caught.field == "split.tensors.count"


def test_a_part_that_breaks_off_is_named(tmp_path: Path) -> None:
    paths = split(tmp_path)
    paths[2].write_bytes(paths[2].read_bytes()[:-100])
    caught = refused(paths[0])
    assert caught.kind is FailureKind.INVALID
    assert paths[2].name in caught.message
    assert "cut off" in caught.message


def test_a_projector_beside_the_model(tmp_path: Path) -> None:
    tensors = (
        Tensor("v.patch_embd.weight", "F16", (14, 14, 3, 1152)),
        Tensor("mm.input_projection.weight", "F16", (8, 8)),
    )
    keys = {
        "general.architecture": "clip",
        "clip.vision.block_count": 27,
        "clip.vision.embedding_length": 1152,
        "clip.vision.attention.head_count": 16,
        "clip.vision.image_size": 896,
        "clip.vision.patch_size": 14,
    }
    projector = written(tmp_path / "mmproj.gguf", header(keys, tensors) + b"\0" * weights_bytes(tensors))
    found = read_model(written(tmp_path / "tiny.gguf", llama_file()), projector=projector)
    assert found.projector_tensors == tensors
    assert found.projector_bytes == projector.stat().st_size
    assert sum(size_of(tensor) for tensor in tensors) < found.projector_bytes
    assert (found.vision_block_count, found.vision_image_size, found.vision_patch_size) == (27, 896, 14)
    assert "not a model" in refused(projector).message


def test_a_projector_that_is_none(tmp_path: Path) -> None:
    model = written(tmp_path / "tiny.gguf", llama_file())
    caught = refused(model, projector=model)
    assert "tiny.gguf: general.architecture: not a projector" in caught.message


def test_an_adapter(tmp_path: Path) -> None:
    tensors = (
        Tensor("blk.0.attn_q.weight.lora_a", "F32", (256, 8)),
        Tensor("blk.0.attn_q.weight.lora_b", "F32", (8, 256)),
    )
    keys = {"general.architecture": "llama", "general.type": "adapter", "adapter.type": "lora"}
    path = written(tmp_path / "lora.gguf", header(keys, tensors) + b"\0" * weights_bytes(tensors))
    assert read_adapter(path) == tensors
    assert "not a model" in refused(path).message
    with pytest.raises(HeaderError, match="not an adapter"):
        read_adapter(written(tmp_path / "tiny.gguf", llama_file()))


def test_a_saved_reply(tmp_path: Path) -> None:
    reply = {
        "model_info": LLAMA_KEYS,
        "tensors": [{"name": item.name, "type": item.kind, "shape": item.shape} for item in LLAMA_TENSORS],
    }
    found = read_model(written(tmp_path / "reply.json", json.dumps(reply).encode()))
    assert found.name == "reply"
    assert found.tensors == LLAMA_TENSORS


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"", "nothing"), (b"<html>", "web page"), (b'{"model_info":', "breaks off"), (b"{}", "model_info")],
)
def test_a_saved_reply_that_is_none(tmp_path: Path, content: bytes, word: str) -> None:
    caught = refused(written(tmp_path / "reply.json", content))
    assert word in caught.message
    assert "reply.json" in caught.message


def test_a_file_that_is_not_there_with_the_nearest_name(tmp_path: Path) -> None:
    written(tmp_path / "qwen3-8b-q4.gguf", llama_file())
    caught = refused(tmp_path / "qwen3-8b-q5.gguf")
    assert caught.kind is FailureKind.MISSING
    assert caught.message.endswith("does not exist")
    assert caught.hint == "Did you mean qwen3-8b-q4.gguf?"
    assert refused(tmp_path / "none" / "x.gguf").hint is None


def test_a_folder(tmp_path: Path) -> None:
    caught = refused(tmp_path)
    assert "is a folder" in caught.message
    assert caught.hint == "Name the .gguf file in it"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_does_not_hold_us_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    assert "no regular file" in refused(tmp_path / "pipe.gguf").message


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "tiny.gguf", llama_file())

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    caught = refused(path)
    assert caught.kind is FailureKind.DENIED
    assert "may not be read" in caught.message


def test_a_disk_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "tiny.gguf", llama_file())

    def failing(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "open", failing)
    caught = refused(path)
    assert caught.kind is FailureKind.FAILED
    assert "Input/output error" in caught.message


@pytest.mark.parametrize("name", ["bad\x1b[2J\u202e.gguf", "x" * 200 + ".gguf"])
def test_hostile_file_names_are_harmless_in_messages(tmp_path: Path, name: str) -> None:
    caught = refused(written(tmp_path / name, b"GGUF"))
    assert "\x1b" not in caught.message
    assert "\u202e" not in caught.message
    assert len(caught.message) < 400


def test_a_name_with_a_null_byte() -> None:
    assert refused(Path("a\0b.gguf")).kind is FailureKind.FAILED
