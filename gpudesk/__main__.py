"""Entry point of `gpudesk` and `python -m gpudesk`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line and leave with its exit code; `--version` is answered before anything is imported."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from gpudesk import __version__

        sys.stdout.write(f"gpudesk {__version__}\n")
        return 0
    import os

    try:
        from gpudesk.cli import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # while modules were imported; later ones are met there
        code = 130
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue  # the other end is gone, nobody is left to tell
    # Taking the interpreter down costs tens of milliseconds and waits for nothing that matters: reading threads may
    # hang in a driver call for ever, and whatever had to be closed has been.
    return os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
