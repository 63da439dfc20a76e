"""What holds for every editor there is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gpudesk.errors import ExportError
from gpudesk.exports.differences import difference
from gpudesk.exports.editor import Surroundings
from gpudesk.exports.registry import MODULES, editor, editors
from gpudesk.exports.values import Chosen, Way
from gpudesk.exports.writing import apply
from gpudesk.records import replace
from tests.exports.editors import cases

MERGED = [name for name in MODULES if Way.MERGE in editor(name).ways and name != "continue"]

OWN = [name for name in MODULES if Way.OWN_FILE in editor(name).ways and name != "continue"]


def test_editors_come_in_the_order_in_which_they_are_shown() -> None:
    assert [each.id for each in editors()] == list(MODULES)
    assert [each.name for each in editors()][:2] == ["Continue", "Zed"]


@pytest.mark.parametrize("name", MODULES)
def test_an_editor_leaves_an_empty_home_empty(name: str, tmp_path: Path) -> None:
    made = editor(name)
    around = cases.around(tmp_path)
    assert made.files(around)
    assert not any(file.exists for file in made.files(around))
    assert made.check(around, cases.desk()) == ()
    assert made.remove(around).changes == ()
    for way in made.ways:
        export = made.export(cases.chosen(), around, way)
        assert export.editor == name
        assert export.way is way
        assert all(change.path.is_relative_to(tmp_path) and change.secret for change in export.changes)
        assert all(change.path in {file.path for file in made.files(around)} for change in export.changes)
        with pytest.raises(ExportError, match=f"no model is chosen for a role that {made.name.split()[0]}"):
            made.export(Chosen(()), around, way)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
@pytest.mark.parametrize("name", MODULES)
def test_files_are_below_home_everywhere(name: str, platform: str, tmp_path: Path) -> None:
    files = editor(name).files(Surroundings(tmp_path, {}, platform))
    assert all(file.path.is_relative_to(tmp_path) for file in files)


@pytest.mark.parametrize("name", MERGED)
def test_a_file_that_a_person_named_is_found_again(name: str, tmp_path: Path) -> None:
    home, named = tmp_path / "home", tmp_path / "elsewhere" / "mine"
    named.parent.mkdir()
    named.write_text({"vscode": "[]\n", "codex": "a = 1\n"}.get(name, '{\n  "a": 1\n}\n'))
    before = named.read_bytes()
    made, state = editor(name), tmp_path / "state"
    around = replace(cases.around(home), state=state)
    apply(made.export(cases.chosen(), around, Way.MERGE, into=named), state=state)
    assert named.read_bytes() != before
    assert made.remove(replace(around, state=tmp_path / "other")).changes == ()
    assert made.remove(replace(around, state=None)).changes == (), "a demo reaches nobody's files"
    apply(made.remove(around), state=state)
    assert named.read_bytes() == before


@pytest.mark.parametrize("name", OWN)
def test_an_own_file_that_a_person_named_is_removed_while_it_is_gpudesks(name: str, tmp_path: Path) -> None:
    made, state = editor(name), tmp_path / "state"
    around = replace(cases.around(tmp_path / "home"), state=state)
    for number, mine in enumerate(("", "\n# mine")):
        named = tmp_path / f"elsewhere{number}" / "mine"
        apply(made.export(cases.chosen(), around, Way.OWN_FILE, into=named), state=state)
        apply(made.export(cases.chosen(context=8192), around, Way.OWN_FILE, into=named), state=state)
        if mine:
            named.write_text(named.read_text() + mine)
        apply(made.remove(around), state=state)
        assert named.exists() == bool(mine), "what somebody has changed is not thrown away"


@pytest.mark.parametrize("name", MERGED)
def test_secrets_of_a_file_are_kept_and_not_shown(name: str, tmp_path: Path) -> None:
    made, around = editor(name), cases.around(tmp_path)
    path = made.export(cases.chosen(), around, Way.MERGE).changes[0].path
    path.parent.mkdir(parents=True, exist_ok=True)
    secret = "sk-0123456789abcdefghij"
    texts = {"codex": f'experimental_bearer_token = "{secret}"\n', "vscode": f'[\n  {{"apiKey": "{secret}"}}\n]\n'}
    path.write_text(texts.get(name, f'{{\n  "api_key": "{secret}"\n}}\n'))
    path.chmod(0o600)
    export = made.export(cases.chosen(), around, Way.MERGE)
    assert secret.encode() in (export.changes[0].after or b"")
    assert "(hidden)" in difference(export)
    assert secret not in difference(export)
    done = apply(export)
    assert [copy.stat().st_mode & 0o777 for copy in done.copies] == [0o600]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", MERGED)
def test_a_broken_file_is_refused_with_its_line_and_what_the_editor_makes_of_it(name: str, tmp_path: Path) -> None:
    made, around = editor(name), cases.around(tmp_path)
    path = made.export(cases.chosen(), around, Way.MERGE).changes[0].path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n}{")
    with pytest.raises(ExportError, match=r", line 2, column 1: ") as told:
        made.export(cases.chosen(), around, Way.MERGE)
    assert (told.value.hint or "").startswith("As it is, ")
    (finding,) = made.check(around, None)
    assert (finding.code, finding.line, finding.fix) == ("unreadable", 2, "Look at line 2, column 1")
    assert path.name not in finding.message, "it stands above the finding"
    assert path.read_text() == "\n}{"


def test_vs_code_may_write_its_list_anew(tmp_path: Path) -> None:
    made, around = editor("vscode"), cases.around(tmp_path)
    path = made.files(around)[0].path
    path.parent.mkdir(parents=True)
    path.write_text('[{"name": "Work"}]')
    apply(made.export(cases.chosen(), around, Way.MERGE))
    bare = path.read_text().replace("/* gpudesk */ ", "")
    path.write_text(json.dumps(json.loads(bare), indent="\t"))
    apply(made.export(cases.chosen(context=4096), around, Way.MERGE))
    groups = json.loads(path.read_text().replace("/* gpudesk */ ", ""))
    assert [group["name"] for group in groups] == ["Work", "gpudesk"]
    assert groups[1]["models"][0]["maxInputTokens"] == 2048
    apply(made.remove(around))
    assert json.loads(path.read_text()) == [{"name": "Work"}]


def test_no_parser_is_loaded_before_a_file_is_changed() -> None:
    code = (
        "import sys; from gpudesk.exports.registry import editors; editors();"
        "print(*[name for name in ('jsonc', 'tomlkit', 'ruamel.yaml') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""
