"""What the commands print of a preview."""

from __future__ import annotations

from gpudesk.actions.values import ActionId, Load, Preview, Step, StepKind
from gpudesk.output.action_text import preview_lines
from gpudesk.output.status_text import Style

PIN = Preview(ActionId.PIN, "a:1b", (Step(StepKind.PIN, Load("http://x", "a:1b")),))


def test_a_time_is_told_where_something_takes_one() -> None:
    def heading(seconds: float | None) -> str:
        return preview_lines(Preview(PIN.action, PIN.subject, PIN.steps, expected_seconds=seconds), Style())[0]

    assert heading(1.5) == "pin a:1b: about 1.5 s"
    assert heading(0.0) == heading(None) == "pin a:1b"
