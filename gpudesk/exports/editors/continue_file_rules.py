"""What is wrong with a file as a whole: what it takes from elsewhere, what it sends besides, secrets, names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpudesk.exports.editors.continue_blocks import is_ours
from gpudesk.exports.editors.continue_entries import Source
from gpudesk.exports.requests import seconds_of
from gpudesk.exports.values import Severity
from gpudesk.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gpudesk.exports.editors.continue_report import Report
    from gpudesk.exports.yaml_tree import Node

LISTS = ("models", "context", "data", "mcpServers", "prompts", "docs")
_ENV_READ = frozenset(
    (
        *("apiType", "apiVersion", "deployment", "deploymentId", "projectId", "region", "profile"),
        *("accessKeyId", "secretAccessKey", "modelArn", "aiGatewaySlug", "accountId"),
        "useLegacyCompletionsEndpoint",
    )
)
"""Of a model's `env` (core/config/yaml/models.ts `applyEnvOptions`)."""
_OLLAMA_OPTIONS = frozenset(
    (
        *("num_ctx", "num_gpu", "num_predict", "num_batch", "num_thread", "main_gpu", "use_mmap"),
        *("temperature", "top_k", "top_p", "min_p", "seed", "stop", "repeat_penalty", "repeat_last_n"),
        *("mirostat", "mirostat_eta", "mirostat_tau", "presence_penalty", "frequency_penalty"),
    )
)
_NOT_FILLED = re.compile(r"\$\{?[A-Za-z_]\w*\}?\Z|\{\{.*\}\}\Z|\$\{(?!\{)|\$\(|<[\w -]+>\Z")


def check_file(report: Report) -> None:
    """Add what is wrong with one file, whatever its models are."""
    source = report.source
    _check_uses(report)
    _check_extra(
        report, source.reader.get(source.document.root, "requestOptions", "extraBodyProperties"), "", ollama=False
    )
    for where, node in model_nodes(source):
        extra = source.reader.get(node, "requestOptions", "extraBodyProperties")
        ollama = source.reader.value(source.reader.get(node, "provider")) == "ollama"
        _check_extra(report, extra, f"{where}.", ollama=ollama)
        _check_env(report, node, where)
        _check_secrets(report, node, where)


def model_nodes(source: Source) -> Iterator[tuple[str, Node]]:
    """Yield the entries under `models` and what `override` changes of those from elsewhere."""
    reader = source.reader
    for index, item in enumerate(reader.items(reader.get(source.document.root, "models"))):
        node = reader.resolved(item)
        if node is None or node.kind != "mapping" or not reader.step():
            continue
        override = reader.get(node, "override")
        yield (f"models[{index}].override", override) if override is not None else (f"models[{index}]", node)


def _check_uses(report: Report) -> None:
    source, reader = report.source, report.source.reader
    for name in (*LISTS, "rules"):
        for index, item in enumerate(reader.items(reader.get(source.document.root, name))):
            node = reader.get(item, "uses")
            uses = reader.value(node)
            if node is None or not isinstance(uses, str):
                continue
            where = f"{name}[{index}].uses"
            if not uses.startswith((".", "/", "~", "file://")):
                report.add(
                    "hub-slug",
                    Severity.ERROR,
                    node,
                    where,
                    f"{clean(uses, 60)} is a block of Continue's hub, which is no more",
                    "Continue cannot resolve it and leaves it out",
                    "Write the entry out, or use a file: uses: file://…",
                )
            elif uses.startswith(".") and not _is_there(source, uses):
                report.add(
                    "block-file-missing",
                    Severity.ERROR,
                    node,
                    where,
                    f"{clean(uses, 80)} does not exist beside this file",
                    "Continue leaves the entry out",
                    "Name the file as it is",
                )


def _is_there(source: Source, uses: str) -> bool:
    try:
        return (source.path.parent / uses).exists()
    except (OSError, ValueError):
        return True


def _check_extra(report: Report, extra: Node | None, where: str, *, ollama: bool) -> None:
    """Check what is merged into the body of every request of a model (core/llm/index.ts, `extraBodyProperties`)."""
    if extra is None or extra.kind != "mapping":
        return
    fixes, where = report.source.fixes, f"{where}requestOptions.extraBodyProperties"
    for key, value in report.source.reader.pairs(extra):
        name = str(key.value)
        if name == "options" and value.kind == "mapping" and ollama:
            _check_options(report, key, value, where)
        elif name == "keep_alive":
            _check_keep_alive(report, value, where)
        elif name in {"keepAlive", "keepalive", "keep-alive"}:
            report.add(
                "extra-ignored",
                Severity.ERROR,
                key,
                f"{where}.{name}",
                f"{name} goes to Ollama as it is, and Ollama knows only keep_alive",
                "Ollama ignores it, and Continue's own keep_alive of 1800 seconds counts",
                "Rename it to keep_alive",
                fixes.rename(extra, key, "keep_alive"),
            )
        elif name in _OLLAMA_OPTIONS and ollama:
            report.add(
                "extra-ignored",
                Severity.ERROR,
                key,
                f"{where}.{name}",
                f"{name} stands beside the options of a request, not in them",
                "Ollama ignores it",
                "Write defaultCompletionOptions.contextLength"
                if name == "num_ctx"
                else f"Bake it in: PARAMETER {name}",
            )


def _check_options(report: Report, key: Node, value: Node, where: str) -> None:
    names = {str(inner.value) for inner, _ in report.source.reader.pairs(value)}
    if "num_ctx" in names:
        return
    report.add(
        "options-replaced",
        Severity.ERROR,
        key,
        f"{where}.options",
        "options replaces all options of the request: num_ctx, num_predict and stop are lost",
        "Ollama takes its own context, and loads the model again whenever that is not the one it has",
        "Repeat num_ctx and num_predict in it, or bake the rest into a model of its own",
    )


def _check_keep_alive(report: Report, node: Node, where: str) -> None:
    value = report.source.reader.value(node)
    if not isinstance(value, str) or seconds_of(value) is not None or "${{" in value:
        return
    number = re.fullmatch(r"-?\d{1,12}", value.strip())
    report.add(
        "keep-alive-unit",
        Severity.ERROR,
        node,
        f"{where}.keep_alive",
        f"keep_alive is the text {clean(value, 20)}, and a text wants a unit",
        "Ollama answers every request with 400",
        f"Write the number {value.strip()}" if number else "Write seconds as a number; -1 is for ever",
        report.source.fixes.replace(node, value.strip()) if number else (),
    )


def _check_env(report: Report, node: Node, where: str) -> None:
    for key, _ in report.source.reader.pairs(report.source.reader.get(node, "env")):
        name = str(key.value)
        if name not in _ENV_READ:
            report.add(
                "env-ignored",
                Severity.WARNING,
                key,
                clean(f"{where}.env.{name}", 100),
                f"Continue reads no {clean(name, 40)} of a model's env",
                "Nothing happens: env is not the environment of the engine",
                "Set it where Ollama starts" if name.startswith("OLLAMA_") else "Remove it",
            )


def _check_secrets(report: Report, node: Node, where: str) -> None:
    """Look at keys and headers without ever showing one."""
    reader = report.source.reader
    told = [(f"{where}.apiKey", reader.get(node, "apiKey"))]
    for key, value in reader.pairs(reader.get(node, "requestOptions", "headers")):
        name = str(key.value)
        told.append((f"{where}.requestOptions.headers", value))
        if not name.isascii():
            told.append((f"{where}.requestOptions.headers", key))
    for path, place in told:
        value = reader.value(place)
        if place is None or not isinstance(value, str):
            continue
        if not value.isascii():
            report.add(
                "not-ascii",
                Severity.ERROR,
                place,
                path,
                "a key or header holds a character that is not ASCII",
                "Continue refuses the whole file: no model is there",
                "Copy it again: quotes, dashes and dots change on the way through documents",
            )
        elif _NOT_FILLED.match(value.strip()):
            report.add(
                "secret-not-filled",
                Severity.WARNING,
                place,
                path,
                "it looks like a placeholder, but not like one of Continue's",
                "It is sent as it stands",
                "Write ${{ secrets.NAME }}, with NAME in ~/.continue/.env",
            )


def check_names(reports: Sequence[Report]) -> None:
    """Add names that are there twice in what Continue makes of several files, in their order."""
    for name in LISTS:
        if name == "context":
            continue
        seen: dict[str, tuple[str, object]] = {}
        for report in reports:
            reader = report.source.reader
            for index, item in enumerate(reader.items(reader.get(report.source.document.root, name))):
                node = reader.get(item, "name")
                value = reader.value(node)
                if node is None or not isinstance(value, str) or reader.get(item, "uses") is not None:
                    continue
                where, said = f"{name}[{index}].name", report.source.document.data(item)
                here = f"{report.source.path.name}, {name}[{index}]"
                first, other = seen.setdefault(value, (here, said))
                # What gpudesk wrote to a profile may be in its own file for the others: it is the same model.
                if first == here or (is_ours(said) and said == other):
                    continue
                report.add(
                    "duplicate-name",
                    Severity.ERROR,
                    node,
                    where,
                    f"the name {clean(value, 60)} is taken by {first}",
                    "Continue drops this entry without a word",
                    "Give it a name of its own",
                )
