"""Desktop notifications: what is run, how often, and that nothing in a text is more than text."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest

from gpudesk.acting.desktop import DesktopNotifier, command_for


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")


@pytest.mark.usefixtures("tools")
def test_on_linux_both_texts_stand_behind_the_end_of_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    command = command_for("gpudesk", "--icon=/etc/passwd\x1b[31m")
    assert command is not None
    assert command[0] == "/usr/bin/notify-send"
    assert command[-3:-1] == ["--", "gpudesk"]
    assert "\x1b" not in command[-1]


@pytest.mark.usefixtures("tools")
def test_on_a_mac_both_texts_are_arguments_of_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    command = command_for("gpudesk", 'x" & (do shell script "id")')
    assert command is not None
    assert command[-1].startswith('x"')
    assert "do shell script" not in command[2]


def test_without_a_tool_there_is_nothing_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _name: None)
    assert command_for("gpudesk", "text") is None


def test_more_than_one_at_a_time_become_one_and_none_is_forgotten() -> None:
    now, ran = [0.0], []

    def run(command: Sequence[str]) -> None:
        ran.append(list(command))

    notifier = DesktopNotifier(command=lambda title, text: [title, text], run=run, monotonic=lambda: now[0])
    notifier.tell([])
    assert ran == []
    notifier.tell(["a"])
    notifier.tell(["b"])
    notifier.tell(["c", "d"])
    assert ran == [["gpudesk", "a"]]
    now[0] = 2.5
    notifier.tell([])
    assert ran == [["gpudesk", "a"], ["gpudesk", "b (and 2 more)"]]
    now[0] = 9.0
    notifier.tell([])
    assert len(ran) == 2


def test_a_tool_that_cannot_be_run_is_nobody_s_concern() -> None:
    DesktopNotifier(command=lambda _title, _text: ["/nonexistent/notify"]).tell(["a"])
