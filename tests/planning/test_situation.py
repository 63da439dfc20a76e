from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import pytest

from gpudesk.domain.card import Card
from gpudesk.domain.desk import CardState, Desk, LoadedModel
from gpudesk.domain.engine import Era
from gpudesk.domain.keep_alive import KeepAlive, KeepAliveBounds, KeepAliveState
from gpudesk.errors import SourceError, UsageError
from gpudesk.fit.values import Resident
from gpudesk.planning.situation import described, of_desk, per_card, profile_of
from tests import desks
from tests.desks import GIBIBYTE, NOW


class TestDescribed:
    def test_cards_by_name_and_by_memory(self) -> None:
        situation = described(["RTX 4090", "rtx 3060"], [])
        assert [card.name for card in situation.cards] == ["GeForce RTX 4090", "GeForce RTX 3060"]
        assert situation.cards[0].available_bytes == situation.cards[0].memory_total_bytes == 24564 << 20
        assert situation.cards[0].bandwidth_bytes_per_second == 1008e9
        assert (situation.profile.backend, situation.profile.era) == ("cuda", Era.LLAMA_SERVER)
        plain = described([], [24 * GIBIBYTE, 8 * GIBIBYTE]).cards
        assert [(card.index, card.memory_total_bytes) for card in plain] == [(0, 24 * GIBIBYTE), (1, 8 * GIBIBYTE)]

    def test_an_unknown_card_is_told_with_the_nearest(self) -> None:
        with pytest.raises(UsageError, match="RTX 4091") as caught:
            described(["RTX 4091"], [])
        assert "RTX 4090" in (caught.value.hint or "")

    def test_others_and_reserve_are_taken_off(self) -> None:
        situation = described([], [8 * GIBIBYTE] * 2, others=[GIBIBYTE], reserve_bytes=GIBIBYTE // 2)
        assert [card.available_bytes for card in situation.cards] == [13 * GIBIBYTE // 2, 15 * GIBIBYTE // 2]
        assert situation.cards[0].reserve_bytes == GIBIBYTE // 2
        assert situation.notes == ()

    @pytest.mark.parametrize(
        ("others", "reserve", "note"),
        [
            ([], 9 * GIBIBYTE, "the reserve of 9.0 GiB leaves nothing"),
            ([20 * GIBIBYTE], 0, "other programs leave nothing"),
        ],
    )
    def test_nothing_left_is_said_and_never_negative(self, others: list[int], reserve: int, note: str) -> None:
        situation = described([], [8 * GIBIBYTE], others=others, reserve_bytes=reserve)
        assert situation.cards[0].available_bytes == 0
        assert situation.notes[0].startswith(note)


class TestOfADesk:
    def test_free_memory_is_what_is_free_now_less_the_reserve(self) -> None:
        desk = desks.one_card()
        situation = of_desk(desk, reserve_bytes=GIBIBYTE)
        assert desk.cards[0].free_bytes is not None
        (card,) = situation.cards
        assert card.available_bytes == desk.cards[0].free_bytes - GIBIBYTE
        assert card.reserve_bytes == GIBIBYTE
        assert card.bandwidth_bytes_per_second == 1008e9
        assert situation.profile.version == desk.engines[0].version
        assert situation.engine == f"Ollama {desk.engines[0].version}"

    def test_loaded_models_are_residents_with_claim_and_keep_alive(self) -> None:
        desk = desks.one_card()
        situation = of_desk(desk)
        local = [model for model in desk.models if model.local and model.cards]
        assert [each.name for each in situation.residents] == [model.name for model in local]
        chat, model = situation.residents[0], local[0]
        assert chat.by_card == (model.memory_bytes,)
        assert sum(chat.claimed_by_card or ()) == model.reported_vram_bytes
        assert chat.context_length == 8192

    def test_a_keep_alive_of_which_only_the_rest_is_seen_is_likely_the_default(self) -> None:
        desk = desks.one_card()
        chat = of_desk(desk).residents[0]
        assert chat.keep_alive_seconds == 300
        assert chat.keep_alive_bounds == pytest.approx((272, math.inf))
        earlier = replace(desk, taken_at=NOW - timedelta(seconds=600))
        assert of_desk(earlier).residents[0].keep_alive_seconds == pytest.approx(872)

    def test_a_keep_alive_that_was_seen_to_be_set_counts_whole(self) -> None:
        desk = desks.one_card()

        def resident(model: LoadedModel) -> Resident:
            return of_desk(replace(desk, models=(model, *desk.models[1:]))).residents[0]

        model = desk.models[0]
        seen = resident(replace(model, keep_alive_bounds=KeepAliveBounds(1799.2, 1801)))
        assert (seen.keep_alive_seconds, seen.keep_alive_bounds) == (1800, None)
        least = resident(replace(model, keep_alive_bounds=KeepAliveBounds(900.0)))
        assert (least.keep_alive_seconds, least.keep_alive_bounds) == (900, (900, math.inf))
        forever = resident(replace(model, keep_alive=KeepAlive(KeepAliveState.FOREVER)))
        assert (forever.keep_alive_seconds, forever.keep_alive_bounds, forever.busy) == (None, None, False)
        busy = resident(replace(model, keep_alive=KeepAlive(KeepAliveState.STOPPING, NOW)))
        assert (busy.keep_alive_seconds, busy.busy) == (300, True)

    def test_a_remote_engine_s_models_are_on_nobody_s_card_here(self) -> None:
        assert of_desk(desks.remote()).residents == ()

    def test_what_others_hold_may_be_told_instead_of_measured(self) -> None:
        desk = desks.one_card()
        held = sum(share.memory_bytes for model in desk.models for share in model.cards)
        (card,) = of_desk(desk, others=[2 * GIBIBYTE]).cards
        assert card.available_bytes == 24 * GIBIBYTE - 2 * GIBIBYTE - held

    def test_cards_that_cannot_be_read_are_left_out(self) -> None:
        indices = [card.index for card in of_desk(desks.two_cards()).cards]
        assert indices == [0, 1]

    @pytest.mark.parametrize(
        ("desk", "reason"),
        [
            (Desk(NOW), "no card was found"),
            (Desk(NOW, cards=(CardState(Card(0, error="GPU is lost")),)), "card 0: GPU is lost"),
        ],
    )
    def test_without_a_card_it_is_said_how_to_tell_one(self, desk: Desk, reason: str) -> None:
        with pytest.raises(SourceError, match=reason) as caught:
            of_desk(desk)
        assert caught.value.exit_code == 3
        assert "--card" in (caught.value.hint or "")

    def test_another_version_may_be_asked_about(self) -> None:
        assert of_desk(desks.one_card(), version="0.6.8").profile.era is Era.ESTIMATE


class TestProfile:
    def test_settings_of_this_shell(self) -> None:
        profile = profile_of("0.33.0", {
            "OLLAMA_KV_CACHE_TYPE": "q8_0", "OLLAMA_NUM_PARALLEL": "4", "OLLAMA_FLASH_ATTENTION": "1",
            "OLLAMA_MAX_LOADED_MODELS": " '2' ", "OLLAMA_CONTEXT_LENGTH": "16384", "OLLAMA_GPU_OVERHEAD": "1073741824",
            "OLLAMA_SCHED_SPREAD": "yes",
        })  # fmt: skip
        assert (profile.kv_cache_type, profile.parallel, profile.flash_attention) == ("q8_0", 4, True)
        assert (profile.max_loaded_models, profile.default_context) == (2, 16384)
        assert (profile.gpu_overhead_bytes, profile.spread) == (GIBIBYTE, True)

    @pytest.mark.parametrize("text", ["", "-1", "many", "1e3", "9" * 50])
    def test_what_is_no_number_is_no_setting(self, text: str) -> None:
        profile = profile_of(None, {"OLLAMA_NUM_PARALLEL": text, "OLLAMA_CONTEXT_LENGTH": text})
        assert (profile.parallel, profile.default_context, profile.flash_attention) == (1, None, None)

    @pytest.mark.parametrize(("version", "slots"), [("0.9.6", 0), ("0.5.4", 0), ("0.9.7", 1), ("0.33.0", 1), (None, 1)])
    def test_slots_that_nobody_set_are_the_servers_choice_before_0_9_7(self, version: str | None, slots: int) -> None:
        assert profile_of(version, {}).parallel == slots
        assert profile_of(version, {"OLLAMA_NUM_PARALLEL": "3"}).parallel == 3

    def test_flash_attention_off(self) -> None:
        assert profile_of(None, {"OLLAMA_FLASH_ATTENTION": "false"}).flash_attention is False


def test_one_figure_is_meant_for_the_first_card() -> None:
    assert per_card([5], 3) == [5, 0, 0]
    assert per_card([5, 6, 7, 8], 2) == [5, 6]
