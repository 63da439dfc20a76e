"""The boundary between sources and desks: whatever a source does becomes a value or a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.domain.reading import Failure
from gpudesk.errors import FailureKind, SourceError
from gpudesk.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpudesk.domain.desk import Desk
    from gpudesk.domain.reading import Sample
    from gpudesk.sources.base import Source


def look(source: Source, desk: Desk, fold: Callable[[Sample | None, Failure | None], None]) -> None:
    """Read a source once and hand on what came of it; may block as long as the source does.

    Args:
        source: what to look at.
        desk: what is known so far, for the source.
        fold: takes the value, or the failure. A value that it cannot take becomes a failure of the source.
    """
    try:
        fold(source.read(desk), None)
    except SourceError as error:
        hint = None if error.hint is None else clean(error.hint)
        failure = Failure(error.kind, clean(error.message), hint, error.http_status)
    except Exception as error:  # noqa: BLE001 - one broken source must not end the watching of the others
        failure = Failure(
            FailureKind.FAILED,
            clean(f"unexpected {type(error).__name__}: {error}"),
            "this is a fault of gpudesk: please report it with the output of `gpudesk doctor`",
        )
    else:
        return
    fold(None, failure)
