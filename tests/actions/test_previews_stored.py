"""Downloading, deleting, deriving."""

from __future__ import annotations

import pytest

from gpudesk.actions import previews
from gpudesk.actions.stored_models import derived_name
from gpudesk.actions.values import Danger, Preview, StepKind
from gpudesk.domain.engine import Engine
from gpudesk.domain.model import ModelDetails
from tests.actions.preview_desks import desk, digest_of, installed, loaded, pinned
from tests.desks import FOREVER, LOCAL

CHAT, CODER = "chat:14b", "coder:1.5b"
BLOB = "b" * 64


def kinds(preview: Preview) -> list[tuple[str, str]]:
    return [(step.kind.value, step.load.name) for step in preview.steps]


def test_a_download_goes_to_the_first_engine_and_gets_its_tag() -> None:
    preview = previews.pull(desk(), "qwen3")
    assert kinds(preview) == [("pull", "qwen3:latest")]
    assert preview.steps[0].load.engine_url == LOCAL
    assert preview.danger is Danger.NONE


def test_a_download_of_what_is_there_says_so() -> None:
    preview = previews.pull(desk(loaded(CHAT)), CHAT)
    assert preview.notes == (
        f"{CHAT} is installed: only what has changed is downloaded",
        "the loaded one stays as it is until it is loaded again",
    )


@pytest.mark.parametrize(
    ("name", "url", "engines", "message"),
    [
        ("", None, (Engine(LOCAL, reachable=True),), "':latest' is no name of a model"),
        ("two words", None, (Engine(LOCAL, reachable=True),), "'two words:latest' is no name of a model"),
        ("qwen3", None, (), "no engine is known"),
        ("qwen3", "http://other", (Engine(LOCAL, reachable=True),), "no engine at http://other is known"),
        ("qwen3", None, (Engine(LOCAL, reachable=False),), f"{LOCAL} does not answer"),
    ],
)
def test_downloads_that_cannot_be(name: str, url: str | None, engines: tuple[Engine, ...], message: str) -> None:
    refusal = previews.pull(desk(engines=engines), name, url).refusal
    assert refusal is not None
    assert refusal.message == message


def test_a_name_that_was_copied_from_a_browser_is_the_name_it_will_have() -> None:
    assert kinds(previews.pull(desk(), "https://hf.co/owner/model:Q4_K_M")) == [("pull", "hf.co/owner/model:Q4_K_M")]


def details(*blobs: tuple[str, str]) -> tuple[ModelDetails, ...]:
    return tuple(ModelDetails(digest_of(name), (blob,)) for name, blob in blobs)


def test_a_deletion_unloads_and_unpins_first_and_is_asked_once() -> None:
    before = desk(
        loaded(CHAT, FOREVER), pins=[CHAT], installed=(installed(CHAT), installed(CODER)),
        details=details((CHAT, BLOB), (CODER, "c" * 64)),
    )  # fmt: skip
    preview = previews.delete(before, installed(CHAT))
    assert kinds(preview) == [("unpin", CHAT), ("unload", CHAT), ("delete", CHAT)]
    assert preview.danger is Danger.DESTRUCTIVE
    assert preview.loses == (f"{CHAT}, 9.0 GiB on disk: it would have to be downloaded or made again",)
    assert preview.notes == ()


def test_a_deletion_names_what_else_uses_the_file() -> None:
    before = desk(installed=(installed(CHAT), installed("twin:latest"), installed(CODER)),
                  details=details((CHAT, BLOB), ("twin:latest", BLOB), (CODER, "c" * 64)))  # fmt: skip
    preview = previews.delete(before, installed(CHAT))
    assert preview.loses == (f"the name {CHAT}; its file stays on disk, for twin:latest uses it too",)
    assert [step.kind for step in preview.steps] == [StepKind.DELETE]


def test_a_copy_of_the_same_manifest_uses_the_file_too() -> None:
    before = desk(installed=(installed(CHAT), installed("copy:latest", digest=digest_of(CHAT))))
    assert "copy:latest uses it too" in previews.delete(before, installed(CHAT)).loses[0]


def test_a_deletion_says_when_other_users_of_the_file_are_not_known() -> None:
    preview = previews.delete(desk(details=details((CHAT, BLOB))), installed(CHAT))
    assert "not known yet" in preview.notes[0]


def test_the_pin_of_a_deleted_model_ends_though_it_is_not_loaded() -> None:
    preview = previews.delete(desk(pins=[pinned(CHAT)]), installed(CHAT))
    assert [step.kind for step in preview.steps] == [StepKind.UNPIN, StepKind.DELETE]


def test_what_is_not_installed_is_not_deleted() -> None:
    refusal = previews.delete(desk(), installed("gone:1b")).refusal
    assert refusal is not None
    assert refusal.message == "gone:1b is not installed"


@pytest.mark.parametrize(
    ("name", "context", "derived"),
    [
        ("qwen2.5-coder:1.5b", 16384, "qwen2.5-coder-16k:1.5b"),
        ("qwen3", 8192, "qwen3-8k:latest"),
        ("qwen2.5-coder-16k:1.5b", 32768, "qwen2.5-coder-32k:1.5b"),
        ("hf.co/unsloth/gemma-3-GGUF:Q4_K_M", 4096, "hf.co/unsloth/gemma-3-GGUF-4k:Q4_K_M"),
        ("localhost:5000/me/chat", 5000, "localhost:5000/me/chat-5000:latest"),
        ("mini-k:1b", 2048, "mini-k-2k:1b"),
    ],
)
def test_a_derived_model_keeps_its_family_in_the_name(name: str, context: int, derived: str) -> None:
    assert derived_name(name, context) == derived


def test_a_derived_model() -> None:
    preview = previews.derive(desk(), installed(CODER), 16384)
    (step,) = preview.steps
    assert (step.kind, step.load.name, step.load.context_length, step.source) == (
        StepKind.DERIVE, "coder-16k:1.5b", 16384, CODER,
    )  # fmt: skip
    assert preview.danger is Danger.NONE
    assert previews.derive(desk(), installed(CODER), 16384, "mine").steps[0].load.name == "mine:latest"


def test_a_derived_model_that_would_replace_another_is_asked_about() -> None:
    preview = previews.derive(desk(), installed(CODER), 16384, CHAT)
    assert preview.danger is Danger.DESTRUCTIVE
    assert preview.loses == (f"{CHAT} as it is: it is replaced",)


def test_contexts_that_cannot_be_baked_in() -> None:
    before = desk(details=(ModelDetails(digest_of(CODER), context_length_trained=32768),))
    assert previews.derive(before, installed(CODER), 32768).refusal is None
    refusal = previews.derive(before, installed(CODER), 32769).refusal
    assert refusal is not None
    assert refusal.message == f"{CODER} was trained for 32768 tokens"
    assert previews.derive(before, installed(CODER), 3).refusal is not None
    assert previews.derive(before, installed(CODER, remote_host="ollama.com"), 4096).refusal is not None
