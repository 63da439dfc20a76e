"""Findings as they are made, with the line of each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpudesk.exports.text_file import line_and_column
from gpudesk.exports.values import Edit, Finding, Severity
from gpudesk.text import clean

if TYPE_CHECKING:
    from gpudesk.exports.editors.continue_entries import Source
    from gpudesk.exports.yaml_tree import Node

REFUSED = "Continue refuses the whole file: no model is there"
LIMIT = 500
"""Findings of one file, at most: what comes after them says nothing new."""
SECRET_WORDS = ("key", "token", "secret", "password", "passphrase", "header", "auth", "credential", "cookie")


class Report:
    """What was found in one file."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.findings: list[Finding] = []

    def add(
        self,
        code: str,
        severity: Severity,
        place: Node,
        where: str,
        message: str,
        effect: str,
        fix: str | None = None,
        edits: tuple[Edit, ...] = (),
    ) -> None:
        """Add a finding; values of keys that may be secret must not be in its words."""
        if len(self.findings) >= LIMIT:
            return
        path = self.source.path
        line, _ = line_and_column(self.source.document.text, place.start)
        self.findings.append(
            Finding(code, severity, path, line, clean(where, 120), message, effect, fix, edits, effect == REFUSED)
        )


_HARMLESS = re.compile(
    r"(?:\A|\.)(?:version|schema|roles|roles\[\d+\]|capabilities|capabilities\[\d+\]|contextLength|maxStopWords"
    r"|level|promptTemplates\.chat|(?:defaultCompletionOptions|autocompleteOptions|embedOptions)\.\w+)\Z"
)
"""Key paths whose values are shown; everywhere else somebody may have put a key by mistake."""


def may_be_secret(where: str) -> bool:
    """A value under this key path is never copied into a text for people."""
    low = where.lower().replace("tokens", "")  # maxTokens is none
    return any(word in low for word in SECRET_WORDS) or "env" in low or "apibase" in low or "url" in low


def is_harmless(where: str) -> bool:
    """A value under this key path is shown."""
    return _HARMLESS.search(where) is not None


def shown(value: object, where: str) -> str:
    """Return a value for a sentence, or that there is one."""
    if not is_harmless(where):
        return "the value" if value is not None else "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "nothing"
    return clean(str(value), 40)
