"""Reading the configuration file: TOML, checked key by key, and never a reason to stop.

```toml
[screen]
theme = "gpudesk-dark"
reduced_motion = false
ansi = false                      # the terminal's own sixteen colors

[watch]
interval = "1s"
reserve = "1GiB"                  # left free on each card

[alarms]
enabled = true
free_memory = "2GiB"              # told when less is free on a card; "0" never
desktop = true                    # shown by the desktop too

[actions]
read_only = false                 # true: nothing is ever changed
restore_pins = false              # true: a new pin is put right when it is lost

[[engine]]                        # as often as there are engines
url = "https://gpu-box:11434"
api_key_env = "GPU_BOX_KEY"       # or api_key_file; the key itself never stands here
ca_file = "~/certs/lab.pem"
insecure = false

[keys]                            # binding id = keys
filter = "slash,f3"
```
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, TypeVar

from gpudesk.config.options import (
    UnusableError,
    flag_value,
    interval_value,
    reserve_value,
    text_value,
    theme_value,
)
from gpudesk.domain.problem import Problem
from gpudesk.paths import shortened
from gpudesk.records import dataclass
from gpudesk.toml_text import TomlError, line_of, nearest, parsed, shown

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "config"
"""What a `Problem` of the configuration calls its source."""

SIZE_LIMIT_BYTES = 1 << 20
"""A configuration larger than this is something else by mistake."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something the check of the configuration has to say."""

    problem: Problem
    fatal: bool = True
    """A value that is not used. False: only a warning, such as an unknown key."""


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """One `[[engine]]` as written; the key is fetched by `layers`."""

    url: str
    api_key_env: str | None = None
    api_key_file: str | None = None
    ca_file: str | None = None
    insecure: bool = False
    line: int | None = None


@dataclass(frozen=True, slots=True)
class FileSettings:
    """What the file says; None where it says nothing usable."""

    path: Path
    found: bool = False
    theme: str | None = None
    reduced_motion: bool | None = None
    ansi_colors: bool | None = None
    interval_seconds: float | None = None
    reserve_bytes: int | None = None
    alarms_enabled: bool | None = None
    free_memory_bytes: int | None = None
    desktop_notifications: bool | None = None
    read_only: bool | None = None
    restore_pins: bool | None = None
    engines: tuple[EngineEntry, ...] = ()
    keymap: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


_KNOWN = {
    "screen": ("theme", "reduced_motion", "ansi"),
    "watch": ("interval", "reserve"),
    "alarms": ("enabled", "free_memory", "desktop"),
    "actions": ("read_only", "restore_pins"),
    "engine": ("url", "api_key_env", "api_key_file", "ca_file", "insecure"),
}
_TABLES = (*_KNOWN, "keys")


class _Reader:
    """Collects values and findings while going through one file."""

    def __init__(self, path: Path, text: str, data: Mapping[str, object]) -> None:
        self.where = shortened(path)
        self.text = text
        self.data = data
        self.findings: list[Finding] = []

    def report(self, line: int | None, message: str, hint: str | None = None, *, fatal: bool = True) -> None:
        """Add one finding that names the file and, where known, the line."""
        place = f"{self.where} line {line}" if line is not None else self.where
        self.findings.append(Finding(Problem(SOURCE, f"{place}: {message}", hint), fatal))

    def unknown(self, line: int | None, name: str, known: tuple[str, ...]) -> None:
        """Warn about a key nobody reads."""
        close = nearest(name.rpartition(".")[2], known)
        self.report(
            line, f"{name} is not known and is ignored", f"Did you mean {close}?" if close else None, fatal=False
        )

    def table(self, name: str) -> Mapping[str, object]:
        """Return one table, empty when absent or not a table."""
        value = self.data.get(name, {})
        if isinstance(value, dict):
            return value
        line = line_of(self.text, name) or line_of(self.text, "", name)
        self.report(line, f"{name} is {shown(value)}, expected a table", f"Write [{name}] on a line of its own")
        return {}

    def check_names(self, table: str, values: Mapping[str, object], occurrence: int = 0) -> None:
        """Warn about every unknown key of a table."""
        for key in values:
            if key not in _KNOWN[table]:
                self.unknown(line_of(self.text, table, key, occurrence), f"{table}.{key}", _KNOWN[table])

    def value(
        self, table: str, values: Mapping[str, object], key: str, check: Callable[[object], T], occurrence: int = 0
    ) -> T | None:
        """Return one checked value; None when absent or unusable, which is reported."""
        if key not in values:
            return None
        try:
            return check(values[key])
        except UnusableError as unusable:
            line = line_of(self.text, table, key, occurrence)
            self.report(line, f"{table}.{key} is {shown(values[key])}, expected {unusable}")
            return None

    def engines(self) -> tuple[EngineEntry, ...]:
        """Return every usable `[[engine]]`."""
        entries = self.data.get("engine", [])
        if not isinstance(entries, list):
            self.report(line_of(self.text, "engine"), "engine is not a list", "Write [[engine]] with two brackets")
            return ()
        found = [self._engine(number, entry) for number, entry in enumerate(entries)]
        return tuple(entry for entry in found if entry is not None)

    def _engine(self, number: int, entry: object) -> EngineEntry | None:
        line = line_of(self.text, "engine", occurrence=number)
        if not isinstance(entry, dict):
            self.report(line, f"engine {number + 1} is {shown(entry)}, expected a table", "Write [[engine]]")
            return None
        if "api_key" in entry:
            line_of_key = line_of(self.text, "engine", "api_key", number)
            hint = "Keep the key in an environment variable (api_key_env) or a file of its own (api_key_file)"
            self.report(line_of_key, "engine.api_key is not read from this file", hint)
        self.check_names("engine", {key: value for key, value in entry.items() if key != "api_key"}, number)
        url = self.value("engine", entry, "url", text_value, number)
        if "url" not in entry:
            self.report(line, f"engine {number + 1} has no url", 'Add url = "http://host:11434"')
        if url is None:
            return None
        return EngineEntry(
            url=url,
            api_key_env=self.value("engine", entry, "api_key_env", text_value, number),
            api_key_file=self.value("engine", entry, "api_key_file", text_value, number),
            ca_file=self.value("engine", entry, "ca_file", text_value, number),
            insecure=bool(self.value("engine", entry, "insecure", flag_value, number)),
            line=line_of(self.text, "engine", "url", number),
        )

    def keys(self) -> dict[str, str]:
        """Return the keymap, empty when any of it is wrong: half a keymap can lock somebody out."""
        keymap: dict[str, str] = {}
        wrong = False
        for name, value in self.table("keys").items():
            if isinstance(value, str) and value.strip():
                keymap[name] = value
            else:
                wrong = True
                self.report(
                    line_of(self.text, "keys", name),
                    f'keys.{name} is {shown(value)}, expected keys such as "ctrl+f" or "slash,f3"',
                )
        for complaint in check_keys(keymap):
            wrong = True
            named = [name for name in keymap if f"`{name}`" in complaint]
            first = min(named, key=lambda name: complaint.index(f"`{name}`"), default=None)
            line = line_of(self.text, "keys", first)
            self.report(line, complaint, "All keys are left as they are by default until this is right")
        return {} if wrong else keymap


def check_keys(keymap: Mapping[str, str]) -> tuple[str, ...]:
    """Return what is wrong with a keymap."""
    if not keymap:
        return ()
    from gpudesk.keymap import check_keymap

    return check_keymap(keymap)


def read_config_file(path: Path) -> FileSettings:
    """Read and check the file. Never raises: whatever is wrong is a finding, and the defaults stand."""
    try:
        with path.open("rb") as file:
            raw = file.read(SIZE_LIMIT_BYTES + 1)
        if len(raw) > SIZE_LIMIT_BYTES:
            return _broken(path, "larger than 1 MiB, so this is no configuration", "Look at what the file is")
    except (FileNotFoundError, NotADirectoryError):
        return FileSettings(path)
    except OSError as error:
        return _broken(path, f"cannot be read: {error.strerror}", "Look at its permissions")
    try:
        text, data = parsed(raw)
    except TomlError as error:
        return _broken(path, str(error), error.hint or "Everything stays at its default until this is right")
    return _checked(path, _Reader(path, text, data))


def _broken(path: Path, message: str, hint: str | None) -> FileSettings:
    problem = Problem(SOURCE, f"{shortened(path)}: {message}", hint)
    return FileSettings(path, found=True, findings=(Finding(problem),))


def _checked(path: Path, reader: _Reader) -> FileSettings:
    for name in reader.data:
        if name not in _TABLES:
            line = line_of(reader.text, name) or line_of(reader.text, "", name)
            reader.unknown(line, name, _TABLES)
    screen, watch, alarms, actions = (reader.table(name) for name in ("screen", "watch", "alarms", "actions"))
    for name, values in (("screen", screen), ("watch", watch), ("alarms", alarms), ("actions", actions)):
        reader.check_names(name, values)
    settings = FileSettings(
        path,
        found=True,
        theme=reader.value("screen", screen, "theme", theme_value),
        reduced_motion=reader.value("screen", screen, "reduced_motion", flag_value),
        ansi_colors=reader.value("screen", screen, "ansi", flag_value),
        interval_seconds=reader.value("watch", watch, "interval", interval_value),
        reserve_bytes=reader.value("watch", watch, "reserve", reserve_value),
        alarms_enabled=reader.value("alarms", alarms, "enabled", flag_value),
        free_memory_bytes=reader.value("alarms", alarms, "free_memory", reserve_value),
        desktop_notifications=reader.value("alarms", alarms, "desktop", flag_value),
        read_only=reader.value("actions", actions, "read_only", flag_value),
        restore_pins=reader.value("actions", actions, "restore_pins", flag_value),
        engines=reader.engines(),
        keymap=reader.keys(),
    )
    return replace(settings, findings=tuple(reader.findings))
