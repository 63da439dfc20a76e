"""Entry point of `gpudesk` and `python -m gpudesk`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line and return its exit code; `--version` is answered before anything is imported."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from gpudesk import __version__

        sys.stdout.write(f"gpudesk {__version__}\n")
        return 0
    from gpudesk.cli import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
