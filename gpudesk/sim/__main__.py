"""`python -m gpudesk.sim`: only the simulated server, in a process of its own, until it is told to end."""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from gpudesk.sim.scenarios import SCENARIOS
from gpudesk.sim.workstation import SimulatedWorkstation


def main(arguments: list[str] | None = None) -> int:
    """Serve a scenario over HTTP, print the URL on stdout, and end on SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m gpudesk.sim", description=main.__doc__)
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), default="coding")
    parser.add_argument("--port", type=int, default=0, help="loopback port; 0 lets the system choose")
    parser.add_argument("--version", default=None, help="version of the simulated Ollama, such as 0.5.4")
    options = parser.parse_args(arguments)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: ended.set())
    with SimulatedWorkstation(options.scenario, driver=False, port=options.port, version=options.version) as station:
        sys.stdout.write(f"{station.url}\n")
        sys.stdout.flush()
        ended.wait()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
