"""Which setting wins: command line, then file, then environment, then default; and where each came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gpudesk.config.file import SOURCE, EngineEntry, FileSettings
from gpudesk.config.settings import EngineAddress, Settings
from gpudesk.domain.alarm import AlarmLimits
from gpudesk.domain.problem import Problem
from gpudesk.errors import UsageError
from gpudesk.paths import shortened
from gpudesk.records import dataclass

if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")

KEY_FILE_LIMIT_BYTES = 16 << 10

COMMAND_LINE = "command line"
DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Overrides:
    """What was typed; None where nothing was."""

    ollama: tuple[str, ...] = ()
    theme: str | None = None
    reduced_motion: bool | None = None
    ansi_colors: bool | None = None
    interval_seconds: float | None = None
    reserve_bytes: int | None = None
    read_only: bool | None = None
    insecure: bool = False
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class EngineOrigin:
    """Where an engine's address and key come from."""

    address: str
    key: str | None = None
    """`OLLAMA_API_KEY`, `file ~/key`; None without a key."""
    entry: EngineEntry | None = None


@dataclass(frozen=True, slots=True)
class Effective:
    """The settings in force, with their origins and everything that was wrong on the way."""

    settings: Settings
    origins: Mapping[str, str]
    """Name of the setting to where it comes from."""
    engine_origins: tuple[EngineOrigin, ...]
    """Beside `settings.engines`, in the same order."""
    file: FileSettings
    problems: tuple[Problem, ...]


class _Layers:
    """Picks each value from the first layer that has one."""

    def __init__(self, overrides: Overrides, file: FileSettings, environment: Mapping[str, str]) -> None:
        self.overrides = overrides
        self.file = file
        self.environment = environment
        self.origins: dict[str, str] = {}
        self.problems = [finding.problem for finding in file.findings]

    def pick(self, name: str, typed: T | None, written: T | None, default: T) -> T:
        """Return the value in force and remember where it comes from."""
        if typed is not None:
            self.origins[name] = COMMAND_LINE
            return typed
        self.origins[name] = DEFAULT if written is None else "file"
        return default if written is None else written

    def engines(self) -> list[tuple[EngineAddress, EngineOrigin]]:
        """Return the engines of the first layer that names a usable one, without repetitions."""
        found = self._typed_engines() or self._file_engines() or self._environment_engines()
        unique: dict[str, tuple[EngineAddress, EngineOrigin]] = {}
        for address, origin in found:
            # Both lead to one server; two entries would show, and pin, every model of it twice.
            place = address.url.replace("://localhost:", "://127.0.0.1:")
            unique.setdefault(place, (self._with_options(address), origin))
        return list(unique.values())

    def _typed_engines(self) -> list[tuple[EngineAddress, EngineOrigin]]:
        from gpudesk.sources.ollama_address import parse_address

        addresses = [parse_address(text, variable="--ollama") for text in self.overrides.ollama]
        return [self._with_environment_key(address, COMMAND_LINE) for address in addresses]

    def _environment_engines(self) -> list[tuple[EngineAddress, EngineOrigin]]:
        from gpudesk.sources.ollama_address import HOST_VARIABLE, address_from_environment

        address, problem = address_from_environment(self.environment)
        if problem is not None:
            self.problems.append(problem)
        named = bool(self.environment.get(HOST_VARIABLE, "").strip()) and problem is None
        return [self._with_environment_key(address, HOST_VARIABLE if named else DEFAULT)]

    def _file_engines(self) -> list[tuple[EngineAddress, EngineOrigin]]:
        from gpudesk.sources.ollama_address import parse_address

        found = []
        for entry in self.file.engines:
            try:
                address = parse_address(entry.url, variable="engine.url")
            except UsageError as error:
                place = f"{shortened(self.file.path)} line {entry.line}" if entry.line else shortened(self.file.path)
                self.problems.append(Problem(SOURCE, f"{place}: {error.message}", error.hint))
                continue
            key, origin = self._entry_key(entry)
            ca_file = str(Path(entry.ca_file).expanduser()) if entry.ca_file else None
            address = replace(address, api_key=key, ca_file=ca_file, verify=not entry.insecure)
            found.append((address, EngineOrigin("file", origin or _password(address), entry)))
        return found

    def _entry_key(self, entry: EngineEntry) -> tuple[str | None, str | None]:
        """Fetch the key an `[[engine]]` names, and say where it was."""
        if entry.api_key_env:
            key = self.environment.get(entry.api_key_env, "").strip()
            if key:
                return key, entry.api_key_env
            message = f"engine.api_key_env names {entry.api_key_env}, which is not set"
            self.problems.append(Problem(SOURCE, message, f"export {entry.api_key_env}=…"))
        if entry.api_key_file:
            try:
                with Path(entry.api_key_file).expanduser().open(encoding="utf-8") as file:
                    key = file.read(KEY_FILE_LIMIT_BYTES).strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "not a text"
                message = f"engine.api_key_file {entry.api_key_file} cannot be read: {reason}"
                self.problems.append(Problem(SOURCE, message, "Look at the path and its permissions"))
                return None, None
            if key and key.isprintable():
                return key, f"file {entry.api_key_file}"
            message = f"engine.api_key_file {entry.api_key_file} holds no key"
            self.problems.append(Problem(SOURCE, message, "Put the key alone on one line"))
        return None, None

    def _with_environment_key(self, address: EngineAddress, origin: str) -> tuple[EngineAddress, EngineOrigin]:
        """Give the user's own key to an engine named beside it; engines of the file bring theirs."""
        from gpudesk.sources.ollama_address import KEY_VARIABLE, with_environment_key

        keyed = with_environment_key(address, self.environment)
        return keyed, EngineOrigin(origin, KEY_VARIABLE if keyed.api_key else _password(keyed))

    def _with_options(self, address: EngineAddress) -> EngineAddress:
        """Apply --ca-file and --insecure, which speak of every engine."""
        ca_file = self.overrides.ca_file or address.ca_file
        return replace(address, ca_file=ca_file, verify=address.verify and not self.overrides.insecure)


def _password(address: EngineAddress) -> str | None:
    return "password in the address" if address.basic_auth else None


def effective(overrides: Overrides, file: FileSettings, environment: Mapping[str, str]) -> Effective:
    """Put the layers on top of each other.

    Raises:
        UsageError: what was typed on the command line is wrong. Everything else becomes a problem.
    """
    layers = _Layers(overrides, file, environment)
    defaults = Settings()
    engines = layers.engines()
    layers.origins["keymap"] = "file" if file.keymap else DEFAULT
    settings = Settings(
        engines=tuple(address for address, _ in engines),
        interval_seconds=layers.pick(
            "interval", overrides.interval_seconds, file.interval_seconds, defaults.interval_seconds
        ),
        reserve_bytes=layers.pick("reserve", overrides.reserve_bytes, file.reserve_bytes, defaults.reserve_bytes),
        theme=layers.pick("theme", overrides.theme, file.theme, defaults.theme),
        reduced_motion=layers.pick(
            "reduced_motion", overrides.reduced_motion, file.reduced_motion, defaults.reduced_motion
        ),
        ansi_colors=layers.pick("ansi", overrides.ansi_colors, file.ansi_colors, defaults.ansi_colors),
        alarms=AlarmLimits(
            free_memory_bytes=layers.pick(
                "free_memory", None, file.free_memory_bytes, defaults.alarms.free_memory_bytes
            ),
            enabled=layers.pick("alarms", None, file.alarms_enabled, defaults.alarms.enabled),
        ),
        desktop_notifications=layers.pick("desktop", None, file.desktop_notifications, defaults.desktop_notifications),
        read_only=layers.pick("read_only", overrides.read_only, file.read_only, defaults.read_only),
        restore_pins=layers.pick("restore_pins", None, file.restore_pins, defaults.restore_pins),
        keymap=file.keymap,
    )
    return Effective(settings, layers.origins, tuple(origin for _, origin in engines), file, tuple(layers.problems))
