from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gpudesk.domain.pin import PinSample, PinWish
from gpudesk.sources.base import Source
from gpudesk.sources.pins import PinSource
from gpudesk.stores.pins import TomlPinStore
from gpudesk.watch.store import initial_desk

DESK = initial_desk(datetime(2026, 11, 21, tzinfo=UTC))
CHAT = PinWish("http://127.0.0.1:11434", "qwen3:14b")
EMBED = PinWish("http://127.0.0.1:11434", "nomic-embed-text:latest")


class CountingStore(TomlPinStore):
    """Counts how often the file is read."""

    looks = 0

    def sample(self) -> PinSample:
        self.looks += 1
        return super().sample()


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    return CountingStore(tmp_path)


def grow_old(path: Path, seconds: float = 60.0) -> None:
    """Make the file look as if it was last written some time ago."""
    os.utime(path, (time.time() - seconds, time.time() - seconds))


def test_it_is_a_source(store: CountingStore) -> None:
    source: Source = PinSource(store)
    assert (source.name, source.interval_seconds) == ("pins", 1.0)
    assert source.read(DESK) == PinSample()
    source.close()


def test_pins_are_seen_at_the_next_look(store: CountingStore) -> None:
    source = PinSource(store)
    assert source.read(DESK) == PinSample()
    TomlPinStore(store.path.parent).put(CHAT)
    assert source.read(DESK) == PinSample((CHAT,))
    TomlPinStore(store.path.parent).put(EMBED)
    assert source.read(DESK) == PinSample((CHAT, EMBED))
    store.path.unlink()
    assert source.read(DESK) == PinSample()


def test_a_file_that_rests_is_read_once(store: CountingStore) -> None:
    store.put(CHAT)
    grow_old(store.path)
    source = PinSource(store)
    first = source.read(DESK)
    assert all(source.read(DESK) is first for _ in range(10))
    assert store.looks == 1
    grow_old(store.path, 30.0)
    assert source.read(DESK) is first, "the same pins are the same sample"
    assert store.looks == 2


def test_no_file_is_looked_for_but_not_read_again(store: CountingStore) -> None:
    source = PinSource(store)
    for _ in range(10):
        source.read(DESK)
    assert store.looks == 1


def test_a_change_within_the_step_of_the_clock_is_seen(store: CountingStore) -> None:
    """Same size, same time, same file: only reading again shows it."""
    store.put(PinWish("http://x", "a:1"))
    source = PinSource(store)
    about = store.path.stat()
    assert source.read(DESK).wishes[0].name == "a:1"
    with store.path.open("r+b") as file:
        content = file.read().replace(b"a:1", b"a:2")
        file.seek(0)
        file.write(content)
    os.utime(store.path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert source.read(DESK).wishes[0].name == "a:2"


def test_a_file_that_breaks_keeps_the_pins_that_were_known(store: CountingStore) -> None:
    store.put(CHAT)
    source = PinSource(store)
    source.read(DESK)
    store.path.write_text("[[pin]\n")
    sample = source.read(DESK)
    assert sample.wishes == (CHAT,)
    assert "pins.toml is not valid TOML" in sample.problems[0]
    store.path.write_text(f'[[pin]]\nengine = "{EMBED.engine_url}"\nmodel = "{EMBED.name}"\n')
    assert source.read(DESK) == PinSample((EMBED,))


def test_a_folder_that_cannot_be_looked_into_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"")
    sample = PinSource(TomlPinStore(tmp_path / "data")).read(DESK)
    assert sample.wishes == ()
    assert "pins.toml cannot be read" in sample.problems[0]
