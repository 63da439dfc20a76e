from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import pytest

from gpudesk.domain.keep_alive import KeepAliveState
from gpudesk.domain.model import EngineModel, InstalledModel
from gpudesk.errors import FailureKind, SourceError
from gpudesk.sources.ollama_show import details_of, parse_show
from gpudesk.sources.ollama_values import FOREVER, as_count, as_digest, as_http_date, as_texts, as_time
from gpudesk.sources.ollama_wire import MODELS_READ, clock_skew, parse_ps, parse_tags, parse_version
from gpudesk.text import clean

Parsed = TypeVar("Parsed")

URL = "http://127.0.0.1:11434"
NOW = datetime(2026, 11, 21, 9, 0, 0, tzinfo=UTC)
DIGEST = "a80c4f17acd55265feec403c7aef86be0c25983ab279d83f3bcd3abbcb5b8b72"

PS_ENTRY: dict[str, Any] = {
    "name": "qwen3:14b",
    "model": "qwen3:14b",
    "size": 11_000_000_000,
    "digest": DIGEST,
    "details": {
        "parent_model": "",
        "format": "gguf",
        "family": "qwen3",
        "families": ["qwen3"],
        "parameter_size": "14.8B",
        "quantization_level": "Q4_K_M",
    },
    "expires_at": "2026-11-21T11:05:00.123456789+02:00",
    "size_vram": 10_000_000_000,
    "context_length": 8192,
}
TAGS_ENTRY: dict[str, Any] = {
    "name": "qwen3:14b",
    "model": "qwen3:14b",
    "modified_at": "2026-10-01T08:00:00.5-07:00",
    "size": 9_276_198_565,
    "digest": DIGEST,
    "details": {
        "parent_model": "",
        "format": "gguf",
        "family": "qwen3",
        "families": ["qwen3"],
        "parameter_size": "14.8B",
        "quantization_level": "Q4_K_M",
        "context_length": 40960,
    },
    "capabilities": ["completion", "tools", "thinking"],
}


def body_of(*entries: object) -> bytes:
    return json.dumps({"models": list(entries)}).encode()


def loaded(**changes: object) -> EngineModel:
    return parse_ps(body_of(PS_ENTRY | changes), URL, NOW).models[0]


def installed(**changes: object) -> InstalledModel:
    return parse_tags(body_of(TAGS_ENTRY | changes), URL).models[0]


# What a whole answer means


def test_a_loaded_model_in_full() -> None:
    model = loaded()
    assert model.name == "qwen3:14b"
    assert model.engine_url == URL
    assert model.digest == DIGEST
    assert model.size_bytes == 11_000_000_000
    assert model.size_vram_bytes == 10_000_000_000
    assert model.context_length == 8192
    assert model.cpu_ratio == pytest.approx(1 / 11)
    assert model.keep_alive is not None
    assert model.keep_alive.state is KeepAliveState.TIMED
    assert model.keep_alive.expires_at == datetime(2026, 11, 21, 9, 5, 0, 123456, tzinfo=UTC)
    assert (model.parameter_size, model.quantization, model.family) == ("14.8B", "Q4_K_M", "qwen3")


def test_an_installed_model_in_full() -> None:
    assert installed() == InstalledModel(
        name="qwen3:14b",
        engine_url=URL,
        digest=DIGEST,
        size_bytes=9_276_198_565,
        parameter_size="14.8B",
        quantization="Q4_K_M",
        family="qwen3",
        capabilities=("completion", "tools", "thinking"),
        modified_at=datetime(2026, 10, 1, 15, 0, 0, 500000, tzinfo=UTC),
    )


def test_a_cloud_model_says_where_it_runs() -> None:
    model = installed(remote_host="https://ollama.com:443", remote_model="gpt-oss:120b", size=384)
    assert model.remote_host == "https://ollama.com:443"


def test_the_eras_differ_only_in_what_is_missing() -> None:
    # Before 0.9.7 /api/ps had no context_length, before 0.30 /api/tags no capabilities.
    old = {key: value for key, value in PS_ENTRY.items() if key != "context_length"}
    assert parse_ps(body_of(old), URL, NOW).models[0].context_length is None
    old = {key: value for key, value in TAGS_ENTRY.items() if key != "capabilities"}
    assert parse_tags(body_of(old), URL).models[0].capabilities is None
    assert installed(capabilities=[]).capabilities == ()


@pytest.mark.parametrize(
    ("body", "version"),
    [
        (b'{"version":"0.33.0-rc2"}', "0.33.0-rc2"),
        (b'\xef\xbb\xbf{"version":"0.5.4"}', "0.5.4"),
        (b'{"version":null}', None),
        (b'{"version":5}', None),
        (b"{}", None),
        (b'{"version":"\\u001b[2J"}', "[2J"),
    ],
)
def test_the_version(body: bytes, version: str | None) -> None:
    assert parse_version(body, URL) == version


@pytest.mark.parametrize("parse", [lambda body: parse_ps(body, URL, NOW), lambda body: parse_tags(body, URL)])
def test_no_models_are_no_error(parse: Callable[[bytes], Any]) -> None:
    assert parse(b'{"models":null}').models == ()
    assert parse(b'{"models":[]}').models == ()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "nothing"),
        (b" \n", "nothing"),
        (b"null", "not an object"),
        (b"[]", "not an object"),
        (b'"models"', "not an object"),
        (b"{}", "without a list of models"),
        (b'{"models":{}}', "not a list"),
        (b'{"models":"qwen3"}', "not a list"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\n  <html>", "web page"),
        (b"Ollama is running", "not JSON: 'Ollama is running'"),
        (b'{"models":[{"name":"a', "breaks off after 21 bytes"),
        (b'{"models":[{"name":"a"},', "breaks off"),
        (b'{"models":[', "breaks off"),
        (b'{"models":[1 2]}', "not JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"models":' + b"9" * 5000 + b"}", "not JSON"),
        (b"\x00\x01\x1b[31m", "not JSON"),
    ],
)
def test_what_is_something_else_as_a_whole_is_an_error(body: bytes, said: str) -> None:
    for parse in (lambda: parse_ps(body, URL, NOW), lambda: parse_tags(body, URL)):
        with pytest.raises(SourceError) as raised:
            parse()
        assert raised.value.kind is FailureKind.INVALID
        assert said in raised.value.message
        assert URL in raised.value.message
        assert raised.value.message.isprintable()


# What single fields may be


@pytest.mark.parametrize(
    "bad", [None, 5, "text", [], {}, {"name": ""}, {"name": None}, {"name": ["a"]}, {"name": "\u202e\x1b\u200b"}, True]
)
def test_one_bad_entry_is_left_out_and_counted(bad: object) -> None:
    for listing in (
        parse_ps(body_of(PS_ENTRY, bad, PS_ENTRY | {"name": "b"}), URL, NOW),
        parse_tags(body_of(TAGS_ENTRY, bad, TAGS_ENTRY | {"name": "b"}), URL),
    ):
        assert [model.name for model in listing.models] == ["qwen3:14b", "b"]
        assert listing.left_out == 1


def test_a_name_may_come_as_model_only() -> None:
    assert loaded(name=None).name == "qwen3:14b"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("evil\x1b[2J\x1b]0;title\x07", "evil[2J]0;title"),
        ("[bold red]x[/]", "[bold red]x[/]"),
        ("a\u202egnp.exe", "agnp.exe"),
        ("line\nbreak\ttab", "line break tab"),
        ("مودل", "مودل"),
        ("\ud800x", "x"),
    ],
)
def test_names_are_cleaned(name: str, shown: str) -> None:
    assert loaded(name=name).name == shown
    assert installed(name=name).name == shown


def test_a_name_of_four_kilobytes_is_cut() -> None:
    assert len(loaded(name="x" * 4096).name) == 256


def test_bytes_that_are_not_utf8_lose_nothing_else() -> None:
    body = body_of(PS_ENTRY, PS_ENTRY | {"name": "?"}).replace(b'"?"', b'"caf\xe9"')
    assert [model.name for model in parse_ps(body, URL, NOW).models] == ["qwen3:14b", "caf\ufffd"]


def test_duplicates_are_listed_once_but_two_versions_of_a_name_stay() -> None:
    other = PS_ENTRY | {"digest": "b" * 64}
    models = parse_ps(body_of(PS_ENTRY, PS_ENTRY | {"size": 5}, other), URL, NOW).models
    assert [model.digest for model in models] == [DIGEST, "b" * 64]
    assert models[0].size_bytes == PS_ENTRY["size"], "the first counts"


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (0, 0),
        (12, 12),
        ("12", 12),
        (" 12 ", 12),
        (12.0, 12),
        (12.7, 12),
        (2**63 - 1, 2**63 - 1),
        (2**63, None),
        (2**64 - 1, None),
        (-1, None),
        ("-1", None),
        ("1e3", None),
        ("١٢", None),
        ("9" * 100, None),
        (float("nan"), None),
        (float("inf"), None),
        (-0.0, 0),
        (1e300, None),
        (True, None),
        (None, None),
        ([], None),
        ({}, None),
        ("", None),
    ],
)
def test_counts(value: object, count: int | None) -> None:
    assert as_count(value) == count
    assert loaded(size=value, size_vram=value).size_bytes == count
    assert loaded(size=value, size_vram=value).size_vram_bytes == count
    assert installed(size=value).size_bytes == count


def test_a_context_of_zero_is_unknown() -> None:
    assert loaded(context_length=0).context_length is None
    assert loaded(context_length="4096").context_length == 4096


@pytest.mark.parametrize(
    ("value", "digest"),
    [
        (DIGEST, DIGEST),
        (DIGEST.upper(), DIGEST),
        ("sha256:" + DIGEST, DIGEST),
        ("sha256-" + DIGEST, DIGEST),
        (DIGEST[:-1], None),
        (DIGEST + "0", None),
        ("../" * 20 + "etc", None),
        ("", None),
        (None, None),
        (5, None),
    ],
)
def test_digests(value: object, digest: str | None) -> None:
    assert as_digest(value) == digest
    assert loaded(digest=value).digest == digest


def test_lists_of_texts() -> None:
    assert as_texts(["a", "a", 5, None, "b\x00", ""]) == ("a", "b")
    assert as_texts("abc") is None
    assert len(as_texts([str(number) for number in range(1000)]) or ()) == 32


@pytest.mark.parametrize("details", [None, 5, [], "x", {}, {"family": 5, "parameter_size": None}])
def test_details_of_any_shape(details: object) -> None:
    assert loaded(details=details).family is None
    assert installed(details=details).parameter_size is None


# Times


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-21T09:00:00Z", NOW),
        ("2026-11-21T09:00:00z", NOW),
        ("2026-11-21t11:00:00+02:00", NOW),
        ("2026-11-21T03:30:00-05:30", NOW),
        ("2026-11-21 09:00:00", NOW),
        ("2026-11-21T09:00:00.5Z", NOW + timedelta(milliseconds=500)),
        ("2026-11-21T09:00:00.123456789Z", NOW + timedelta(microseconds=123456)),
        ("2026-11-21T09:00:00.999999999Z", NOW + timedelta(microseconds=999999)),
        ("2026-12-31T23:59:60Z", datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2318-10-02T08:47:16.854775807Z", datetime(2318, 10, 2, 8, 47, 16, 854775, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("0000-01-01T00:00:00Z", None),
        ("9999-12-31T23:59:59-12:00", FOREVER),
        ("10000-01-01T00:00:00Z", FOREVER),
        ("292277-08-09T00:00:00Z", FOREVER),
        ("2026-02-30T00:00:00Z", None),
        ("2026-13-01T00:00:00Z", None),
        ("2026-11-21T25:00:00Z", None),
        ("2026-11-21T09:00:00+99:00", None),
        ("2026-11-21", None),
        ("tomorrow", None),
        ("", None),
        ("2026-11-21T09:00:00Z" * 10, None),
        ("٢٠٢٦-11-21T09:00:00Z", None),
        (1763715600, None),
        (None, None),
    ],
)
def test_times(text: object, time: datetime | None) -> None:
    assert as_time(text) == time


@pytest.mark.parametrize(
    ("expires_at", "state"),
    [
        ("2026-11-21T09:05:00Z", KeepAliveState.TIMED),
        ("2026-11-21T08:59:59Z", KeepAliveState.STOPPING),
        ("2318-10-02T08:47:16.854775807+02:00", KeepAliveState.FOREVER),
        ("12026-01-01T00:00:00Z", KeepAliveState.FOREVER),
        ("9999-12-31T23:59:59.999999999-14:00", KeepAliveState.FOREVER),
        ("0001-01-01T00:00:00Z", None),
        ("soon", None),
        (None, None),
    ],
)
def test_the_keep_alive_of_an_expiry(expires_at: object, state: KeepAliveState | None) -> None:
    for skew in (None, 3600.0, -3600.0):
        entry = PS_ENTRY | {"expires_at": expires_at}
        shifted = NOW - timedelta(seconds=skew or 0)
        keep_alive = parse_ps(body_of(entry), URL, shifted, skew).models[0].keep_alive
        assert (keep_alive.state if keep_alive else None) is state


def test_the_engines_clock_is_taken_out_of_an_expiry() -> None:
    ahead = parse_ps(body_of(PS_ENTRY), URL, NOW, 200.0).models[0].keep_alive
    assert ahead is not None
    assert ahead.remaining_seconds(NOW) == pytest.approx(300.123456 - 200)


@pytest.mark.parametrize(
    ("header", "date"),
    [
        ("Sat, 21 Nov 2026 09:00:00 GMT", NOW),
        ("Sat, 21 Nov 2026 09:00:00 UTC", None),
        ("Saturday, 21-Nov-26 09:00:00 GMT", None),
        ("Sat, 31 Feb 2026 09:00:00 GMT", None),
        ("Sat, 21 Abc 2026 09:00:00 GMT", None),
        ("", None),
        (None, None),
    ],
)
def test_date_headers(header: str | None, date: datetime | None) -> None:
    assert as_http_date(header) == date


def test_a_skew_is_noticed_kept_steady_and_forgotten() -> None:
    assert clock_skew(None, NOW, None) is None
    assert clock_skew(None, NOW, 5.0) is None
    for seconds in (-2, -1, 0, 1):
        assert clock_skew(NOW + timedelta(seconds=seconds), NOW, None) is None, "rounding and the way here"
    ahead = clock_skew(NOW + timedelta(seconds=60), NOW, None)
    assert ahead == 60.5
    for wobble in (-0.9, 0.0, 0.9):
        assert clock_skew(NOW + timedelta(seconds=60), NOW + timedelta(seconds=wobble), ahead) == ahead
    assert clock_skew(NOW + timedelta(seconds=50), NOW, ahead) == 50.5
    assert clock_skew(NOW, NOW, ahead) is None
    assert clock_skew(NOW - timedelta(days=400), NOW, None) == pytest.approx(-400 * 86400 + 0.5)


# Bulk


def test_five_hundred_models_in_order() -> None:
    entries = [TAGS_ENTRY | {"name": f"m{number}", "digest": f"{number:064x}"} for number in range(500)]
    listing = parse_tags(body_of(*entries), URL)
    assert [model.name for model in listing.models] == [f"m{number}" for number in range(500)]


def test_more_entries_than_anyone_has_are_counted_but_not_read() -> None:
    body = b'{"models":[' + b",".join([b'{"name":"a"}'] * (MODELS_READ + 7)) + b"]}"
    listing = parse_ps(body, URL, NOW)
    assert len(listing.models) == 1
    assert listing.left_out == 7


# Generated bodies

ODD_VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 2**64 - 1, 10**400, 0.5, -0.0, 1e308, math.nan, math.inf,
    "", " ", "0", "-5", "12", "1e9", "NaN", "x" * 4096, "\x1b[31m", "[red]", "\u202eabc", "\ud800", "é", "\x00",
    "0001-01-01T00:00:00Z", "2318-10-02T08:47:16.854775807Z", "99999-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59",
    [], {}, [None], [[]], {"a": 1}, [1, "2", None], {"name": "nested"}, "sha256:" + "f" * 64,
    "/blobs/sha256-" + "e" * 64,
]  # fmt: skip


def mutated(value: Any, chance: random.Random) -> Any:
    """Change a value at random: replace, drop, double and rename parts of it at any depth."""
    if chance.random() < 0.06:
        return chance.choice(ODD_VALUES)
    if isinstance(value, dict):
        changed = {key: mutated(part, chance) for key, part in value.items() if chance.random() > 0.05}
        if chance.random() < 0.1:
            changed[chance.choice(["new", "name", "models", "size", ""])] = chance.choice(ODD_VALUES)
        return changed
    if isinstance(value, list):
        changed_list = [mutated(part, chance) for part in value if chance.random() > 0.05]
        return changed_list * 2 if chance.random() < 0.05 else changed_list
    return value


def bodies(valid: Any, seed: int, count: int = 1000) -> list[bytes]:
    """Make odd bodies out of a valid one; every fifth also broken as bytes."""
    chance = random.Random(seed)
    made: list[bytes] = []
    for number in range(count):
        body = json.dumps(mutated(valid, chance), ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
        if number % 5 == 0 and body:
            position = chance.randrange(len(body))
            noise = chance.choice([b"", b"\xff", b"\x00", b'"', b"}", chance.randbytes(3)])
            body = body[:position] + noise + body[position + chance.randrange(4) :]
        made.append(body)
    return made


def attempt(parse: Callable[[], Parsed]) -> Parsed | None:
    """Parse; None when the body as a whole was refused, which only ever is an INVALID failure."""
    try:
        return parse()
    except SourceError as error:
        if error.kind is not FailureKind.INVALID:
            raise
        return None


def is_clean(text: str | None) -> bool:
    return text is None or (bool(text) and clean(text) == text)


def is_size(value: int | None) -> bool:
    return value is None or (type(value) is int and 0 <= value < 2**63)


def test_a_thousand_bodies_of_version() -> None:
    for body in bodies({"version": "0.33.0", "extra": {"a": [1]}}, 1):
        assert is_clean(attempt(partial(parse_version, body, URL)))


def test_a_thousand_bodies_of_ps() -> None:
    valid = {"models": [PS_ENTRY, PS_ENTRY | {"name": "b", "expires_at": "2318-01-01T00:00:00Z"}, PS_ENTRY]}
    failed = 0
    for number, body in enumerate(bodies(valid, 2)):
        skew_seconds = random.Random(number).choice([None, 1e6, -1e6, 7.0])
        listing = attempt(partial(parse_ps, body, URL, NOW, skew_seconds))
        if listing is None:
            failed += 1
            continue
        assert listing.left_out >= 0
        assert len({(model.name, model.digest) for model in listing.models}) == len(listing.models)
        for model in listing.models:
            assert model.name
            assert all(is_clean(text) for text in (model.name, model.family, model.parameter_size, model.quantization))
            assert all(is_size(size) for size in (model.size_bytes, model.size_vram_bytes, model.context_length))
            assert model.cpu_ratio is None or 0 <= model.cpu_ratio <= 1
            if model.keep_alive is not None and model.keep_alive.expires_at is not None:
                assert model.keep_alive.expires_at.utcoffset() == timedelta(0)
                model.keep_alive.remaining_seconds(NOW)
    assert 50 < failed < 700, "most bodies keep their form, some do not"


def test_a_thousand_bodies_of_tags() -> None:
    valid = {"models": [TAGS_ENTRY, TAGS_ENTRY | {"name": "b", "remote_host": "https://ollama.com:443"}, TAGS_ENTRY]}
    failed = 0
    for body in bodies(valid, 3):
        listing = attempt(partial(parse_tags, body, URL))
        if listing is None:
            failed += 1
            continue
        for model in listing.models:
            assert model.name
            assert all(is_clean(text) for text in (model.name, model.family, model.remote_host, model.quantization))
            assert all(is_clean(text) for text in model.capabilities or ())
            assert is_size(model.size_bytes)
            assert model.digest is None or len(model.digest) == 64
    assert 50 < failed < 700


def test_a_thousand_bodies_of_show() -> None:
    valid = {
        "modelfile": f"# made\nFROM /models/blobs/sha256-{DIGEST}\nFROM /models/blobs/sha256-{'b' * 64}\n",
        "parameters": 'stop    "<|im_end|>"',
        "license": "MIT\n",
        "details": {"family": "qwen3", "format": "gguf"},
        "model_info": {
            "general.architecture": "qwen3",
            "qwen3.block_count": 40,
            "qwen3.context_length": 40960,
            "qwen3.attention.head_count_kv": [8, 8, 8],
            "tokenizer.ggml.tokens": ["a", '"', "\\", "]"],
            "tokenizer.ggml.scores": [0.5, -1],
        },
        "projector_info": {"clip.vision.block_count": 27},
        "tensors": [{"name": "blk.0.attn_k.weight", "type": "Q4_K", "shape": [4096, 1024]}],
        "capabilities": ["completion"],
    }
    failed = 0
    for body in bodies(valid, 4):
        reduced = attempt(partial(parse_show, body, URL))
        if reduced is None:
            failed += 1
            continue
        json.dumps(reduced, allow_nan=False)
        details = details_of(DIGEST, reduced)
        assert all(len(blob) == 64 for blob in details.blob_digests)
        assert all(is_clean(text) for text in (details.family, details.license, *(details.capabilities or ())))
        assert all(is_size(size) for size in (details.layer_count, details.context_length_trained))
    assert 50 < failed < 700
