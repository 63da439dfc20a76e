"""Which builds take tokens and embeddings in one batch."""

from __future__ import annotations

import pytest

from gpudesk.domain.engine import Era
from gpudesk.fit.builds import takes_mixed_input
from gpudesk.fit.values import EngineProfile


@pytest.mark.parametrize(
    ("profile", "does"),
    [
        (EngineProfile(kind="llama-server", version="b11549"), True),
        (EngineProfile(kind="llama-server", version="b11063"), False),
        (EngineProfile(kind="llama-server"), True),
        (EngineProfile(kind="ik_llama.cpp", version="4000"), False),
        (EngineProfile(version="0.33.0"), False),
        (EngineProfile(version="0.34.1"), True),
        (EngineProfile(version="0.24.0", era=Era.LAYOUT), False),
    ],
)
def test_only_new_builds_do(profile: EngineProfile, does: bool) -> None:
    assert takes_mixed_input(profile) is does
