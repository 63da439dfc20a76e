"""200 configurations of Continue as people have them: 24 written by hand, eight ways to save each, and eight odd ones.

All but the odd ones are read by Continue itself as they stand (`tests/live/editors` asks its parser).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "people"
BOM = "\N{BYTE ORDER MARK}"
_PLAIN = re.compile(r"(?m)^( *(?:- +)?['\"]?[a-zA-Z]+['\"]?:.*)$")
"""A line with a key."""
_SECTION = re.compile(r"(?m)^(?=[a-zA-Z]+:)")
_INDENT = re.compile(r"(?m)^ *(?:- +)*")
HUGE = 300


@dataclass(frozen=True, slots=True)
class Configuration:
    """One file."""

    name: str
    data: bytes
    readable: bool = True
    """Continue reads it; an empty file or one of comments it does not."""


def _crlf(text: str) -> str:
    return text.replace("\n", "\r\n")


def _trailing(text: str) -> str:
    """Spaces and tabs at the ends of lines, and comments behind tabs."""
    ends = ("  ", "\t# remark\twith tabs", "", " \t ", "   # größer")
    counted = iter(range(len(text)))
    return _PLAIN.sub(lambda found: found[1] + ends[next(counted) % len(ends)], text)


def _spread(text: str) -> str:
    """Blank lines and comments at odd columns before every section, and at both ends."""
    remarks = ("\n", "   # odd\n", "\n\n#\n", "# - name: old\n#   model: x\n", " \n")
    counted = iter(range(len(text)))
    spread = _SECTION.sub(lambda _: remarks[next(counted) % len(remarks)], text)
    head = "" if text.startswith("%") else "# my own\n\n"
    return f"{head}{spread}\n# the end\n\n"


def _wide(text: str) -> str:
    """Everything twice as far to the right, what stands behind a dash as well."""
    return _INDENT.sub(lambda found: re.sub(r"- *| +", lambda part: part[0] + " " * len(part[0]), found[0]), text)


VARIANTS: Mapping[str, Callable[[str], str]] = {
    "as is": lambda text: text,
    "CRLF": _crlf,
    "BOM": lambda text: BOM + text,
    "no line end": lambda text: text.rstrip("\n"),
    "BOM, CRLF, no line end": lambda text: BOM + _crlf(text.rstrip("\n")),
    "trailing": _trailing,
    "spread": _spread,
    "twice the indentation": _wide,
}


def _huge() -> str:
    lines = ["name: huge", "version: 1.0.0", "schema: v1", "models:"]
    for number in range(HUGE):
        lines += [
            f"  - name: Model {number}  # number {number}",
            "    provider: ollama",
            f"    model: llama3.1:{number}b",
            "    defaultCompletionOptions:",
            f"      temperature: 0.{number}",
            f"    roles: [{'chat' if number % 3 else 'autocomplete'}]",
            "",
        ]
    return "\n".join(lines)


_ODD = {
    "empty": "",
    "a line end": "\n",
    "BOM alone": BOM,
    "a comment": "# nothing yet\n",
    "a comment without a line end": "# nothing yet",
    "blank lines": "\r\n\r\n",
}

CONFIGURATIONS: tuple[Configuration, ...] = (
    *(
        Configuration(f"{path.stem}, {variant}", change(path.read_bytes().decode()).encode())
        for path in sorted(FOLDER.glob("*.yaml"))
        for variant, change in VARIANTS.items()
    ),
    Configuration("huge, as is", _huge().encode()),
    Configuration("huge, CRLF", _crlf(_huge()).encode()),
    *(Configuration(name, text.encode(), readable=False) for name, text in _ODD.items()),
)

FEW = (*CONFIGURATIONS[: -len(_ODD) : len(VARIANTS) + 1], *CONFIGURATIONS[-len(_ODD) :])
"""One in nine, so that each of the ways to change a file is among them, and all odd ones."""
