"""Readable names for processes: what a person would call the program, and never anything secret.

Command lines carry tokens and passwords. A name is made of the program, the script or module it runs and a model's
file name, nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gpudesk.sources.process_table import RawProcess
from gpudesk.sources.runner_argv import blob_digest, program_name
from gpudesk.text import clean

NAME_LIMIT = 64
"""Characters of a readable name."""

_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*w?\Z")
_PYTHON_VALUE_OPTIONS = frozenset({"-W", "-X", "--check-hash-based-pycs"})
_JAVA_VALUE_OPTIONS = frozenset(
    {"-cp", "-classpath", "--class-path", "-p", "--module-path", "--add-modules", "--add-opens", "--add-exports"}
)
_SCRIPT_SUFFIXES = {
    "node": (".js", ".mjs", ".cjs", ".ts"),
    "bun": (".js", ".mjs", ".cjs", ".ts"),
    "deno": (".js", ".mjs", ".ts"),
    "perl": (".pl",),
    "ruby": (".rb",),
    "rscript": (".r",),
    "julia": (".jl",),
    "sh": (".sh",),
    "bash": (".sh", ".bash"),
    "zsh": (".sh", ".zsh"),
}
_MODEL_OPTIONS = frozenset({"-m", "--model", "-hf", "--hf-repo"})
_LLAMA_PROGRAMS = frozenset({"llama-server", "llama-cli", "llama-bench", "llama-perplexity", "koboldcpp"})
_WINE = re.compile(r"wine|proton")


def readable_name(raw: RawProcess) -> str | None:
    """Name a process for people; None when nothing about it is readable."""
    name = _from_argv(raw) if raw.argv else raw.name
    name = clean(name or raw.name or "", NAME_LIMIT)
    if not name:
        return None
    return f"{name} (container)" if raw.container else name


def is_worker(raw: RawProcess) -> bool:
    """Tell a child that Python's multiprocessing started: it runs its parent's script and should be named after it."""
    return raw.argv is not None and "--multiprocessing-fork" in raw.argv


def _from_argv(raw: RawProcess) -> str:
    argv = _words(raw)
    program, words = _base(argv[0]), argv[1:]
    bare = program_name(program)
    if program.startswith("VLLM::"):
        return f"vllm {program.removeprefix('VLLM::')}"
    if _WINE.match(bare):
        return next((_base(word) for word in words[:4] if word.lower().endswith(".exe")), program)
    if _PYTHON.match(bare):
        return _python(raw, words)
    if bare == "java":
        return _java(words)
    if bare == "electron":
        return _electron(words)
    if bare == "ollama":
        return f"ollama {words[0]}" if words and words[0] in ("serve", "runner", "run") else "ollama"
    if bare in _LLAMA_PROGRAMS:
        return _with_model(bare, words)
    if suffixes := _SCRIPT_SUFFIXES.get(bare):
        return _with_script(bare, words, suffixes)
    return program


def _words(raw: RawProcess) -> Sequence[str]:
    """Return the command line, taken apart again where the process has rewritten it into one string.

    Chromium's children and programs using setproctitle leave `chrome --type=gpu-process …` in one word; a path
    that merely has a space in it ends in the program's own name.
    """
    argv = raw.argv or ()
    if len(argv) > 1 or not argv or " " not in argv[0].strip():
        return argv
    base = _base(argv[0])
    if base.lower().endswith(".exe") or (raw.name and base.startswith(raw.name) and " -" not in base):
        return argv
    return argv[0].split()


def _base(path: str) -> str:
    r"""Return the last part of a path in either system's spelling, `:` of titles such as `nginx:` removed."""
    text = path.strip()
    return (re.split(r"[/\\]", text)[-1] or text).lstrip("-").rstrip(":") or text


def _python(raw: RawProcess, words: Sequence[str]) -> str:
    """Name a Python program by its script or module; code given with -c may hold anything and is never shown."""
    position = 0
    while position < len(words) and words[position].startswith("-") and words[position] != "-":
        word = words[position]
        if word in _PYTHON_VALUE_OPTIONS:
            position += 2
            continue
        if not word.startswith(("--", "-W", "-X")):
            if "c" in word:
                return "python -c"
            if "m" in word:
                module = word.partition("m")[2] or (words[position + 1] if position + 1 < len(words) else "")
                return _module(module)
        position += 1
    if position >= len(words) or words[position] == "-":
        return "python"
    path = words[position]
    script = _base(path)
    where = path if re.match(r"[/\\]|[A-Za-z]:", path) else f"{raw.working_directory or ''}/{path}"
    folders = re.split(r"[/\\]", where.lower())[:-1]
    if script == "main.py" and any(folder.startswith("comfyui") for folder in folders[-2:]):
        return "ComfyUI"
    if "." not in script and folders and folders[-1] in ("bin", "scripts"):
        return script
    return f"python {script}"


def _module(module: str) -> str:
    if module == "ipykernel_launcher":
        return "jupyter kernel"
    return f"python -m {module}" if module else "python"


def _java(words: Sequence[str]) -> str:
    position = 0
    while position < len(words):
        word = words[position]
        if word == "-jar" and position + 1 < len(words):
            return f"java {_base(words[position + 1])}"
        if word in _JAVA_VALUE_OPTIONS:
            position += 2
            continue
        if word in ("-m", "--module") and position + 1 < len(words):
            return f"java {words[position + 1]}"
        if not word.startswith(("-", "@")):
            return f"java {word}"
        position += 1
    return "java"


def _electron(words: Sequence[str]) -> str:
    """Name an Electron program by the folder of its app: `/usr/lib/signal/resources/app.asar` is `signal`."""
    app = next((word for word in words if not word.startswith("-")), None)
    if app is None:
        return "electron"
    parts = [part for part in re.split(r"[/\\]", app) if part not in ("", "resources", "app", "app.asar", ".")]
    return parts[-1].removesuffix(".asar") if parts else "electron"


def _with_model(program: str, words: Sequence[str]) -> str:
    for position, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option in _MODEL_OPTIONS:
            model = value if equals else words[position + 1] if position + 1 < len(words) else ""
            digest = blob_digest(model)
            short = f"sha256-{digest[:12]}" if digest else _base(model.partition("?")[0]) if model else ""
            return f"{program} {short}".strip()
    return program


def _with_script(program: str, words: Sequence[str], suffixes: tuple[str, ...]) -> str:
    """Add the first word that is a script by its ending; options' values have other endings."""
    script = next((word for word in words if not word.startswith("-") and word.lower().endswith(suffixes)), None)
    return f"{program} {_base(script)}" if script else program
