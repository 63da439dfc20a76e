"""Codex CLI: a profile file of its own, or keys in `config.toml`.

Since 0.134 `codex --profile NAME` lays `$CODEX_HOME/NAME.config.toml` over `config.toml`; `[profiles.NAME]` is no
longer read, and `wire_api` knows only `responses` (developers.openai.com/codex/config-advanced). The IDE extension
knows no profiles: for it, the keys have to be in `config.toml`.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpudesk.errors import ExportError
from gpudesk.exports.editor import Found
from gpudesk.exports.editors.jsonc_file import backups_of, own_file, unreadable, without_own_files
from gpudesk.exports.request_rules import findings
from gpudesk.exports.requests import Place, Request, compatible_notes, required
from gpudesk.exports.text_file import line_and_column, read_text
from gpudesk.exports.toml_splice import check as parsed
from gpudesk.exports.toml_splice import scalar_text, table_text, with_values, without_ours
from gpudesk.exports.values import Export, FileChange, Finding, Role, Severity, Way

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gpudesk.domain.desk import Desk
    from gpudesk.exports.editor import Surroundings
    from gpudesk.exports.foresight import Fits
    from gpudesk.exports.values import Chosen

_EFFECT = "Codex does not start"
_LEAST_CONTEXT = 65536
"""What Ollama advises for Codex (ollama/ollama docs/integrations/codex.mdx)."""


class Codex:
    """Codex CLI."""

    id = "codex"
    name = "Codex CLI"
    ways = (Way.OWN_FILE, Way.MERGE, Way.PRINT)

    def files(self, around: Surroundings) -> tuple[Found, ...]:
        """Return gpudesk's profile and the user's configuration."""
        own, users = _folder(around) / "gpudesk.config.toml", _folder(around) / "config.toml"
        return (Found(own, own.exists(), "profile gpudesk"), Found(users, users.exists(), "config.toml"))

    def export(self, chosen: Chosen, around: Surroundings, way: Way, *, into: Path | None = None) -> Export:
        """Return the profile or the configuration; raises ExportError when a file cannot be changed."""
        values, tables, notes = _values(chosen)
        if way is Way.MERGE:
            file = read_text(into or _folder(around) / "config.toml")
            text = with_values(file.text, values, tables, file.path, _EFFECT)
            change = FileChange(file.path, file.data, file.encoded(text), "the models of gpudesk", secret=True)
            return Export(self.id, way, (change,) if change.changes else (), notes=tuple(notes))
        lines = [f"{key} = {scalar_text(value)}" for key, value in values.items()]
        text = "\n".join([*lines, "", *(table_text(name, table) for name, table in tables.items()), ""])
        if way is Way.PRINT:
            return Export(self.id, way, snippet=text, notes=tuple(notes))
        notes.append("Start it with  codex --profile gpudesk  (0.134 or newer)")
        return own_file(self.id, into or _folder(around) / "gpudesk.config.toml", text, "the profile gpudesk", notes)

    def check(self, around: Surroundings, desk: Desk | None, fits: Fits | None = None) -> tuple[Finding, ...]:
        """Find what is silently wrong."""
        found: list[Finding] = []
        base: dict[str, Any] = {}
        for file in reversed(self.files(around)):
            if not file.exists:
                continue
            try:
                text = read_text(file.path).text
                data = parsed(text, file.path, _EFFECT)
            except ExportError as error:
                found.append(unreadable(file.path, error, _EFFECT))
                continue
            base = base or data
            found += _findings(file.path, text, data)
            found += findings(list(_requests(file.path, text, {**base, **data}, data)), desk, fits)
        return tuple(found)

    def remove(self, around: Surroundings) -> Export:
        """Return the configuration without gpudesk's keys, and no profile of gpudesk's."""
        own, users = (file.path for file in self.files(around))
        changes = list(without_own_files(self.id, around, [own]))
        named = [Path(file.path) for write in backups_of(self.id, around) for file in write.files]
        gone = {change.path for change in changes}
        changes += [each for path in dict.fromkeys([users, *named]) if path not in gone for each in _without(path)]
        return Export(self.id, Way.MERGE, tuple(changes))


def _folder(around: Surroundings) -> Path:
    return Path(around.environment.get("CODEX_HOME") or around.home / ".codex")


def _without(path: Path) -> Iterable[FileChange]:
    file = read_text(path)
    if file.data is not None:
        text = without_ours(file.text)
        emptied = not text and bool(file.text)
        change = FileChange(path, file.data, None if emptied else file.encoded(text), "without gpudesk", secret=True)
        if change.changes:
            yield change


def _values(chosen: Chosen) -> tuple[dict[str, Any], dict[str, dict[str, Any]], list[str]]:
    chat = required(chosen.of(Role.CHAT), "Codex")
    notes = [*chosen.warnings, *compatible_notes("Codex", [chat])]
    values: dict[str, Any] = {"model": chat.name, "model_provider": "gpudesk"}
    if chat.context_length is not None:
        values["model_context_window"] = chat.context_length
        if chat.context_length < _LEAST_CONTEXT:
            notes.append(f"Codex wants a context of {_LEAST_CONTEXT} or more; {chat.name} has {chat.context_length}")
    told = {"name": "Ollama", "base_url": f"{chat.engine_url}/v1", "wire_api": "responses"}
    return values, {"model_providers.gpudesk": told}, notes


def _line(text: str, key: str) -> int | None:
    found = re.search(rf"^[ \t]*{re.escape(key)}[ \t]*=", text, re.MULTILINE)
    return None if found is None else text.count("\n", 0, found.start()) + 1


def _providers(data: Mapping[str, Any]) -> dict[str, Any]:
    told = data.get("model_providers")
    return {name: each for name, each in told.items() if isinstance(each, dict)} if isinstance(told, dict) else {}


def _findings(path: Path, text: str, data: Mapping[str, Any]) -> Iterable[Finding]:
    for name, provider in _providers(data).items():
        if provider.get("wire_api", "responses") != "responses":
            place = _place(path, text, name, "wire_api")
            yield Finding(
                "wire-api",
                Severity.ERROR,
                path,
                _line(text, "wire_api") if place is None else place.line,
                f"model_providers.{name}.wire_api",
                f'wire_api is "{provider["wire_api"]}"',
                "Codex refuses to start: since 2026 it speaks the Responses API only",
                'Set it to "responses"; Ollama answers it since 0.13.3',
                () if place is None else place.edits("responses"),
            )
    if "profile" in data or "profiles" in data:
        key = "profile" if "profile" in data else "profiles"
        yield Finding(
            "old-profile",
            Severity.WARNING,
            path,
            _line(text, key) if key == "profile" else None,
            key,
            f"{key} is no longer read",
            "since Codex 0.134 a profile is a file NAME.config.toml beside this one",
            f"{_moved(data)}, and take {key} out of this file",
        )


def _moved(data: Mapping[str, Any]) -> str:
    """Say where profiles have to go."""
    profiles = data.get("profiles")
    names = list(profiles) if isinstance(profiles, dict) else []
    if not names:
        return "Start it with  codex --profile NAME"
    return "Put " + "; ".join(f"the keys of [profiles.{name}] into {name}.config.toml" for name in names)


def _place(path: Path, text: str, provider: str, key: str) -> Place | None:
    """Return where the value of a provider's key stands within its quotes; None where that is not certain.

    TOML has several ways to write a table, so each line with such a key is tried: the right one is the one whose change
    changes that value and nothing else.
    """
    for found in re.finditer(rf"\b{key}[\"']?[ \t]*=[ \t]*([\"'])(?P<value>[^\"'\\\r\n]*)\1", text):
        start, end = found.span("value")
        wanted = tomllib.loads(text)
        told = _providers(wanted).get(provider, {})
        if told.get(key) != found["value"]:
            continue
        told[key] = "gpudesk is here"
        try:
            right = tomllib.loads(f"{text[:start]}gpudesk is here{text[end:]}") == wanted
        except tomllib.TOMLDecodeError:
            right = False
        if right:
            where = f"model_providers.{provider}.{key}"
            return Place(path, line_and_column(text, start)[0], where, start, end)
    return None


def _requests(path: Path, text: str, data: Mapping[str, Any], own: Mapping[str, Any]) -> Iterable[Request]:
    model, name = own.get("model"), data.get("model_provider")
    provider = _providers(data).get(str(name), {})
    url = provider.get("base_url")
    if isinstance(model, str) and isinstance(url, str):
        yield Request(
            "Codex",
            path,
            _line(text, "model"),
            "model",
            model,
            url,
            compatible=True,
            wants_v1=True,
            url_place=_place(path, text, str(name), "base_url") if "base_url" in text else None,
        )
