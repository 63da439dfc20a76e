"""Making text from outside safe to show.

Model names, process titles and error bodies come from elsewhere. They may carry terminal escapes, markup,
right-to-left overrides or kilobytes of noise, and must not move a cursor, turn a row around or widen a table.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

MAX_LENGTH = 256
"""Characters kept of any text from outside, the ellipsis included."""

_DROPPED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Control, format (bidi overrides, zero width), surrogate, private use, line and paragraph separators."""


def clean(text: str, limit: int = MAX_LENGTH) -> str:
    """Return `text` on one line, without control or format characters, at most `limit` characters long.

    Tabs and line breaks become one space; everything else of those categories is dropped. Idempotent.
    """
    if len(text) > limit * 4:
        text = text[: limit * 4]
    if not (text.isascii() and text.isprintable()):
        text = "".join(
            " " if character in "\t\r\n\v\f\u2028\u2029" else character
            for character in text
            if character in "\t\r\n\v\f\u2028\u2029" or unicodedata.category(character) not in _DROPPED_CATEGORIES
        )
    text = " ".join(text.split()) if "  " in text else text.strip()
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def enumerated(words: Sequence[str]) -> str:
    """Write words one after the other, each once: `a`, `a and b`, `a, b and c`."""
    once = list(dict.fromkeys(words))
    return f"{', '.join(once[:-1])} and {once[-1]}" if len(once) > 1 else "".join(once)
