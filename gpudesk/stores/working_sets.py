"""Working sets on disk: one file each, `sets/NAME.toml` in the data folder, where what the user made is kept.

A set can be handed on as it is: it holds no digest and, unless somebody wrote one, no address. A link to a file in a
repository works; it is written through.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gpudesk.errors import GpudeskError, StoreError, UsageError
from gpudesk.files import MissingFileError, read_bounded, write_whole
from gpudesk.paths import shortened
from gpudesk.records import dataclass, replace
from gpudesk.stores.working_set_toml import check_name, parse, to_toml
from gpudesk.text import clean
from gpudesk.toml_text import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from gpudesk.domain.working_set import SetModel, WorkingSet

FOLDER = "sets"
SUFFIX = ".toml"
SIZE_LIMIT_BYTES = 1 << 20
SETS_MOST = 500
DEPTH_MOST = 20
SHARED_MODE = 0o644
"""A set is made to be shared and holds no secret."""


@dataclass(frozen=True, slots=True)
class ListedSet:
    """One set of the list, also when it cannot be used."""

    name: str
    working_set: WorkingSet | None = None
    """With the models of the sets it includes; None when something is wrong with it."""
    problems: tuple[str, ...] = ()
    """What is wrong, a sentence each."""


class WorkingSetStore:
    """The sets of one user."""

    def __init__(self, directory: Path, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.folder = directory / FOLDER
        self._now = now

    def names(self) -> tuple[str, ...]:
        """Return the names of all sets, sorted.

        Raises:
            StoreError: the folder cannot be read.
        """
        try:
            found = sorted(path.name.removesuffix(SUFFIX) for path in self.folder.iterdir() if path.suffix == SUFFIX)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StoreError(f"{shortened(self.folder)} cannot be read: {error.strerror or error}") from error
        return tuple(name for name in found if not name.startswith("."))[:SETS_MOST]

    def list(self) -> tuple[ListedSet, ...]:
        """Return every set with what is wrong with it.

        Raises:
            StoreError: the folder cannot be read.
        """
        listed = [self._listed(name) for name in self.names()]
        by_key: dict[str, list[str]] = {}
        for each in listed:
            if each.working_set is not None and each.working_set.key is not None:
                by_key.setdefault(each.working_set.key, []).append(each.name)
        return tuple(_with_shared_key(each, by_key) for each in listed)

    def read(self, name: str) -> WorkingSet:
        """Return a set with the models of the sets it includes, its own first.

        What a set says of a model counts over what an included one says of it; two included ones must agree.

        Raises:
            UsageError: there is no such set, or something is wrong in it or in one it includes.
            StoreError: a file cannot be read.
        """
        return self._resolved(name, (), {})

    def read_as_written(self, name: str) -> WorkingSet:
        """Return a set with its own models only, as it is edited and written; raises as `read` does."""
        check_name(name)
        try:
            data = read_bounded(self.path(name), SIZE_LIMIT_BYTES)
        except MissingFileError as error:
            raise UsageError(f"there is no set {name}", self._nearest(name)) from error
        return parse(data.decode("utf-8", "surrogateescape"), name, self._now())

    def path(self, name: str) -> Path:
        """Return the file of a set, whether it exists or not.

        Raises:
            UsageError: it could not be the name of one.
        """
        return self.folder / f"{check_name(name)}{SUFFIX}"

    def write(self, working_set: WorkingSet) -> None:
        """Store a set as it is given, instead of an earlier one of that name.

        Raises:
            UsageError: it could not be read back, or another set's name differs only in capitals.
            StoreError: it could not be written; the earlier one is there, whole.
        """
        path = self.path(working_set.name)
        for name in self.names():
            if name != working_set.name and name.lower() == working_set.name.lower():
                raise UsageError(
                    f"there is a set {name}", "On some computers names that differ only in capitals are one"
                )
        text = to_toml(working_set)
        parse(text, working_set.name)
        write_whole(path, text.encode(), mode=SHARED_MODE)

    def write_text(self, name: str, text: str) -> None:
        """Store a set as somebody wrote it, comments and all; nothing is stored that could not be read back.

        Raises:
            UsageError: something is wrong in it, or with what it includes.
            StoreError: it could not be written; the earlier one is there, whole.
        """
        path = self.path(name)
        self._resolved(name, (), {}, parse(text, name, self._now()))
        write_whole(path, text.encode("utf-8", "surrogateescape"), mode=SHARED_MODE)

    def delete(self, name: str) -> None:
        """Delete a set; a link goes, what it leads to stays.

        Raises:
            UsageError: there is no such set.
            StoreError: it cannot be deleted.
        """
        try:
            self.path(name).unlink()
        except FileNotFoundError:
            raise UsageError(f"there is no set {name}", self._nearest(name)) from None
        except OSError as error:
            raise StoreError(f"set {name} cannot be deleted: {error.strerror or error}") from error

    def included_by(self, name: str) -> tuple[str, ...]:
        """Return the sets that would be broken if this one were gone."""
        found = []
        for other in self.names():
            try:
                if name in self.read_as_written(other).includes:
                    found.append(other)
            except GpudeskError:
                continue
        return tuple(found)

    def _listed(self, name: str) -> ListedSet:
        try:
            return ListedSet(name, self.read(name))
        except GpudeskError as error:
            return ListedSet(name, None, (f"{error.message}. {error.hint}" if error.hint else error.message,))

    def _resolved(
        self, name: str, above: tuple[str, ...], done: dict[str, WorkingSet], written: WorkingSet | None = None
    ) -> WorkingSet:
        """Return a set with what it includes; `written` is taken for what its file says."""
        if name in above:
            circle = " includes ".join((*above[above.index(name) :], name))
            raise UsageError(f"sets include each other: {circle}", f"Take the include out of {above[-1]}")
        if len(above) >= DEPTH_MOST:
            raise UsageError(f"set {above[0]} includes sets more than {DEPTH_MOST} deep")
        if name not in done:
            own = written or self.read_as_written(name)
            known = self.names() if own.includes else ()
            for other in own.includes:
                if other not in known:
                    message = f"set {name} includes {clean(other, 40)}, which does not exist"
                    raise UsageError(message, self._nearest(other))
            included = [self._resolved(other, (*above, name), done) for other in own.includes]
            done[name] = replace(own, models=_joined(own, included))
        return done[name]

    def _nearest(self, name: str) -> str:
        """Return what to do instead of naming a set that is not there."""
        known = self.names()
        close = nearest(name, known)
        if close is not None:
            return f"Did you mean {close}?"
        return f"There are: {', '.join(known[:10])}" if known else "There are none yet: gpudesk set save NAME makes one"


def _joined(own: WorkingSet, included: Iterable[WorkingSet]) -> tuple[SetModel, ...]:
    """Return the models of a set and of those it includes.

    Raises:
        UsageError: two included ones say different things of a model of which the set itself says nothing.
    """
    said = {(model.engine_url, model.name) for model in own.models}
    found: dict[tuple[str | None, str], tuple[SetModel, str]] = {}
    for other in included:
        for model in other.models:
            key = (model.engine_url, model.name)
            if key in said:
                continue
            earlier, whose = found.setdefault(key, (model, other.name))
            if earlier != model:
                raise UsageError(
                    f"sets {whose} and {other.name} differ about {model.name}, and set {own.name} includes both",
                    f"Say in {own.name} how {model.name} shall be loaded",
                )
    return (*own.models, *(model for model, _ in found.values()))


def _with_shared_key(listed: ListedSet, by_key: dict[str, list[str]]) -> ListedSet:
    """Note that another set has the same key: it would then apply neither."""
    key = listed.working_set.key if listed.working_set is not None else None
    others = [name for name in by_key.get(key, ()) if name != listed.name] if key is not None else []
    if not others:
        return listed
    return replace(listed, problems=(*listed.problems, f"key {key} is also that of {', '.join(others)}"))
