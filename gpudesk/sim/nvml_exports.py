"""The table of simulated NVML functions, and how results are written to the addresses C callers pass."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gpudesk.sim.cards import SimulatedCard, SimulatedSlice

SUCCESS = 0
INVALID_ARGUMENT = 2
NOT_SUPPORTED = 3
NOT_FOUND = 6
INSUFFICIENT_SIZE = 7
ARGUMENT_VERSION_MISMATCH = 25

Target = SimulatedCard | SimulatedSlice | None
Handler = Callable[..., int]


@dataclass(frozen=True, slots=True)
class Function:
    """One exported function."""

    argument_types: tuple[Any, ...]
    handler: Handler
    takes_handle: bool = True
    """The first argument is a device handle."""
    needs_init: bool = True


FUNCTIONS: dict[str, Function] = {}
"""Everything this driver simulates; every other name beginning with `nvml` is not supported."""

POINTER = ctypes.c_void_p
UINT = ctypes.c_uint


def exported(
    *names: str, types: tuple[Any, ...] = (), takes_handle: bool = True, needs_init: bool = True
) -> Callable[[Handler], Handler]:
    """Enter the decorated function into the table under those exported names."""

    def enter(handler: Handler) -> Handler:
        argument_types = (POINTER, *types) if takes_handle else types
        for name in names:
            FUNCTIONS[name] = Function(argument_types, handler, takes_handle, needs_init)
        return handler

    return enter


def write_uint(address: int, value: int) -> int:
    """Write an unsigned int and succeed."""
    UINT.from_address(address).value = value
    return SUCCESS


def write_text(address: int, length: int, text: str) -> int:
    """Write a C string, or report that it does not fit."""
    data = text.encode() + b"\0"
    if len(data) > length:
        return INSUFFICIENT_SIZE
    ctypes.memmove(address, data, len(data))
    return SUCCESS


def write_optional_uint(address: int, value: int | None) -> int:
    """Write an unsigned int, or report that the card has no such thing."""
    return NOT_SUPPORTED if value is None else write_uint(address, value)
