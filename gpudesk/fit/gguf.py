"""Reads the header of a GGUF file, and nothing behind it.

Layout: ggml/include/gguf.h and ggml/src/gguf.cpp of llama.cpp (`gguf_init_from_reader`). Whatever the file claims, the
work is bounded: counts are checked against the bytes that are left before anything is made of them, vocabularies are
hopped over, and what is kept has a limit.
"""

from __future__ import annotations

import io
from struct import Struct, error
from typing import BinaryIO

from gpudesk.fit.gguf_values import GgufHeader, HeaderError, SkippedArray
from gpudesk.fit.metadata import Tensor
from gpudesk.fit.tensor_sizes import KINDS, tensor_bytes
from gpudesk.text import clean

__all__ = ["GgufHeader", "HeaderError", "SkippedArray", "read_header"]

MOST_KEYS = 8192
MOST_TENSORS = 1 << 17
"""Old files hold each expert on its own: 61 layers of 256 experts are 46,848 tensors."""
MOST_STRINGS = 1 << 22
"""In all lists together; a vocabulary of 262,144 with its merges has an eighth of that."""
MOST_KEPT = 1 << 18
"""Elements of all lists together that are kept; a list that goes beyond is skipped."""
LONGEST_KEPT = 4096
"""Elements of one list: per-layer lists have at most 512 (`LLAMA_MAX_LAYERS`)."""
LONGEST_KEY = 1024
LONGEST_TENSOR_NAME = 256
"""ggml stops at 63 (`GGML_MAX_NAME`)."""
LONGEST_TEXT = 4096
"""What is kept of a text; a chat template may be much longer."""
MOST_DIMENSIONS = 4
_CHUNK_BYTES = 1 << 20
_MOST_ALIGNMENT = 1 << 20

_U32 = Struct("<I")
_U64 = Struct("<Q")
_COUNTS = Struct("<IQQ")
_ARRAY, _STRING, _BOOL = 9, 8, 7
_SCALARS: dict[int, tuple[str, Struct]] = {
    0: ("UINT8", Struct("<B")),
    1: ("INT8", Struct("<b")),
    2: ("UINT16", Struct("<H")),
    3: ("INT16", Struct("<h")),
    4: ("UINT32", Struct("<I")),
    5: ("INT32", Struct("<i")),
    6: ("FLOAT32", Struct("<f")),
    _BOOL: ("BOOL", Struct("<B")),
    10: ("UINT64", Struct("<Q")),
    11: ("INT64", Struct("<q")),
    12: ("FLOAT64", Struct("<d")),
}
_SMALLEST_KEY = 8 + 1 + 4 + 1
_SMALLEST_TENSOR = 8 + 4 + 4 + 8
_REMOVED_KINDS = frozenset({4, 5, 31, 32, 33, 36, 37, 38})
"""Types that llama.cpp no longer reads (ggml/include/ggml.h)."""


def read_header(stream: BinaryIO, *, size_bytes: int | None = None) -> GgufHeader:
    """Read what stands before the weights.

    Args:
        stream: positioned at the start of the file; must be seekable.
        size_bytes: of the whole file, when the stream does not hold all of it.

    Raises:
        HeaderError: names the field that is not what the format says.
        OSError: the stream cannot be read.
    """
    reader = _Reader(stream, size_bytes)
    version, tensor_count, key_count = _read_start(reader)
    key_values = _read_keys(reader, key_count)
    alignment = _alignment(key_values)
    tensors, ends = _read_tensors(reader, tensor_count, alignment)
    header_bytes = -(-reader.offset // alignment) * alignment
    total = sum(tensor_bytes(tensor) for tensor in tensors)
    split_count, split_index = _split(key_values)
    claimed = max(max(ends, default=0), total)
    if header_bytes + claimed > max(reader.size, header_bytes):
        raise HeaderError(
            "weights",
            f"cut off: {claimed} bytes are claimed, {max(reader.size - header_bytes, 0)} are there",
            "The download is not complete, or the file is damaged",
        )
    return GgufHeader(version, key_values, tensors, total, header_bytes, split_count, split_index)


class _Reader:
    """A window on the stream that only moves forward."""

    def __init__(self, stream: BinaryIO, size_bytes: int | None) -> None:
        self._stream = stream
        self.size = _size_of(stream) if size_bytes is None else size_bytes
        self._buffer = b""
        self._position = 0
        self._buffer_offset = 0
        self.strings_left = MOST_STRINGS
        self.kept_left = MOST_KEPT

    @property
    def offset(self) -> int:
        """Bytes read so far."""
        return self._buffer_offset + self._position

    @property
    def left(self) -> int:
        """Bytes between here and the end of the file."""
        return self.size - self.offset

    def take(self, count: int, field: str) -> bytes:
        """Return the next bytes; `count` must be bounded by the caller."""
        end = self._position + count
        if end > len(self._buffer):
            self._fill(count, field)
            end = count
        taken = self._buffer[self._position : end]
        self._position = end
        return taken

    def skip(self, count: int, field: str) -> None:
        """Go on without looking."""
        if count > self.left:
            raise self._cut_off(field, count)
        self._position += count

    def skip_strings(self, count: int, field: str) -> None:
        """Hop over strings by their lengths, which is all that most of a header consists of."""
        length_at = _U64.unpack_from
        while count:
            if len(self._buffer) - self._position < 8:
                self._fill(8, field)
            buffer, position = self._buffer, self._position
            done = 0
            try:
                for done in range(count):  # noqa: B007 - read after the loop: how far it came
                    position += 8 + length_at(buffer, position)[0]
                done = count
            except (error, OverflowError):
                pass  # the window is used up, or a length is beyond all measure
            if self._buffer_offset + position > self.size:
                raise self._cut_off(field, self._buffer_offset + position - self.offset)
            self._position = position
            count -= done

    def text(self, longest: int, field: str) -> str:
        """Return a string of which no more than `longest` bytes are allowed."""
        length: int = _U64.unpack(self.take(8, field))[0]
        if length > self.left:
            raise self._cut_off(field, length)
        if length > longest:
            raise HeaderError(field, f"{length} bytes long, at most {longest} are sensible")
        return self.take(length, field).decode("utf-8", "replace")

    def start_of_text(self, kept: int, field: str) -> str:
        """Return the first bytes of a string and go to its end."""
        length: int = _U64.unpack(self.take(8, field))[0]
        if length > self.left:
            raise self._cut_off(field, length)
        start = self.take(min(length, kept), field)
        self.skip(length - len(start), field)
        return start.decode("utf-8", "replace" if length <= kept else "ignore")

    def _fill(self, count: int, field: str) -> None:
        """Put the next `count` bytes at the start of the window, with what comes along."""
        if count > self.left:
            raise self._cut_off(field, count)
        offset = self.offset
        ahead = self._buffer[self._position :]
        if not ahead and self._position > len(self._buffer):
            self._stream.seek(self._position - len(self._buffer), io.SEEK_CUR)
        wanted = max(count, _CHUNK_BYTES) - len(ahead)
        parts = [ahead]
        while wanted > 0 and (part := self._stream.read(wanted)):
            parts.append(part)
            wanted -= len(part)
        self._buffer, self._position, self._buffer_offset = b"".join(parts), 0, offset
        if len(self._buffer) < count:
            raise self._cut_off(field, count)

    def _cut_off(self, field: str, count: int) -> HeaderError:
        return HeaderError(
            field,
            f"cut off: {count} bytes are claimed at {self.offset}, the file has {self.size}",
            "The download is not complete, or the file is damaged",
        )


def _size_of(stream: BinaryIO) -> int:
    here = stream.tell()
    size = stream.seek(0, io.SEEK_END) - here
    stream.seek(here)
    return size


def _read_start(reader: _Reader) -> tuple[int, int, int]:
    """Return version, number of tensors and of keys."""
    magic = reader.take(min(4, max(reader.left, 0)), "magic")
    if magic != b"GGUF":
        lfs = magic == b"vers"
        hint = "This is a Git LFS pointer; fetch the file itself" if lfs else "Only GGUF models can be computed"
        raise HeaderError("magic", f"not a GGUF file: it begins with {_shown(magic)}", hint)
    version, tensor_count, key_count = _COUNTS.unpack(reader.take(_COUNTS.size, "version and counts"))
    if version & 0xFFFF == 0 and version:
        raise HeaderError("version", "the file is big-endian", "Convert it: gguf-convert-endian FILE little")
    if version not in (2, 3):
        advice = "It is too old: no engine reads it any more" if version < 2 else "It is newer than gpudesk"
        raise HeaderError("version", f"GGUF version {version}; 2 and 3 are understood", advice)
    _check_count(reader, "number of keys", key_count, MOST_KEYS, _SMALLEST_KEY)
    _check_count(reader, "number of tensors", tensor_count, MOST_TENSORS, _SMALLEST_TENSOR)
    return version, tensor_count, key_count


def _check_count(reader: _Reader, field: str, count: int, most: int, smallest: int) -> None:
    if count * smallest > reader.left:
        raise HeaderError(field, f"{count} do not fit into a file of {reader.size} bytes")
    if count > most:
        raise HeaderError(field, f"{count}, at most {most} are sensible")


def _read_keys(reader: _Reader, count: int) -> dict[str, object]:
    key_values: dict[str, object] = {}
    for index in range(count):
        key = reader.text(LONGEST_KEY, f"key {index + 1} of {count}")
        if not key:
            raise HeaderError(f"key {index + 1} of {count}", "empty")
        if key in key_values:
            raise HeaderError(key, "stands there twice")
        kind: int = _U32.unpack(reader.take(4, key))[0]
        key_values[key] = _read_array(reader, key) if kind == _ARRAY else _read_value(reader, key, kind)
    return key_values


def _read_value(reader: _Reader, key: str, kind: int) -> object:
    if kind == _STRING:
        return reader.start_of_text(LONGEST_TEXT, key)
    scalar = _SCALARS.get(kind)
    if scalar is None:
        raise HeaderError(key, f"unknown value type {kind}")
    value: object = scalar[1].unpack(reader.take(scalar[1].size, key))[0]
    return bool(value) if kind == _BOOL else value


def _read_array(reader: _Reader, key: str) -> object:
    kind: int = _U32.unpack(reader.take(4, key))[0]
    count: int = _U64.unpack(reader.take(8, key))[0]
    if kind == _ARRAY:
        raise HeaderError(key, "a list of lists, which no engine reads")
    if kind == _STRING:
        if count * 8 > reader.left:
            raise HeaderError(key, f"{count} texts do not fit into a file of {reader.size} bytes")
        if count > reader.strings_left:
            raise HeaderError(key, f"{count} texts, at most {MOST_STRINGS} are sensible")
        reader.strings_left -= count
        reader.skip_strings(count, key)
        return SkippedArray("STRING", count)
    scalar = _SCALARS.get(kind)
    if scalar is None:
        raise HeaderError(key, f"a list of unknown type {kind}")
    name, layout = scalar
    if count * layout.size > reader.left:
        raise HeaderError(key, f"{count} values do not fit into a file of {reader.size} bytes")
    if count > min(LONGEST_KEPT, reader.kept_left):
        reader.skip(count * layout.size, key)
        return SkippedArray(name, count)
    reader.kept_left -= count
    values = tuple(value for (value,) in layout.iter_unpack(reader.take(count * layout.size, key)))
    return tuple(bool(value) for value in values) if kind == _BOOL else values


def _alignment(key_values: dict[str, object]) -> int:
    value = key_values.get("general.alignment", 32)
    if isinstance(value, bool) or not isinstance(value, int):
        raise HeaderError("general.alignment", "not a whole number")
    if not 0 < value <= _MOST_ALIGNMENT or value & (value - 1):
        raise HeaderError("general.alignment", f"{value} is no power of two up to {_MOST_ALIGNMENT}")
    return value


def _read_tensors(reader: _Reader, count: int, alignment: int) -> tuple[tuple[Tensor, ...], list[int]]:
    """Return the tensors, and where the data of each ends, from the first byte of the weights."""
    tensors: list[Tensor] = []
    ends: list[int] = []
    names: set[str] = set()
    for index in range(count):
        name = reader.text(LONGEST_TENSOR_NAME, f"tensor {index + 1} of {count}")
        if name in names:
            raise HeaderError(f"tensor {clean(name, 64)}", "stands there twice")
        names.add(name)
        tensor, offset = _read_tensor(reader, name)
        if offset % alignment:
            raise HeaderError(f"tensor {clean(name, 64)}", f"begins at {offset}, which is not aligned to {alignment}")
        tensors.append(tensor)
        ends.append(offset + tensor_bytes(tensor))
    return tuple(tensors), ends


def _read_tensor(reader: _Reader, name: str) -> tuple[Tensor, int]:
    field = f"tensor {clean(name, 64)}"
    dimensions: int = _U32.unpack(reader.take(4, field))[0]
    if dimensions > MOST_DIMENSIONS:
        raise HeaderError(field, f"{dimensions} dimensions, at most {MOST_DIMENSIONS} are possible")
    *shape, kind, offset = _TENSOR[dimensions].unpack(reader.take(_TENSOR[dimensions].size, field))
    known = KINDS.get(kind)
    if known is None:
        removed = kind in _REMOVED_KINDS
        raise HeaderError(
            field,
            f"type {kind} was removed from llama.cpp" if removed else f"unknown type {kind}",
            "Quantize the model anew" if removed else "The file is newer than this version of gpudesk, or damaged",
        )
    return Tensor(name, known, tuple(shape)), offset


_TENSOR = [Struct(f"<{dimensions}QIQ") for dimensions in range(MOST_DIMENSIONS + 1)]


def _split(key_values: dict[str, object]) -> tuple[int, int]:
    """Return how many files the model is in and which one this is."""
    count, index = key_values.get("split.count", 0), key_values.get("split.no", 0)
    if not isinstance(count, int) or not isinstance(index, int) or not 0 <= index < max(count, 1) <= 65535:
        raise HeaderError("split.count", "makes no sense together with split.no")
    return max(int(count), 1), int(index)


def _shown(magic: bytes) -> str:
    return repr(clean(magic.decode("ascii", "replace"), 8)) if magic else "nothing"
