"""The text of other programs' files, such that what is not changed comes out byte for byte.

Line ends are left as they are in the text, a byte order mark is kept beside it. Only UTF-8: the editors read nothing
else (Continue, Zed and VS Code decode such files as UTF-8 whatever is in them).
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from gpudesk.errors import ExportError, StoreError
from gpudesk.files import MissingFileError, read_bounded
from gpudesk.paths import shortened
from gpudesk.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_SUPPOSED: ContextVar[Mapping[Path, bytes] | None] = ContextVar("supposed", default=None)
LIMIT_BYTES = 10_000_000
"""A configuration this large is none: somebody pointed at the wrong file."""
_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file as it was read."""

    path: Path
    data: bytes | None
    """None: there is no such file."""
    text: str
    """Without byte order mark, with the line ends it has; empty when there is no such file."""
    has_mark: bool = False

    def encoded(self, text: str) -> bytes:
        """Return the bytes of a new text, with the byte order mark this one has."""
        return (_MARK if self.has_mark else b"") + text.encode("utf-8")

    @property
    def line_end(self) -> str:
        """What most of its lines end with."""
        return line_end_of(self.text)


def line_end_of(text: str) -> str:
    """Return what most lines of a text end with; a line feed when there is none."""
    both = text.count("\r\n")
    return "\r\n" if both * 2 > text.count("\n") else "\n"


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Return line and column of a place in a text, both from 1."""
    start = text.rfind("\n", 0, offset) + 1
    return text.count("\n", 0, start) + 1, offset - start + 1


@contextmanager
def supposing(contents: Mapping[Path, bytes]) -> Iterator[None]:
    """Have `read_text` give these contents for these files, to look at a change before it is made."""
    token = _SUPPOSED.set(contents)
    try:
        yield
    finally:
        _SUPPOSED.reset(token)


def read_text(path: Path) -> TextFile:
    """Read a file that may not exist.

    Raises:
        ExportError: it cannot be read, is 10 MB or larger, or is no text in UTF-8.
    """
    supposed = (_SUPPOSED.get() or {}).get(path)
    if supposed is not None:
        return decoded(path, supposed)
    try:
        size = path.stat().st_size
        if size >= LIMIT_BYTES:
            raise ExportError(
                f"{shortened(path)} is {size / 1e6:.0f} MB: too large to be a configuration", "Look at what the file is"
            )
        data = read_bounded(path, LIMIT_BYTES)
    except (FileNotFoundError, MissingFileError):
        if path.is_symlink():
            raise ExportError(
                f"{shortened(path)} is a symbolic link to a file that does not exist",
                f"It leads to {shortened(path.resolve())}",
            ) from None
        return TextFile(path, None, "")
    except StoreError as error:
        raise ExportError(error.message, error.hint) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ExportError(
            f"{shortened(path)} cannot be read: {reason.lower()}",
            "Look at the permissions of the file and the folders above it",
        ) from error
    return decoded(path, data)


def decoded(path: Path, data: bytes) -> TextFile:
    """Take the bytes of a file apart.

    Raises:
        ExportError: they are no text in UTF-8; says where.
    """
    has_mark = data.startswith(_MARK)
    body = data[len(_MARK) :] if has_mark else data
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        line, _ = line_and_column(body[: error.start].decode("utf-8"), error.start)
        kind = " (it looks like UTF-16)" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else ""
        raise ExportError(
            f"{shortened(path)} is not UTF-8{kind}: byte 0x{body[error.start]:02x} in line {line}",
            "Save it as UTF-8; the editor reads nothing else",
        ) from error
    return TextFile(path, data, text, has_mark)
