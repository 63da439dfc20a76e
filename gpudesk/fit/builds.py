"""What a build of an engine does differently from the ones before it."""

from __future__ import annotations

from gpudesk.fit.server_rules import version_key
from gpudesk.fit.values import EngineProfile

FIRST_BUILD_WITH_MIXED_INPUT = 11064
"""From this llama.cpp build at the earliest (src/llama-graph.cpp `build_inp_embd`); b11549 has it."""
OLLAMA_WITH_MIXED_INPUT = (0, 34, 0)
"""0.33 was built on b10488; what comes after it is assumed to have it."""


def takes_mixed_input(profile: EngineProfile) -> bool:
    """Tell whether this build takes tokens and embeddings in one batch, which costs an embedding of the batch."""
    if profile.kind == "ollama":
        return version_key(profile) >= OLLAMA_WITH_MIXED_INPUT
    build = (profile.version or "").lstrip("b").split("-")[0]
    known = build.isascii() and build.isdecimal()
    return not profile.kind.startswith("ik") and (not known or int(build) >= FIRST_BUILD_WITH_MIXED_INPUT)
