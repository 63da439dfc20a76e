"""NVML's return codes in words a person can act on (nvmlReturn_t in nvml.h)."""

from __future__ import annotations

import platform

from gpudesk.domain.problem import Problem
from gpudesk.errors import FailureKind, SourceError

SOURCE_NAME = "nvml"

UNINITIALIZED = 1
INVALID_ARGUMENT = 2
NOT_SUPPORTED = 3
NO_PERMISSION = 4
INSUFFICIENT_SIZE = 7
DRIVER_NOT_LOADED = 9
LIBRARY_NOT_FOUND = 12
FUNCTION_NOT_FOUND = 13
GPU_IS_LOST = 15
RESET_REQUIRED = 16
VERSION_MISMATCH = 18
ARGUMENT_VERSION_MISMATCH = 25
DEPRECATED = 26
UNKNOWN = 999

ABSENT = frozenset({NOT_SUPPORTED, FUNCTION_NOT_FOUND, ARGUMENT_VERSION_MISMATCH, DEPRECATED})
"""This driver or card does not have it: there is no point in asking again soon."""
CARD_GONE = frozenset({GPU_IS_LOST, RESET_REQUIRED})
"""The card does not answer until NVML is initialized anew, and perhaps not then."""
DRIVER_GONE = frozenset({UNINITIALIZED, DRIVER_NOT_LOADED, VERSION_MISMATCH})
"""The whole use of NVML is void."""

_MESSAGES = {
    UNINITIALIZED: "the driver was reloaded",
    INVALID_ARGUMENT: "the driver does not know what was asked for",
    NOT_SUPPORTED: "the driver does not support this here",
    NO_PERMISSION: "the driver refuses: no permission",
    5: "the driver says it is initialized already",
    6: "the driver does not find it",
    INSUFFICIENT_SIZE: "the answer kept growing while it was read",
    8: "the card's power cables are not attached properly",
    DRIVER_NOT_LOADED: "the NVIDIA driver is installed but not loaded",
    10: "the driver gave up waiting for the card",
    11: "the kernel has a problem with the card's interrupts",
    LIBRARY_NOT_FOUND: "the NVIDIA driver library was not found",
    FUNCTION_NOT_FOUND: "this driver is too old for the question",
    14: "the card's information memory is corrupted",
    GPU_IS_LOST: "the driver lost the card: it fell off the bus or hangs",
    RESET_REQUIRED: "the card needs a reset",
    17: "the operating system blocks access to the card",
    VERSION_MISMATCH: "the driver's library and its kernel module have different versions",
    19: "the card is in use",
    20: "the driver is out of memory",
    21: "the driver has no data",
    23: "the driver is out of resources",
    ARGUMENT_VERSION_MISMATCH: "this driver does not know the version of the question",
    DEPRECATED: "this driver dropped the question",
    27: "the card is not ready yet",
    28: "the driver does not find the card",
    29: "the card is in the wrong state for this",
    UNKNOWN: "the driver reports an unknown error",
}

_HINTS = {
    NO_PERMISSION: "Check who may open /dev/nvidiactl and /dev/nvidia0 (ls -l /dev/nvidia*); in a container, start it "
    "with --gpus all",
    DRIVER_NOT_LOADED: "Try `sudo modprobe nvidia`; after a kernel update the module may have to be built again (dkms "
    "status), and Secure Boot refuses an unsigned one (sudo dmesg | grep -i nvidia)",
    LIBRARY_NOT_FOUND: "Install the NVIDIA driver; in a container, start it with --gpus all (NVIDIA Container "
    "Toolkit). To look around without a card: gpudesk --demo",
    GPU_IS_LOST: "Look for `Xid` in `sudo dmesg`; it may come back after a reset (nvidia-smi --gpu-reset) or a restart",
    RESET_REQUIRED: "Stop what runs on it, then `sudo nvidia-smi --gpu-reset`, or restart the computer",
    VERSION_MISMATCH: "The driver was updated while it was in use: restart the computer",
}

_KINDS = {
    LIBRARY_NOT_FOUND: FailureKind.MISSING,
    DRIVER_NOT_LOADED: FailureKind.MISSING,
    NO_PERMISSION: FailureKind.DENIED,
    10: FailureKind.TIMEOUT,
    UNINITIALIZED: FailureKind.LOST,
    GPU_IS_LOST: FailureKind.LOST,
}


def describe(code: int) -> str:
    """Say what a return code means, without a full stop; a code newer than this table is given as a number."""
    return _MESSAGES.get(code, f"the driver reports error {code}")


def hint_for(code: int) -> str | None:
    """Say what to do about it, where anything helps."""
    return _HINTS.get(code)


def driver_error(code: int) -> SourceError:
    """Return the error for a driver that cannot be used at all."""
    message = describe(code)
    if code == LIBRARY_NOT_FOUND:
        name = "nvml.dll" if platform.system() == "Windows" else "libnvidia-ml.so.1"
        message = f"{message} (looked for {name})"
    return SourceError(_KINDS.get(code, FailureKind.FAILED), message, hint_for(code))


def no_cards() -> SourceError:
    """Return the error for a driver that works and has nothing to drive."""
    return SourceError(
        FailureKind.MISSING,
        "the NVIDIA driver is loaded but reports no card",
        "Check with nvidia-smi; in a container, start it with --gpus all; one given to a virtual machine is not seen",
    )


def memory_not_told() -> Problem:
    """Return the problem of a driver that lists processes without their memory."""
    message = "the driver does not say how much memory each process holds"
    if "microsoft" in platform.release().lower():
        return Problem(
            SOURCE_NAME,
            f"{message}, as always under WSL",
            "Model sizes are the engine's own figures; about 2 GiB of what reads as free cannot be had "
            "(microsoft/WSL#41176)",
        )
    if platform.system() == "Windows":
        return Problem(
            SOURCE_NAME, f"{message}, as always on Windows (WDDM)", "Model sizes are the engine's own figures"
        )
    return Problem(SOURCE_NAME, message, "Model sizes are the engine's own figures")


def list_refused(code: int) -> Problem:
    """Return the problem of a card whose processes cannot be listed."""
    hint = "Model sizes are the engine's own figures"
    if code == NO_PERMISSION:
        hint = (
            "Run as a user who may see them (in MIG mode that takes root), otherwise model sizes are the engine's own"
        )
    return Problem(SOURCE_NAME, f"the processes on the card cannot be listed: {describe(code)}", hint)


def memory_refused(code: int) -> Problem:
    """Return the problem of a card whose memory cannot be read."""
    return Problem(SOURCE_NAME, f"the memory of the card cannot be read: {describe(code)}", hint_for(code))


def memory_implausible() -> Problem:
    """Return the problem of a driver that contradicts itself about a card's memory."""
    return Problem(
        SOURCE_NAME,
        "the driver's figures for the memory of the card contradict each other",
        "Update the driver, or compare with nvidia-smi",
    )
