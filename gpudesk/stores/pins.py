"""Pins on disk: one file of TOML in the data folder, made to be read and edited by hand.

```toml
[[pin]]
engine = "http://127.0.0.1:11434"
model = "qwen3:14b"
context = 16384                   # the context it should have; left out: whatever it has
restore = true                    # put it right when it is lost
digest = "bdbd18…"                # of what was pinned; another one under the same name is another model
since = 2026-11-21T12:00:00Z
```

Two gpudesks that write at the same time wait for each other. Only the one pin's lines are changed: comments, order and
keys that are not known stay. A file that is no TOML is not believed; it is told, and set aside only when something has
to be written, because whoever edits it may be just about to save.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gpudesk.domain.pin import PinSample, PinWish
from gpudesk.errors import StoreError
from gpudesk.files import MissingFileError, read_bounded, set_aside, write_whole
from gpudesk.paths import shortened
from gpudesk.stores.pins_toml import cannot_be_written, entries_of, read_pins, spliced
from gpudesk.stores.process_lock import HeldError, ProcessLock
from gpudesk.text import clean
from gpudesk.toml_text import TomlError, parsed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILE_NAME = "pins.toml"
SIZE_LIMIT_BYTES = 1 << 20
"""Some thousand pins; a file larger than this is something else by mistake."""
_WAIT_SECONDS = 5.0


class BrokenPinsError(StoreError):
    """The file is there and is no TOML, or not of pins."""


class TomlPinStore:
    """`actions.ports.PinStore` as `pins.toml`."""

    def __init__(self, directory: Path, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path = directory / FILE_NAME
        self._now = now
        self._known: tuple[PinWish, ...] = ()
        self._lock = ProcessLock(directory / "pins.lock")

    def read(self) -> tuple[PinWish, ...]:
        """Return every pin that can be believed; never raises, `sample` says what is wrong."""
        return self.sample().wishes

    def sample(self) -> PinSample:
        """Return every pin that can be believed, and what is wrong with the rest.

        While the file cannot be read, because an editor is writing it, those that were read last are kept.
        """
        try:
            text, data = self._parsed()
        except StoreError as error:
            problem = f"{error.message}. {error.hint}" if error.hint else error.message
            return PinSample(self._known, (problem, *self._left_aside()))
        wishes, problems = read_pins(text, data, shortened(self.path))
        self._known = wishes
        return PinSample(wishes, (*problems, *self._left_aside()))

    def put(self, wish: PinWish) -> None:
        """Store a pin instead of an earlier one of the same model; a file that is broken is set aside first.

        Raises:
            StoreError: it could not be written; the old file is there, whole.
        """
        wrong = cannot_be_written(wish)
        if wrong is not None:
            raise StoreError(f"{clean(wish.name)} cannot be pinned: {wrong}")
        self._change(wish.engine_url, wish.name, wish)

    def remove(self, engine_url: str, name: str) -> bool:
        """Forget a pin; tell whether there was one.

        Raises:
            StoreError: the file is broken, or cannot be read or written; it is there, whole.
        """
        return self._change(engine_url, name, None)

    def _change(self, engine_url: str, name: str, wish: PinWish | None) -> bool:
        try:
            with self._lock.hold(f"changing the pin of {name}", _WAIT_SECONDS):
                return self._changed(engine_url, name, wish)
        except HeldError as error:
            message = f"{shortened(self.path)} cannot be written: {error.message}, for {_WAIT_SECONDS:.0f} s now"
            raise StoreError(message, error.hint) from error

    def _changed(self, engine_url: str, name: str, wish: PinWish | None) -> bool:
        try:
            text, data = self._parsed()
        except BrokenPinsError:
            if wish is None:
                raise
            set_aside(self.path, now=self._now())
            text, data = self._begun_anew()
        places = entries_of(data, engine_url, name)
        if wish is not None or places:
            write_whole(self.path, spliced(text, data, places, wish).encode())
        return bool(places)

    def _begun_anew(self) -> tuple[str, dict[str, Any]]:
        """Return a file with the pins that were known before the old one broke."""
        text, data = "", dict[str, Any]()
        for wish in self._known:
            text = spliced(text, data, [], wish)
            data = parsed(text.encode())[1]
        return text, data

    def _parsed(self) -> tuple[str, dict[str, Any]]:
        """Read the file.

        Raises:
            BrokenPinsError: it is no TOML.
            StoreError: it cannot be read.
        """
        try:
            text, data = parsed(read_bounded(self.path, SIZE_LIMIT_BYTES))
        except MissingFileError:
            return "", {}
        except TomlError as error:
            raise self._broken(str(error), error.hint) from error
        if not isinstance(data.get("pin", []), list):
            raise self._broken("wrong: pin is no list", "Write [[pin]], with two brackets")
        return text, data

    def _broken(self, reason: str, hint: str | None) -> BrokenPinsError:
        message = f"{shortened(self.path)} is {reason}, so its pins are not known"
        return BrokenPinsError(message, hint or "Put it right; pinning a model sets it aside and begins a new one")

    def _left_aside(self) -> list[str]:
        """Tell of files that were set aside and not looked at since."""
        try:
            names = sorted(path.name for path in self.path.parent.glob(f"{FILE_NAME}.*.wrong"))
        except OSError:
            return []
        return [f"{name} holds pins that could not be read: put them back by hand, or delete it" for name in names[:3]]
