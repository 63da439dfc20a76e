"""What an engine says when it is only asked: version, lists, details and errors."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.live.models import ALIAS, CHAT, CODE, EMBED, TINY_CHAT, TINY_CODE, TINY_EMBED, WIDE, WIDE_CONTEXT
from tests.live.subject import Subject

DIGEST = re.compile(r"[0-9a-f]{64}")
DETAIL_KEYS = {"parent_model", "format", "family", "families", "parameter_size", "quantization_level"}


def blob_of(subject: Subject, name: str) -> str:
    """The path of a model's file, from the one place where the API tells it."""
    modelfile = subject.api.post("/api/show", model=name).json["modelfile"]
    paths: list[str] = re.findall(r"^FROM (\S+)$", modelfile, re.MULTILINE)
    assert len(paths) == 1
    return paths[0]


def test_version_is_the_only_thing_version_tells(subject: Subject) -> None:
    answer = subject.api.get("/api/version")
    assert answer.status == 200
    assert list(answer.json) == ["version"]
    assert re.match(r"\d+\.\d+\.\d+", answer.json["version"])
    assert subject.api.request("HEAD", "/api/version").status == 200
    assert subject.api.get("/").text == "Ollama is running"


def test_tags_have_the_same_fields_for_every_model(subject: Subject) -> None:
    answer = subject.api.get("/api/tags")
    assert answer.status == 200
    assert list(answer.json) == ["models"]
    for model in answer.json["models"]:
        assert {"name", "model", "modified_at", "size", "digest", "details"} <= set(model)
        assert model["name"] == model["model"]
        assert ":" in model["name"].rpartition("/")[2]
        assert DIGEST.fullmatch(model["digest"]), "64 hex digits without a sha256: prefix"
        assert isinstance(model["size"], int)
        assert model["size"] > 0
        assert set(model["details"]) >= DETAIL_KEYS
        assert ("capabilities" in model) == (subject.version >= (0, 30))
        assert datetime.fromisoformat(model["modified_at"]).tzinfo is not None


def test_tags_list_the_latest_first_by_whole_seconds(subject: Subject) -> None:
    models = subject.api.get("/api/tags").json["models"]
    seconds = [int(datetime.fromisoformat(model["modified_at"]).timestamp()) for model in models]
    assert seconds == sorted(seconds, reverse=True)


def test_whatever_is_loaded_has_the_fields_of_the_version(subject: Subject) -> None:
    answer = subject.api.get("/api/ps")
    assert (answer.status, list(answer.json)) == (200, ["models"])
    fields = {"name", "model", "size", "digest", "details", "expires_at", "size_vram"}
    for model in answer.json["models"]:
        assert fields <= set(model)
        assert ("context_length" in model) == (subject.version >= (0, 9, 7))
        assert DIGEST.fullmatch(model["digest"])
        assert datetime.fromisoformat(model["expires_at"]).tzinfo is not None


def test_whatever_is_installed_can_be_shown(subject: Subject) -> None:
    local = [model for model in subject.api.get("/api/tags").json["models"] if "remote_host" not in model]
    for model in local[:3]:
        answer = subject.api.post("/api/show", model=model["name"])
        assert answer.status == 200
        assert {"modelfile", "details", "model_info"} <= set(answer.json)
        assert ("capabilities" in answer.json) == (subject.version >= (0, 6, 4))
        architecture = answer.json["model_info"]["general.architecture"]
        assert answer.json["model_info"][f"{architecture}.block_count"] > 0
        assert "/blobs/sha256-" in answer.json["modelfile"]


def test_copies_share_the_digest_of_the_manifest_and_derived_models_only_the_file(own_models: Subject) -> None:
    installed = own_models.api.installed()
    assert installed[ALIAS]["digest"] == installed[CHAT]["digest"]
    assert installed[WIDE]["digest"] != installed[CHAT]["digest"]
    paths = {name: blob_of(own_models, name) for name in (CHAT, ALIAS, WIDE, CODE)}
    assert paths[CHAT] == paths[ALIAS] == paths[WIDE] != paths[CODE]
    assert not any(installed[name]["digest"] in paths[name] for name in paths), "not the digest of the file"


def test_the_listed_size_is_all_layers_and_so_more_than_the_weights(own_models: Subject) -> None:
    weights = {name: own_models.api.installed()[name]["size"] for name in (CHAT, CODE, EMBED)}
    assert 5_000_000 < weights[CHAT] < 7_000_000
    assert 8_000_000 < weights[CODE] < 10_000_000
    assert 500_000 < weights[EMBED] < 2_000_000


def test_show_names_the_file_as_an_absolute_path_with_its_digest(own_models: Subject) -> None:
    directory, _, file = blob_of(own_models, CHAT).rpartition("/")
    assert directory.startswith("/")
    assert directory.endswith("/blobs")
    assert re.fullmatch(r"sha256-[0-9a-f]{64}", file)


def test_show_has_the_fields_of_its_version(own_models: Subject) -> None:
    answer = own_models.api.post("/api/show", model=CHAT).json
    assert {"modelfile", "template", "details", "model_info", "modified_at"} <= set(answer)
    assert ("capabilities" in answer) == (own_models.version >= (0, 6, 4))
    assert ("tensors" in answer) == (own_models.version >= (0, 6, 1))
    assert answer["modified_at"] == own_models.api.installed()[CHAT]["modified_at"]
    if "tensors" in answer:
        by_name = {tensor["name"]: tensor for tensor in answer["tensors"]}
        assert by_name["blk.0.attn_k.weight"]["type"] == "F16"
        assert by_name["blk.0.attn_k.weight"]["shape"] == [256, 128]
    if "capabilities" in answer:
        assert "completion" in answer["capabilities"]
        assert own_models.api.post("/api/show", model=EMBED).json["capabilities"] == ["embedding"]


@pytest.mark.parametrize("model", [TINY_CHAT, TINY_CODE, TINY_EMBED], ids=lambda model: model.architecture)
def test_model_info_is_the_metadata_of_the_file(own_models: Subject, model: Any) -> None:
    info = own_models.api.post("/api/show", model=model.name).json["model_info"]
    architecture = model.architecture
    assert info["general.architecture"] == architecture
    for field in ("block_count", "context_length", "embedding_length", "feed_forward_length"):
        assert info[f"{architecture}.{field}"] == getattr(model, field)
    assert info[f"{architecture}.attention.head_count"] == model.head_count
    if architecture == "llama":
        assert info["llama.attention.head_count_kv"] == model.head_count_kv
    assert ("bert.pooling_type" in info) == (architecture == "bert")
    assert info["general.parameter_count"] > 0
    assert "general.name" not in info


def test_long_arrays_are_null_unless_verbose_and_every_key_is_there_both_times(own_models: Subject) -> None:
    brief = own_models.api.post("/api/show", model=CHAT).json["model_info"]
    verbose = own_models.api.post("/api/show", model=CHAT, verbose=True).json["model_info"]
    assert set(brief) == set(verbose)
    assert brief["tokenizer.ggml.tokens"] is None
    assert isinstance(verbose["tokenizer.ggml.tokens"], list)
    assert [key for key, value in verbose.items() if value is None] == []


def test_parameters_come_as_aligned_text(own_models: Subject) -> None:
    answer = own_models.api.post("/api/show", model=WIDE).json
    assert answer["parameters"].split() == ["num_ctx", str(WIDE_CONTEXT)]
    assert f"PARAMETER num_ctx {WIDE_CONTEXT}" in answer["modelfile"].splitlines()
    assert "parameters" not in own_models.api.post("/api/show", model=CHAT).json


def test_the_old_name_field_still_works(own_models: Subject) -> None:
    assert own_models.api.post("/api/show", name=CHAT).status == 200


def test_an_unknown_model_is_404_in_two_wordings(subject: Subject) -> None:
    name = "gpudesk-test-nowhere"
    plain, quoted = f"model '{name}' not found", f'model "{name}" not found, try pulling it first'
    chat = plain if subject.version >= (0, 12) else quoted
    shown = f"model '{name}:latest' not found" if subject.version >= (0, 30) else plain
    for path, text in (("generate", plain), ("chat", chat), ("show", shown), ("embed", quoted)):
        answer = subject.api.post(f"/api/{path}", model=name)
        assert (answer.status, answer.error) == (404, text), path


@pytest.mark.parametrize("path", ["generate", "chat", "show", "embed"])
def test_a_body_that_is_no_json_is_400(subject: Subject, path: str) -> None:
    broken = subject.api.request("POST", f"/api/{path}", content=b'{"model":')
    assert (broken.status, broken.error) == (400, "unexpected EOF")
    empty = subject.api.request("POST", f"/api/{path}", content=b"")
    assert (empty.status, empty.error) == (400, "missing request body")
    wrong = subject.api.request("POST", f"/api/{path}", content=b'{"model": 7}')
    assert wrong.status == 400
    assert wrong.error.startswith("json: cannot unmarshal number into Go struct field ")


def test_unknown_routes_and_methods_are_plain_text(subject: Subject) -> None:
    assert subject.api.get("/api/nothing").text == "404 page not found"
    wrong_method = subject.api.get("/api/generate")
    if subject.version >= (0, 7):
        assert (wrong_method.status, wrong_method.text) == (405, "405 method not allowed")
    else:
        assert (wrong_method.status, wrong_method.text) == (404, "404 page not found")


def test_a_foreign_host_name_is_refused_on_loopback(own_models: Subject) -> None:
    url = own_models.api.url + "/api/version"
    for host, status in (("evil.example", 403), ("localhost", 200), ("127.0.0.1:1", 200), ("box.local", 200)):
        assert httpx.get(url, headers={"Host": host}, trust_env=False).status_code == status, host


def test_copy_and_delete(own_models: Subject) -> None:
    api, name = own_models.api, "gpudesk-test-copy:latest"
    copied = api.post("/api/copy", source=CODE, destination="gpudesk-test-copy")
    assert (copied.status, copied.text) == (200, "")
    assert api.installed()[name]["digest"] == api.installed()[CODE]["digest"]
    deleted = api.request("DELETE", "/api/delete", {"model": name})
    assert (deleted.status, deleted.text) == (200, "")
    assert name not in api.installed()
    again = api.request("DELETE", "/api/delete", {"model": name})
    assert (again.status, again.error) == (404, f"model '{name}' not found")
    missing = api.post("/api/copy", source=name, destination="gpudesk-test-other")
    assert (missing.status, missing.error) == (404, f'model "{name}" not found')
    invalid = api.post("/api/copy", source="a b", destination="gpudesk-test-other")
    assert (invalid.status, invalid.error) == (400, 'source "a b" is invalid')


def test_a_failed_pull_is_an_error_line_after_status_200(own_models: Subject) -> None:
    if own_models.machine is None:
        pytest.skip("a pull leaves the machine unless the server is ours")
    answer = own_models.api.post("/api/pull", model="gpudesk-test-nowhere")
    first, last = answer.lines
    assert answer.status == 200
    assert first == {"status": "pulling manifest"}
    assert list(last) == ["error"]
    assert last["error"].startswith("pull model manifest: ")
    whole = own_models.api.post("/api/pull", model="gpudesk-test-nowhere", stream=False)
    assert whole.status == 500
    assert whole.error.startswith("pull model manifest: ")
