"""Finds what is silently wrong in Continue's configuration.

Continue strips keys it does not know without a word, drops the second of two names, and refuses a file as a whole with
a message that stops at `models.0: Invalid input`. What is read is told; a value that may be a secret never is.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gpudesk.errors import ExportError
from gpudesk.exports.editors import continue_places
from gpudesk.exports.editors.continue_desk_rules import check_entries
from gpudesk.exports.editors.continue_entries import Entry, Source, entries_of
from gpudesk.exports.editors.continue_facts import Facts
from gpudesk.exports.editors.continue_file_rules import check_file, check_names
from gpudesk.exports.editors.continue_keys import report_unknown
from gpudesk.exports.editors.continue_report import REFUSED, Report
from gpudesk.exports.editors.continue_rules import check_entry
from gpudesk.exports.editors.continue_schema import MismatchKind, mismatches
from gpudesk.exports.editors.continue_values import report_value
from gpudesk.exports.text_file import TextFile, read_text
from gpudesk.exports.values import Finding, Severity
from gpudesk.exports.yaml_tree import YamlError, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from gpudesk.domain.desk import Desk
    from gpudesk.exports.editor import Surroundings
    from gpudesk.exports.foresight import Fits


def check(around: Surroundings, desk: Desk | None, fits: Fits | None = None) -> tuple[Finding, ...]:
    """Check every configuration Continue would read.

    Args:
        around: where to look.
        desk: tells what is installed, loaded and pinned.
        fits: says why models do not fit together.
    """
    found: list[Finding] = []
    profiles: list[TextFile] = []
    blocks: list[TextFile] = []
    for file in continue_places.found_files(around):
        if not file.exists:
            continue
        if file.path.suffix == ".json":
            found.append(_about_json(file.path))
            continue
        try:
            text = read_text(file.path)
        except ExportError as error:
            found.append(_unreadable(file.path, error))
            continue
        (blocks if is_block(file.path) else profiles).append(text)
    facts = Facts(desk, fits=fits, versions=continue_places.installed_versions(around))
    return (*check_files(profiles, blocks, facts), *found)


def is_block(path: Path) -> bool:
    """It holds models that Continue adds to every profile."""
    return path.parent.name == "models"


def check_files(profiles: Sequence[TextFile], blocks: Sequence[TextFile], facts: Facts) -> tuple[Finding, ...]:
    """Check files that were read: each profile together with the blocks that Continue adds to every one."""
    found: list[Finding] = []
    reports: dict[Path, Report] = {}
    sources = {file.path: _parsed(file, found, is_block=file in blocks) for file in (*profiles, *blocks)}
    for source in sources.values():
        if source is not None:
            reports[source.path] = _checked(source)
    added = [source for file in blocks if (source := sources[file.path]) is not None]
    mains = [source for file in profiles if (source := sources[file.path]) is not None]
    for source in (*mains, *added):
        for entry in entries_of(source):
            check_entry(reports[source.path], entry, facts)
    for group in [[main, *added] for main in mains] or [added]:
        check_names([reports[source.path] for source in group])
        check_entries(_kept(group), facts, lambda source: reports[source.path])
    order = [file.path for file in (*profiles, *blocks)]
    for report in reports.values():
        found += report.findings
    return _in_order(found, order)


def _parsed(file: TextFile, found: list[Finding], *, is_block: bool) -> Source | None:
    path = file.path
    if not file.text.strip():
        what = "Continue overwrites it with its default" if path.name == "config.yaml" else "Continue cannot read it"
        fix = "Write a configuration, or remove the file"
        found.append(Finding("empty-file", Severity.ERROR, path, 1, "", "the file is empty", what, fix, bars_file=True))
        return None
    try:
        document = read(file.text)
    except YamlError as error:
        found.append(
            Finding(
                "not-yaml",
                Severity.ERROR,
                path,
                error.line,
                "",
                error.reason,
                REFUSED,
                f"Look at line {error.line}, column {error.column}",
                bars_file=True,
            )
        )
        return None
    if document.root is None:
        what = "there are only comments in the file"
        fix = "Add name, version and models"
        found.append(Finding("empty-file", Severity.ERROR, path, 1, "", what, REFUSED, fix, bars_file=True))
        return None
    return Source(path, document, is_block=is_block)


def _checked(source: Source) -> Report:
    report = Report(source)
    # Keys with a mapping first: once renamed, they are what others are moved into.
    found = sorted(mismatches(source.reader), key=lambda each: each.value is None or each.value.kind != "mapping")
    for mismatch in found:
        if mismatch.kind in {MismatchKind.UNKNOWN, MismatchKind.MERGE, MismatchKind.WORD}:
            report_unknown(report, mismatch)
        else:
            report_value(report, mismatch)
    check_file(report)
    return report


def _kept(group: Iterable[Source]) -> list[Entry]:
    """Return the entries that Continue keeps: the first of each name."""
    kept: dict[str, Entry] = {}
    for source in group:
        for entry in entries_of(source):
            if entry.name is not None:
                kept.setdefault(entry.name, entry)
    return list(kept.values())


def _in_order(found: Iterable[Finding], order: Sequence[Path]) -> tuple[Finding, ...]:
    once = {(f.code, f.path, f.line, f.where, f.message): f for f in reversed(list(found))}
    place = {path: index for index, path in enumerate(order)}
    return tuple(sorted(once.values(), key=lambda f: (place.get(f.path, len(place)), f.line or 0, f.where, f.code)))


def _about_json(path: Path) -> Finding:
    if os.path.lexists(path.with_name("config.yaml")):
        return Finding(
            "config-json-ignored",
            Severity.WARNING,
            path,
            None,
            "",
            "config.json stands beside config.yaml",
            "Continue reads only config.yaml: nothing in config.json counts",
            "Take over what is missing, then remove config.json",
        )
    return Finding(
        "config-json-deprecated",
        Severity.HINT,
        path,
        None,
        "",
        "config.json is Continue's old format",
        "It still counts; roles, capabilities and several settings are only in config.yaml",
        "Migrate it: gpudesk editors write continue --migrate",
    )


def _unreadable(path: Path, error: ExportError) -> Finding:
    effect = "Nothing in it could be checked"
    return Finding("not-readable", Severity.ERROR, path, None, "", error.message, effect, error.hint, bars_file=True)
