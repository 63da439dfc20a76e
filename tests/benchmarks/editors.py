"""What editors cost: the preview of a change to a long file, and `gpudesk editors check` from a shell."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from gpudesk.exports.differences import difference
from gpudesk.exports.registry import editor
from gpudesk.exports.values import Way
from gpudesk.exports.writing import apply
from tests.benchmarks.measures import in_turn
from tests.benchmarks.workload import Workload
from tests.exports.editors import cases

LINES = 2000
_CONTINUE = ".continue/config.yaml"
_ZED = ".config/zed/settings.json"


def configuration(lines: int = LINES) -> str:
    """Return a `config.yaml` as people write it: models with comments, texts of several lines, lists, keys."""
    made = ["# My models", "name: Main Config", "version: 1.0.0", "schema: v1", "models:"]
    number = 0
    while len(made) < lines * 7 // 10:
        number += 1
        made += [
            f"  # number {number}: kept for comparison",
            f"  - name: Model {number}",
            f"    provider: {'ollama' if number % 3 else 'openai'}",
            f"    model: llama3.1:{number}b",
            "    apiKey: ${{ secrets.OPENAI }}",
            "    roles:",
            "      - chat",
            "      - edit  # and apply",
            "    defaultCompletionOptions:",
            f"      temperature: 0.{number}",
            '      stop: ["<|im_end|>", "</s>"]',
            "    requestOptions: {timeout: 7200, headers: {X-Team: desk}}",
            f"    numCtx: {4096 * number}  # which Continue does not know",
        ]
    made.append("rules:")
    while len(made) < lines:
        made += ["  - |", f"    Rule {number}: be brief, and say why.", "    Tests come first; never guess."]
        number += 1
    return "\n".join(made[:lines]) + "\n"


def of_yaml_1_1(lines: int = LINES) -> str:
    """Return the same in YAML 1.1: what is merged in comes from an anchor, and some texts are on several lines."""
    text = configuration(lines - 4).replace("CompletionOptions:\n", "CompletionOptions:\n      <<: *o\n", 90)
    text = text.replace("be brief, and say why.", "be\n    brief: |+", 3).replace(": 7200, ", ":\n        7200, ", 5)
    return "\n".join(["%YAML 1.1", "---", "env: &o", "  topP: 0.9", *text.splitlines()[: lines - 4], ""])


def settings(lines: int = LINES, values_per_line: int = 1) -> str:
    """Return a `settings.json` of Zed's: comments, objects in objects, lists, commas at the end.

    Args:
        lines: how many.
        values_per_line: of each list in it.
    """
    made = ["// Zed settings", "{", '  "theme": "One Dark", // at night', '  "languages": {']
    number = 0
    while len(made) < lines - 2:
        number += 1
        made += [
            f'    "Language {number}": {{',
            f'      "tab_size": {number % 8},',
            f'      "formatter": {{ "external": {{ "command": "format-{number}" }} }},',
            f'      "words": {json.dumps([number + word for word in range(values_per_line)])}, /* all of them */',
            '      "enabled": true,',
            "    },",
        ]
    return "\n".join([*made, "  },", "}"]) + "\n"


def preview_seconds(runs: int, name: str, file: str, text: str) -> float:
    """Return the median time until the change of one file can be read: worked out, checked, and as a diff.

    It is processor time: what is read is one file, and the turns of other programs are not its own.
    """
    with tempfile.TemporaryDirectory(prefix="gpudesk-bench-") as folder:
        around = cases.around(Path(folder))
        path = Path(folder) / file
        path.parent.mkdir(parents=True)
        path.write_text(text)

        def once() -> float:
            begin = time.process_time()
            shown = difference(editor(name).export(cases.chosen(), around, Way.MERGE))
            taken = time.process_time() - begin
            assert cases.CHAT in shown
            return taken

        (taken,) = in_turn(runs, once)
    return taken


def previews(runs: int) -> dict[str, float]:
    """Return the medians by what is changed."""
    return {
        f"Continue's config.yaml of {LINES} lines": preview_seconds(runs, "continue", _CONTINUE, configuration()),
        "the same in YAML 1.1 with odd entries": preview_seconds(runs, "continue", _CONTINUE, of_yaml_1_1()),
        f"Zed's settings.json of {LINES} lines": preview_seconds(runs, "zed", _ZED, settings()),
        "the same with 10000 values": preview_seconds(runs, "zed", _ZED, settings(values_per_line=23)),
    }


def check_seconds(gpudesk: Path, runs: int) -> tuple[float, float]:
    """Return the medians of `gpudesk editors check` beside an engine that answers, and without any.

    Both read a `config.yaml` and a `settings.json` of 2,000 lines, and what gpudesk wrote for every other editor.
    """
    with Workload("bench") as load, tempfile.TemporaryDirectory(prefix="gpudesk-bench-") as folder:
        home = Path(folder)
        for file, text in ((_CONTINUE, configuration()), (_ZED, settings())):
            (home / file).parent.mkdir(parents=True)
            (home / file).write_text(text)
        for name in ("vscode", "llama-vscode", "opencode", "codex", "claude-code", "aider"):
            made = editor(name)
            way = Way.OWN_FILE if Way.OWN_FILE in made.ways else Way.MERGE
            apply(made.export(cases.chosen(), cases.around(home), way), state=home / "state")
        environ = {**os.environ, **load.environment, "HOME": folder, "XDG_CONFIG_HOME": f"{folder}/.config"}

        seen = 0

        def checked(url: str) -> float:
            nonlocal seen
            begin = time.perf_counter()
            done = subprocess.run(
                [gpudesk, "editors", "check"], env={**environ, "OLLAMA_HOST": url}, capture_output=True, timeout=30
            )
            taken = time.perf_counter() - begin
            assert done.returncode == 1, done.stderr
            seen += b"no engine answered" not in done.stderr
            return taken

        answered, alone = in_turn(
            runs, lambda: checked(load.environment["OLLAMA_HOST"]), lambda: checked("127.0.0.1:9")
        )
        assert seen, "the engine was never asked"
    return answered, alone
