"""Which model is meant."""

from __future__ import annotations

import pytest

from gpudesk.actions import lookup
from gpudesk.actions.values import Load
from gpudesk.domain.desk import LoadedModel
from gpudesk.domain.engine import Engine
from gpudesk.domain.keep_alive import FOREVER as FOREVER_WISH
from gpudesk.domain.keep_alive import KeepAliveWish
from gpudesk.domain.model import InstalledModel
from gpudesk.errors import UsageError
from tests.actions.preview_desks import STOPPING, desk, digest_of, installed, loaded, pinned, size_of
from tests.desks import FOREVER, LOCAL, NOW, timed

CHAT, EMBED = "chat:14b", "embed:latest"
OTHER_URL = "http://127.0.0.1:11500"


def test_a_loaded_model_comes_before_an_installed_one() -> None:
    assert isinstance(lookup.find_model(desk(loaded(CHAT)), CHAT), LoadedModel)
    assert isinstance(lookup.find_model(desk(), CHAT), InstalledModel)


@pytest.mark.parametrize("text", ["embed", "EMBED", " embed:latest ", "Embed:Latest"])
def test_the_tag_may_be_missing_and_case_does_not_matter(text: str) -> None:
    assert lookup.find_model(desk(), text).name == EMBED


def test_what_is_not_there_names_the_nearest() -> None:
    with pytest.raises(UsageError) as error:
        lookup.find_model(desk(), "caht:14b")
    assert error.value.message == "caht:14b is not installed"
    assert error.value.hint is not None
    assert CHAT in error.value.hint
    with pytest.raises(UsageError) as error:
        lookup.find_model(desk(installed=(installed(CHAT),)), "zzz")
    assert error.value.hint == "Download it: gpudesk pull zzz"
    with pytest.raises(UsageError, match="is not loaded"):
        lookup.find_loaded(desk(), CHAT)


def test_two_engines_with_the_name_are_named() -> None:
    engines = (Engine(LOCAL, reachable=True), Engine(OTHER_URL, reachable=True))
    before = desk(engines=engines, installed=(installed(CHAT), installed(CHAT, engine_url=OTHER_URL)))
    with pytest.raises(UsageError) as error:
        lookup.find_model(before, CHAT)
    assert error.value.message == f"{CHAT} is in more than one engine: {LOCAL} and {OTHER_URL}"
    assert lookup.find_model(before, CHAT, OTHER_URL).engine_url == OTHER_URL
    with pytest.raises(UsageError, match="no engine at http://nowhere is known"):
        lookup.find_model(before, CHAT, "http://nowhere")


def test_text_from_outside_is_cleaned() -> None:
    with pytest.raises(UsageError) as error:
        lookup.find_model(desk(), "evil\x1b[31m")
    assert "\x1b" not in error.value.message


def test_an_engine_that_is_silent_is_said_to_be() -> None:
    with pytest.raises(UsageError, match="does not answer"):
        lookup.find_model(desk(installed=(), engines=(Engine(LOCAL, reachable=False),)), CHAT)


def test_pins_are_found_by_name() -> None:
    before = desk(pins=[pinned("gone:latest")])
    assert lookup.find_pin(before, "gone").wish.name == "gone:latest"
    with pytest.raises(UsageError, match="chat:14b is not pinned"):
        lookup.find_pin(before, CHAT)
    with pytest.raises(UsageError) as error:
        lookup.find_pin(before, "gone", OTHER_URL)
    assert error.value.message == f"gone is not pinned at {OTHER_URL}, but at {LOCAL}"
    assert error.value.hint == f"Say so: --ollama {LOCAL}"


def test_how_a_model_is_loaded_now() -> None:
    before = desk(loaded(CHAT, timed(90.5), context_length=8192), pins=[pinned(CHAT, restore=True)])
    assert lookup.as_load(before.models[0], before) == Load(
        LOCAL, CHAT, 8192, KeepAliveWish(90.5), pinned=True, restore_pin=True, digest=digest_of(CHAT),
        memory_bytes=size_of(CHAT, 8192),
    )  # fmt: skip


def test_timers_as_wishes() -> None:
    assert lookup.keep_alive_wish(FOREVER, NOW) == FOREVER_WISH
    assert lookup.keep_alive_wish(timed(10), NOW) == KeepAliveWish(10)
    assert lookup.keep_alive_wish(STOPPING, NOW) is None
    assert lookup.keep_alive_wish(None, NOW) is None


def test_models_that_only_embed() -> None:
    before = desk(loaded(EMBED), loaded(CHAT))
    assert lookup.is_embedding(before, before.models[0])
    assert not lookup.is_embedding(before, before.models[1])
    # An engine that tells no capabilities: by family.
    silent = desk(installed=())
    assert lookup.is_embedding(silent, loaded(EMBED, family="nomic-bert"))
    assert not lookup.is_embedding(silent, loaded(EMBED, family="qwen3"))


def test_a_timer_that_ran_out_is_a_running_request() -> None:
    assert lookup.is_busy(loaded(CHAT, STOPPING), NOW)
    assert not lookup.is_busy(loaded(CHAT, timed(1)), NOW)
    assert not lookup.is_busy(loaded(CHAT, FOREVER), NOW)
