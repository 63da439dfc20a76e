"""What an editor will ask of an engine, as its configuration says, and where in the file it says so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from gpudesk.domain.keep_alive import FOREVER, KeepAliveWish
from gpudesk.errors import ExportError
from gpudesk.exports.text_file import line_and_column
from gpudesk.exports.values import Edit
from gpudesk.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpudesk.exports.values import ChosenModel

_LOCAL = re.compile(r"//(?:localhost|0\.0\.0\.0|\[::1?\])(?=[:/]|\Z)", re.IGNORECASE)

_DURATION = re.compile(r"(?P<sign>[-+]?)(?P<parts>(?:\d{1,9}(?:\.\d{1,9})?(?:ms|h|m|s))+)\Z")
_UNIT_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in a file, such that something else can be put there without touching the rest."""

    path: Path
    line: int
    where: str
    """Key path."""
    start: int
    """`start` to `end` of the file's text; both the same where it is missing and would be put in."""
    end: int
    before: str = ""
    after: str = ""
    """What goes around the new text where it is put in."""

    def edits(self, text: str) -> tuple[Edit, ...]:
        """Return what puts another text there."""
        return (Edit(self.start, self.end, f"{self.before}{text}{self.after}"),)


def place_within(path: Path, where: str, text: str, start: int, end: int, value: str) -> Place | None:
    """Return where a value stands within `start` to `end` of a text; None where it is written with escapes."""
    found = text.find(value, start, end) if value else -1
    return None if found < 0 else Place(path, line_and_column(text, found)[0], where, found, found + len(value))


@dataclass(frozen=True, slots=True)
class Request:
    """One use of a model in an editor's configuration."""

    editor: str
    """Its name, for sentences."""
    path: Path
    line: int | None
    where: str
    """Key path."""
    model: str
    url: str | None
    """Base URL as it is written; None: the editor's own default."""
    compatible: bool = False
    """Speaks the protocol of OpenAI, below /v1, or one like it; there is no keep-alive and no context in it."""
    context_length: int | None = None
    """The `num_ctx` that is sent; None: none is."""
    keep_alive: KeepAliveWish | None = None
    """What is sent; None: nothing is, and a pin is left alone."""
    completes: bool = False
    """Fills in the middle while somebody types."""
    own_context: bool = False
    """What is sent is a number of the editor's own choice."""
    wants_v1: bool | None = None
    """Whether the URL has to be one below /v1; None: either will do."""
    v1_path: str = "/v1"
    """What the URL has to end with then."""
    adds: str = "/api/…"
    """What the editor puts behind a URL that must not be below /v1."""
    url_place: Place | None = None
    """Where the URL is written; None: it is not, or not in a way that can be changed safely."""
    context_place: Place | None = None
    """Where the context is or would be written."""
    context_key: str = ""
    """What to set it with, in words: `max_tokens of the model in language_models.ollama.available_models`."""
    keep_alive_place: Place | None = None
    """Where the keep-alive is written."""


def bare_url(url: str) -> str:
    """Return an engine's URL as it was written, without what is below it."""
    text = re.sub(r"(?i)/(?:v1|api)(?:/.*)?\Z", "", url.strip().rstrip("/")).rstrip("/")
    return text if "://" in text else f"http://{text}"


def base_url(url: str) -> str:
    """Return an engine's URL such that two of one server are the same."""
    return _LOCAL.sub("//127.0.0.1", bare_url(url))


def seconds_of(text: str) -> float | None:
    """Return the seconds of a duration as Go writes it (`30m`, `1h30m`, `-1m`); None when it is none."""
    match = _DURATION.match(text.strip())
    if match is None:
        return None
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", match["parts"])
    total = sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)
    return -1.0 if match["sign"] == "-" and total else total


def sent_keep_alive(value: object) -> KeepAliveWish | None:
    """Return what an engine makes of a keep-alive that is sent: seconds or a duration, negative for ever."""
    seconds = value if isinstance(value, (int, float)) and not isinstance(value, bool) else seconds_of(str(value))
    if seconds is None:
        return None
    return FOREVER if seconds < 0 else KeepAliveWish(float(seconds))


def full_name(name: str) -> str:
    """Return a model's name with its tag: `llama3` is `llama3:latest`."""
    return name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"


def compatible_notes(editor: str, models: Sequence[ChosenModel]) -> list[str]:
    """Return what to say of an editor that asks below /v1, where neither context nor keep-alive can be sent."""
    notes = [
        f"{editor} cannot ask for a context of {model.context_length}: load {model.name} with gpudesk, or derive a "
        "model that has it in its parameters"
        for model in models
        if model.context_length is not None and not model.context_baked_in
    ]
    if models:
        notes.append(f"{editor} sends no keep-alive: a pin stays as it is")
    return notes


def required(model: ChosenModel | None, editor: str) -> ChosenModel:
    """Return a model that an editor cannot be set up without.

    Raises:
        ExportError: none is chosen.
    """
    if model is None:
        raise ExportError(f"no model is chosen for a role that {editor} has", "Choose one for chat")
    return model
