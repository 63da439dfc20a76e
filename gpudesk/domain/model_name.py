"""Which names a model may have."""

from __future__ import annotations

import re

_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"
_NAME = re.compile(
    rf"(?:(?:(?:https?://)?[A-Za-z0-9_][A-Za-z0-9_.:-]{{0,349}}/)?[A-Za-z0-9_][A-Za-z0-9_-]{{0,79}}/)?{_PART}(?::{_PART})?",
    re.ASCII,
)


def is_model_name(text: str) -> bool:
    """Tell whether Ollama takes this as a name: `[[host/]namespace/]model[:tag]`.

    Letters, digits, `_`, `-` and, outside the namespace, `.`; at most 80 characters each, 350 for the host
    (ollama/ollama types/model/name.go:97 `ParseName` at v0.33.0-rc2).
    """
    return _NAME.fullmatch(text) is not None
