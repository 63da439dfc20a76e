"""Starting fast: keep Python's garbage collector out of the way while everything is being imported.

Imports allocate tens of thousands of objects and free almost none, so that each collection looks at all of them in
vain; without them the first paint comes about 45 ms of 340 earlier. What lives after the start is then set aside for
good (`gc.freeze`), which makes every later collection cheap.
"""

from __future__ import annotations

import gc
import threading

RESUME_SECONDS = 2.0
"""When a long-running command has started for certain; nothing collectable to speak of is made before."""


def pause_collector() -> None:
    """Stop collecting; a command that ends by itself never needs to again, its memory is freed by counting."""
    gc.disable()


def resume_collector() -> None:
    """Set aside everything alive and collect again."""
    gc.freeze()
    gc.enable()


def resume_collector_soon() -> None:
    """Do so once the start is over; for commands that go on."""
    timer = threading.Timer(RESUME_SECONDS, resume_collector)
    timer.daemon = True
    timer.start()
