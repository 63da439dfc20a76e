"""The one door to pynvml: loads the right module, counts calls, turns its exceptions into a code."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gpudesk.errors import FailureKind, SourceError
from gpudesk.records import dataclass
from gpudesk.sources.nvml_words import ABSENT, FUNCTION_NOT_FOUND, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable

ALWAYS = 0.0
"""Interval of a query that is asked in every pass."""
ONCE = math.inf
"""Interval of a query that is not asked again once it was answered."""

_RETRY_SECONDS = 10.0
_ABSENT_RETRY_SECONDS = 60.0
_NOT_AVAILABLE_UINT = 0xFFFFFFFF


class NvmlRefusal(Exception):  # noqa: N818 - a refused question is an ordinary answer here, not an error of ours
    """A call did not succeed; `code` is NVML's return code, or UNKNOWN where pynvml itself failed."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class NvmlLibrary:
    """pynvml with a count of calls and the codes that came back, both reset by whoever wants to know.

    Raises:
        SourceError: the module pynvml is not there, or is another package than nvidia-ml-py.
    """

    def __init__(self) -> None:
        self.api = _load_pynvml()
        self.calls = 0
        """NVML calls so far."""
        self.refusals: set[int] = set()
        """Return codes other than success so far."""
        self._error_class: type[Exception] = self.api.NVMLError

    def call(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Call a pynvml function that makes one NVML call.

        Raises:
            NvmlRefusal: it did not succeed, for whatever reason.
        """
        self.calls += 1
        try:
            return function(*arguments)
        except self._error_class as error:
            code = int(getattr(error, "value", UNKNOWN))
        except Exception:  # noqa: BLE001 - text that is not UTF-8, a struct pynvml cannot read: still only one value
            code = UNKNOWN
        self.refusals.add(code)
        raise NvmlRefusal(code)

    def export(self, name: str) -> Any:
        """Return the bare ctypes function of that name, for the structs pynvml cannot read.

        Raises:
            NvmlRefusal: this driver does not export it.
        """
        try:
            return self.api._nvmlGetFunctionPointer(name)
        except self._error_class as error:
            self.refusals.add(error.value)  # type: ignore[attr-defined]  # pynvml is untyped
            raise NvmlRefusal(error.value) from None  # type: ignore[attr-defined]

    def query(self, name: str, *arguments: object, every: float = ALWAYS) -> Query:
        """Bind one pynvml function to its arguments."""
        return Query(self, getattr(self.api, name, None), arguments, every)


@dataclass(slots=True)
class Query:
    """One value that is asked for again and again, and may fail without consequence for any other."""

    library: NvmlLibrary
    function: Callable[..., Any] | None
    arguments: tuple[object, ...]
    interval_seconds: float
    value: Any = None
    """The newest answer; None when the last attempt failed."""
    code: int = 0
    """Return code of the last attempt."""
    due_at: float = -math.inf

    def read(self, now: float) -> Any:
        """Return the value, asking the driver when it is time to. What is absent is asked for once a minute."""
        if now < self.due_at:
            return self.value
        try:
            if self.function is None:
                raise NvmlRefusal(FUNCTION_NOT_FOUND)
            value = self.library.call(self.function, *self.arguments)
        except NvmlRefusal as refusal:
            self.value, self.code = None, refusal.code
            if refusal.code in ABSENT:
                self.due_at = now + _ABSENT_RETRY_SECONDS
            else:
                self.due_at = now + min(self.interval_seconds, _RETRY_SECONDS)
            return None
        self.value = None if value == _NOT_AVAILABLE_UINT else value
        self.code = 0
        self.due_at = now + self.interval_seconds
        return self.value


def _load_pynvml() -> Any:
    """Import pynvml and make sure it is the one from nvidia-ml-py.

    nvidia-ml-py3 (7.352, 2017) installs a module of the same name over it, without the functions of later drivers.
    """
    hint = "Repair it with: pip uninstall nvidia-ml-py3 pynvml, then pip install --force-reinstall nvidia-ml-py"
    try:
        import pynvml
    except ImportError as error:
        raise SourceError(FailureKind.MISSING, f"the Python module pynvml cannot be loaded: {error}", hint) from error
    needed = (
        "nvmlInitWithFlags",
        "nvmlMemory_v2",
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "_nvmlGetFunctionPointer",
    )
    missing = [name for name in needed if not hasattr(pynvml, name)]
    if missing:
        raise SourceError(
            FailureKind.MISSING,
            f"the Python module pynvml is not the one of nvidia-ml-py (it has no {missing[0]}); "
            f"an old nvidia-ml-py3 or pynvml lies over it: {getattr(pynvml, '__file__', None)}",
            hint,
        )
    return pynvml
