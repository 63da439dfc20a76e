"""The command line: who does what was typed.

Hardly anything is imported here; each handler imports what it needs, so that a command pays for itself
alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, TextIO

from gpudesk.errors import ExitCode, GpudeskError, UsageError

if TYPE_CHECKING:
    import argparse

    from gpudesk.commands.acting_session import ActingMeans
    from gpudesk.commands.planning_session import PlanningMeans
    from gpudesk.config.layers import Effective, Overrides
    from gpudesk.workstation import Workstation

    Options = argparse.Namespace | SimpleNamespace


def _overrides(options: Options) -> Overrides:
    from gpudesk.config.layers import Overrides

    given = vars(options)
    return Overrides(
        ollama=(*given.get("ollama", ()), *given.get("verb_ollama", ())),
        theme=given.get("theme"),
        reduced_motion=given.get("reduced_motion"),
        ansi_colors=given.get("ansi"),
        interval_seconds=given.get("interval"),
        reserve_bytes=given.get("reserve"),
        read_only=given.get("read_only"),
        insecure=given.get("insecure", False),
        ca_file=str(Path(given["ca_file"]).expanduser()) if "ca_file" in given else None,
    )


def _configured(options: Options) -> Effective:
    """Read the configuration and put the command line on top."""
    from gpudesk.config.file import read_config_file
    from gpudesk.config.layers import effective
    from gpudesk.paths import config_path

    named = vars(options).get("config")
    path = Path(named).expanduser() if named else config_path()
    if named and not path.exists():
        raise UsageError(f"--config: there is no file {path}", "gpudesk config path  tells the usual place")
    ca_file = vars(options).get("ca_file")
    if ca_file and not Path(ca_file).expanduser().is_file():
        raise UsageError(f"--ca-file: there is no file {ca_file}")
    return effective(_overrides(options), read_config_file(path), os.environ)


def _opened(options: Options, configured: Effective) -> Workstation:
    from gpudesk.build import DEFAULT_SCENARIO, open_workstation

    demo = vars(options).get("demo")
    if demo is not None:
        _check_scenario(demo or DEFAULT_SCENARIO)
    workstation = open_workstation(
        configured.settings,
        demo=None if demo is None else demo or DEFAULT_SCENARIO,
        demo_if_empty=vars(options).get("demo_if_empty", False),
    )
    return workstation.with_problems(configured.problems)


def _check_scenario(name: str) -> None:
    from gpudesk.build import scenario_names

    known = scenario_names()
    if name not in known:
        from gpudesk.config.options import nearest

        close = nearest(name, known)
        hint = f"Did you mean {close}? " if close else ""
        raise UsageError(f"--demo: there is no scenario {name}", f"{hint}There are {', '.join(known)}")


def has_terminal() -> bool:
    """Tell whether a screen can be drawn: Textual reads stdin and draws on stderr; a piped stdout wants text."""
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return all(stream is not None and stream.isatty() for stream in streams) and os.environ.get("TERM") != "dumb"


def _screen(options: Options) -> int:
    if not has_terminal():
        return _status(options)
    configured = _configured(options)
    from gpudesk.build import run_screen

    return run_screen(_opened(options, configured))


def _status(options: Options) -> int:
    configured = _configured(options)
    from gpudesk.build import with_pins
    from gpudesk.commands import status

    workstation = with_pins(_opened(options, configured))
    given = vars(options)
    as_json = given.get("json", False)
    try:
        if given.get("watch", False):
            from gpudesk.commands import watch

            return watch.run(workstation, sys.stdout, as_json=as_json)
        seconds = given.get("timeout", status.LOOK_SECONDS)
        return status.run(workstation, sys.stdout, as_json=as_json, timeout_seconds=seconds)
    finally:
        workstation.close()


def _doctor(options: Options) -> int:
    configured = _configured(options)
    from gpudesk.commands import doctor, status

    workstation = _opened(options, configured)
    try:
        seconds = vars(options).get("timeout", status.LOOK_SECONDS)
        return doctor.run(workstation, configured, sys.stdout, as_json=options.json, timeout_seconds=seconds)
    finally:
        workstation.close()


def _means(options: Options) -> PlanningMeans:
    configured = _configured(options)
    from gpudesk.build import planning_means

    return planning_means(lambda: _opened(options, configured), configured.settings, demo="demo" in vars(options))


def _fit(options: Options) -> int:
    from gpudesk.commands import fit
    from gpudesk.commands.fit_request import request_from

    return fit.run(request_from(vars(options)), _means(options), sys.stdout)


def _suggest(options: Options) -> int:
    from gpudesk.commands import suggest
    from gpudesk.commands.fit_request import request_from

    return suggest.run(options.roles, request_from(vars(options)), _means(options), sys.stdout)


def _budget(options: Options) -> int:
    from gpudesk.commands import budget

    return budget.run(budget.request_from(vars(options)), _means(options), sys.stdout)


def _tiers(options: Options) -> int:
    from gpudesk.commands import tiers
    from gpudesk.commands.fit_request import request_from

    return tiers.run(request_from(vars(options)), _means(options), sys.stdout)


def _points(options: Options) -> int:
    from gpudesk.commands import points
    from gpudesk.paths import data_directory

    return points.run(options.what, data_directory(), sys.stdout)


def _config(options: Options) -> int:
    configured = _configured(options)
    from gpudesk.commands import config

    return config.run(options.what, configured, sys.stdout)


def _act(options: Options) -> int:
    """Run a command that changes something, or tells of it: the `run` of its module."""
    from importlib import import_module

    from gpudesk.arguments.acting import MODULES

    module = import_module(f"gpudesk.commands.{MODULES[options.verb]}")
    configured = _configured(options)
    from gpudesk.build import acting_means

    means = acting_means(lambda: _opened(options, configured), configured.settings, demo="demo" in vars(options))
    run_verb: Callable[[Mapping[str, object], ActingMeans, TextIO], int] = module.run
    return run_verb(vars(options), means, sys.stdout)


def _editors(options: Options) -> int:
    from gpudesk.commands import editors

    configured = _configured(options)
    from gpudesk.build import editor_means

    means = editor_means(lambda: _opened(options, configured), configured.settings, demo="demo" in vars(options))
    return editors.run(vars(options), means, sys.stdout)


HANDLERS: Mapping[str | None, Callable[[Options], int]] = {
    None: _screen,
    "status": _status,
    "fit": _fit,
    "suggest": _suggest,
    "budget": _budget,
    "tiers": _tiers,
    "points": _points,
    "doctor": _doctor,
    "config": _config,
    "editors": _editors,
}
"""Every other verb changes something, or tells of it."""


def _version() -> int:
    from gpudesk import __version__

    print(f"gpudesk {__version__}")  # noqa: T201 - this is the data
    return ExitCode.OK


def _parsed(arguments: Sequence[str]) -> Options:
    """Parse; without arguments there is nothing to load a parser for."""
    if not arguments:
        return SimpleNamespace(verb=None, version=False)
    from gpudesk.arguments.parser import parse

    return parse(arguments)


def _handle(arguments: Sequence[str]) -> int:
    options = _parsed(arguments)
    if options.version:
        return _version()
    if vars(options).get("no_color"):
        os.environ["NO_COLOR"] = "1"
    return int(HANDLERS.get(options.verb, _act)(options))


def run(arguments: list[str]) -> int:
    """Run one command line and return the exit code."""
    from gpudesk import start
    from gpudesk.output import diagnostics

    start.pause_collector()
    try:
        if sys.stdout is not None and hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="backslashreplace")
        code = _handle(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
    except GpudeskError as error:
        diagnostics.report(error)
        return error.exit_code
    except BrokenPipeError:
        _forget_stdout()
        return ExitCode.OK
    except OSError as error:  # sources never raise it: this is the output, on a full disk for example
        diagnostics.say(f"gpudesk: {error.strerror or error}")
        _forget_stdout()
        return ExitCode.FAILED
    except RuntimeError as error:
        if "start new thread" not in str(error):  # threading has no class of its own for this
            raise
        hint = "a limit on processes is reached: `ulimit -u`, or the container's"
        diagnostics.report(GpudeskError("no further thread may be started here", hint))
        return ExitCode.FAILED
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except SystemExit as leaving:  # argparse after --help
        return leaving.code if isinstance(leaving.code, int) else ExitCode.OK
    return code


def _forget_stdout() -> None:
    """Point stdout at nothing after its reader left, so that Python does not complain when it closes."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        return
