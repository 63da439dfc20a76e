"""What plain scalars are: by the core schema of YAML 1.2, or by YAML 1.1 where a file begins with `%YAML 1.1`.

As npm `yaml` 2 reads them, which Continue uses (src/schema/core and src/schema/yaml-1.1 of eemeli/yaml).
"""

from __future__ import annotations

import math
import re

from gpudesk.records import dataclass

_NULL = re.compile(r"(?:~|null|Null|NULL|)\Z")
_TRUE, _FALSE = ({w, w.title(), w.upper()} for w in ("true", "false"))
_OLD_TRUE = {form for w in ("yes", "on", "y") for form in (w, w.title(), w.upper())}
_OLD_FALSE = {form for w in ("no", "off", "n") for form in (w, w.title(), w.upper())}
_KEY_WORDS = {word.lower() for word in (*_TRUE, *_FALSE, *_OLD_TRUE, *_OLD_FALSE)} | {"null"}
_INTEGER = re.compile(r"[-+]?[0-9]+\Z|0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_NO_NUMBER = re.compile(r"(?:(?P<infinite>[-+]?)\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")
_OLD_INTEGERS = (
    (re.compile(r"[-+]?0b[01_]+\Z"), 2),
    (re.compile(r"[-+]?0[0-7_]+\Z"), 8),
    (re.compile(r"[-+]?[0-9][0-9_]*\Z", re.ASCII), 10),
    (re.compile(r"[-+]?0x[0-9a-fA-F_]+\Z"), 16),
)
_OLD_FLOAT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*)?(?:\.[0-9_]*)?[eE][-+]?[0-9]+\Z|[-+]?(?:[0-9][0-9_]*)?\.[0-9_]*\Z", re.ASCII
)
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?\Z", re.ASCII)
_MOMENT = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}"
    r"(?:(?:[tT]|[ \t]+)\d{1,2}:\d{1,2}:\d{1,2}(?:\.\d+)?(?:[ \t]*(?:Z|[-+][012]?\d(?::\d{2})?))?)?\Z",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Moment:
    """A date, or a time of one, which YAML 1.1 tells from a text; neither a text nor a number to whoever reads it."""

    text: str

    def __str__(self) -> str:
        return self.text


Plain = str | int | float | bool | Moment | None


def plain_value(text: str, *, old: bool = False) -> Plain:
    """Return what a plain scalar is.

    Args:
        text: as it is written.
        old: by YAML 1.1.
    """
    if _NULL.match(text):
        return None
    if text in _TRUE or (old and text in _OLD_TRUE):
        return True
    if text in _FALSE or (old and text in _OLD_FALSE):
        return False
    if (found := _NO_NUMBER.match(text)) is not None:
        return math.nan if found["infinite"] is None else float(f"{found['infinite']}inf")
    if old:
        return _old_value(text)
    if _INTEGER.match(text):
        return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
    return float(text) if _FLOAT.match(text) else text


def key_identity(text: str, *, plain: bool, old: bool) -> object:
    """Return what two keys of one mapping must not have in common: npm `yaml` compares their values, not their texts.

    Source: `uniqueKeys` in src/compose/util-map-includes.ts of eemeli/yaml; `y` and `yes` are both true in YAML 1.1.

    Args:
        text: of the key.
        plain: written without quotes and tag.
        old: by YAML 1.1.
    """
    if not plain or (text[:1].isalpha() and text.lower() not in _KEY_WORDS):
        return text
    value = plain_value(text, old=old)
    return text if isinstance(value, (str, Moment)) or value != value else (isinstance(value, bool), value)


def _old_value(text: str) -> str | int | float | Moment:
    for pattern, radix in _OLD_INTEGERS:
        if pattern.match(text):
            digits = text.lstrip("-+").replace("_", "")[{2: 2, 8: 1, 10: 0, 16: 2}[radix] :]
            number = int(digits, radix) if digits else math.nan
            return -number if text.startswith("-") else number
    if _OLD_FLOAT.match(text):
        try:
            return float(text.replace("_", ""))
        except ValueError:  # a point alone
            return math.nan
    if _SEXAGESIMAL.match(text):
        total = 0.0
        for part in text.lstrip("-+").replace("_", "").split(":"):
            total = total * 60 + float(part)
        return -total if text.startswith("-") else total
    return Moment(text) if _MOMENT.match(text) else text
