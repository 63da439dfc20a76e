"""What the outside of a test run must not change: variables that would leak into results, removed at import."""

from __future__ import annotations

import os
import time

OUTER_ENVIRONMENT: dict[str, str] = dict(os.environ)
"""The environment as the test run found it: what sets up a real engine needs its proxies and cache folder."""

LEAKING_PREFIXES = ("TEXTUAL", "OLLAMA_", "XDG_")
KEPT_PREFIXES = ("GPUDESK_TEST_", "TEXTUAL_SNAPSHOT_")
"""Settings of the tests themselves; the second is how the snapshot plugin's workers find their folder."""
LEAKING_NAMES = frozenset(
    {"NO_COLOR", "FORCE_COLOR", "COLORTERM", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES"}
    | {"SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
    | {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
)


def leaks(name: str) -> bool:
    """Tell whether a variable changes what gpudesk or a library of its does."""
    if name.startswith(KEPT_PREFIXES):
        return False
    return name.startswith(("GPUDESK_", *LEAKING_PREFIXES)) or name in LEAKING_NAMES


def clean() -> None:
    """Remove such variables; before Textual is imported, because it reads its own only then."""
    for name in [name for name in os.environ if leaks(name)]:
        del os.environ[name]
    os.environ["TERM"] = "xterm-256color"
    os.environ["TZ"] = "UTC"
    if hasattr(time, "tzset"):
        time.tzset()


clean()
