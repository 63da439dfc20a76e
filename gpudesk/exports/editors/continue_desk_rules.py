"""What several entries do to each other, and to what is loaded and pinned."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from gpudesk.exports.editors.continue_entries import AUTODETECT, DEFAULT_KEEP_ALIVE_SECONDS, TALKING, Entry
from gpudesk.exports.editors.continue_facts import Facts, key_of
from gpudesk.exports.editors.continue_known import installed_name
from gpudesk.exports.foresight import Planned
from gpudesk.exports.values import Severity
from gpudesk.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gpudesk.exports.editors.continue_entries import Source
    from gpudesk.exports.editors.continue_report import Report
    from gpudesk.exports.values import Edit
    from gpudesk.exports.yaml_tree import Node

    ReportOf = Callable[[Source], Report]

_GENERATING = TALKING | {"autocomplete"}
_KEEP_ALIVE_SINCE = (1, 2, 19)
_KEEP_ALIVE_SINCE_PREVIEW = (1, 3, 35)


def check_entries(entries: Sequence[Entry], facts: Facts, report_of: ReportOf) -> None:
    """Add what is wrong among the entries of one profile; each of them counts once."""
    ours = [entry for entry in entries if entry.is_ollama and entry.model and entry.model != AUTODETECT]
    ours = [entry for entry in ours if "${{" not in (entry.model or "")]
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in ours:
        if set(entry.roles) & _GENERATING:
            groups.setdefault(key_of(entry), []).append(entry)
    for group in groups.values():
        _check_same_context(group, facts, report_of)
        _check_same_keep_alive(group, report_of)
    for entry in ours:
        _check_installed(entry, facts, report_of(entry.source))
        if set(entry.roles) & _GENERATING:
            _check_resident_context(entry, facts, report_of(entry.source))
            _check_pin(entry, facts, report_of(entry.source))
    _check_fit(ours, facts, report_of)


def _check_same_context(group: Sequence[Entry], facts: Facts, report_of: ReportOf) -> None:
    first = group[0]
    for entry in group[1:]:
        one, other = facts.context(first), facts.context(entry)
        if one == other:
            continue
        sure = facts.context_is_sure(first) and facts.context_is_sure(entry)
        report_of(entry.source).add(
            "context-mismatch",
            Severity.WARNING,
            _context_place(entry),
            f"{entry.where}.defaultCompletionOptions.contextLength",
            f"{entry.title} asks for a context of {other} and {first.title} for {one}, of the same model"
            + ("" if sure else ", unless its Modelfile says one"),
            "Ollama unloads it and loads it again at every change between the two",
            f"Give both contextLength: {max(one, other)}",
        )


def _check_same_keep_alive(group: Sequence[Entry], report_of: ReportOf) -> None:
    kept = [entry for entry in group if entry.keep_alive is not None and entry.keep_alive < 0]
    for entry in group if kept else ():
        if entry.keep_alive is None or entry.keep_alive < 0:
            continue
        report_of(entry.source).add(
            "keep-alive-mismatch",
            Severity.WARNING,
            entry.get("defaultCompletionOptions", "keepAlive") or entry.node,
            f"{entry.where}.defaultCompletionOptions.keepAlive",
            f"{kept[0].title} keeps the model for ever, and {entry.title} {_for_long(entry)}",
            "Whoever asks last wins",
            "Give both the same keepAlive",
            _kept_edits(entry),
        )


def _for_long(entry: Entry) -> str:
    seconds = entry.keep_alive or 0
    default = "" if entry.says_keep_alive else ", Continue's default"
    return f"for {seconds / 60:g} minutes{default}" if seconds else f"not at all{default}"


def _context_place(entry: Entry) -> Node:
    place = entry.get("contextLength") or entry.get("defaultCompletionOptions", "contextLength")
    return place or entry.get("model") or entry.node


def _check_installed(entry: Entry, facts: Facts, report: Report) -> None:
    names = facts.names(entry.url)
    if not names or facts.installed(entry) is not None:
        return
    asked = installed_name(entry.model or "")
    near = difflib.get_close_matches(asked.lower(), [name.lower() for name in names], n=3, cutoff=0.5)
    close = [clean(name) for name in names if name.lower() in near]
    report.add(
        "not-installed",
        Severity.ERROR,
        entry.get("model") or entry.node,
        f"{entry.where}.model",
        f"{clean(asked, 80)} is not installed",
        "Every request for it fails",
        f"Nearest: {', '.join(close)}" if close else f"Pull it: ollama pull {clean(asked, 80)}",
    )


def _check_resident_context(entry: Entry, facts: Facts, report: Report) -> None:
    pin, loaded = facts.pin(entry), facts.loaded(entry)
    wished = pin.wish.context_length if pin is not None else None
    resident = wished or (loaded.context_length if loaded is not None else None)
    asked, trained = facts.context(entry), facts.trained_context(entry)
    if resident is None or resident == (min(asked, trained) if trained else asked):
        return
    sure = facts.context_is_sure(entry)
    is_pinned = wished is not None
    report.add(
        "context-reloads",
        Severity.WARNING if sure else Severity.HINT,
        _context_place(entry),
        f"{entry.where}.defaultCompletionOptions.contextLength",
        f"{entry.title} asks for a context of {asked}"
        + ("" if sure else ", unless the model's own says another")
        + f"; the model is {'pinned' if is_pinned else 'loaded'} with {resident}",
        "The first request unloads it and loads it again" + (", and the pin is lost" if is_pinned else ""),
        f"Write contextLength: {resident}, or load it with {asked}",
        _context_edits(entry, resident) if is_pinned and sure else (),
    )


def _context_edits(entry: Entry, context: int) -> tuple[Edit, ...]:
    if entry.shared or entry.get("requestOptions", "extraBodyProperties", "options") is not None:
        return ()
    own = entry.get("contextLength") is not None
    path = ("contextLength",) if own else ("defaultCompletionOptions", "contextLength")
    return entry.source.fixes.put(entry.node, path, str(context))


def _check_pin(entry: Entry, facts: Facts, report: Report) -> None:
    pinned = facts.pin(entry) is not None
    if not pinned and not facts.stays_forever(entry):
        return
    place = entry.get("defaultCompletionOptions", "keepAlive") or entry.node
    where = f"{entry.where}.defaultCompletionOptions.keepAlive"
    how = "pinned" if pinned else "loaded for ever"
    if entry.keep_alive is not None and entry.keep_alive >= 0:
        said = (
            f"sends keep_alive {entry.keep_alive:g}"
            if entry.says_keep_alive
            else (f"sends no keepAlive of its own, so Continue says {DEFAULT_KEEP_ALIVE_SECONDS}")
        )
        report.add(
            "keep-alive-undoes-pin",
            Severity.WARNING,
            place,
            where,
            f"{entry.title} {said}, and its model is {how}",
            "The first request undoes that: it is unloaded "
            + (f"{(entry.keep_alive or 0) / 60:g} minutes later" if entry.keep_alive else "at once"),
            "Write defaultCompletionOptions.keepAlive: -1 and requestOptions.extraBodyProperties.keep_alive: -1",
            _kept_edits(entry),
        )
        return
    old = [version for version in facts.versions if not _knows_keep_alive(version)]
    if entry.extra_keep_alive or not (old or not facts.versions):
        return
    which = f"{'.'.join(map(str, old[0]))} is installed and drops" if old else "Versions before 1.2.19 drop"
    report.add(
        "keep-alive-old-versions",
        Severity.WARNING if old else Severity.HINT,
        place,
        where,
        f"{entry.title} keeps its model by keepAlive alone. {which} that key",
        f"They send {DEFAULT_KEEP_ALIVE_SECONDS} seconds, and its model is {how}",
        "Add requestOptions.extraBodyProperties.keep_alive: -1, which every version sends",
        _extra_edits(entry),
    )


def _knows_keep_alive(version: tuple[int, int, int]) -> bool:
    """Tell whether a version has the key: 1.2.19, or 1.3.35 of those before release (b85c82103e)."""
    return version >= _KEEP_ALIVE_SINCE_PREVIEW if version[:2] == (1, 3) else version >= _KEEP_ALIVE_SINCE


def _kept_edits(entry: Entry) -> tuple[Edit, ...]:
    if entry.shared:
        return ()
    path = ("defaultCompletionOptions", "keepAlive")
    there = entry.source.reader.value(entry.get(*path)) == -1
    first = () if there else entry.source.fixes.put(entry.node, path, "-1")
    return (*first, *_extra_edits(entry))


def _extra_edits(entry: Entry) -> tuple[Edit, ...]:
    source = entry.source
    own = entry.get("requestOptions", "extraBodyProperties")
    everywhere = source.reader.get(source.document.root, "requestOptions", "extraBodyProperties")
    if entry.shared or (own is None and everywhere is not None):
        return ()
    return source.fixes.put(entry.node, ("requestOptions", "extraBodyProperties", "keep_alive"), "-1")


def _check_fit(entries: Sequence[Entry], facts: Facts, report_of: ReportOf) -> None:
    """Ask whether what Continue chooses by itself fits together.

    That is the first entry of each role (core/config/selectedModels.ts).
    """
    if facts.fits is None:
        return
    chosen: dict[str, Entry] = {}
    for role in ("chat", "autocomplete", "embed"):
        entry = next((entry for entry in entries if role in entry.roles), None)
        if entry is not None and facts.installed(entry) is not None:
            chosen[role] = entry
    for url in dict.fromkeys(entry.url for entry in chosen.values()):
        here = {role: entry for role, entry in chosen.items() if entry.url == url}
        planned: dict[tuple[str, str], Planned] = {}
        for role, entry in here.items():
            context = None if role == "embed" else facts.context(entry)
            known = planned.get(key_of(entry))
            if known is None or (known.context_length or 0) < (context or 0):
                planned[key_of(entry)] = Planned(installed_name(entry.model or ""), url or "", context)
        why = facts.fits(tuple(planned.values()))
        if why is None:
            continue
        entry = here.get("autocomplete") or next(iter(here.values()))
        names = " and ".join(clean(model.name, 60) for model in planned.values())
        report_of(entry.source).add(
            "does-not-fit",
            Severity.WARNING,
            entry.get("model") or entry.node,
            f"{entry.where}.model",
            f"{names} do not fit together: {clean(why)}" if len(planned) > 1 else f"{names} does not fit: {clean(why)}",
            "Every key press unloads one for the other" if len(planned) > 1 else "Part of it runs on the processor",
            "Choose smaller ones, or shorter contexts",
        )
