"""What a command loads: the budgets that keep it quick."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCREEN = ("textual", "rich")


def modules_after(code: str, *arguments: str) -> set[str]:
    """Run code in a fresh interpreter and return the modules it has loaded."""
    script = (
        f"import sys; sys.argv = ['gpudesk', *{list(arguments)!r}]\n{code}\n"
        "import json; sys.stderr.write('\\n' + json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


def heavy(modules: set[str], names: tuple[str, ...]) -> set[str]:
    """Return which of these packages were loaded."""
    return {module for module in modules if module.split(".")[0] in names}


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_loads_hardly_anything(option: str) -> None:
    script = (
        f"import sys; sys.argv = ['gpudesk', {option!r}]; import gpudesk.__main__ as entry; entry.main();"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    modules = set(done.stderr.split())
    assert done.stdout.startswith("gpudesk ")
    assert len(modules) < 60
    assert not {"argparse", "dataclasses", "json", "typing"} & modules


def test_the_command_line_itself_is_light() -> None:
    modules = modules_after(
        "import gpudesk.cli; from gpudesk.arguments import parser; parser.parse(['status', '--json'])"
    )
    assert (
        heavy(modules, (*SCREEN, "httpcore", "httpx", "pynvml", "psutil", "platformdirs", "tomli_w", "ctypes")) == set()
    )


def test_status_as_json_never_loads_the_screen() -> None:
    modules = modules_after("from gpudesk.cli import run; assert run(sys.argv[1:]) == 0", "status", "--json", "--demo")
    assert "pynvml" in modules
    assert heavy(modules, (*SCREEN, "httpx", "pygments", "tomli_w", "importlib.metadata")) == set()


def test_commands_never_load_the_screen() -> None:
    code = "import gpudesk.commands.status, gpudesk.commands.watch, gpudesk.commands.doctor, gpudesk.commands.config"
    modules = modules_after(code)
    assert heavy(modules, (*SCREEN, "httpcore", "pynvml", "psutil")) == set()
    assert not {name for name in modules if name.startswith(("gpudesk.ui", "gpudesk.sim"))}


def test_the_simulation_is_loaded_for_demos_only() -> None:
    code = "from gpudesk.cli import run; run(sys.argv[1:])"
    modules = modules_after(code, "status", "--json", "--ollama", "127.0.0.1:1", "--timeout", "2")
    assert not {name for name in modules if name.startswith("gpudesk.sim")}


def test_wiring_this_computer_loads_no_heavy_library() -> None:
    code = (
        "from gpudesk.build import open_workstation; from gpudesk.config.settings import EngineAddress, Settings\n"
        "open_workstation(Settings(engines=(EngineAddress('http://127.0.0.1:1'),)))"
    )
    assert heavy(modules_after(code), (*SCREEN, "httpcore", "pynvml")) == set()


def test_the_first_plan_finds_its_modules_loaded_with_the_headers() -> None:
    modules = modules_after(
        "from gpudesk.planning.desk_planner import DeskPlanner\n"
        "class Source:\n"
        "    def find_all(self, models): return (), ()\n"
        "    def close(self): pass\n"
        "from gpudesk.config.settings import Settings\n"
        "DeskPlanner(Settings(), Source).read([])\n"
        "from gpudesk.fit.swap_cost import load_seconds; load_seconds(1 << 30)"
    )
    assert "gpudesk.fit.plan" in modules
    assert not {"statistics", "decimal"} & modules
