"""Values as YAML text that reads the same in YAML 1.2, in 1.1 and in whatever an editor's parser takes for YAML."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from gpudesk.exports.yaml_scalars import plain_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PLAIN = re.compile(r"[A-Za-z/][\w./@+-]*(?:[: ][\w./@+(-][\w./@+()-]*)*\Z", re.ASCII)
"""Nothing that means something in YAML: a colon only within a word, spaces only single."""
_URL = re.compile(r"https?://[\w.\[\]:/-]*[\w\]/-]\Z", re.ASCII)


def scalar_text(value: str | int | float | bool | None) -> str:
    """Return a scalar for block context, quoted only where it has to be."""
    if isinstance(value, str):
        plain = _PLAIN.match(value) and not value.endswith(":") and ": " not in value
        if (plain or _URL.match(value)) and isinstance(plain_value(value, old=True), str):
            return value
        return _quoted(value)
    return _quoted(value)


def flow_text(value: Any) -> str:
    """Return a value on one line in flow style: JSON, which every YAML parser takes, with plain scalars kept quoted."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(key)}: {flow_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(flow_text(item) for item in value) + "]"
    return _quoted(value)


def block_lines(value: Mapping[str, Any], step: int = 2) -> list[str]:
    """Return the lines of a mapping in block style; lists of scalars stay on one line."""
    lines: list[str] = []
    for key, item in value.items():
        name = scalar_text(key)
        if isinstance(item, dict) and item:
            lines.append(f"{name}:")
            lines.extend(" " * step + line for line in block_lines(item, step))
        elif isinstance(item, (list, tuple)):
            lines.extend(_list_lines(name, item, step))
        elif isinstance(item, dict):
            lines.append(f"{name}: {{}}")
        else:
            lines.append(f"{name}: {scalar_text(item)}")
    return lines


def entry_lines(value: Any, step: int = 2, dash: str = "- ") -> list[str]:
    """Return the lines of one entry of a list in block style, the dash among them."""
    if isinstance(value, dict) and value:
        first, *rest = block_lines(value, step)
        return [dash + first, *(" " * len(dash) + line for line in rest)]
    return [dash + (scalar_text(value) if not isinstance(value, (dict, list, tuple)) else flow_text(value))]


def _list_lines(name: str, items: Sequence[Any], step: int) -> list[str]:
    if all(isinstance(item, str) and re.fullmatch(r"[a-z_]+", item) for item in items):
        return [f"{name}: [{', '.join(scalar_text(item) for item in items)}]"]
    if not any(isinstance(item, (dict, list, tuple)) for item in items):
        return [f"{name}: {flow_text(items)}"]
    return [f"{name}:", *(" " * step + line for item in items for line in entry_lines(item, step))]


def _quoted(value: Any) -> str:
    """Return JSON, with what YAML takes for line ends or refuses written as escapes."""
    text = json.dumps(value, ensure_ascii=False)
    return re.sub(
        r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text
    )
