"""The text of a working set: reading it strictly, and writing it so that it can be shared.

```toml
description = "chat, autocomplete and embed"
key = "c"                         # applies it, in the list and on the desk (unless that uses the key itself)
includes = ["base"]               # sets whose models belong to it too
keeps_others = false              # true: what is loaded besides stays while there is room

[[model]]
name = "qwen3:14b"
context = 16384                   # left out: the engine decides
keep_alive = "forever"
pinned = true
engine = "http://gpu-box:11434"   # left out: the first engine, on every computer
```

A misspelled key is an error, unlike in the configuration: a set that loads with another context than it says does harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpudesk.domain.keep_alive import FOREVER, KeepAliveWish
from gpudesk.domain.working_set import SetModel, WorkingSet
from gpudesk.errors import UsageError
from gpudesk.quantities import keep_alive_text, parse_keep_alive
from gpudesk.text import clean
from gpudesk.toml_text import TomlError, line_of, nearest, parsed

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

CONTEXT_MOST = 1 << 24
MODELS_MOST = 100
INCLUDES_MOST = 50
NAME_MOST = 64

_SET_KEYS = ("description", "key", "includes", "keeps_others", "model")
_MODEL_KEYS = ("name", "context", "keep_alive", "pinned", "engine")
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
_TAKEN_NAMES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))})
"""Devices on Windows, whatever follows the first dot: a set shall be shareable."""


def check_name(name: str) -> str:
    """Return the name of a set, which is a file's name too.

    Raises:
        UsageError: it could not be one everywhere.
    """
    problem = None
    if not name:
        problem = "is empty"
    elif len(name) > NAME_MOST:
        problem = f"is longer than {NAME_MOST} characters"
    elif not _LETTERS.issuperset(name) or not name[0].isalnum() or name[-1] == ".":
        problem = "is no name for a set"
    elif name.lower().split(".")[0] in _TAKEN_NAMES:
        problem = "is the name of a device on Windows"
    if problem is not None:
        shown = clean(name, 40)
        hint = "Letters without accents, digits, - _ and . make a name, such as coding"
        raise UsageError(f"{shown} {problem}" if shown else f"the name of the set {problem}", hint)
    return name


def parse(text: str, name: str, now: datetime | None = None) -> WorkingSet:
    """Read a set as it is written, without what it includes.

    Args:
        text: the file.
        name: of the set, for messages.
        now: aware; what `until 18:00` counts from. None refuses it.

    Raises:
        UsageError: something in it is wrong; names set, line and key.
    """
    check_name(name)
    try:
        text, data = parsed(text.encode("utf-8", "surrogatepass"))
    except TomlError as error:
        raise UsageError(f"set {name}: {error}", error.hint) from error
    return _Reader(text, name, now).read(data)


def to_toml(working_set: WorkingSet) -> str:
    """Write a set so that `parse` reads the same back; what is at its default is left out."""
    import tomli_w

    head: dict[str, Any] = {
        "description": working_set.description,
        "key": working_set.key,
        "includes": list(working_set.includes) or None,
        "keeps_others": working_set.keeps_others or None,
    }
    tables = [{key: value for key, value in head.items() if value is not None}]
    for model in working_set.models:
        table = {
            "name": model.name,
            "context": model.context_length,
            "keep_alive": None if model.keep_alive is None else keep_alive_text(model.keep_alive),
            "pinned": model.pinned or None,
            "engine": model.engine_url,
        }
        tables.append({key: value for key, value in table.items() if value is not None})
    blocks = [tomli_w.dumps(tables[0]), *(f"[[model]]\n{tomli_w.dumps(table)}" for table in tables[1:])]
    return "\n".join(block for block in blocks if block)


class _Reader:
    """Goes through one set and stops at the first thing that is wrong."""

    def __init__(self, text: str, name: str, now: datetime | None) -> None:
        self._text = text
        self._name = name
        self._now = now

    def read(self, data: dict[str, Any]) -> WorkingSet:
        self._check_keys(data, _SET_KEYS, "", 0)
        entries = data.get("model", [])
        if not isinstance(entries, list):
            raise self._wrong("model is one table", "Write [[model]], with two brackets", self._line("model"))
        if len(entries) > MODELS_MOST:
            raise self._wrong(f"{len(entries)} models, at most {MODELS_MOST} make a set")
        models: dict[tuple[str | None, str], SetModel] = {}
        for number, entry in enumerate(entries):
            model = self._model(number, entry)
            earlier = models.setdefault((model.engine_url, model.name), model)
            if earlier != model:
                line = self._line("model", None, number)
                raise self._wrong(f"{model.name} is in it twice and differs", "Leave one of them", line)
        return WorkingSet(
            name=self._name,
            models=tuple(models.values()),
            description=self._value(data, "", 0, "description", _as_text, "a text in quotes"),
            includes=self._value(data, "", 0, "includes", _as_names, 'names of sets, such as ["base"]') or (),
            keeps_others=bool(self._value(data, "", 0, "keeps_others", _as_flag, "true or false")),
            key=self._value(data, "", 0, "key", _as_key, 'one key, such as "1"'),
        )

    def _model(self, number: int, entry: object) -> SetModel:
        if not isinstance(entry, dict):
            raise self._wrong(f"model {number + 1} is {_shown(entry)}, expected a table", "Write [[model]]")
        self._check_keys(entry, _MODEL_KEYS, "model", number)
        name = self._value(entry, "model", number, "name", _as_text, 'a name such as "qwen3:14b"')
        if name is None:
            line = self._line("model", None, number)
            raise self._wrong(f"model {number + 1} has no name", 'Add name = "qwen3:14b"', line)
        context = f"tokens from 1 to {CONTEXT_MOST}"
        return SetModel(
            name=name,
            context_length=self._value(entry, "model", number, "context", _as_context, context),
            keep_alive=self._keep_alive(entry, number),
            pinned=bool(self._value(entry, "model", number, "pinned", _as_flag, "true or false")),
            engine_url=self._value(
                entry, "model", number, "engine", _as_address, 'an address such as "http://box:11434"'
            ),
        )

    def _keep_alive(self, entry: dict[str, Any], number: int) -> KeepAliveWish | None:
        value = entry.get("keep_alive")
        if type(value) is int and value in (0, -1):
            return KeepAliveWish(0.0) if value == 0 else FOREVER
        place = f"model {number + 1}.keep_alive"
        line = self._line("model", "keep_alive", number)
        if type(value) is int:
            raise self._wrong(f"{place} is {value}, without a unit", f'Write "{value}s" or "{value}m"', line)
        written = self._value(entry, "model", number, "keep_alive", _as_text, 'a text such as "30m" or "forever"')
        if written is None:
            return None
        if self._now is None and written.lower().startswith("until"):
            raise self._wrong(f"{place}: a time of day has no meaning here", "Write how long: 8h", line)
        from datetime import UTC, datetime

        try:
            return parse_keep_alive(written, self._now or datetime.now(UTC))
        except UsageError as error:
            raise self._wrong(f"{place}: {error.message}", error.hint, line) from error

    def _value(
        self, table: dict[str, Any], name: str, number: int, key: str, read: Callable[[object], Any], expected: str
    ) -> Any:
        """Return one value; None when it is left out."""
        if key not in table:
            return None
        value = read(table[key])
        if value is None:
            place = f"{name} {number + 1}.{key}" if name else key
            raise self._wrong(
                f"{place} is {_shown(table[key])}, expected {expected}", None, self._line(name, key, number)
            )
        return value

    def _check_keys(self, table: dict[str, Any], known: tuple[str, ...], name: str, number: int) -> None:
        for key in table:
            if key not in known:
                place = f"{name} {number + 1}: " if name else ""
                close = nearest(key, known)
                hint = f"Did you mean {close}?" if close else f"Known are {', '.join(known)}"
                raise self._wrong(
                    f"{place}{clean(key, 40)} is not known", hint, self._line(name, key, number) or self._line(key)
                )

    def _line(self, table: str, key: str | None = None, number: int = 0) -> int | None:
        return line_of(self._text, table, key, number)

    def _wrong(self, message: str, hint: str | None = None, line: int | None = None) -> UsageError:
        place = f"set {self._name} line {line}" if line is not None else f"set {self._name}"
        return UsageError(f"{place}: {message}", hint)


def _shown(value: object) -> str:
    return "a table" if isinstance(value, dict) else clean(repr(value), 40)


def _as_text(value: object) -> str | None:
    return value if isinstance(value, str) and value and clean(value) == value else None


def _as_address(value: object) -> str | None:
    text = _as_text(value)
    return text.rstrip("/") or None if text is not None else None


def _as_names(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, list) or len(value) > INCLUDES_MOST:
        return None
    names = tuple(name for name in value if isinstance(name, str) and name)
    return tuple(dict.fromkeys(names)) if len(names) == len(value) else None


def _as_flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _as_context(value: object) -> int | None:
    return value if type(value) is int and 1 <= value <= CONTEXT_MOST else None


def _as_key(value: object) -> str | None:
    fine = isinstance(value, str) and len(value) == 1 and value.isprintable() and not value.isspace()
    return str(value) if fine else None
