"""The module pynvml itself: missing, shadowed by an old package, older or newer than expected."""

from __future__ import annotations

import builtins
import sys
from types import ModuleType
from typing import Any

import pytest

from gpudesk.errors import FailureKind, SourceError
from gpudesk.sources.nvml import NvmlSource
from tests.sources.nvml_rig import EMPTY_DESK, NOWHERE, rig


def test_nvidia_ml_py3_over_nvidia_ml_py_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """nvidia-ml-py3 7.352 installs an old module of the same name; `pynvml` before 11.5 did too."""
    old = ModuleType("pynvml")
    old.__file__ = "/usr/lib/python3/site-packages/pynvml.py"
    for name in (
        "nvmlInit",
        "nvmlShutdown",
        "NVMLError",
        "nvmlDeviceGetComputeRunningProcesses",
        "_nvmlGetFunctionPointer",
    ):
        setattr(old, name, Exception)
    monkeypatch.setitem(sys.modules, "pynvml", old)
    with pytest.raises(SourceError) as raised:
        NvmlSource(sysfs_root=NOWHERE).read(EMPTY_DESK)
    assert raised.value.kind is FailureKind.MISSING
    assert "not the one of nvidia-ml-py" in raised.value.message
    assert "/usr/lib/python3/site-packages/pynvml.py" in raised.value.message
    assert "pip uninstall nvidia-ml-py3" in (raised.value.hint or "")


def test_no_pynvml_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def refuse(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "pynvml":
            raise ImportError("No module named 'pynvml'")
        return real_import(name, *arguments, **options)

    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(SourceError, match="cannot be loaded") as raised:
        NvmlSource(sysfs_root=NOWHERE).read(EMPTY_DESK)
    assert raised.value.kind is FailureKind.MISSING


def test_a_pynvml_without_a_newer_function_loses_that_value_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import pynvml

    monkeypatch.delattr(pynvml, "nvmlDeviceGetTemperatureV")
    monkeypatch.delattr(pynvml, "nvmlDeviceGetFanSpeed")
    with rig() as desk:
        card = desk.card()
        assert card.fan_ratio is None
        assert card.temperature_celsius == 41.0
        assert card.error is None


def test_the_library_that_is_missing_is_named_by_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    import platform

    with rig() as desk:
        desk.cards.library_present = False
        monkeypatch.setattr(platform, "system", lambda: "Windows")
        with pytest.raises(SourceError, match=r"looked for nvml\.dll"):
            desk.read()


def test_library_and_kernel_module_of_different_versions() -> None:
    with rig() as desk:
        desk.cards.errors["nvmlInitWithFlags"] = 18
        with pytest.raises(SourceError, match="different versions") as raised:
            desk.read()
        assert "restart the computer" in (raised.value.hint or "")


def test_nobody_may_open_the_devices() -> None:
    with rig() as desk:
        desk.cards.errors["nvmlInitWithFlags"] = 4
        with pytest.raises(SourceError) as raised:
            desk.read()
        assert raised.value.kind is FailureKind.DENIED
        assert "/dev/nvidia" in (raised.value.hint or "")
