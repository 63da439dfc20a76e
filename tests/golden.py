"""Golden files: the whole expected text, kept beside the tests and written anew with GPUDESK_TEST_UPDATE_GOLDEN=1."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "fixtures" / "golden"


def check_golden(name: str, actual: str) -> None:
    """Compare with the golden file of that name, to the last character."""
    path = FOLDER / name
    if os.environ.get("GPUDESK_TEST_UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(actual, encoding="utf-8")
    assert path.exists(), f"no golden file {path}; GPUDESK_TEST_UPDATE_GOLDEN=1 writes it"
    assert actual == path.read_text(encoding="utf-8")
