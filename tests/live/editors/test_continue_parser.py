"""Continue's own parser reads what gpudesk writes: the right model for every role, and nothing dropped."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from gpudesk.domain.keep_alive import KeepAliveWish
from gpudesk.exports.editors.continue_dev import Continue
from gpudesk.exports.editors.continue_migration import migrated_text
from gpudesk.exports.values import Chosen, ChosenModel, Role, Way
from gpudesk.exports.writing import apply
from tests.exports.editors import cases
from tests.exports.editors.people import CONFIGURATIONS, Configuration
from tests.live.editors.continue_parser import ContinueParser, Parsed

pytestmark = pytest.mark.live

LOCAL = "http://127.0.0.1:11434"
ROLES = {
    "chat": "gpudesk chat",
    "edit": "gpudesk chat",
    "apply": "gpudesk chat",
    "autocomplete": "gpudesk autocomplete",
    "embed": "gpudesk embed",
}
"""Of what `cases.chosen()` becomes."""
NAMES = {"gpudesk chat": cases.CHAT, "gpudesk autocomplete": cases.TAB, "gpudesk embed": cases.EMBED}


class Became(NamedTuple):
    """One configuration as Continue read it, and as it reads it with gpudesk's models."""

    before: Parsed
    merged: Parsed
    beside: Parsed
    """With gpudesk's own file."""


@pytest.fixture(scope="module")
def became(continue_parser: ContinueParser, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Became]:
    """Everybody's configuration, written in both ways; read by Node three times in all."""
    written: list[tuple[tuple[Path, ...], ...]] = []
    for number, configuration in enumerate(CONFIGURATIONS):
        base = tmp_path_factory.mktemp(f"people-{number}-")
        mains = []
        for name, way in (("before", None), ("merged", Way.MERGE), ("beside", Way.OWN_FILE)):
            main = base / name / ".continue" / "config.yaml"
            main.parent.mkdir(parents=True)
            main.write_bytes(configuration.data)
            if way is not None:
                apply(Continue().export(cases.chosen(), cases.around(base / name), way), state=base / "state")
            mains.append((main, *sorted((main.parent / "models").glob("*.yaml"))))
        written.append(tuple(mains))
    parsed = [continue_parser.parse_all(column) for column in zip(*written, strict=True)]
    rows = (Became(*row) for row in zip(*parsed, strict=True))
    return dict(zip([each.name for each in CONFIGURATIONS], rows, strict=True))


def ours(parsed: Parsed) -> dict[str, list[str]]:
    """Return the names of gpudesk's models by role."""
    found = {role: [name for name in names if name.startswith("gpudesk ")] for role, names in parsed.roles.items()}
    return {role: names for role, names in found.items() if names}


def check_ours(parsed: Parsed) -> None:
    """The right models have the right roles, each with all that was written."""
    assert parsed.error is None
    assert ours(parsed) == {role: [name] for role, name in ROLES.items()}
    assert {name: parsed.model(name)["model"] for name in NAMES} == NAMES
    for name in NAMES:
        assert parsed.model(name)["requestOptions"]["extraBodyProperties"] == {"keep_alive": -1}
    assert parsed.model("gpudesk chat")["defaultCompletionOptions"]["contextLength"] == 32768
    assert parsed.model("gpudesk autocomplete")["defaultCompletionOptions"] == {"contextLength": 4096, "maxTokens": 128}


@pytest.mark.slow
@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda each: each.name)
def test_in_everybodys_configuration_the_right_models_have_the_right_roles(
    configuration: Configuration, became: dict[str, Became]
) -> None:
    readable = configuration.readable
    before, merged, beside = became[configuration.name]
    assert (before.error is None) == readable, before.error
    check_ours(merged)
    theirs = [model for model in merged.models if not model["name"].startswith("gpudesk ")]
    assert theirs == before.models, "the user's models are what they were"
    assert merged.messages == before.messages
    assert merged.lost() == before.lost()
    assert merged.refused == before.refused
    if readable:  # Continue fills an empty one with its default before it reads the other
        check_ours(beside)
        assert [model for model in beside.models if "sourceFile" not in model] == before.models
        assert beside.lost() == before.lost()
        assert beside.refused == before.refused


@pytest.mark.parametrize("case", cases.cases("continue"))
def test_golden_homes_have_the_right_models(case: str, continue_parser: ContinueParser, tmp_path: Path) -> None:
    empty = tmp_path / "config.yaml"
    empty.write_text(FRESH, encoding="utf-8")
    old = cases.FOLDER / "continue" / case / "before" / ".continue" / "config.json"
    if case == "merge-json":  # the models that Continue had are those of its old file
        empty.write_text(migrated_text(old.read_text(encoding="utf-8")).text, encoding="utf-8")
    before, after = (homes_files(cases.FOLDER / "continue" / case / name, empty) for name in ("before", "after"))
    were, parsed = continue_parser.parse_all([before, after])
    check_ours(parsed)
    assert [model for model in parsed.models if not model["name"].startswith("gpudesk ")] == were.models
    assert (parsed.lost(), parsed.refused, parsed.messages) == (were.lost(), were.refused, were.messages)


def homes_files(home: Path, empty: Path) -> tuple[Path, ...]:
    """Return what Continue reads in a home; without a config.yaml it makes one, which is the empty one."""
    folder = home / ".continue"
    main = folder / "config.yaml"
    return (main if main.exists() else empty, *sorted((folder / "models").glob("*.yaml")))


CHOICES: dict[str, tuple[ChosenModel, ...]] = {
    "one model for everything": (
        ChosenModel("qwen3:14b", (Role.CHAT, Role.EDIT, Role.APPLY, Role.AUTOCOMPLETE, Role.EMBED), LOCAL, 8192),
    ),
    "only chat": (ChosenModel("qwen3:14b", (Role.CHAT,), LOCAL, 8192, capabilities=("completion",)),),
    "only autocomplete": (
        ChosenModel("my-tab:latest", (Role.AUTOCOMPLETE,), LOCAL, 2048, family="qwen2", template_has_suffix=False),
    ),
    "baked in": (ChosenModel("qwen3-gpudesk:32k", (Role.CHAT, Role.EDIT), LOCAL, 32768, context_baked_in=True),),
    "nothing known": (ChosenModel("x", (Role.CHAT, Role.AUTOCOMPLETE), LOCAL),),
    "a keep-alive in seconds": (ChosenModel("x", (Role.CHAT, Role.EMBED), LOCAL, 8192, keep_alive=KeepAliveWish(600)),),
    "what names do not tell": (
        ChosenModel("gemma3:12b", (Role.CHAT,), LOCAL, 8192, capabilities=("completion", "tools", "vision")),
        ChosenModel("my-own", (Role.EDIT,), LOCAL, 8192, capabilities=("completion", "tools")),
    ),
    "names that need quotes": (
        ChosenModel("hf.co/unsloth/Qwen3-14B-GGUF:Q4_K_M", (Role.CHAT,), "https://box.example:8443/ollama", 8192),
        ChosenModel("yes", (Role.AUTOCOMPLETE,), "http://[::1]:11434", 4096),
        ChosenModel("0x10", (Role.EMBED,), LOCAL),
    ),
    "two models for one role": (
        ChosenModel("a:1b", (Role.CHAT,), LOCAL, 8192),
        ChosenModel("b:1b", (Role.CHAT,), LOCAL, 8192),
    ),
    "a tiny context": (ChosenModel("a:1b", (Role.CHAT, Role.AUTOCOMPLETE), LOCAL, 512),),
}
FRESH = "name: Main Config\nversion: 1.0.0\nschema: v1\nmodels: []\n"


@pytest.mark.parametrize("way", [Way.OWN_FILE, Way.MERGE])
@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_is_read_whole(choice: str, way: Way, continue_parser: ContinueParser, tmp_path: Path) -> None:
    models = CHOICES[choice]
    main = tmp_path / ".continue" / "config.yaml"
    main.parent.mkdir()
    main.write_text(FRESH, encoding="utf-8")
    apply(Continue().export(Chosen(models), cases.around(tmp_path), way), state=tmp_path / "state")
    parsed = continue_parser.parse(*homes_files(tmp_path, main))
    assert (parsed.error, parsed.refused, parsed.lost()) == (None, [], [])
    file = "config.yaml" if way is Way.MERGE else "gpudesk.yaml"
    options = [number for number, model in enumerate(parsed.models) if "defaultCompletionOptions" in model]
    assert parsed.stripped == [f"{file} models.{number}.defaultCompletionOptions.keepAlive" for number in options]
    by_name = {model["name"]: model for model in parsed.models}
    assert len(by_name) == len(parsed.models)
    for role in Role:
        wanted = [model for model in models if role in model.roles]
        found = [by_name[name] for name in parsed.roles.get(role.value, [])]
        assert [model["model"] for model in found] == [model.name for model in wanted]
        assert [model["apiBase"] for model in found] == [model.engine_url for model in wanted]
        for entry, model in zip(found, wanted, strict=True):
            wire = model.keep_alive.wire
            assert entry["requestOptions"]["extraBodyProperties"] == {"keep_alive": wire}
            if role is not Role.EMBED:
                context = None if model.context_baked_in else model.context_length
                assert entry["defaultCompletionOptions"].get("contextLength") == context
    assert "summarize" not in parsed.roles, "roles are said, never left to the default"
