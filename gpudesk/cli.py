"""The command line: what can be typed, and who does it."""


def run(arguments: list[str]) -> int:
    """Run one command line and return the exit code."""
    raise NotImplementedError
