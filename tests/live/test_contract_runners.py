"""What the process list shows of an engine: which requests start a runner anew, and what its command line tells."""

from __future__ import annotations

import re

from tests.live.models import ALIAS, CHAT, EMBED, TINY_CHAT, WIDE, WIDE_CONTEXT
from tests.live.residency import FIVE_MINUTES, check_forever, check_stay, load, talking
from tests.live.subject import Machine, Subject


def test_two_names_of_one_file_share_a_runner_under_the_first_name(own_models: Subject, machine: Machine) -> None:
    load(own_models, ALIAS, keep_alive="10m")
    (runner,) = machine.runners()
    load(own_models, CHAT, keep_alive=-1)
    assert machine.runners() == (runner,)
    assert list(own_models.loaded()) == [ALIAS]
    check_forever(own_models, ALIAS)
    assert own_models.api.post("/api/generate", model=CHAT, keep_alive=0).json["done_reason"] == "unload"
    own_models.api.wait_until(lambda: not own_models.loaded(), "the model is gone under both names")


def test_a_changed_keep_alive_and_sampling_options_keep_the_runner(own_models: Subject, machine: Machine) -> None:
    load(own_models, CHAT)
    before = machine.runners()
    load(own_models, CHAT, keep_alive=-1)
    load(own_models, CHAT, keep_alive="20m", options={"temperature": 1, "num_predict": 3, "seed": 7})
    assert machine.runners() == before
    check_stay(own_models, CHAT, 1200)


def test_another_context_is_another_runner_and_the_keep_alive_is_lost(own_models: Subject, machine: Machine) -> None:
    load(own_models, CHAT, keep_alive=-1, options={"num_ctx": 512})
    (before,) = machine.runners()
    load(own_models, CHAT, options={"num_ctx": 512})
    assert machine.runners() == (before,)
    load(own_models, CHAT, options={"num_ctx": 1024})
    (after,) = machine.runners()
    assert after.pid != before.pid
    check_stay(own_models, CHAT, FIVE_MINUTES)
    assert list(own_models.loaded()) == [CHAT]


def test_a_pin_request_without_the_context_reloads_a_model_loaded_with_one(
    own_models: Subject, machine: Machine
) -> None:
    load(own_models, CHAT, options={"num_ctx": 512})
    (before,) = machine.runners()
    load(own_models, CHAT, keep_alive=-1)
    (after,) = machine.runners()
    assert after.pid != before.pid
    check_forever(own_models, CHAT)


def test_a_derived_model_with_its_own_context_takes_the_runner_over(own_models: Subject, machine: Machine) -> None:
    load(own_models, CHAT)
    (before,) = machine.runners()
    load(own_models, WIDE)
    (after,) = machine.runners()
    assert after.pid != before.pid
    assert after.argument("--model") == before.argument("--model")
    assert list(own_models.loaded()) == [WIDE]


def test_the_command_line_names_the_file_and_in_most_versions_the_context(
    own_models: Subject, machine: Machine
) -> None:
    load(own_models, WIDE)
    (runner,) = machine.runners()
    modelfile = own_models.api.post("/api/show", model=WIDE).json["modelfile"]
    assert f"FROM {runner.argument('--model')}" in modelfile.splitlines()
    assert re.fullmatch(r"\d+", runner.argument("--port"))
    version, slots = own_models.version, own_models.num_parallel
    if version >= (0, 30):
        assert runner.argument("-c") == str(WIDE_CONTEXT * slots)
        assert runner.argument("-np") == str(slots)
    elif version < (0, 11, 5):
        assert runner.argv[1] == "runner"
        assert runner.argument("--ctx-size") == str(WIDE_CONTEXT * slots)
        assert runner.argument("--parallel") == str(slots)
    else:
        assert runner.argv[1:] == ("runner", "--model", runner.argument("--model"), "--port", runner.argument("--port"))


def test_an_embedding_models_runner_has_one_slot(own_models: Subject, machine: Machine) -> None:
    load(own_models, EMBED)
    (runner,) = machine.runners()
    if own_models.version >= (0, 30):
        assert runner.argument("-np") == "1"
    elif own_models.version < (0, 11, 5):
        assert runner.argument("--parallel") == "1"


def test_a_context_beyond_the_trained_one_is_cut_since_0_9_3(own_models: Subject, machine: Machine) -> None:
    beyond = TINY_CHAT.context_length * 2
    load(own_models, CHAT, options={"num_ctx": beyond})
    (runner,) = machine.runners()
    if own_models.version >= (0, 9, 7):
        assert own_models.loaded()[CHAT]["context_length"] == TINY_CHAT.context_length
    elif own_models.version < (0, 9, 3):
        assert runner.argument("--ctx-size") == str(beyond * own_models.num_parallel)


def test_a_killed_runner_stays_listed_until_the_next_request_loads_anew(own_models: Subject, machine: Machine) -> None:
    load(own_models, CHAT, keep_alive=-1)
    (runner,) = machine.runners()
    machine.kill_runner(runner.pid)
    own_models.api.wait_until(lambda: not machine.runners(), "the runner is gone")
    check_forever(own_models, CHAT)
    load(own_models, CHAT)
    (again,) = machine.runners()
    assert again.pid != runner.pid
    check_stay(own_models, CHAT, FIVE_MINUTES)


def test_a_runner_killed_while_it_answers_is_an_error_line_after_status_200(
    own_models: Subject, machine: Machine
) -> None:
    load(own_models, CHAT)
    (runner,) = machine.runners()
    with talking(own_models, CHAT) as lines:
        machine.kill_runner(runner.pid)
        *_, last = lines
    assert last.startswith('{"error":"')


def test_a_restarted_server_has_nothing_loaded_and_everything_installed(own_models: Subject, machine: Machine) -> None:
    load(own_models, CHAT, keep_alive=-1)
    (runner,) = machine.runners()
    installed = own_models.api.installed()
    version = own_models.api.get("/api/version").text
    machine.restart()
    own_models.api.wait_until(lambda: runner not in machine.runners(), "its runner is gone")
    assert own_models.loaded() == {}
    assert own_models.api.installed() == installed
    assert own_models.api.get("/api/version").text == version
