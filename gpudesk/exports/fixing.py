"""Safe fixes, round after round, until none is left; none that leaves what it touches worse than it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gpudesk.exports.values import Finding

ROUNDS = 50
"""Of fixing and looking again, at most: one fix makes way for another."""

State = TypeVar("State")


def fixing(
    state: State,
    look: Callable[[State], Sequence[Finding]],
    make: Callable[[State, Sequence[Finding]], tuple[State, Sequence[Finding]]],
) -> tuple[State, tuple[Finding, ...]]:
    """Return a state with everything made right that is safe to make right, and what was fixed.

    Args:
        state: the texts as they are.
        look: what is wrong in a state.
        make: the state with the fixes of some findings made, and those that were (two may want the same place).
    """
    first, before = state, look(state)
    barred = len(_barring(before))
    done: list[Finding] = []
    refused: set[tuple[str, str]] = set()
    alone = False
    for _ in range(ROUNDS):
        todo = [finding for finding in before if finding.edits and _key(finding) not in refused]
        if not todo:
            break
        changed, made = make(state, todo[:1] if alone else todo)
        after = look(changed)
        if _is_better(before, after, made):
            done += made
            state, before = changed, after
        elif alone:
            refused.add(_key(todo[0]))
        else:
            alone = True
    if len(_barring(before)) > barred:
        return first, ()
    return state, tuple(done)


def _is_better(before: Iterable[Finding], after: Sequence[Finding], made: Iterable[Finding]) -> bool:
    """What was to be fixed is gone, and what is new and bars the file can be fixed as well.

    A key under its right name is looked into for the first time, so something new may be found in it.
    """
    left = {_key(finding) for finding in after}
    if any(_key(finding) in left for finding in made):
        return False
    known = {_key(finding) for finding in before}
    return all(finding.edits for finding in _barring(after) if _key(finding) not in known)


def _key(finding: Finding) -> tuple[str, str]:
    return finding.code, finding.where


def _barring(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.bars_file]
