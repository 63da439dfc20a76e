"""What all commands that change something share: look, preview, ask once, carry out, tell."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from gpudesk.acting import opening
from gpudesk.actions.values import Ending, JournalEntry, Origin, Outcome
from gpudesk.commands.acting_session import HEADER_SECONDS, ActingMeans, Session, open_session
from gpudesk.errors import ExitCode, GpudeskError, RefusedError
from gpudesk.output import diagnostics
from gpudesk.records import dataclass
from gpudesk.units import age

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpudesk.acting.opening import Acting
    from gpudesk.actions.values import Load, Preview
    from gpudesk.config.settings import Settings
    from gpudesk.domain.keep_alive import KeepAliveWish
    from gpudesk.output.status_text import Style
    from gpudesk.stores.unfinished import UnfinishedAction


@dataclass(frozen=True, slots=True)
class ActingRequest:
    """How it was asked for."""

    as_json: bool = False
    dry_run: bool = False
    yes: bool = False
    """Do not ask, also where something is lost."""
    timeout_seconds: float | None = None


def request_from(given: Mapping[str, Any]) -> ActingRequest:
    """Return what the options of every such command say."""
    return ActingRequest(
        as_json=given.get("json", False),
        dry_run=given.get("dry_run", False),
        yes=given.get("yes", False),
        timeout_seconds=given.get("timeout"),
    )


Make = Callable[[Session], "Preview"]
After = Callable[[Session, "Preview", Outcome], None]


def act(
    given: Mapping[str, Any],
    means: ActingMeans,
    out: TextIO,
    make: Make,
    *,
    after: After | None = None,
    needs_engine: bool = True,
    tells_unfinished: bool = True,
) -> int:
    """Look, preview, ask where something is lost, carry it out, print, and return the exit code.

    Args:
        given: the options.
        means: what to work with.
        out: where data goes.
        make: makes the preview.
        after: told how it ended, before that is printed.
        needs_engine: nothing can be done when no engine answers.
        tells_unfinished: say when a gpudesk was killed in the middle of something.

    Raises:
        RefusedError: nothing may be changed.
        UsageError: a model nobody knows.
        SourceError: no engine answers.
    """
    refuse_read_only(means.settings)
    request = request_from(given)
    with open_session(means, needs_engine=needs_engine) as session:
        unfinished = _unfinished(session.acting)
        if tells_unfinished and unfinished is not None:
            tell_unfinished(unfinished, session)
        preview = make(session)
        if request.dry_run:
            return _tell_preview(preview, request, session, out)
        outcome, number = confirmed(preview, request, session), None
        if outcome is None:
            if tells_unfinished and unfinished is not None and preview.runs:
                _write_down(unfinished, session.acting)
            from gpudesk.commands.carrying_out import carry_out

            outcome, number = carry_out(preview, session.acting.ports, request.timeout_seconds)
            if after is not None:
                _tell_trouble(lambda: after(session, preview, outcome))
            if session.acting.journal.problem is not None:
                diagnostics.say(f"gpudesk: {session.acting.journal.problem}")
        _tell_outcome(preview, outcome, request, session, out)
        return exit_code(outcome, number)


def refuse_read_only(settings: Settings) -> None:
    """Raise `RefusedError` when nothing may be changed."""
    if settings.read_only:
        raise RefusedError("nothing is changed: --read-only, or read_only in the configuration")


def prepare(session: Session, loads: Sequence[Load]) -> None:
    """Wait until it can be told what these models take."""
    opening.prepare(session.acting.ports, session.desk, loads, HEADER_SECONDS)


def wished_keep_alive(given: Mapping[str, Any], session: Session) -> KeepAliveWish | None:
    """Return the keep-alive that was typed; None when none was.

    Raises:
        UsageError: it is none.
    """
    text = given.get("keep_alive")
    if text is None:
        return None
    from gpudesk.quantities import parse_keep_alive

    return parse_keep_alive(text, session.desk.taken_at)


def wished_context(given: Mapping[str, Any]) -> int | None:
    """Return the context that was typed: behind the name, else as an option."""
    asked: int | None = given["model"].context_length or given.get("ctx")
    return asked


def exit_code(outcome: Outcome, number: int | None = None) -> int:
    """Return the exit code of an outcome; after a signal, as shells count it."""
    if outcome.ending is Ending.DONE:
        return ExitCode.OK
    if outcome.canceled:
        return ExitCode.INTERRUPTED if number in (None, signal.SIGINT) else 128 + int(number or 0)
    return ExitCode.REFUSED if outcome.ending is Ending.REFUSED else ExitCode.FAILED


def confirmed(preview: Preview, request: ActingRequest, session: Session) -> Outcome | None:
    """Ask where something is lost; return None to go on, else the refusal."""
    if not preview.runs or not preview.loses or request.yes:
        return None
    if not can_ask():
        return Outcome(
            Ending.REFUSED,
            f"not done without a confirmation: {'; '.join(preview.loses)}",
            "Add --yes to do it all the same",
            after=preview.before,
        )
    from gpudesk.output.action_text import preview_lines

    for line in preview_lines(preview, style_for(sys.stderr, session.settings)):
        diagnostics.say(line)
    return None if ask("Do it? [y/N] ") else Outcome(Ending.REFUSED, "not confirmed", after=preview.before)


def can_ask() -> bool:
    """Tell whether somebody is there to answer: questions are put on stderr, answers come from stdin."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def ask(question: str, *, default: bool = False) -> bool:
    """Ask and return whether the answer was yes; the end of the input is no."""
    sys.stderr.write(question)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line.endswith("\n"):
        sys.stderr.write("\n")
        return False
    answer = line.strip().lower()
    return default if not answer else answer in {"y", "yes"}


def style_for(out: TextIO, settings: Settings) -> Style:
    """Choose how text may look where it goes."""
    import os

    from gpudesk.clock import SYSTEM_CLOCK
    from gpudesk.commands.status import style_for as style_of
    from gpudesk.workstation import Workstation

    return style_of(out, Workstation((), SYSTEM_CLOCK, settings), os.environ)


def tell_unfinished(unfinished: UnfinishedAction, session: Session) -> None:
    """Say that a gpudesk was killed in the middle of something, and what can be done about it."""
    ago = age((session.acting.ports.watch.clock.now() - unfinished.at).total_seconds())
    what = f"{unfinished.preview.action.value} {unfinished.preview.subject}"
    diagnostics.say(f"gpudesk: an earlier gpudesk was killed in the middle of: {what} ({ago})")
    diagnostics.say("  gpudesk restore --unfinished finish  carries it on; undo instead brings back what was there")


def _unfinished(opened: Acting) -> UnfinishedAction | None:
    found = opened.journal.unfinished_action()
    if found is None and opened.journal.problem is not None:
        diagnostics.say(f"gpudesk: {opened.journal.problem}")
    return found


def _write_down(unfinished: UnfinishedAction, opened: Acting) -> None:
    """Put an action that was cut off into the journal before the note of the next one takes its place."""
    preview = unfinished.preview
    opened.journal.append(
        JournalEntry(
            at=unfinished.at,
            action=preview.action.value,
            subject=preview.subject,
            who=Origin.COMMAND,
            ending=Ending.FAILED,
            message="cut off: gpudesk was killed",
            seconds=0.0,
            why="found by the next one, which did something else",
            before=preview.before,
        )
    )


def _tell_trouble(do: Callable[[], None]) -> None:
    try:
        do()
    except GpudeskError as error:
        diagnostics.report(error)


def _tell_preview(preview: Preview, request: ActingRequest, session: Session, out: TextIO) -> int:
    if request.as_json:
        _write_document(preview, None, session, out)
    else:
        from gpudesk.output.action_text import preview_lines

        _write_lines(preview_lines(preview, style_for(out, session.settings)), session, out)
    if preview.refusal is None:
        return ExitCode.OK
    diagnostics.report(RefusedError(preview.refusal.message, preview.refusal.hint))
    return ExitCode.REFUSED


def _tell_outcome(preview: Preview, outcome: Outcome, request: ActingRequest, session: Session, out: TextIO) -> None:
    if request.as_json:
        _write_document(preview, outcome, session, out)
    elif outcome.ending is Ending.DONE:
        from gpudesk.output.action_text import outcome_lines

        style = style_for(out, session.settings)
        notes = () if preview.steps else preview.notes
        _write_lines([*outcome_lines(outcome, style), *map(style.plain, notes)], session, out)
    if outcome.ending is not Ending.DONE:
        out.flush()
        diagnostics.report(GpudeskError(outcome.message, outcome.hint))
    elif outcome.missing and outcome.hint:
        diagnostics.say(f"  {outcome.hint}")


def _write_lines(lines: Sequence[str], session: Session, out: TextIO) -> None:
    banner = [session.banner] if session.banner is not None else []
    out.write("\n".join([*banner, *lines]) + "\n")


def _write_document(preview: Preview, outcome: Outcome | None, session: Session, out: TextIO) -> None:
    from gpudesk.output.action_json import document
    from gpudesk.output.desk_json import to_json

    out.write(to_json(document(preview, outcome, demo=session.banner is not None), indented=True) + "\n")
