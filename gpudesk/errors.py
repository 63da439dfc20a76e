"""The exceptions gpudesk raises itself, and the exit codes of the command line.

```
GpudeskError
├── UsageError            the command line or the configuration is wrong          (exit 2)
├── SourceError           something that should be read could not be read         (exit 3)
│   ├── NotInstalledError     the engine has no such model
│   ├── OutOfMemoryError      the engine found no room for a model
│   └── EngineBusyError       the engine takes no more requests for now
├── StoreError            a file of gpudesk's own could not be read or written    (exit 1)
├── ExportError           another program's file cannot be read or changed        (exit 1)
└── RefusedError          gpudesk would not do what was asked                     (exit 4)
```
"""

from __future__ import annotations

from enum import IntEnum, StrEnum


class ExitCode(IntEnum):
    """What the process tells its caller."""

    OK = 0
    """Everything that was asked for was done."""
    FAILED = 1
    """It was tried and did not work."""
    USAGE = 2
    """The command line or the configuration is wrong."""
    UNREACHABLE = 3
    """No source could be read: no driver and no engine answered."""
    REFUSED = 4
    """Not done on purpose: read-only, or it needs a confirmation."""
    INTERRUPTED = 130
    """Ended by ctrl+c."""


class FailureKind(StrEnum):
    """Why a source gave no value; the screen words each kind the same way everywhere."""

    MISSING = "missing"
    """What should be read does not exist here: no driver library, no card."""
    UNREACHABLE = "unreachable"
    """Nobody answers at the address: refused, reset, name not found."""
    DENIED = "denied"
    """Answered, but we are not allowed: 401, 403, NVML NoPermission, EACCES."""
    TIMEOUT = "timeout"
    """No complete answer within the time allowed."""
    INVALID = "invalid"
    """An answer that is not what the protocol says: HTML, truncated JSON, wrong types."""
    LOST = "lost"
    """It was there and went away: NVML GpuIsLost, a reset connection in mid-answer."""
    FAILED = "failed"
    """The other side reports an error of its own: HTTP 500, NVML Unknown."""


class GpudeskError(Exception):
    """The root: `message` says what was wrong, `hint` what to do about it."""

    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(GpudeskError):
    """The command line or the configuration is wrong."""

    exit_code = ExitCode.USAGE


class SourceError(GpudeskError):
    """A source could not be read; becomes a failed `Reading` at the boundary."""

    exit_code = ExitCode.UNREACHABLE

    def __init__(self, kind: FailureKind, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.kind = kind
        self.http_status: int | None = None
        """The HTTP status, where an answer was the failure."""


class NotInstalledError(SourceError):
    """The engine has no model of that name."""


class OutOfMemoryError(SourceError):
    """The engine found no room for a model, on the cards or in main memory."""


class EngineBusyError(SourceError):
    """The engine takes no more requests for now."""


class StoreError(GpudeskError):
    """A file of gpudesk's own could not be read or written; what was in it before is still there."""


class ExportError(GpudeskError):
    """Another program's file cannot be read, understood or changed; it is as it was."""


class RefusedError(GpudeskError):
    """gpudesk would not do what was asked."""

    exit_code = ExitCode.REFUSED
