"""Frozen values as JSON and back, by their declared types, so that a new field needs no second place.

What is at its default is left out, which keeps a line of the journal short and lets an older file be read by a newer
gpudesk; keys nobody knows are passed over, which lets a newer file be read by an older one. Anything of a wrong type
is an error: these files decide what is loaded and unloaded.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Any, TypeVar, cast

T = TypeVar("T")


def to_json(value: object, *, whole: bool = False) -> Any:
    """Return what `json.dumps` can write of a value.

    Args:
        value: a frozen value of values, tuples, texts, numbers, times and members of enumerations.
        whole: also write what is at its default.
    """
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, tuple):
        return [to_json(each, whole=whole) for each in value]
    if not dataclasses.is_dataclass(value):
        return value
    return {
        field.name: to_json(getattr(value, field.name), whole=whole)
        for field in dataclasses.fields(value)
        if whole or getattr(value, field.name) != _default(field)
    }


def from_json(kind: type[T], data: object) -> T:
    """Return the value that was written.

    Raises:
        ValueError: it is not what such a value looks like; the text names the place.
    """
    return cast("T", _read(kind, data, kind.__name__))


def _default(field: dataclasses.Field[Any]) -> object:
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default


@cache
def _types_of(kind: type) -> dict[str, Any]:
    """Return the types of the fields of a value by their names."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _read(kind: Any, data: object, place: str) -> Any:
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        if data is None:
            return None
        return _read(next(each for each in typing.get_args(kind) if each is not types.NoneType), data, place)
    if origin is tuple:
        return _read_tuple(typing.get_args(kind), data, place)
    if dataclasses.is_dataclass(kind):
        return _read_value(cast("type", kind), data, place)
    if kind is datetime:
        return _read_time(data, place)
    if isinstance(kind, type) and issubclass(kind, Enum):
        try:
            return kind(data)
        except ValueError:
            raise ValueError(f"{place} is {data!r}, which is none of them") from None
    if kind is float and type(data) in (int, float):
        return float(cast("float", data))
    if type(data) is not kind:
        raise ValueError(f"{place} is {data!r}, expected {kind.__name__}")
    return data


def _read_tuple(kinds: tuple[Any, ...], data: object, place: str) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise ValueError(f"{place} is {data!r}, expected a list")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_read(kinds[0], each, f"{place}[{number}]") for number, each in enumerate(data))
    if len(data) != len(kinds):
        raise ValueError(f"{place} has {len(data)} parts, expected {len(kinds)}")
    return tuple(
        _read(kind, each, f"{place}[{number}]") for number, (kind, each) in enumerate(zip(kinds, data, strict=True))
    )


def _read_value(kind: type, data: object, place: str) -> Any:
    if not isinstance(data, dict):
        raise ValueError(f"{place} is {data!r}, expected an object")
    given = {name: _read(hint, data[name], f"{place}.{name}") for name, hint in _types_of(kind).items() if name in data}
    try:
        return kind(**given)
    except TypeError:
        missing = [
            field.name
            for field in dataclasses.fields(kind)
            if field.name not in given and _default(field) is dataclasses.MISSING
        ]
        raise ValueError(f"{place} has no {', '.join(missing)}") from None


def _read_time(data: object, place: str) -> datetime:
    try:
        time = datetime.fromisoformat(data) if isinstance(data, str) else None
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise ValueError(f"{place} is {data!r}, expected a time with its zone")
    return time.astimezone(UTC)
