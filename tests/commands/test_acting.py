"""What all commands that change something share: previews, confirmation, JSON, refusals, exit codes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpudesk import cli
from gpudesk.arguments.acting import MODULES
from gpudesk.arguments.parser import ACTING_VERBS, VERBS, build_parser, parse
from gpudesk.config.settings import EngineAddress, Settings
from gpudesk.errors import UsageError
from gpudesk.output import action_json
from gpudesk.records import replace
from gpudesk.sim.workstation import SimulatedWorkstation
from tests.command_line import nobody_listens
from tests.commands.acting_rig import BIG, CHAT, CODE, EMBED, SMALL, CommandRig

FULL = ((CHAT, 8192, -1), (CODE, 4096, 1800), (EMBED, 2048, -1))
"""Three models: as many as this engine keeps on one card, so that a fourth one pushes one out."""

EVERY_VERB = (
    ("load", SMALL), ("unload", CHAT), ("keep", CHAT, "5m"), ("pin", CHAT), ("unpin", CHAT), ("swap", CHAT, BIG),
    ("free",), ("restore",), ("restore", "--unfinished", "undo"), ("restore", "--unfinished", "forget"),
    ("apply", "coding"), ("set", "save", "coding"), ("set", "edit", "coding"), ("set", "delete", "coding"),
    ("pull", SMALL), ("rm", SMALL), ("derive", CHAT, "--ctx", "16k"),
)  # fmt: skip


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[CommandRig]:
    with CommandRig(tmp_path, *FULL) as running:
        yield running


def test_every_verb_has_a_module_and_is_known() -> None:
    assert tuple(MODULES) == ACTING_VERBS
    assert set(ACTING_VERBS) == set(VERBS) - set(cli.HANDLERS)
    assert {words[0] for words in EVERY_VERB} | {"log", "guard"} == set(MODULES)


def keys_of(document: Any, place: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every object of a document with its keys in order."""
    if isinstance(document, dict):
        yield place, tuple(document)
        for key, value in document.items():
            yield from keys_of(value, f"{place}.{key}" if place else key)
    elif isinstance(document, list):
        for value in document:
            yield from keys_of(value, f"{place}[]")


def check_documented(document: Any, fields: Any = action_json.FIELDS) -> set[str]:
    """Hold a document against what is written about it; return the places it has."""
    places = set()
    for place, keys in keys_of(document):
        assert keys == tuple(key for key, _ in fields[place]), place
        places.add(place)
    return places


@pytest.mark.slow
def test_every_key_of_the_document_is_written_down(rig: CommandRig) -> None:
    done = rig.run("load", f"{SMALL}@8k", "--json", "--yes")
    assert (done.code, done.err) == (0, "")
    places = check_documented(done.document)
    refused = rig.run("load", f"{SMALL}@8k", "--json", "--keep-alive", "0")
    assert refused.code == 4
    places |= check_documented(refused.document)
    assert set(action_json.FIELDS) - places == {"outcome.missing[]"}
    assert done.document["schema_version"] == 1
    assert done.document["demo"] is False
    assert [step["kind"] for step in done.document["preview"]["steps"]] == ["unload", "load"]
    assert done.document["outcome"]["ending"] == "done"
    assert {load["model"] for load in done.document["outcome"]["after"]} == set(rig.loaded())


@pytest.mark.slow
def test_what_is_lost_is_refused_without_anybody_to_ask(rig: CommandRig) -> None:
    done = rig.run("load", f"{SMALL}@8k")
    assert (done.code, done.out) == (4, "")
    assert f"not done without a confirmation: {CODE}" in done.err
    assert "--yes" in done.err
    assert set(rig.loaded()) == {CHAT, CODE, EMBED}
    told = rig.run("load", f"{SMALL}@8k", "--json")
    assert told.code == 4
    assert told.document["outcome"]["ending"] == "refused"
    assert told.document["preview"]["loses"]
    check_documented(told.document)


@pytest.mark.slow
def test_somebody_at_a_terminal_is_asked_once(rig: CommandRig) -> None:
    for answer in ("n\n", "\n", "", "nonsense\n"):
        no = rig.run("load", f"{SMALL}@8k", answer=answer)
        assert no.code == 4
        assert no.err.count("Do it? [y/N]") == 1
        assert f"lost: {CODE}" in no.err
        assert "not confirmed" in no.err
        assert set(rig.loaded()) == {CHAT, CODE, EMBED}
    yes = rig.run("load", f"{SMALL}@8k", answer="y\n")
    assert yes.code == 0
    assert rig.loaded()[SMALL] == 8192
    assert CODE not in rig.loaded()
    assert "Do it?" not in yes.out


@pytest.mark.slow
def test_progress_goes_to_a_terminal_on_one_line_and_nowhere_else(rig: CommandRig) -> None:
    seen = rig.run("load", f"{SMALL}@8k", "--yes", answer="")
    pieces = seen.err.split("\r")
    assert [
        piece for piece in pieces if re.match(rf"2/2 loading {re.escape(SMALL)}  .* s of about .* s\x1b\[K$", piece)
    ]
    assert pieces[-1] == "\x1b[K", "the line is taken away in the end"
    assert "\n" not in seen.err
    assert rig.run("unload", SMALL).err == ""


@pytest.mark.slow
def test_what_loses_nothing_needs_no_yes(rig: CommandRig) -> None:
    for words in (("unload", CODE), ("load", f"{SMALL}@8k"), ("keep", CHAT, "2h"), ("pin", CHAT)):
        done = rig.run(*words)
        assert (done.code, done.err) == (0, ""), words


@pytest.mark.parametrize("words", EVERY_VERB, ids=lambda words: "-".join(words[:3]))
def test_read_only_refuses_everything(rig: CommandRig, words: tuple[str, ...]) -> None:
    rig.settings = replace(rig.settings, read_only=True)
    done = rig.run(*words)
    assert (done.code, done.out) == (4, "")
    assert "read-only" in done.err
    assert rig.loaded() == {CHAT: 8192, CODE: 4096, EMBED: 2048}
    assert not rig.folders.data.exists()
    assert not rig.folders.state.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "steps"),
    [
        (("load", f"{SMALL}@8k"), ["unload", "load"]),
        (("unload", CHAT), ["unload"]),
        (("keep", CHAT, "5m"), ["keep-alive"]),
        (("keep", CHAT, "0"), ["unload"]),
        (("pin", CODE), ["keep-alive", "pin"]),
        (("swap", CHAT, f"{BIG}@8k"), ["unload", "load"]),
        (("free",), ["unload", "unload", "unload"]),
        (("free", "12GiB"), ["unload"]),
        (("pull", "new:1b"), ["pull"]),
        (("rm", CODE), ["unload", "delete"]),
        (("derive", CHAT, "--ctx", "16k"), ["derive"]),
    ],
    ids=lambda value: "-".join(value[:3]),
)
def test_a_dry_run_tells_and_does_nothing(rig: CommandRig, words: tuple[str, ...], steps: list[str]) -> None:
    done = rig.run(*words, "--dry-run", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.document["outcome"] is None
    told = [step["kind"] for step in done.document["preview"]["steps"]]
    assert [kind for kind in told if kind != "unload"] == [kind for kind in steps if kind != "unload"]
    assert set(told) == set(steps)
    text = rig.run(*words, "--dry-run")
    assert (text.code, text.err) == (0, "")
    assert len(re.findall(r"^  \d+\. ", text.out, re.MULTILINE)) == len(told)
    assert rig.loaded() == {CHAT: 8192, CODE: 4096, EMBED: 2048}
    assert rig.journal() == []
    assert rig.pins() == ()


@pytest.mark.slow
def test_a_dry_run_of_what_would_be_refused_is_refused(rig: CommandRig) -> None:
    done = rig.run("free", "900GiB", "--dry-run")
    assert done.code == 4
    assert "would be free, not 900.0 GiB" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("load", "qwn3:14b"), "qwn3:14b is not installed\n  Did you mean qwen3:14b"),
        (("load", CHAT, "--keep-alive", "30"), "30 has no unit\n  Write 30s, 30m or 30h"),
        (("keep", CHAT, "soon"), "soon is no keep-alive"),
        (("keep", CHAT, "-5m"), "-5m is a time below zero"),
        (("load", SMALL, "--keep-alive", "-5m"), "-5m is a time below zero"),
        (("keep", SMALL, "5m"), f"{SMALL} is not loaded"),
        (("unload", "nothing:1b"), "nothing:1b is not installed"),
        (("unpin", "nothing:1b"), "nothing:1b is not installed"),
        (("swap", SMALL, CHAT), f"{SMALL} is not loaded"),
        (("rm", "nothing:1b"), "nothing:1b is not installed"),
        (("apply", "nothing"), "there is no set nothing"),
    ],
)
def test_mistakes_exit_with_2(rig: CommandRig, words: tuple[str, ...], said: str) -> None:
    done = rig.run(*words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert rig.journal() == []


def test_an_engine_that_does_not_answer_exits_with_3(rig: CommandRig) -> None:
    with nobody_listens() as url:
        rig.settings = replace(rig.settings, engines=(EngineAddress(url),))
        done = rig.run("load", CHAT)
    assert (done.code, done.out) == (3, "")
    assert url in done.err


@pytest.mark.slow
def test_a_failure_exits_with_1_and_says_that_what_was_there_is_back(rig: CommandRig) -> None:
    rig.sim.server.fault("load", "error", model=BIG, text="cudaMalloc failed: out of memory")
    done = rig.run("swap", CHAT, f"{BIG}@8k", "--json", "--yes")
    assert done.code == 1
    outcome = done.document["outcome"]
    assert (outcome["ending"], outcome["canceled"], outcome["missing"]) == ("undone", False, [])
    assert f"{CHAT} is back" in done.err
    assert rig.loaded()[CHAT] == 8192
    assert rig.journal() == [("swap", "command", "undone")]


@pytest.mark.slow
def test_a_timeout_brings_back_what_was_there(rig: CommandRig) -> None:
    rig.sim.server.fault("load", "hang", model=BIG)
    done = rig.run("swap", CHAT, f"{BIG}@8k", "--yes", "--timeout", "20s")
    assert done.code == 1
    assert rig.loaded()[CHAT] == 8192


@pytest.mark.slow
def test_a_command_says_what_was_done_already(rig: CommandRig) -> None:
    done = rig.run("unload", SMALL)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{SMALL}: it is so already\n{SMALL} is not loaded\n"


def test_options_may_stand_anywhere() -> None:
    assert parse(["unload", "a", "b", "--yes"]).names == ["a", "b"]
    assert parse(["keep", "a", "until", "18:00", "--json"]).duration == ["until", "18:00"]
    assert parse(["keep", "a", "-1"]).duration == ["-1"]
    assert parse(["keep", "a", "-5m", "--json"]).duration == ["-5m"]
    assert parse(["load", "a", "--keep-alive", "-1m"]).keep_alive == "-1m"
    assert parse(["swap", "a", "b", "--keep-alive", "-.5h", "--yes"]).keep_alive == "-.5h"
    assert parse(["free", "--card", "1"]).card == 1
    assert parse(["pin", "a", "--no-restore"]).restore is False
    assert parse(["pin", "a"]).restore is None
    assert Settings().restore_pins is False


@pytest.mark.parametrize("verb", [*VERBS])
def test_what_is_left_out_of_the_parser_is_not_missed(verb: str) -> None:
    """A verb alone gets along with its own group; without one, or asked for help, everything is there."""
    (whole,) = [action for action in build_parser()._actions if action.dest == "verb"]
    (part,) = [action for action in build_parser({verb, "--json"})._actions if action.dest == "verb"]
    assert set(whole.choices or ()) == set(VERBS)
    assert verb in (part.choices or ())
    assert set(part.choices or ()) < set(VERBS)
    with pytest.raises(SystemExit):
        parse([verb, "--help"])


def test_a_misspelled_verb_finds_its_neighbor() -> None:
    with pytest.raises(UsageError) as found:
        parse(["lod", "qwen3:14b"])
    assert "Did you mean load?" in (found.value.hint or "")
    with pytest.raises(UsageError, match="unknown option --dryrun") as found:
        parse(["load", "qwen3:14b", "--dryrun"])
    assert "Did you mean --dry-run?" in (found.value.hint or "")


@pytest.mark.slow
def test_of_two_engines_one_can_be_chosen(rig: CommandRig) -> None:
    with SimulatedWorkstation("pinned", driver=False) as other:
        both = (EngineAddress(rig.url), EngineAddress(other.url))
        rig.settings = replace(rig.settings, engines=both)
        unclear = rig.run("keep", CHAT, "5m")
        assert unclear.code == 2
        assert f"{CHAT} is in more than one engine: " in unclear.err
        assert "--ollama URL" in unclear.err
        for order in (both, both[::-1]):
            rig.settings = replace(rig.settings, engines=order)
            (step,) = rig.run("pull", "new:1b", "--dry-run", "--json").document["preview"]["steps"]
            assert step["engine"] == order[0].url, "the first one in the settings, whatever its address"
        rig.settings = replace(rig.settings, engines=both[1:])
        done = rig.run("keep", CHAT, "5m", "--json")
        assert done.code == 0
        assert {step["engine"] for step in done.document["preview"]["steps"]} == {other.url}
    assert rig.session_seconds(CHAT) > 1e9
