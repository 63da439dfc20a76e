"""The text of `pins.toml`: what it says, and how one pin is changed in it while every other line stays as it is."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gpudesk.domain.pin import PinWish
from gpudesk.text import clean
from gpudesk.toml_text import TomlError, line_of, nearest, parsed

if TYPE_CHECKING:
    from collections.abc import Callable

CONTEXT_MOST = 1 << 24
PINS_MOST = 1000
HEADING = (
    "# What gpudesk keeps in video memory. Edit it by hand if you like:\n"
    "# gpudesk changes the pin it was asked about and nothing else.\n"
)
_KNOWN = ("engine", "model", "context", "restore", "digest", "since")
_HEADER = re.compile(r"\s*\[")
_PIN_HEADER = re.compile(r"""\s*\[\[\s*(?:pin|"pin"|'pin')\s*\]\]\s*(?:#.*)?""")


def read_pins(text: str, data: dict[str, Any], where: str) -> tuple[tuple[PinWish, ...], list[str]]:
    """Return the pins of a file and what is wrong with it, a sentence each."""
    problems = []
    for name in data:
        if name != "pin":
            close = nearest(name, ("pin",))
            problems.append(
                f"{where}: {clean(name, 40)} is not known" + (f"; did you mean [[{close}]]?" if close else "")
            )
    entries = data.get("pin", [])
    if len(entries) > PINS_MOST:
        problems.append(f"{where} holds {len(entries)} pins; the first {PINS_MOST} count")
    wishes: dict[tuple[str, str], PinWish] = {}
    for number, entry in enumerate(entries[:PINS_MOST]):
        line = line_of(text, "pin", None, number)
        place = f"{where} line {line}" if line is not None else where
        wish, wrong = _read_pin(entry, number + 1)
        problems += [f"{place}: {each}" for each in wrong]
        if wish is None:
            continue
        key = (wish.engine_url, wish.name)
        if key in wishes:
            problems.append(f"{place}: {wish.name} is pinned twice; the first one counts")
        wishes.setdefault(key, wish)
    return tuple(wishes.values()), problems


def _read_pin(entry: object, number: int) -> tuple[PinWish | None, list[str]]:
    if not isinstance(entry, dict):
        return None, [f"pin {number} is no table; write [[pin]]"]
    problems = []
    for key in entry:
        if key not in _KNOWN:
            close = nearest(key, _KNOWN)
            meant = f"; did you mean {close}?" if close else ""
            problems.append(f"pin {number}: {clean(key, 40)} is not known and is ignored{meant}")
    wrong = _wrong_values(entry, f"pin {number}")
    if wrong:
        return None, [*problems, *wrong]
    since = entry.get("since")
    wish = PinWish(
        engine_url=_engine(entry["engine"]),
        name=_with_tag(entry["model"]),
        digest=entry.get("digest"),
        context_length=entry.get("context"),
        restore=entry.get("restore", False),
        since=since.astimezone(UTC) if since is not None else None,
    )
    return wish, problems


def _wrong_values(entry: dict[str, Any], place: str) -> list[str]:
    """Say of each value of an entry that cannot be used what is expected instead."""
    return [
        f"{place}: {key} is {_shown(entry[key]) if key in entry else 'missing'}, expected {expected}"
        for key, (fine, expected) in _CHECKS.items()
        if not (fine(entry[key]) if key in entry else key not in ("engine", "model"))
    ]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value) and clean(value) == value


def _is_context(value: object) -> bool:
    return type(value) is int and 1 <= value <= CONTEXT_MOST


def _is_time(value: object) -> bool:
    return isinstance(value, datetime) and value.tzinfo is not None


_CHECKS: dict[str, tuple[Callable[[object], bool], str]] = {
    "engine": (_is_text, 'an address such as "http://127.0.0.1:11434"'),
    "model": (_is_text, 'a name such as "qwen3:14b"'),
    "context": (_is_context, f"tokens from 1 to {CONTEXT_MOST}"),
    "restore": (lambda value: isinstance(value, bool), "true or false"),
    "digest": (_is_text, "the digest in quotes"),
    "since": (_is_time, "a time with its zone, such as 2026-11-21T12:00:00Z"),
}


def _shown(value: object) -> str:
    return clean(repr(value), 40)


def _engine(url: str) -> str:
    return url.rstrip("/")


def _with_tag(name: str) -> str:
    """Without a tag Ollama means `latest`; whoever writes by hand may leave it out."""
    return name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"


def cannot_be_written(wish: PinWish) -> str | None:
    """Return why a pin could not be read back; None when it can."""
    wrong = _wrong_values(_table(wish), "it")
    return wrong[0] if wrong else None


def entries_of(data: dict[str, Any], engine_url: str, name: str) -> list[int]:
    """Return which entries are of a model, also those that are wrong otherwise."""
    return [
        number
        for number, entry in enumerate(data.get("pin", []))
        if isinstance(entry, dict)
        and isinstance(entry.get("engine"), str)
        and isinstance(entry.get("model"), str)
        and (_engine(entry["engine"]), _with_tag(entry["model"])) == (_engine(engine_url), _with_tag(name))
    ]


def spliced(text: str, data: dict[str, Any], places: list[int], wish: PinWish | None) -> str:
    """Return the file with the entries at `places` gone and the pin in the place of the first of them, or at the end.

    Lines are moved rather than written anew, so that comments stay. What comes out is parsed and compared with what
    should; a file written in a way this does not follow (inline tables) is written anew, without its comments.

    Args:
        text: the file as it is; empty when there is none.
        data: what it says.
        places: numbers of the entries that go.
        wish: the pin that comes.
    """
    import tomli_w

    entries = data.get("pin", [])
    kept = [entry for number, entry in enumerate(entries) if number not in places]
    block = ""
    if wish is not None:
        old = entries[places[0]] if places else {}
        table = _table(wish) | {key: value for key, value in old.items() if key not in _KNOWN}
        kept.insert(places[0] if places else len(kept), table)
        block = f"[[pin]]\n{tomli_w.dumps(table)}"
    wanted = {key: value for key, value in data.items() if key != "pin"} | ({"pin": kept} if kept else {})
    moved = _moved_lines(text or HEADING, places, block)
    try:
        fine = parsed(moved.encode())[1] == wanted
    except TomlError:
        fine = False
    return moved if fine else f"{HEADING}\n{tomli_w.dumps(wanted)}"


def _moved_lines(text: str, places: list[int], block: str) -> str:
    """Replace the lines of some `[[pin]]` by `block`; comments before the next header are not theirs."""
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    headers = [number for number, line in enumerate(lines) if _HEADER.match(line)]
    pins = [number for number in headers if _PIN_HEADER.fullmatch(lines[number].rstrip("\n"))]
    if not places:
        between = ["\n"] if lines and lines[-1].strip() else []
        return "".join((*lines, *between, block))
    if places[-1] >= len(pins):
        return ""
    for place in reversed(places):
        first = pins[place]
        last = next((number for number in headers if number > first), len(lines))
        while last > first + 1 and (not lines[last - 1].strip() or lines[last - 1].lstrip().startswith("#")):
            last -= 1
        if place != places[0] or not block:
            while last < len(lines) and not lines[last].strip() and first and not lines[first - 1].strip():
                last += 1
        lines[first:last] = [block] if place == places[0] else []
    return "".join(lines)


def _table(wish: PinWish) -> dict[str, Any]:
    """Return the entry of a pin; what is not known is left out."""
    table = {
        "engine": wish.engine_url,
        "model": wish.name,
        "context": wish.context_length,
        "restore": wish.restore or None,
        "digest": wish.digest,
        "since": None if wish.since is None else wish.since.astimezone(UTC),
    }
    return {key: value for key, value in table.items() if value is not None}
