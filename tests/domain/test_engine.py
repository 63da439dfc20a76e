from __future__ import annotations

import pytest

from gpudesk.domain.engine import Era, era_of, limits_context


@pytest.mark.parametrize(
    ("version", "era"),
    [
        ("0.1.48", Era.ESTIMATE),
        ("0.5.4", Era.ESTIMATE),
        ("0.12.10", Era.ESTIMATE),
        ("0.12", Era.ESTIMATE),
        ("0.12.11-rc0", Era.LAYOUT),
        ("0.12.11", Era.LAYOUT),
        ("0.13.0", Era.LAYOUT),
        ("0.24.0", Era.LAYOUT),
        ("0.30.0-rc32", Era.LLAMA_SERVER),
        ("0.33.0-rc2", Era.LLAMA_SERVER),
        ("v0.33.0", Era.LLAMA_SERVER),
        ("1.0.0", Era.LLAMA_SERVER),
        ("0.12.6+cuda", Era.ESTIMATE),
        (" 0.30.1 ", Era.LLAMA_SERVER),
        ("0.30.1.2", Era.LLAMA_SERVER),
        ("0.0.0", None),
        ("", None),
        (None, None),
        ("dev", None),
        ("0", None),
        ("0.x.1", None),
        ("٠.٣٠.٠", None),
        ("0..1", None),
        ("-0.30.0", None),
    ],
)
def test_era_of_a_version(version: str | None, era: Era | None) -> None:
    assert era_of(version) is era


@pytest.mark.parametrize(
    ("version", "limits"),
    [("0.5.4", False), ("0.9.2", False), ("v0.9.3-rc1", True), ("0.10", True), ("0.33.0", True), ("0.0.0", None),
     ("built", None), ("", None), (None, None)],
)  # fmt: skip
def test_contexts_are_limited_to_the_training_since_0_9_3(version: str | None, limits: bool | None) -> None:
    assert limits_context(version) is limits
