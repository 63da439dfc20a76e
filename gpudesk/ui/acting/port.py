"""What the screen acts through, as protocols; `build` hands in the real one, tests one in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gpudesk.actions.ports import Ports
    from gpudesk.actions.values import JournalEntry, Load, Preview
    from gpudesk.domain.working_set import WorkingSet
    from gpudesk.stores.freed import Freed
    from gpudesk.stores.working_sets import ListedSet


class Sets(Protocol):
    """Where working sets are kept. Everything raises `GpudeskError` in plain words."""

    def list(self) -> tuple[ListedSet, ...]:
        """Return every set, with what is wrong with it."""
        ...

    def names(self) -> tuple[str, ...]:
        """Return the names of all sets."""
        ...

    def path(self, name: str) -> Path:
        """Return the file of a set, whether it exists or not."""
        ...

    def write(self, working_set: WorkingSet) -> None:
        """Store a set instead of an earlier one of that name."""
        ...

    def delete(self, name: str) -> None:
        """Delete a set."""
        ...

    def included_by(self, name: str) -> tuple[str, ...]:
        """Return the sets that would be broken without it."""
        ...


class Book(Protocol):
    """The journal, as it is read."""

    @property
    def problem(self) -> str | None:
        """What went wrong with the last line, or with the note of what was cut short; None when all is well."""
        ...

    @property
    def read_problem(self) -> str | None:
        """Why what was read last may lack entries; None when it is everything."""
        ...

    def read(self, limit: int) -> Sequence[JournalEntry]:
        """Return the newest entries, the newest last."""
        ...

    def unfinished(self) -> Preview | None:
        """Return what a gpudesk that no longer runs was cut short in."""
        ...

    def finish(self) -> None:
        """Forget it."""
        ...


class Shelf(Protocol):
    """What was taken off the card to make room. Everything raises `StoreError`."""

    def read(self) -> Freed | None:
        """Return what was freed and not brought back."""
        ...

    def add(self, loads: Sequence[Load]) -> None:
        """Remember these too."""
        ...

    def keep_only(self, loads: Sequence[Load]) -> None:
        """Forget all but these."""
        ...


class Acting(Protocol):
    """Everything the screen needs to act."""

    @property
    def ports(self) -> Ports:
        """What actions are carried out with."""
        ...

    @property
    def sets(self) -> Sets:
        """The working sets."""
        ...

    @property
    def journal(self) -> Book:
        """The journal."""
        ...

    @property
    def freed(self) -> Shelf:
        """What was freed."""
        ...

    def prepare(self, loads: Sequence[Load]) -> None:
        """Wait until what these models take can be told, a few seconds at most. From a thread of its own."""
        ...

    @property
    def restore_pins(self) -> bool:
        """A new pin is put right when it is lost, unless it is said otherwise."""
        ...
