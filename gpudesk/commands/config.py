"""`gpudesk config show|path|check`: the settings in force, their file, their mistakes."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from gpudesk.errors import ExitCode
from gpudesk.output import diagnostics
from gpudesk.paths import shortened
from gpudesk.quantities import bytes_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpudesk.config.layers import Effective, EngineOrigin
    from gpudesk.config.settings import EngineAddress


def run(what: str, configured: Effective, out: TextIO) -> int:
    """Run one of `show`, `path` and `check`."""
    if what == "path":
        out.write(f"{configured.file.path}\n")
        return ExitCode.OK
    if what == "show":
        out.write("\n".join(effective_lines(configured)) + "\n")
        diagnostics.warn(configured.problems)
        return ExitCode.OK
    return _check(configured, out)


def _check(configured: Effective, out: TextIO) -> int:
    """Say what is wrong on stderr and, only when nothing is, that it is right on stdout."""
    where = shortened(configured.file.path)
    diagnostics.warn(configured.problems)
    warnings = {finding.problem for finding in configured.file.findings if not finding.fatal}
    wrong = [problem for problem in configured.problems if problem not in warnings]
    if wrong:
        diagnostics.say(f"gpudesk: {len(wrong)} {'mistake' if len(wrong) == 1 else 'mistakes'} in the configuration")
        return ExitCode.USAGE
    out.write(
        f"{where}: in order\n" if configured.file.found else f"{where}: no such file, everything is at its default\n"
    )
    return ExitCode.OK


def effective_lines(configured: Effective) -> list[str]:
    """Write the settings in force as TOML, each with where it comes from; keys and passwords never appear."""
    settings, origins = configured.settings, configured.origins
    found = "" if configured.file.found else " (there is none)"
    lines = [f"# settings in force; file: {shortened(configured.file.path)}{found}", "", "[screen]"]
    lines += [
        _line("theme", settings.theme, origins["theme"]),
        _line("reduced_motion", settings.reduced_motion, origins["reduced_motion"]),
        _line("ansi", settings.ansi_colors, origins["ansi"]),
        "",
        "[watch]",
        _line("interval", settings.interval_seconds, origins["interval"]),
        _line("reserve", bytes_text(settings.reserve_bytes), origins["reserve"]),
        "",
        "[alarms]",
        _line("enabled", settings.alarms.enabled, origins["alarms"]),
        _line("free_memory", bytes_text(settings.alarms.free_memory_bytes), origins["free_memory"]),
        _line("desktop", settings.desktop_notifications, origins["desktop"]),
        "",
        "[actions]",
        _line("read_only", settings.read_only, origins["read_only"]),
        _line("restore_pins", settings.restore_pins, origins["restore_pins"]),
    ]
    for address, origin in zip(settings.engines, configured.engine_origins, strict=True):
        lines += ["", *_engine(address, origin)]
    if settings.keymap:
        lines += ["", "[keys]"]
        lines += [_line(name, keys, "file") for name, keys in settings.keymap.items()]
    return lines


def _engine(address: EngineAddress, origin: EngineOrigin) -> list[str]:
    lines = ["[[engine]]", _line("url", address.url, origin.address)]
    entry = origin.entry
    if entry is not None and entry.api_key_env:
        lines.append(_line("api_key_env", entry.api_key_env, "file"))
    if entry is not None and entry.api_key_file:
        lines.append(_line("api_key_file", entry.api_key_file, "file"))
    if address.ca_file:
        lines.append(_line("ca_file", shortened(address.ca_file), origin.address))
    if not address.verify:
        lines.append(_line("insecure", True, origin.address))
    if origin.key:
        lines.append(f"# has a key, not shown; from {origin.key}")
    return lines


def _line(name: str, value: str | bool | float, origin: str) -> str:
    """Write one key with its origin, quoted as TOML wants it."""
    import tomli_w

    pair: Mapping[str, str | bool | float] = {name: value}
    return f"{tomli_w.dumps(pair).strip()}  # {origin}"
