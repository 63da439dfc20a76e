"""The player sends what the real core/llm/llms/Ollama.ts sent to a server that wrote it down."""

from __future__ import annotations

from typing import Any

import pytest

from tests.live.editors.continue_requests import STAR_STOPS, ContinueModel

PLAIN = {"name": "mine", "provider": "ollama", "model": "tiny:1b"}
QUESTION = [{"role": "user", "content": "What does this function do?"}]
STOPS = list(STAR_STOPS)


class Recorded(ContinueModel):
    """Sends nothing, and is told this of its model."""

    def __init__(self, entry: dict[str, Any], show: dict[str, Any], **more: Any) -> None:
        super().__init__({**PLAIN, **entry}, **more)
        self._show = show

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        self._body(path, body)
        return self._show

    def _stream(self, path: str, body: dict[str, Any], *, until_end: bool) -> None:
        self._body(path, body)


def sent(kind: str, entry: dict[str, Any], show: dict[str, Any] | None = None, **more: Any) -> list[tuple[str, Any]]:
    """Return what two requests of a kind come to, with this answer to /api/show."""
    model = Recorded(entry, show or {}, **more)
    for _ in range(2):
        if kind == "embed":
            model.embed("a", "b")
        else:
            getattr(model, kind)()
    model.close()
    return model.sent


def chat_body(options: dict[str, Any], keep_alive: int) -> dict[str, Any]:
    return {"model": "tiny:1b", "messages": QUESTION, "options": options, "keep_alive": keep_alive, "stream": True}


def test_a_chat_says_its_defaults_with_every_request() -> None:
    body = chat_body({"num_predict": 4096, "num_ctx": 8192}, 1800)
    assert sent("chat", {}) == [("/api/show", {"name": "tiny:1b"}), ("/api/chat", body), ("/api/chat", body)]


def test_what_is_written_is_what_is_sent() -> None:
    entry = {"defaultCompletionOptions": {"contextLength": 32768, "keepAlive": -1, "maxTokens": 2048}}
    assert sent("chat", entry)[1][1] == chat_body({"num_predict": 2048, "num_ctx": 32768}, -1)


@pytest.mark.parametrize(
    ("entry", "context"),
    [
        ({}, 16384),
        ({"defaultCompletionOptions": {"contextLength": 4096}}, 4096),
        ({"contextLength": 2048, "defaultCompletionOptions": {"contextLength": 4096}}, 2048),
    ],
)
def test_a_written_context_wins_over_the_one_of_the_model(entry: dict[str, Any], context: int) -> None:
    show = {"parameters": 'temperature 0.6\nnum_ctx                        16384\nstop "<end>"'}
    options = sent("chat", entry, show)[1][1]["options"]
    assert options == {"num_predict": 4096, "num_ctx": context, "stop": ["<end>"]}


def test_extra_body_properties_are_in_every_request_and_win() -> None:
    entry = {"requestOptions": {"extraBodyProperties": {"keep_alive": -1}}}
    assert [body["keep_alive"] for _, body in sent("chat", entry)] == [-1, -1, -1]
    assert [body["keep_alive"] for _, body in sent("embed", entry)] == [-1, -1]
    whole = {"requestOptions": {"extraBodyProperties": {"options": {"num_gpu": 99}}}}
    assert sent("chat", whole)[1][1]["options"] == {"num_gpu": 99}, "the context is lost"


def test_an_embedding_says_nothing_of_residency() -> None:
    body = {"model": "tiny:1b", "input": ["a", "b"]}
    entry = {"defaultCompletionOptions": {"contextLength": 512, "keepAlive": -1}}
    assert sent("embed", entry) == [("/api/embed", body), ("/api/embed", body)]


def test_a_completion_is_raw_text_for_a_template_without_suffix() -> None:
    (_, show), (path, body), again = sent("complete", {})
    assert show == {"name": "tiny:1b"}
    assert again == (path, body)
    assert path == "/api/generate"
    assert body == {
        "model": "tiny:1b",
        "prompt": "<fim_prefix>def add(a, b):\n    <fim_suffix>\n<fim_middle>",
        "raw": True,
        "options": {"temperature": 0.01, "num_predict": 4096, "stop": STOPS, "num_ctx": 8192},
        "keep_alive": 1800,
        "stream": True,
    }


def test_a_completion_is_prompt_and_suffix_once_the_template_is_known() -> None:
    _, (_, first), (_, second) = sent("complete", {}, {"template": "{{ .Prompt }}{{ .Suffix }}"})
    assert (first.get("raw"), first.get("suffix")) == (True, None)
    assert (second.get("raw"), second["prompt"], second["suffix"]) == (None, "def add(a, b):\n    ", "\n")


def test_a_written_template_is_used() -> None:
    entry = {"autocompleteOptions": {"template": "<a>{{{prefix}}}<b>{{{suffix}}}<c>"}}
    assert sent("complete", entry)[1][1]["prompt"] == "<a>def add(a, b):\n    <b>\n<c>"


def test_a_version_before_1_2_19_drops_what_it_does_not_know() -> None:
    entry = {"contextLength": 2048, "defaultCompletionOptions": {"contextLength": 4096, "keepAlive": -1}}
    body = sent("chat", entry, knows_keep_alive=False)[1][1]
    assert (body["keep_alive"], body["options"]["num_ctx"]) == (1800, 4096)
