from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from gpudesk.clock import Clock
from gpudesk.sources import manifests
from gpudesk.sources.manifests import MODEL_LAYER, RETRY_SECONDS, Manifests, default_directories, display_name

HEX = "a" * 64
OTHER = "b" * 64


class Ticking:
    def __init__(self) -> None:
        self.seconds = 100.0

    @property
    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.seconds)


def write(folder: Path, name: str, *digests: str, media_type: str = MODEL_LAYER) -> Path:
    path = folder / "manifests" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    layers = [{"mediaType": media_type, "digest": f"sha256:{digest}", "size": 1} for digest in digests]
    config = {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": f"sha256:{OTHER}", "size": 1}
    path.write_text(json.dumps({"schemaVersion": 2, "config": config, "layers": layers}))
    return path


def test_names_of_a_blob_as_the_engine_spells_them(tmp_path: Path) -> None:
    write(tmp_path, "registry.ollama.ai/library/qwen3/14b", HEX)
    write(tmp_path, "registry.ollama.ai/me/mine/latest", HEX)
    write(tmp_path, "hf.co/unsloth/q-GGUF/Q4_K_M", HEX)
    write(tmp_path, "registry.ollama.ai/library/other/1b", OTHER)
    index = Manifests([tmp_path])
    assert index.names(HEX) == ("hf.co/unsloth/q-GGUF:Q4_K_M", "me/mine:latest", "qwen3:14b")
    assert index.names(OTHER) == ("other:1b",)
    assert index.names("c" * 64) == ()


def test_only_weights_count(tmp_path: Path) -> None:
    write(tmp_path, "registry.ollama.ai/library/a/1b", HEX, media_type="application/vnd.ollama.image.projector")
    assert Manifests([tmp_path]).names(HEX) == ()


def test_several_folders_are_one_index(tmp_path: Path) -> None:
    write(tmp_path / "one", "registry.ollama.ai/library/a/1b", HEX)
    write(tmp_path / "two", "registry.ollama.ai/library/b/1b", HEX)
    assert Manifests([tmp_path / "one", tmp_path / "two", tmp_path / "none"]).names(HEX) == ("a:1b", "b:1b")


def test_a_missing_blob_is_looked_for_again_after_a_while(tmp_path: Path) -> None:
    ticking = Ticking()
    index = Manifests([tmp_path], clock=ticking.clock)
    assert index.names(HEX) == ()
    write(tmp_path, "registry.ollama.ai/library/a/1b", HEX)
    ticking.seconds += RETRY_SECONDS - 0.1
    assert index.names(HEX) == ()
    ticking.seconds += 0.1
    assert index.names(HEX) == ("a:1b",)


def test_a_rewritten_manifest_is_read_again(tmp_path: Path) -> None:
    ticking = Ticking()
    index = Manifests([tmp_path], clock=ticking.clock)
    path = write(tmp_path, "registry.ollama.ai/library/a/1b", HEX)
    assert index.names(HEX) == ("a:1b",)
    write(tmp_path, "registry.ollama.ai/library/a/1b", OTHER)
    os.utime(path, ns=(1, 1))
    ticking.seconds += RETRY_SECONDS
    assert index.names(OTHER) == ("a:1b",)
    assert index.names(HEX) == ()


def test_unchanged_manifests_are_not_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticking = Ticking()
    index = Manifests([tmp_path], clock=ticking.clock)
    write(tmp_path, "registry.ollama.ai/library/a/1b", HEX)
    assert index.names(HEX) == ("a:1b",)
    read: list[str] = []

    def weights(path: str) -> tuple[str, ...]:
        read.append(path)
        return ()

    monkeypatch.setattr(manifests, "_weights", weights)
    write(tmp_path, "registry.ollama.ai/library/b/1b", OTHER)
    ticking.seconds += RETRY_SECONDS
    index.names("c" * 64)
    assert [Path(path).parent.name for path in read] == ["b"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b"{}",
        b'{"layers": 5}',
        b'{"layers": [5, null, {"digest": 5}, {"mediaType": "x"}]}',
        json.dumps({"layers": [{"mediaType": MODEL_LAYER, "digest": ["x"]}, {"mediaType": MODEL_LAYER}]}).encode(),
        json.dumps({"layers": [{"mediaType": MODEL_LAYER, "digest": "md5:x"}]}).encode(),
        b"[" * 100_000,
        b"\xff\xfe\x00",
        b'{"layers": [' + b'{"mediaType": "' + b"x" * (1 << 20) + b'"}]}',
    ],
)
def test_hostile_files_are_no_manifests_and_do_not_hide_others(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, "registry.ollama.ai/library/good/1b", HEX)
    bad = tmp_path / "manifests/registry.ollama.ai/library/bad/1b"
    bad.parent.mkdir()
    bad.write_bytes(content)
    assert Manifests([tmp_path]).names(HEX) == ("good:1b",)


def test_files_at_other_depths_and_of_other_kinds_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path, "registry.ollama.ai/library/good/1b", HEX)
    write(tmp_path, "registry.ollama.ai/library/good/deeper/1b", OTHER)
    write(tmp_path, "registry.ollama.ai/shallow", OTHER)
    os.mkfifo(tmp_path / "manifests/registry.ollama.ai/library/good/pipe")
    (tmp_path / "manifests/registry.ollama.ai/library/good/dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "manifests/registry.ollama.ai/library/loop").symlink_to(tmp_path / "manifests")
    index = Manifests([tmp_path])
    assert index.names(HEX) == ("good:1b",)
    assert index.names(OTHER) == ()


def test_a_folder_without_permission_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "registry.ollama.ai/library/good/1b", HEX)
    write(tmp_path, "registry.ollama.ai/closed/bad/1b", HEX)
    real = os.scandir

    def scandir(path: str) -> object:
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert Manifests([tmp_path]).names(HEX) == ("good:1b",)


def test_the_walk_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        write(tmp_path, f"registry.ollama.ai/library/m{number:02}/1b", f"{number:064x}")
    monkeypatch.setattr(manifests, "FILE_LIMIT", 10)
    index = Manifests([tmp_path])
    assert sum(bool(index.names(f"{number:064x}")) for number in range(40)) == 10
    monkeypatch.setattr(manifests, "ENTRY_LIMIT", 3)
    assert not any(Manifests([tmp_path]).names(f"{number:064x}") for number in range(40))


def test_the_runners_own_folder_is_searched_unless_folders_were_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests, "default_directories", lambda: (tmp_path / "none",))
    write(tmp_path / "theirs", "registry.ollama.ai/library/a/1b", HEX)
    path = str(tmp_path / "theirs/blobs" / f"sha256-{HEX}")
    assert Manifests().names(HEX, path) == ("a:1b",)
    assert Manifests([]).names(HEX, path) == ()
    assert Manifests().names(HEX, f"blobs/sha256-{HEX}") == ()
    assert Manifests().names(HEX, str(tmp_path / f"theirs/sha256-{HEX}")) == ()


def test_default_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Path("/usr/share/ollama/.ollama/models")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("OLLAMA_MODELS", raising=False)
    assert default_directories() == (tmp_path / ".ollama/models", service)
    monkeypatch.setenv("OLLAMA_MODELS", ' "/srv/models" ')
    assert default_directories() == (Path("/srv/models"), tmp_path / ".ollama/models", service)


def test_hostile_names_are_cleaned() -> None:
    assert display_name(("registry.ollama.ai", "library", "a\x1b[2J", "1b")) == "a[2J:1b"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such file names")
def test_file_names_that_are_no_text(tmp_path: Path) -> None:
    write(tmp_path, f"registry.ollama.ai/library/{os.fsdecode(bytes((0xFF, 0xFE)))}/1b", HEX)
    assert Manifests([tmp_path]).names(HEX) == (":1b",)
