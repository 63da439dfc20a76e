from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gpudesk.domain.model import ModelDetails
from gpudesk.sources.ollama_cache import DetailsCache, load_cached_details, prune
from gpudesk.sources.ollama_show import details_of, parse_show
from tests.sources.ollama_rig import digest_of, show_of

A, B = digest_of("a"), digest_of("b")


def made(digest: str, name: str = "a") -> tuple[ModelDetails, dict[str, object]]:
    reduced = parse_show(json.dumps(show_of(name)).encode(), "x")
    return details_of(digest, reduced), reduced


def filled(folder: Path, *digests: str) -> DetailsCache:
    cache = DetailsCache(folder)
    for digest in digests:
        assert cache.store(*made(digest))
    return cache


def test_what_is_stored_is_read_back_whole(tmp_path: Path) -> None:
    filled(tmp_path, A)
    details, reduced = made(A)
    again = DetailsCache(tmp_path)
    assert again.details(A) == details
    assert again.metadata(A) == reduced
    assert again.details(B) is None
    assert again.metadata(B) is None
    assert load_cached_details(tmp_path) == (details,)
    assert [path.name for path in (tmp_path / "details").iterdir()] == [f"{A}.json"]


def test_full_details_survive(tmp_path: Path) -> None:
    details = ModelDetails(A, (B, A), ("completion", "vision"), "gemma3", 131072, 48, 1024, True, True, "Gemma")
    DetailsCache(tmp_path).store(details, {})
    assert load_cached_details(tmp_path) == (details,)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        b"{",
        b"null\n{}\n",
        b"[]\n{}\n",
        b"\xff\xfe\x00",
        b"{}\n{}\n",
        b'{"schema_version":2,"digest":"%s","blob_digests":[]}\n{}\n' % A.encode(),
        b'{"schema_version":1,"digest":"%s","blob_digests":[]}\n{}\n' % B.encode(),
        b'{"schema_version":1,"digest":"%s","blob_digests":["x"]}\n{}\n' % A.encode(),
        b'{"schema_version":1,"digest":"%s","blob_digests":5}\n{}\n' % A.encode(),
        b'{"schema_version":1,"digest":5,"blob_digests":[]}\n{}\n',
        b"[" * 100_000,
        b'{"a":"' + b"x" * 200_000 + b'"}\n',
    ],
)
def test_a_broken_file_is_as_good_as_none(content: bytes, tmp_path: Path) -> None:
    cache = filled(tmp_path, A)
    (tmp_path / "details" / f"{A}.json").write_bytes(content)
    assert cache.details(A) is None
    assert cache.metadata(A) is None
    assert load_cached_details(tmp_path) == ()
    assert cache.store(*made(A))
    assert cache.details(A) == made(A)[0]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_broken_body_under_a_sound_head(body: bytes, tmp_path: Path) -> None:
    cache = filled(tmp_path, A)
    path = tmp_path / "details" / f"{A}.json"
    head = path.read_bytes().split(b"\n")[0]
    path.write_bytes(head + b"\n" + body)
    assert cache.details(A) == made(A)[0]
    assert cache.metadata(A) is None


def test_a_folder_that_cannot_be_written_is_told_once_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    cache = DetailsCache(tmp_path / "file")
    assert not cache.store(*made(A))
    assert cache.failure is not None
    assert cache.details(A) is None
    assert load_cached_details(tmp_path / "file") == ()
    assert not cache.store(*made(A))


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = filled(tmp_path, A)

    def full(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert not cache.store(*made(B))
    assert cache.failure == "No space left on device"
    assert [path.name for path in (tmp_path / "details").iterdir()] == [f"{A}.json"]
    assert cache.details(A) == made(A)[0]


def test_no_folder_is_no_cache() -> None:
    cache = DetailsCache(None)
    assert not cache.store(*made(A))
    assert cache.details(A) is None
    assert cache.failure is None
    assert load_cached_details(None) == ()


@pytest.mark.parametrize("digest", ["../../etc/passwd", "", "a" * 63, "A/" + "a" * 62])
def test_a_digest_that_is_none_never_becomes_a_path(digest: str, tmp_path: Path) -> None:
    cache = DetailsCache(tmp_path)
    assert not cache.store(ModelDetails(digest), {})
    assert cache.details(digest) is None
    assert list(tmp_path.rglob("*")) == []


def test_the_oldest_go_when_there_are_too_many_or_too_big(tmp_path: Path) -> None:
    digests = [f"{number:064x}" for number in range(6)]
    filled(tmp_path, *digests)
    folder = tmp_path / "details"
    for age, digest in enumerate(reversed(digests)):
        os.utime(folder / f"{digest}.json", (1_700_000_000 - age, 1_700_000_000 - age))
    assert [details.digest for details in load_cached_details(tmp_path)] == digests[::-1]
    assert len(load_cached_details(tmp_path, limit=2)) == 2
    prune(folder, most_files=4)
    assert sorted(path.stem for path in folder.iterdir()) == digests[2:]
    size_bytes = (folder / f"{digests[5]}.json").stat().st_size
    prune(folder, most_bytes=2 * size_bytes + 1)
    assert sorted(path.stem for path in folder.iterdir()) == digests[4:]
    prune(tmp_path / "nowhere")


def test_what_is_too_big_to_keep_is_not_kept(tmp_path: Path) -> None:
    cache = DetailsCache(tmp_path)
    assert not cache.store(ModelDetails(A), {"text": "x" * (9 << 20)})
    assert not cache.store(ModelDetails(A), {"nan": float("nan")})
    assert cache.failure is None
    assert cache.store(*made(A))
