"""Loads one model in llama.cpp; run as a process of its own, with the options as JSON, ended by its parent.

Everything of interest is in the log, which a thread of llama.cpp writes to the process's output in its own time.
"""

from __future__ import annotations

import json
import os
import sys

import xllamacpp  # type: ignore[import-not-found]

ENUMS = {
    "cache_type_k": (xllamacpp.ggml_type, "GGML_TYPE_"),
    "cache_type_v": (xllamacpp.ggml_type, "GGML_TYPE_"),
    "flash_attn_type": (xllamacpp.llama_flash_attn_type, "LLAMA_FLASH_ATTN_TYPE_"),
}
VERBOSE = 5


def main() -> None:
    """Load, and wait for the end of the input; leave without destructors, which would wait for the server."""
    options = json.loads(sys.argv[1])
    params = xllamacpp.CommonParams()
    params.model.path = options.pop("model")
    params.port = 0
    params.warmup = False
    params.fit_params = False
    params.no_extra_bufts = True  # a copy of the weights in another order, which only a CPU makes
    params.verbosity = VERBOSE
    for name, value in options.items():
        enum = ENUMS.get(name)
        setattr(params, name, value if enum is None else getattr(enum[0], enum[1] + value.upper()))
    server = xllamacpp.Server(params)
    sys.stdin.read()
    os._exit(0 if server else 1)


main()
