"""Continue is set up: golden homes, the places of its files, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpudesk.errors import ExportError
from gpudesk.exports.editors.continue_dev import Continue
from gpudesk.exports.editors.continue_file import filled, without_ours
from gpudesk.exports.editors.continue_migration import migration
from gpudesk.exports.editors.continue_places import (
    config_path,
    found_files,
    installed_versions,
    own_path,
    remembered_choices,
)
from gpudesk.exports.text_file import decoded
from gpudesk.exports.values import Chosen, Export, FileChange, Way
from gpudesk.exports.writing import apply
from tests.exports.configurations import configurations
from tests.exports.editors import cases
from tests.exports.editors.cases import around, chosen

EDITOR = Continue()
DEFAULT = b"name: Main Config\nversion: 1.0.0\nschema: v1\nmodels: []\n"


def put(home: Path, name: str, data: bytes) -> Path:
    path = home / ".continue" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def changes_of(export: Export) -> dict[str, FileChange]:
    return {change.path.name: change for change in export.changes}


@pytest.mark.parametrize("case", cases.cases("continue"))
def test_a_home_becomes_what_the_golden_files_say(case: str, tmp_path: Path) -> None:
    home, state = tmp_path / "home", tmp_path / "state"
    home.mkdir()
    cases.prepared("continue", case, home)
    original = cases.content(home)
    way = cases.way_of(case)
    export = EDITOR.export(chosen(), around(home), way)
    assert cases.content(home) == original
    cases.check_text("continue", case, "told.txt", cases.told(export).replace(str(home), "HOME"))
    apply(export, state=state)
    cases.check_files("continue", case, home)

    assert not any(change.changes for change in EDITOR.export(chosen(), around(home), way).changes)
    apply(EDITOR.export(chosen(context=8192), around(home), way), state=state)
    apply(EDITOR.remove(around(home)), state=state)
    left = cases.content(home)
    migrated = left.pop(".continue/config.yaml", None) if case == "merge-json" else None
    assert left == original
    assert (migrated is None) == (case != "merge-json"), "what was migrated stays: Continue reads nothing else now"
    assert not EDITOR.remove(around(home)).changes


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(configurations(), st.booleans())
def test_every_byte_comes_back(text: str, has_mark: bool) -> None:
    from gpudesk.exports.editors.continue_blocks import blocks

    data = (b"\xef\xbb\xbf" if has_mark else b"") + text.encode()
    with_ours = filled(decoded(Path("c.yaml"), data), blocks(chosen()))
    assert with_ours.startswith(b"\xef\xbb\xbf") == has_mark
    assert without_ours(decoded(Path("c.yaml"), with_ours)) == data


@pytest.mark.parametrize(
    "text", ["", "\n", "  \r\n", "# only a comment", "# only\r\n# comments\r\n", "---\n", "%YAML 1.1\n---\n"]
)
def test_an_empty_file_is_empty_again(text: str) -> None:
    from gpudesk.exports.editors.continue_blocks import blocks

    file = decoded(Path("c.yaml"), text.encode())
    with_ours = decoded(Path("c.yaml"), filled(file, blocks(chosen())))
    assert "name: Main Config" in with_ours.text
    assert filled(with_ours, blocks(chosen())) == with_ours.data
    assert without_ours(with_ours) == text.encode()


def test_what_was_added_to_a_new_configuration_stays(tmp_path: Path) -> None:
    apply(EDITOR.export(chosen(), around(tmp_path), Way.MERGE), state=tmp_path / "state")
    main = config_path(around(tmp_path))
    main.write_text(main.read_text() + "  - name: mine\n    provider: ollama\n    model: m\n")
    change = changes_of(EDITOR.remove(around(tmp_path)))["config.yaml"]
    assert change.after is not None
    assert change.after.decode().endswith("schema: v1\nmodels:\n  - name: mine\n    provider: ollama\n    model: m\n")


def test_an_own_file_is_written_and_the_main_one_touched(tmp_path: Path) -> None:
    put(tmp_path, "config.yaml", DEFAULT)
    own, main = EDITOR.export(chosen(), around(tmp_path), Way.OWN_FILE).changes
    assert own.path == own_path(around(tmp_path))
    assert (main.before, main.after, main.changes) == (DEFAULT, DEFAULT, False)
    assert own.secret
    assert main.secret


def test_the_way_can_be_changed_and_no_name_is_there_twice(tmp_path: Path) -> None:
    main = put(tmp_path, "config.yaml", DEFAULT)
    state = tmp_path / "state"
    apply(EDITOR.export(chosen(), around(tmp_path), Way.OWN_FILE), state=state)
    apply(EDITOR.export(chosen(), around(tmp_path), Way.MERGE), state=state)
    assert not own_path(around(tmp_path)).exists()
    assert b"gpudesk chat" in main.read_bytes()
    apply(EDITOR.export(chosen(), around(tmp_path), Way.OWN_FILE), state=state)
    assert main.read_bytes() == DEFAULT
    assert b"gpudesk chat" in own_path(around(tmp_path)).read_bytes()


def test_the_users_models_in_our_file_stay(tmp_path: Path) -> None:
    own = put(tmp_path, "models/gpudesk.yaml", b"name: x\nversion: 1.0.0\nmodels:\n  - name: mine\n    model: m\n")
    export = EDITOR.export(chosen(), around(tmp_path), Way.OWN_FILE)
    after = changes_of(export)["gpudesk.yaml"].after
    assert after is not None
    assert after.startswith(own.read_bytes())
    apply(export, state=tmp_path / "state")
    removed = changes_of(EDITOR.remove(around(tmp_path)))["gpudesk.yaml"]
    assert removed.after == b"name: x\nversion: 1.0.0\nmodels:\n  - name: mine\n    model: m\n"


def test_the_folder_can_be_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for told, folder in (
        ("/srv/continue", Path("/srv/continue")),
        ("sub/c", tmp_path / "sub/c"),
        ("", tmp_path / ".continue"),
    ):
        places = around(tmp_path, CONTINUE_GLOBAL_DIR=told)
        assert config_path(places) == folder / "config.yaml"
        assert own_path(places) == folder / "models" / "gpudesk.yaml"


def test_a_profile_or_a_project_is_set_up(tmp_path: Path) -> None:
    put(tmp_path, "config.yaml", DEFAULT)
    profile = put(tmp_path, "agents/work.yaml", b"name: work\nversion: 1.0.0\n")
    project = tmp_path / "project"
    project.mkdir()
    export = EDITOR.export(chosen(), around(tmp_path), Way.MERGE, into=profile)
    assert [change.path for change in export.changes] == [profile]
    own, main = EDITOR.export(chosen(), around(tmp_path), Way.OWN_FILE, into=project).changes
    assert (own.path, main.changes) == (project / ".continue" / "models" / "gpudesk.yaml", False)
    with pytest.raises(ExportError, match=r"has no profiles, and a config\.yaml there Continue does not read"):
        EDITOR.export(chosen(), around(tmp_path), Way.MERGE, into=project)
    team = put(project, "assistants/team.yml", b"")
    assert EDITOR.export(chosen(), around(tmp_path), Way.MERGE, into=project).changes[0].path == team
    put(project, "agents/other.yaml", b"")
    with pytest.raises(ExportError, match="has 2 profiles"):
        EDITOR.export(chosen(), around(tmp_path), Way.MERGE, into=project / ".continue")
    for way, path in ((Way.MERGE, config_path(around(tmp_path))), (Way.OWN_FILE, own_path(around(tmp_path)))):
        changes = EDITOR.export(chosen(), around(tmp_path), way, into=tmp_path / ".continue").changes
        assert changes[0].path == path


def test_a_broken_file_of_the_users_does_not_keep_ours_from_going(tmp_path: Path) -> None:
    put(tmp_path, "config.yaml", DEFAULT)
    put(tmp_path, "agents/broken.yaml", b"\xff gpudesk")
    apply(EDITOR.export(chosen(), around(tmp_path), Way.MERGE), state=tmp_path / "state")
    assert changes_of(EDITOR.remove(around(tmp_path)))["config.yaml"].after == DEFAULT
    put(tmp_path, "config.yaml", b"\xff gpudesk")
    with pytest.raises(ExportError, match="is not UTF-8"):
        EDITOR.remove(around(tmp_path))


def test_files_are_found_by_name_only(tmp_path: Path) -> None:
    assert [(f.kind, f.exists) for f in found_files(around(tmp_path))] == [
        ("config.yaml", False),
        ("models/gpudesk.yaml", False),
    ]
    for name in (
        "config.yaml",
        "config.json",
        "agents/work.yml",
        "configs/old.yaml",
        "configs/x.txt",
        "models/mine.yaml",
    ):
        put(tmp_path, name, b"\xff: no yaml")
    put(tmp_path / "project", "assistants/team.yaml", b"")
    from gpudesk.exports.editor import Surroundings

    places = Surroundings(tmp_path, {}, "linux", tmp_path / "project")
    assert [(f.kind, f.exists) for f in found_files(places)] == [
        ("config.yaml", True),
        ("models/gpudesk.yaml", False),
        ("config.json (deprecated)", True),
        ("profile work", True),
        ("profile old", True),
        ("models/mine.yaml", True),
        ("profile team of the workspace", True),
    ]


@pytest.mark.parametrize("way", [Way.OWN_FILE, Way.MERGE])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"name: x\nmodels: [\n", r"config\.yaml is not valid YAML: line 3, column 1: "),
        (b"name: x\n\tmodels: []\n", r"config\.yaml is not valid YAML: line 2, column 1: a tab"),
        (b"name: x\nname: y\n", r"config\.yaml is not valid YAML: line 2, column 1: the key name is there twice"),
        (b"name: \xff\n", r"config\.yaml is not UTF-8: byte 0xff in line 1"),
        (b"\xff\xfen\0", r"config\.yaml is not UTF-8 \(it looks like UTF-16\)"),
        (b"#" * 10_000_000, r"config\.yaml is 10 MB: too large"),
    ],
)
def test_what_cannot_be_read_is_refused(way: Way, data: bytes, message: str, tmp_path: Path) -> None:
    put(tmp_path, "config.yaml", data)
    with pytest.raises(ExportError, match=message) as caught:
        EDITOR.export(chosen(), around(tmp_path), way)
    assert caught.value.hint is not None
    if "valid YAML" in message:
        assert "Continue loads no model at all" in caught.value.hint


def test_a_folder_or_a_loose_link_in_its_place_is_refused(tmp_path: Path) -> None:
    config_path(around(tmp_path)).mkdir(parents=True)
    with pytest.raises(ExportError, match=r"config\.yaml is a folder, not a file"):
        EDITOR.export(chosen(), around(tmp_path), Way.MERGE)
    config_path(around(tmp_path)).rmdir()
    config_path(around(tmp_path)).symlink_to(tmp_path / "nowhere")
    with pytest.raises(ExportError, match="symbolic link to a file that does not exist"):
        EDITOR.export(chosen(), around(tmp_path), Way.MERGE)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "config.yaml", DEFAULT).chmod(0)
    with pytest.raises(ExportError, match="permission denied"):
        EDITOR.export(chosen(), around(tmp_path), Way.MERGE)


OLD_JSON = (
    b'{"models": [{"title": "Mine", "provider": "ollama", "model": "llama3"}], // all\n "systemMessage": "Be brief"}'
)


def test_a_config_json_is_migrated_before_models_are_merged(tmp_path: Path) -> None:
    old = put(tmp_path, "config.json", OLD_JSON)
    export = EDITOR.export(chosen(), around(tmp_path), Way.MERGE)
    assert not config_path(around(tmp_path)).exists(), "shown first"
    assert [(change.path.name, change.why) for change in export.changes] == [
        ("config.yaml", "what config.json says, and the models of gpudesk")
    ]
    assert export.notes[0].endswith("config.json stays as it is; Continue reads it no more once there is a config.yaml")
    assert "Continue takes Mine, which comes first, for chat, edit, apply: choose the one of gpudesk there once" in (
        export.notes
    )
    apply(export, state=tmp_path / "state")
    text = config_path(around(tmp_path)).read_text()
    assert text.index("- name: Mine") < text.index("- name: gpudesk chat")
    assert "Be brief" in text
    apply(EDITOR.remove(around(tmp_path)), state=tmp_path / "state")
    migrated = migration_of(tmp_path)
    assert config_path(around(tmp_path)).read_bytes() == migrated, "what was migrated stays"
    assert old.read_bytes() == OLD_JSON


def migration_of(home: Path) -> bytes:
    """What --migrate alone makes of the config.json there."""
    other = home / "other"
    put(other, "config.json", (home / ".continue" / "config.json").read_bytes())
    return migration(around(other)).changes[0].after or b""


def test_a_broken_config_json_stops_a_merge_with_its_place(tmp_path: Path) -> None:
    put(tmp_path, "config.json", b'{"models": [\n  {]}')
    with pytest.raises(ExportError, match=r"line 2, column 4"):
        EDITOR.export(chosen(), around(tmp_path), Way.MERGE)
    assert EDITOR.export(chosen(), around(tmp_path), Way.OWN_FILE).changes, "which does not need it"


def test_a_config_json_beside_another_file_is_nobodys(tmp_path: Path) -> None:
    put(tmp_path, "config.json", OLD_JSON)
    named = tmp_path / "project" / "mine.yaml"
    named.parent.mkdir()
    named.with_name("config.json").write_bytes(OLD_JSON)
    export = EDITOR.export(chosen(), around(tmp_path), Way.MERGE, into=named)
    assert b"Mine" not in (export.changes[0].after or b"")


def test_an_own_file_beside_a_config_json_says_which_command_migrates_it(tmp_path: Path) -> None:
    put(tmp_path, "config.json", OLD_JSON)
    notes = EDITOR.export(chosen(), around(tmp_path), Way.OWN_FILE).notes
    assert any("gpudesk editors write continue --migrate" in note for note in notes)


def test_nothing_chosen_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no model is chosen"):
        EDITOR.export(Chosen(()), around(tmp_path), Way.OWN_FILE)


def test_says_what_continue_remembers(tmp_path: Path) -> None:
    put(tmp_path, "config.yaml", DEFAULT)
    told = {
        "selectedModelsByProfileId": {"local": {"chat": "Llama\x1b[2J 3.1", "autocomplete": "gpudesk autocomplete"}}
    }
    path = put(tmp_path, "index/globalContext.json", json.dumps(told).encode())
    assert EDITOR.export(chosen(), around(tmp_path), Way.MERGE).notes == (
        "Continue remembers Llama[2J 3.1 for chat: choose the one of gpudesk there once",
    )
    for broken in (
        b"",
        b"[]",
        b"{",
        b'{"selectedModelsByProfileId": 3}',
        b'{"selectedModelsByProfileId": {"local": [1]}}',
    ):
        path.write_bytes(broken)
        assert remembered_choices(around(tmp_path)) == {}


def test_says_that_the_first_of_a_role_decides(tmp_path: Path) -> None:
    put(
        tmp_path, "config.yaml", b"name: x\nversion: 1.0.0\nmodels:\n  - {name: '{mine}', provider: ollama, model: m}\n"
    )
    for way in (Way.MERGE, Way.OWN_FILE):
        assert EDITOR.export(chosen(), around(tmp_path), way).notes == (
            "Continue takes {mine}, which comes first, for chat, edit, apply: choose the one of gpudesk there once",
        )


@pytest.mark.parametrize(
    ("folder", "way", "said"),
    [
        ("continue.continue-1.2.22-linux-x64", Way.OWN_FILE, []),
        ("continue.continue-2.0.0", Way.OWN_FILE, []),
        ("continue.continue-1.2.18-linux-x64", Way.OWN_FILE, ["drops keepAlive"]),
        ("continue.continue-1.3.34-linux-x64", Way.MERGE, ["drops keepAlive"]),
        ("continue.continue-1.3.35-linux-x64", Way.MERGE, []),
        ("continue.continue-1.1.34", Way.OWN_FILE, ["one model per file", "drops keepAlive"]),
        ("continue.continue-1.1.34", Way.MERGE, ["drops keepAlive"]),
        ("someone.continue-1.0.0", Way.OWN_FILE, []),
    ],
)
def test_warns_of_old_versions(folder: str, way: Way, said: list[str], tmp_path: Path) -> None:
    (tmp_path / ".vscode" / "extensions" / folder).mkdir(parents=True)
    put(tmp_path, "config.yaml", DEFAULT)
    notes = EDITOR.export(chosen(), around(tmp_path), way).notes
    assert len(notes) == len(said)
    assert all(part in note for part, note in zip(said, notes, strict=True))


def test_versions_are_found_once(tmp_path: Path) -> None:
    for folder in (".vscode", ".cursor"):
        for name in ("continue.continue-1.2.9-linux-x64", "continue.continue-1.10.0", "continue.continue-x", "other"):
            (tmp_path / folder / "extensions" / name).mkdir(parents=True)
    assert installed_versions(around(tmp_path)) == ((1, 2, 9), (1, 10, 0))


def test_the_same_models_in_a_profile_and_in_the_own_file_are_no_duplicates(tmp_path: Path) -> None:
    put(tmp_path, "config.yaml", DEFAULT)
    profile = put(tmp_path, "agents/work.yaml", DEFAULT)
    apply(EDITOR.export(chosen(), around(tmp_path), Way.OWN_FILE), state=tmp_path / "state")
    apply(EDITOR.export(chosen(), around(tmp_path), Way.MERGE, into=profile), state=tmp_path / "state")
    assert [each.code for each in EDITOR.check(around(tmp_path), None)] == []
    apply(EDITOR.export(chosen(context=8192), around(tmp_path), Way.OWN_FILE), state=tmp_path / "state")
    found = EDITOR.check(around(tmp_path), None)
    assert [(each.code, each.path.name, each.line) for each in found if each.code == "duplicate-name"] == [
        ("duplicate-name", "gpudesk.yaml", 6)
    ], "here the profile has another context than the others"
