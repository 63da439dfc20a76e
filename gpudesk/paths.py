"""Where gpudesk keeps its files.

The platform's own places (XDG on Linux), asked of platformdirs; each can be moved with an environment variable.
Nothing here creates anything: a folder is made by whoever first writes into it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CONFIG_VARIABLE = "GPUDESK_CONFIG"
"""Names the configuration *file*."""
CACHE_VARIABLE = "GPUDESK_CACHE_DIR"
DATA_VARIABLE = "GPUDESK_DATA_DIR"
STATE_VARIABLE = "GPUDESK_STATE_DIR"

_APPLICATION = "gpudesk"


def _moved(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value).expanduser() if value else None


def config_path() -> Path:
    """Return the configuration file, whether it exists or not: GPUDESK_CONFIG or `config.toml` in the user's place."""
    moved = _moved(CONFIG_VARIABLE)
    if moved is not None:
        return moved
    import platformdirs

    return platformdirs.user_config_path(_APPLICATION, appauthor=False) / "config.toml"


def cache_directory() -> Path:
    """Return where what can be fetched again is kept: details of models, by digest."""
    moved = _moved(CACHE_VARIABLE)
    if moved is not None:
        return moved
    import platformdirs

    return platformdirs.user_cache_path(_APPLICATION, appauthor=False)


def data_directory() -> Path:
    """Return where what the user made is kept."""
    moved = _moved(DATA_VARIABLE)
    if moved is not None:
        return moved
    import platformdirs

    return platformdirs.user_data_path(_APPLICATION, appauthor=False)


def state_directory() -> Path:
    """Return where what happened is kept: the journal."""
    moved = _moved(STATE_VARIABLE)
    if moved is not None:
        return moved
    import platformdirs

    return platformdirs.user_state_path(_APPLICATION, appauthor=False)


_homes: list[Path] = []
"""Of demos, which are written as `~` in place of the user's."""


@contextmanager
def at_home(folder: Path) -> Iterator[None]:
    """Write another folder as `~`, for as long as a demo is shown that has its home there."""
    _homes.append(folder)
    try:
        yield
    finally:
        _homes.remove(folder)


def shortened(path: Path | str) -> str:
    """Write a path with the home directory as `~`, so that it can be pasted in public."""
    text = str(path)
    home = str(_homes[-1] if _homes else Path.home())
    if home not in {"", "/"} and (text == home or text.startswith(home + os.sep)):
        return "~" + text[len(home) :]
    return text
