from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from threading import Barrier, BrokenBarrierError, Lock
from typing import Any

import pytest

from gpudesk.domain.model import InstalledModel
from gpudesk.errors import FailureKind, GpudeskError, SourceError, UsageError
from gpudesk.fit.metadata import Tensor
from gpudesk.sources.model_metadata import (
    AT_ONCE,
    ModelMetadataSource,
    is_file_word,
    nearest_names,
    parameters,
    read_file,
)
from gpudesk.sources.ollama_client import Answer
from tests.fit import headers
from tests.fit.headers import LLAMA_KEYS, LLAMA_TENSORS, llama_file

URL = "http://127.0.0.1:1"
INFO = {key: value for key, value in LLAMA_KEYS.items() if isinstance(value, int | str | float)}
SHOW: dict[str, Any] = {
    "model_info": INFO,
    "tensors": [{"name": each.name, "type": each.kind, "shape": list(each.shape)} for each in LLAMA_TENSORS],
    "modelfile": f"FROM /models/blobs/sha256-{'b' * 64}\n",
    "parameters": 'num_ctx                        16384\nstop    "<|im_end|>"',
    "capabilities": ["completion"],
    "details": {"format": "gguf", "family": "llama"},
}


@dataclass
class FakeClient:
    """An engine that answers what a test wants and counts what it was asked."""

    url: str = URL
    local: bool = True
    names: tuple[str, ...] = ("qwen3:14b", "qwen3:8b", "bge-m3:latest")
    show: Callable[[str], dict[str, Any]] = lambda name: SHOW
    asked: list[str] = field(default_factory=list)
    listed: int = 0
    _lock: Lock = field(default_factory=Lock)

    def get(self, path: str, **options: object) -> Answer:
        assert path == "/api/tags"
        self.listed += 1
        models = [{"name": name, "digest": sha256(name.encode()).hexdigest(), "size": 1} for name in self.names]
        return Answer(json.dumps({"models": models}).encode())

    def post(self, path: str, body: bytes, **options: object) -> Answer:
        name = json.loads(body)["model"]
        assert path == "/api/show"
        assert json.loads(body)["verbose"] is True
        with self._lock:
            self.asked.append(name)
        return Answer(json.dumps(self.show(name)).encode())

    def close(self) -> None:
        pass


class Absent(FakeClient):
    """An engine that is not there."""

    def get(self, path: str, **options: object) -> Answer:
        raise SourceError(FailureKind.UNREACHABLE, "connection refused", "start it")

    def post(self, path: str, body: bytes, **options: object) -> Answer:
        raise SourceError(FailureKind.UNREACHABLE, "connection refused", "start it")


def source(client: FakeClient | None = None, cache: Path | None = None, *folders: Path) -> ModelMetadataSource:
    clients: Any = [] if client is None else [client]
    return ModelMetadataSource(clients, cache_directory=cache, models_directories=folders)


def installed(count: int) -> list[InstalledModel]:
    return [InstalledModel(f"m{number}:latest", URL, f"{number:064x}") for number in range(count)]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A models folder with one model, as Ollama lays it out."""
    content = llama_file()
    blob = sha256(content).hexdigest()
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / f"sha256-{blob}").write_bytes(content)
    manifest = tmp_path / "manifests/registry.ollama.ai/library/tiny/1b"
    manifest.parent.mkdir(parents=True)
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{blob}"}
    manifest.write_text(json.dumps({"layers": [{"mediaType": "x", "digest": "sha256:1"}, layer]}))
    return tmp_path


def test_a_name_is_asked_once_and_then_known(tmp_path: Path) -> None:
    client = FakeClient()
    (first,) = source(client, tmp_path).find(["qwen3:14b"])
    assert (first.name, first.blob_digest, first.parameters) == ("qwen3:14b", "b" * 64, {"num_ctx": 16384})
    assert first.digest == sha256(b"qwen3:14b").hexdigest()
    assert first.metadata.architecture == "llama"
    assert first.metadata.tensors == LLAMA_TENSORS
    assert source(client, tmp_path).find(["qwen3:14b"]) == (first,)
    assert client.asked == ["qwen3:14b"]


def test_models_come_in_the_order_they_were_named_even_twice() -> None:
    client = FakeClient()
    found = source(client).find(["qwen3:8b", "qwen3:14b", "qwen3:8b"])
    assert [each.name for each in found] == ["qwen3:8b", "qwen3:14b", "qwen3:8b"]
    assert sorted(client.asked) == ["qwen3:14b", "qwen3:8b"]
    assert client.listed == 1


def test_what_is_installed_need_not_be_asked_when_it_is_known() -> None:
    client = FakeClient()
    assert source(client).find(["m1"], installed(3))[0].name == "m1:latest"
    assert client.listed == 0


@pytest.mark.parametrize(("word", "name"), [("bge-m3", "bge-m3:latest"), ("QWEN3:14B", "qwen3:14b")])
def test_names_are_found_as_ollama_finds_them(word: str, name: str) -> None:
    assert source(FakeClient()).find([word])[0].name == name


@pytest.mark.parametrize(
    ("word", "hint"), [("qwen3", "qwen3:8b or qwen3:14b"), ("bge-m4", "bge-m3:latest"), ("zzz", "ollama pull zzz")]
)
def test_a_name_that_is_not_installed_is_told_with_the_nearest(word: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"{word} is not installed") as caught:
        source(FakeClient()).find([word])
    assert hint in (caught.value.hint or "")


def test_hostile_names_reach_nobody_s_terminal(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        source(FakeClient(), None, tmp_path).find(["../../etc/\x1b[31mpasswd\n"])
    assert "\x1b" not in f"{caught.value.message}{caught.value.hint}"
    assert "\n" not in caught.value.message


def test_a_cloud_model_takes_no_memory_here() -> None:
    cloud = InstalledModel("big:cloud", URL, "c" * 64, remote_host="https://ollama.com")
    with pytest.raises(UsageError, match=r"cloud model: it runs on ollama\.com, takes no memory"):
        source(FakeClient()).find(["big:cloud"], [cloud])


@pytest.mark.parametrize("address", ["https://ollama.com:443", "ollama.com", "https://["])
def test_a_cloud_model_on_this_disk_is_told_without_an_engine(tmp_path: Path, address: str) -> None:
    digest = "d" * 64
    manifest = tmp_path / "manifests/registry.ollama.ai/library/big/cloud"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"config": {"digest": f"sha256:{digest}"}, "layers": []}))
    blob = tmp_path / "blobs" / f"sha256-{digest}"
    blob.parent.mkdir()
    blob.write_text(json.dumps({"remote_host": address, "remote_model": "big"}))
    found = ModelMetadataSource((), models_directories=(tmp_path,))
    with pytest.raises(UsageError, match="big:cloud is a cloud model"):
        found.find(["big:cloud"])
    blob.write_text("[]")
    with pytest.raises(SourceError, match="no engine"):
        found.find(["big:cloud"])


def test_without_any_engine_it_is_said_that_nobody_could_tell() -> None:
    with pytest.raises(SourceError, match="connection refused") as caught:
        source(Absent()).find(["qwen3:14b"])
    assert caught.value.exit_code == 3
    with pytest.raises(SourceError, match="no engine to ask"):
        source().find(["qwen3:14b"])


def test_a_model_on_this_disk_needs_no_engine(models: Path) -> None:
    client = Absent()
    (found,) = source(client, None, models).find(["tiny:1b"])
    manifest = (models / "manifests/registry.ollama.ai/library/tiny/1b").read_bytes()
    assert found.digest == sha256(manifest).hexdigest()
    assert found.metadata.tensors == LLAMA_TENSORS
    assert found.name == "tiny:1b"
    assert (models / "blobs" / f"sha256-{found.blob_digest}").is_file()


def test_the_cache_is_asked_before_engine_and_disk(models: Path, tmp_path: Path) -> None:
    client = FakeClient()
    cache = tmp_path / "cache"
    source(client, cache, models).find(["tiny:1b"])
    assert (client.asked, client.listed) == (["tiny:1b"], 0)
    assert source(Absent(), cache, models).find(["tiny:1b"])[0].parameters == {"num_ctx": 16384}


PROJECTOR_TENSORS = [Tensor("v.patch_embd.weight", "F16", (64, 32)), Tensor("mm.0.weight", "F16", (32, 64))]
PROJECTOR_KEYS = {
    "general.architecture": "clip", "clip.vision.image_size": 336, "clip.vision.patch_size": 14,
    "clip.vision.embedding_length": 32,
}  # fmt: skip
INFO_OF_PROJECTOR = {**PROJECTOR_KEYS, "general.parameter_count": 1_000_000}


def add_projector(models: Path, *, written: bool = True) -> Path:
    """Give the model in the folder a projector of its own, as llava has it."""
    content = headers.header(PROJECTOR_KEYS, PROJECTOR_TENSORS) + bytes(headers.weights_bytes(PROJECTOR_TENSORS))
    blob = sha256(content).hexdigest()
    path = models / "blobs" / f"sha256-{blob}"
    if written:
        path.write_bytes(content)
    manifest = models / "manifests/registry.ollama.ai/library/tiny/1b"
    told = json.loads(manifest.read_text())
    layer = {"mediaType": "application/vnd.ollama.image.projector", "digest": f"sha256:{blob}", "size": len(content)}
    manifest.write_text(json.dumps({"layers": [*told["layers"], layer]}))
    return path


def seeing(path: Path, info: dict[str, object] | None = None) -> FakeClient:
    modelfile = f"{SHOW['modelfile']}FROM {path}\n"
    return FakeClient(names=("tiny:1b",), show=lambda name: {**SHOW, "modelfile": modelfile, "projector_info": info})


@pytest.mark.parametrize("engine", [True, False])
def test_a_projector_in_a_file_of_its_own_is_counted(models: Path, engine: bool) -> None:
    path = add_projector(models)
    client = seeing(path, INFO_OF_PROJECTOR) if engine else Absent()
    (found,) = source(client, None, models).find(["tiny:1b"])
    assert found.metadata.projector_tensors == tuple(PROJECTOR_TENSORS)
    assert found.metadata.projector_bytes == path.stat().st_size
    assert (found.metadata.vision_image_size, found.metadata.vision_patch_size) == (336, 14)
    assert found.metadata.tensors == LLAMA_TENSORS
    assert not any("projector" in note for note in (*found.notes, *found.metadata.notes))


def test_a_projector_that_cannot_be_read_has_the_size_the_manifest_tells(models: Path) -> None:
    path = add_projector(models, written=False)
    (found,) = source(seeing(path, INFO_OF_PROJECTOR), None, models).find(["tiny:1b"])
    size = json.loads((models / "manifests/registry.ollama.ai/library/tiny/1b").read_text())["layers"][-1]["size"]
    assert found.metadata.projector_bytes == size
    assert found.metadata.vision_image_size == 336


def test_a_projector_elsewhere_is_counted_by_its_weights_or_named_as_missing(models: Path) -> None:
    away = models / "elsewhere"
    (rough,) = source(seeing(away, INFO_OF_PROJECTOR)).find(["tiny:1b"])
    assert rough.metadata.projector_bytes == 2_000_000
    assert "the projector is taken to be F16" in rough.metadata.notes
    (unknown,) = source(seeing(away)).find(["tiny:1b"])
    assert unknown.metadata.projector_bytes is None
    assert unknown.notes == ("the projector of tiny:1b cannot be read here; what it takes is not counted",)
    (wrong,) = source(seeing(models / "blobs")).find(["tiny:1b"])
    assert wrong.notes == unknown.notes, "a folder is no projector"


@pytest.mark.parametrize(
    "name",
    ["../../tiny:1b", "tiny:../1b", "a/b/c/d:1", "tiny:", "", "tiny:1b/..", ".tiny:1b", "t\x00:1b", "x" * 5000],
)
def test_no_name_leads_out_of_the_models_folder(models: Path, name: str) -> None:
    with pytest.raises(GpudeskError):
        source(None, None, models).find([name])


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"layers": 3}', b'{"layers": [{"mediaType": 1}]}', b"\xff"])
def test_a_manifest_that_is_none_is_passed_over(models: Path, content: bytes) -> None:
    (models / "manifests/registry.ollama.ai/library/tiny/1b").write_bytes(content)
    with pytest.raises(SourceError):
        source(Absent(), None, models).find(["tiny:1b"])


def test_sixty_models_are_asked_for_a_few_at_a_time() -> None:
    together = Barrier(AT_ONCE)
    running = most = 0
    lock = Lock()

    def show(name: str) -> dict[str, Any]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        try:
            together.wait(5)
        except BrokenBarrierError:
            pytest.fail("the models are not asked for at the same time")
        finally:
            with lock:
                running -= 1
        return SHOW

    client = FakeClient(show=show)
    told: list[tuple[int, int]] = []
    found, failures = source(client).find_all(installed(60), lambda done, total: told.append((done, total)))
    assert (len(found), failures) == (60, ())
    assert most == AT_ONCE
    assert sorted(client.asked) == sorted(f"m{number}:latest" for number in range(60))
    assert told == [(done, 60) for done in range(1, 61)]


def test_names_of_one_digest_are_asked_for_once() -> None:
    client = FakeClient()
    same = [InstalledModel(name, URL, "e" * 64) for name in ("a:latest", "b:latest")]
    found, _ = source(client).find_all(same)
    assert [each.name for each in found] == ["a:latest", "b:latest"]
    assert len(client.asked) == 1


def test_one_model_that_cannot_be_told_does_not_keep_the_others() -> None:
    def show(name: str) -> dict[str, Any]:
        return {} if name == "m1:latest" else SHOW

    found, failures = source(FakeClient(show=show)).find_all(installed(3))
    assert [each.name for each in found] == ["m0:latest", "m2:latest"]
    assert len(failures) == 1
    assert "m1:latest: " in failures[0]
    assert "model_info" in failures[0]
    with pytest.raises(GpudeskError, match="model_info"):
        source(FakeClient(show=show)).find(["m1"], installed(3))


class TestFiles:
    def test_a_header(self, tmp_path: Path) -> None:
        path = tmp_path / "tiny.gguf"
        path.write_bytes(llama_file())
        (found,) = source(Absent()).find([str(path)])
        assert (found.name, found.digest, found.metadata.tensors) == ("tiny.gguf", None, LLAMA_TENSORS)

    def test_a_saved_reply(self, tmp_path: Path) -> None:
        path = tmp_path / "saved.json"
        path.write_text(json.dumps(SHOW))
        found = read_file(path)
        assert (found.name, found.parameters, found.metadata.tensors) == ("saved", {"num_ctx": 16384}, LLAMA_TENSORS)

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("a.gguf", b""),
            ("a.gguf", b"GGUF"),
            ("a.json", b"{}"),
            ("a.json", b"no json"),
            ("a.json", b"[1]"),
            ("a.json", json.dumps(SHOW | {"remote_host": "https://ollama.com"}).encode()),
            ("a.json", json.dumps(SHOW | {"model_info": None}).encode()),
        ],
    )
    def test_what_is_none_is_named(self, tmp_path: Path, name: str, content: bytes) -> None:
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(SourceError):
            read_file(path)

    @pytest.mark.parametrize("name", ["none.gguf", "none.json"])
    def test_one_that_is_not_there(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(SourceError, match=name):
            read_file(tmp_path / name)

    def test_what_means_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "blob"
        path.write_bytes(b"")
        assert is_file_word("x.GGUF")
        assert is_file_word(str(path))
        assert not is_file_word("blob")
        assert not is_file_word("library/qwen3:14b")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, {}),
        (3, {}),
        ("", {}),
        ("num_ctx 4096\nnum_gpu 0\nnum_batch 256\ntemperature 1", {"num_ctx": 4096, "num_gpu": 0, "num_batch": 256}),
        ("num_ctx -1\nnum_gpu x\nnum_ctx", {}),
        ("num_ctx " + "9" * 400, {"num_ctx": 1 << 31}),
    ],
)
def test_settings_of_a_modelfile(text: object, expected: dict[str, int]) -> None:
    assert parameters(text) == expected


def test_nearest_names_are_few_and_spelled_alike() -> None:
    names = ("llama3.2:1b", "qwen3:8b", "qwen3:14b", "qwen3-coder:30b", "mistral:7b")
    assert nearest_names("qwen3", names) == ("qwen3:8b", "qwen3:14b", "qwen3-coder:30b")
    assert nearest_names("lama3.2:1b", names) == ("llama3.2:1b",)
    assert nearest_names("", names) == ()
