"""A simulated NVIDIA driver that takes the place of libnvidia-ml *below* pynvml.

`install()` makes pynvml load an object whose attributes are real ctypes functions, so that pynvml's own struct
handling, its version fallbacks, its error classes and the 2**64-1 "not available" value are all exercised: whoever
uses pynvml cannot tell. What the driver reports is the state of `SimulatedCards`, changed by scenarios at any time
from any thread.

Faults, all of them switched on in that state: error codes per function, for one card, one slice or everywhere;
functions that hang; functions an old driver does not export; drivers whose process structs have another layout than
their version says (`struct_trap`, see `sim.nvml_layouts.STRUCT_TRAPS`); no library at all. As with a real driver a
card that once answered "GPU is lost" stays lost to everybody until NVML is initialized anew, and handles die with
`nvmlShutdown`.
"""

from __future__ import annotations

import ctypes
import re
from collections import Counter
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, TypeVar

from gpudesk.sim import nvml_functions, nvml_lists
from gpudesk.sim.cards import SimulatedCard, SimulatedCards, SimulatedSlice
from gpudesk.sim.nvml_exports import FUNCTIONS, INVALID_ARGUMENT, NOT_SUPPORTED, Function

if TYPE_CHECKING:
    from types import TracebackType

_Value = TypeVar("_Value")

UNINITIALIZED = 1
GPU_IS_LOST = 15

SIMULATED = (nvml_functions, nvml_lists)
"""The modules that fill the table of functions."""

_VERSION_SUFFIX = re.compile(r"_v\d+$")
_FIRST_HANDLE = 0x7F00_0000_0000
_ERROR_STRINGS = {
    0: "Success",
    1: "Uninitialized",
    2: "Invalid Argument",
    3: "Not Supported",
    4: "Insufficient Permissions",
    5: "Already Initialized",
    6: "Not Found",
    7: "Insufficient Size",
    8: "Insufficient External Power",
    9: "Driver Not Loaded",
    10: "Timeout",
    11: "Interrupt Request Issue",
    12: "NVML Shared Library Not Found",
    13: "Function Not Found",
    14: "Corrupted infoROM",
    15: "GPU is lost",
    16: "GPU requires reset",
    17: "GPU access blocked by the operating system",
    18: "Driver/library version mismatch",
    19: "GPU is currently in use by other clients",
    20: "Insufficient Memory",
    21: "No data",
    22: "The requested vgpu operation is not available on target device, because ECC is enabled",
    23: "Insufficient resources",
    24: "Frequency not supported",
    25: "Argument version mismatch",
    26: "Deprecated",
    27: "Not Ready",
    28: "GPU not found",
    29: "Invalid state",
    30: "Reset type not supported",
    999: "Unknown Error",
}


class SimulatedLibrary:
    """What pynvml gets from its CDLL call: exports are looked up as attributes, as in a shared library."""

    def __init__(self, driver: SimulatedDriver) -> None:
        self._driver = driver

    def __getattr__(self, name: str) -> Any:
        return self._driver.export(name)


class SimulatedDriver:
    """Answers every call of pynvml from the state of simulated cards. Usable from any number of threads."""

    def __init__(self, cards: SimulatedCards) -> None:
        self.cards = cards
        self.call_counts: Counter[str] = Counter()
        """Calls per exported name, failed and hanging ones included."""
        self.hanging = 0
        """Calls that hang right now."""
        self._library = SimulatedLibrary(self)
        self._exports: dict[str, Any] = {}
        self._count_lock = Lock()
        self._released = Event()
        self._init_count = 0
        self._next_handle = _FIRST_HANDLE
        self._targets: dict[int, SimulatedCard | SimulatedSlice] = {}
        self._lost: list[SimulatedCard] = []
        self._strings: dict[int, Any] = {}
        self._before: tuple[Any, dict[str, Any], int, Any] | None = None

    # Taking the library's place

    def install(self) -> None:
        """Put this driver below pynvml, as if pynvml had not loaded anything yet.

        Raises:
            RuntimeError: it is installed already.
        """
        import pynvml

        if self._before is not None:
            raise RuntimeError("this simulated driver is already installed")
        cache = pynvml._nvmlGetFunctionPointer_cache
        self._before = (pynvml.nvmlLib, dict(cache), pynvml._nvmlLib_refcount, pynvml.CDLL)
        cache.clear()
        pynvml.nvmlLib = None
        pynvml._nvmlLib_refcount = 0
        pynvml.CDLL = self._load

    def uninstall(self) -> None:
        """Give pynvml back exactly what it had, and let go of every call that hangs."""
        import pynvml

        if self._before is None:
            return
        self.release()
        cache = pynvml._nvmlGetFunctionPointer_cache
        cache.clear()
        pynvml.nvmlLib, before_cache, pynvml._nvmlLib_refcount, pynvml.CDLL = self._before
        cache.update(before_cache)
        self._before = None
        with self.cards.lock:
            while self._init_count:
                self.shut_down()

    def __enter__(self) -> SimulatedDriver:
        self.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.uninstall()

    def release(self) -> None:
        """End every hang that is under way; later calls hang anew for as long as the state says so."""
        with self._count_lock:
            released, self._released = self._released, Event()
        released.set()

    @property
    def initialized(self) -> bool:
        """Somebody holds NVML open, which on a laptop keeps the card awake."""
        return self._init_count > 0

    def reload(self) -> None:
        """Act as after `rmmod nvidia; modprobe nvidia`: every open use of NVML is void."""
        with self.cards.lock:
            while self._init_count:
                self.shut_down()

    # What the functions use

    def initialize(self) -> None:
        """Count one user more; the first one finds lost cards again."""
        if not self._init_count:
            self._lost.clear()
        self._init_count += 1

    def shut_down(self) -> None:
        """Count one user less; handles die with the last one."""
        self._init_count -= 1
        if not self._init_count:
            self._targets.clear()

    def handle_of(self, target: SimulatedCard | SimulatedSlice) -> int:
        """Return the handle of a card or slice, the same one until NVML is shut down."""
        for handle, known in self._targets.items():
            if known is target:
                return handle
        self._next_handle += 64
        self._targets[self._next_handle] = target
        return self._next_handle

    def card_of(self, target: SimulatedCard | SimulatedSlice) -> SimulatedCard:
        """Return the card a slice belongs to, or the card itself."""
        if isinstance(target, SimulatedCard):
            return target
        return next(card for card in self.cards.cards if any(cut is target for cut in card.slices))

    def refusal_of_handle(self, card: SimulatedCard) -> int:
        """Return the error a card's own state gives to somebody who asks for its handle, 0 for none."""
        if any(card is lost for lost in self._lost):
            return GPU_IS_LOST
        code = _lookup(card.errors, "nvmlDeviceGetHandleByIndex_v2") or 0
        if code == GPU_IS_LOST:
            self._lost.append(card)
        return code

    # Calls

    def export(self, name: str) -> Any:
        """Return the ctypes function of that name.

        Raises:
            AttributeError: no such export, as ctypes says it.
        """
        if not name.startswith("nvml") or name in self.cards.missing_functions:
            raise AttributeError(f"libnvidia-ml.so.1: undefined symbol: {name}")
        function = self._exports.get(name)
        if function is None:
            function = self._exports[name] = self._make_export(name)
        return function

    def _make_export(self, name: str) -> Any:
        if name == "nvmlErrorString":
            return ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_int)(self._error_string)
        known = FUNCTIONS.get(name)
        if known is None:
            return ctypes.CFUNCTYPE(ctypes.c_int)(lambda: self._refuse(name))

        def call(*arguments: Any) -> int:
            return self._answer(name, known, arguments)

        return ctypes.CFUNCTYPE(ctypes.c_int, *known.argument_types)(call)

    def _load(self, _name: str, *_arguments: Any, **_options: Any) -> SimulatedLibrary:
        if not self.cards.library_present:
            raise OSError("libnvidia-ml.so.1: cannot open shared object file: No such file or directory")
        return self._library

    def _error_string(self, code: int) -> int:
        self._count("nvmlErrorString")
        text = _ERROR_STRINGS.get(code, "Unknown Error")
        with self._count_lock:
            buffer = self._strings.setdefault(code, ctypes.create_string_buffer(text.encode()))
        return ctypes.addressof(buffer)

    def _count(self, name: str) -> None:
        with self._count_lock:
            self.call_counts[name] += 1

    def _refuse(self, name: str) -> int:
        self._count(name)
        return NOT_SUPPORTED

    def _answer(self, name: str, function: Function, arguments: tuple[Any, ...]) -> int:
        self._count(name)
        with self.cards.lock:
            target = self._targets.get(arguments[0]) if function.takes_handle else None
            seconds = _lookup(self.cards.hang_seconds, name)
            if seconds is None and isinstance(target, SimulatedCard):
                seconds = _lookup(target.hang_seconds, name)
        if seconds is not None:
            self._hang(seconds)
        with self.cards.lock:
            code = self._refusal(name, function, arguments)
            if code:
                return code
            if not function.takes_handle:
                return function.handler(self, *arguments)
            return function.handler(self, self._targets[arguments[0]], *arguments[1:])

    def _hang(self, seconds: float) -> None:
        with self._count_lock:
            released = self._released
            self.hanging += 1
        released.wait(seconds)
        with self._count_lock:
            self.hanging -= 1

    def _refusal(self, name: str, function: Function, arguments: tuple[Any, ...]) -> int:
        code = _lookup(self.cards.errors, name)
        if code:
            return code
        if function.needs_init and not self._init_count:
            return UNINITIALIZED
        if not function.takes_handle:
            return 0
        target = self._targets.get(arguments[0])
        if target is None:
            return INVALID_ARGUMENT
        if isinstance(target, SimulatedSlice):
            owner = next((c for c in self.cards.cards if any(cut is target for cut in c.slices)), None)
            return GPU_IS_LOST if owner is None else _lookup(target.errors, name) or 0
        return self._refusal_of_card(target, name)

    def _refusal_of_card(self, card: SimulatedCard, name: str) -> int:
        if any(card is lost for lost in self._lost) or not any(card is known for known in self.cards.cards):
            return GPU_IS_LOST
        code = _lookup(card.errors, name) or 0
        if code == GPU_IS_LOST:
            self._lost.append(card)
        return code


def _lookup(table: dict[str, _Value], name: str) -> _Value | None:
    """Find a fault by exact name, by name without version suffix, or for every function."""
    if not table:
        return None
    for key in (name, _VERSION_SUFFIX.sub("", name), "*"):
        if key in table:
            return table[key]
    return None
