"""Takes values of the old format over into the new schema, and says what has no place there."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from gpudesk.exports.editors.continue_report import may_be_secret
from gpudesk.text import clean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpudesk.exports.editors.continue_shapes import Shape

NOTHING: Any = object()
"""Not carried over."""


class Carrier:
    """Collects what cannot be carried over from one part of a file."""

    def __init__(self) -> None:
        self.lost: list[str] = []

    def lose(self, where: str, value: Any, why: str) -> None:
        """Note a value that has no place; one that may be secret is not repeated."""
        if value is None or value in ({}, [], ""):
            return
        told = "" if may_be_secret(where) or _holds_secret(value) else f": {_short(value)}"
        self.lost.append(f"{where}{told} ({why})")

    def value(self, value: Any, shape: Shape, where: str) -> Any:
        """Return a value as the schema wants it, or NOTHING."""
        if value is None:
            return NOTHING
        kind = shape.kind
        if kind == "anything" or (kind == "scalar" and isinstance(value, (str, int, float))):
            return value
        if kind == "object" and isinstance(value, dict):
            return self.fields(value, shape, where)
        if kind == "record" and isinstance(value, dict) and shape.item is not None:
            told = {str(key): self.value(item, shape.item, f"{where}.{key}") for key, item in value.items()}
            for key in set(told) - set(shape.choices or told):
                self.lose(f"{where}.{key}", told.pop(key), f"not {shape.words}")
            return {key: item for key, item in told.items() if item is not NOTHING}
        if kind in {"list", "text or texts"} and isinstance(value, list) and shape.item is not None:
            items = [self.value(item, shape.item, f"{where}[{index}]") for index, item in enumerate(value)]
            return [item for item in items if item is not NOTHING]
        right = _scalar(value, shape)
        if right is NOTHING:
            self.lose(where, value, f"not {shape.words}")
        return right

    def fields(self, value: Mapping[str, Any], shape: Shape, where: str) -> dict[str, Any]:
        """Return the keys of a mapping that the schema has."""
        known = shape.fields or {}
        made = {}
        for key, item in value.items():
            field = known.get(key)
            path = f"{where}.{key}" if where else key
            if field is None:
                self.lose(path, item, "config.yaml has no such key")
                continue
            told = self.value(item, field, path)
            if told is not NOTHING:
                made[key] = told
        return made


def _scalar(value: Any, shape: Shape) -> Any:
    kind = shape.kind
    if kind in {"text", "text or texts"}:
        return value if isinstance(value, str) else str(value) if _is_number(value) else NOTHING
    if kind == "number":
        if _is_number(value):
            return value
        is_text = isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,15}\s*", value)
        return int(value) if is_text else NOTHING
    if kind == "flag":
        return value if isinstance(value, bool) else NOTHING
    if kind == "positive":
        return value if _is_number(value) and value > 0 else NOTHING
    if kind == "version":
        return value if isinstance(value, str) and re.fullmatch(r"\d+\.\d+\.\d+", value, re.ASCII) else NOTHING
    if kind == "choice":
        return value if value in shape.choices else NOTHING
    return NOTHING


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _holds_secret(value: Any) -> bool:
    if isinstance(value, dict):
        return any(may_be_secret(f".{key}") or _holds_secret(item) for key, item in value.items())
    return isinstance(value, list) and any(_holds_secret(item) for item in value)


def _short(value: Any) -> str:
    return clean(json.dumps(value, ensure_ascii=False), 120)
