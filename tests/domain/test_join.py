from __future__ import annotations

import pytest

from gpudesk.domain.join import RunnerGroup, join, model_groups, plain_name, runner_groups
from gpudesk.domain.process import Process
from gpudesk.units import GIBIBYTE
from tests.domain.builders import OTHER_URL, engine, model, runner, told


def groups_of(*processes: Process) -> list[RunnerGroup]:
    return runner_groups({process.pid: process for process in processes})


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("qwen3:14b", "qwen3:14b"),
        ("qwen3", "qwen3:latest"),
        ("Qwen3:14B", "qwen3:14b"),
        ("registry.ollama.ai/library/qwen3", "qwen3:latest"),
        ("registry.ollama.ai/me/qwen3:x", "me/qwen3:x"),
        ("library/qwen3:14b", "qwen3:14b"),
        ("host:5000/ns/qwen3", "host:5000/ns/qwen3:latest"),
        ("hf.co/unsloth/q-GGUF:Q4_K_M", "hf.co/unsloth/q-gguf:q4_k_m"),
        ("", ""),
    ],
)
def test_names_are_compared_in_one_spelling(name: str, plain: str) -> None:
    assert plain_name(name) == plain


def test_an_unnamed_runner_joins_no_unnamed_model() -> None:
    groups = model_groups([engine(model("", 1), model("b:1b", 2))], [])
    assert len(join(groups, groups_of(runner(1, None), runner(2, None)))) == 2


def test_groups_are_by_engine_and_weights() -> None:
    groups = model_groups(
        [
            engine(model("a:1b", 1), model("b:1b", 2), model("c:1b", 3)),
            engine(model("a:1b", 1), url=OTHER_URL),
        ],
        [told(1, 7), told(2, 7), told(3, 8)],
    )
    assert [[row.name for row in group.models] for group in groups] == [["a:1b", "b:1b"], ["c:1b"], ["a:1b"]]


def test_models_without_digest_or_details_stay_apart() -> None:
    groups = model_groups([engine(model("a:1b", 1), model("b:1b", 2))], [])
    assert len(groups) == 2


def test_runners_come_with_children_and_their_host_memory() -> None:
    (group,) = groups_of(runner(10), Process(12, "child", parent_pid=10, memory_resident_bytes=5), Process(11, "x"))
    assert group.pids == (10, 12)
    assert group.resident_bytes == GIBIBYTE + 5


def test_runners_that_are_gone_are_no_runners() -> None:
    gone = Process(10, exists=False, runner=runner(10).runner)
    assert groups_of(gone) == []


def test_more_engines_than_runners_leaves_one_without() -> None:
    groups = model_groups([engine(model("a:1b")), engine(model("a:1b"), url=OTHER_URL)], [told()])
    assert join(groups, groups_of(runner(10))) == []
    assert [len(group.runners) for group in groups] == [1, 0]


def test_more_runners_than_engines_are_all_given_away() -> None:
    groups = model_groups([engine(model("a:1b")), engine(model("a:1b"), url=OTHER_URL)], [told()])
    runners = groups_of(*(runner(pid, parent=pid % 2) for pid in (10, 11, 12, 13)))
    assert join(groups, runners) == []
    assert [group.pids for group in groups] == [(10, 12), (11, 13)]
