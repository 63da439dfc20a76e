"""Small HTTP servers that misbehave on purpose, for tests of what a broken engine does to gpudesk.

Three ways in, from short to free:

>>> with misbehaving("truncated") as url: ...            # one fault on every path, by name
>>> with serving(json_by_path({"/api/version": {"version": "0.5.4"}})) as server: ...   # server.url, server.requests
>>> with serving(in_turn(hang(), status(500), json_body({"models": []}))) as server: ...  # one behavior per request
"""

from __future__ import annotations

from tests.servers.behaviors import (
    BEHAVIORS,
    by_path,
    close_silently,
    drip,
    flood,
    garbage,
    hang,
    html,
    in_turn,
    json_body,
    json_by_path,
    json_lines,
    raw_body,
    redirect,
    reset,
    reset_mid_body,
    slow_headers,
    status,
    truncated,
    wrong_content_length,
)
from tests.servers.exchange import Behavior, Exchange, Request
from tests.servers.server import (
    TLS_CERTIFICATE,
    TLS_KEY,
    UNRESOLVABLE_URL,
    Server,
    closed_port_url,
    misbehaving,
    serving,
)

__all__ = [
    "BEHAVIORS",
    "TLS_CERTIFICATE",
    "TLS_KEY",
    "UNRESOLVABLE_URL",
    "Behavior",
    "Exchange",
    "Request",
    "Server",
    "by_path",
    "close_silently",
    "closed_port_url",
    "drip",
    "flood",
    "garbage",
    "hang",
    "html",
    "in_turn",
    "json_body",
    "json_by_path",
    "json_lines",
    "misbehaving",
    "raw_body",
    "redirect",
    "reset",
    "reset_mid_body",
    "serving",
    "slow_headers",
    "status",
    "truncated",
    "wrong_content_length",
]
