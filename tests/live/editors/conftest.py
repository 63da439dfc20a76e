"""The editors' own parsers; where they cannot be set up the tests fail, and only `--no-live` leaves them out."""

from __future__ import annotations

import pytest

from tests.environment import OUTER_ENVIRONMENT
from tests.live.editors import node
from tests.live.editors.continue_parser import ContinueParser
from tests.live.fixtures import NO_LIVE_REASON
from tests.live.installation import SetupError


@pytest.fixture(scope="session")
def continue_parser(pytestconfig: pytest.Config) -> ContinueParser:
    """Return Continue's parser, set up on first use, in a second or two when cached."""
    if pytestconfig.getoption("--no-live"):
        pytest.skip(NO_LIVE_REASON)
    try:
        return ContinueParser(node.install(OUTER_ENVIRONMENT))
    except SetupError as error:
        pytest.fail(f"no Node to read with (--no-live leaves these tests out): {error}", pytrace=False)
