from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from gpudesk.fit.llama_server import (
    FIT_TARGET_BYTES,
    LlamaServerOptions,
    arguments,
    cells,
    command_line,
    fit,
    load_options,
    offload,
    profile,
)
from gpudesk.units import GIBIBYTE, MEBIBYTE

TRAINED = 131072
LAYERS = 33
LAYER_BYTES = 120 * MEBIBYTE
CELL_BYTES = 128 * 1024
COMPUTE_BYTES = 300 * MEBIBYTE


def one_card(context: int, layers: int | None) -> Sequence[int]:
    """A model of 33 layers on one card."""
    count = LAYERS if layers is None else layers
    return [count * LAYER_BYTES + count * context * CELL_BYTES // LAYERS + COMPUTE_BYTES]


def two_cards(context: int, layers: int | None) -> Sequence[int]:
    """The same, split in halves."""
    (whole,) = one_card(context, layers)
    return [whole // 2, whole - whole // 2]


class TestSlots:
    """The context of each slot."""

    def test_left_alone_four_slots_share_the_context(self) -> None:
        options = LlamaServerOptions(context=16384)
        assert cells(options, TRAINED) == 16384
        wanted = load_options(options, TRAINED)
        assert (wanted.context_length, wanted.parallel, wanted.unified_kv) == (16384, 4, True)
        assert profile(options).parallel == 4
        assert profile(options).kind == "llama-server"

    def test_slots_by_hand_divide_the_context(self) -> None:
        wanted = load_options(LlamaServerOptions(context=16384, parallel=4), TRAINED)
        assert (wanted.context_length, wanted.parallel, wanted.unified_kv) == (4096, 4, False)

    def test_slots_by_hand_can_share_too(self) -> None:
        wanted = load_options(LlamaServerOptions(context=16384, parallel=8, unified_kv=True), TRAINED)
        assert (wanted.context_length, wanted.parallel, wanted.unified_kv) == (16384, 8, True)

    def test_each_slot_is_padded(self) -> None:
        options = LlamaServerOptions(context=10000, parallel=3)
        assert cells(options, TRAINED) == 3 * 3584
        assert load_options(options, TRAINED).context_length == 3584

    def test_a_context_is_padded(self) -> None:
        assert cells(LlamaServerOptions(context=5000), TRAINED) == 5120

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (LlamaServerOptions(), TRAINED),
            (LlamaServerOptions(context=0), TRAINED),
            (LlamaServerOptions(parallel=2), 2 * TRAINED),
            (LlamaServerOptions(parallel=2, fit=False), TRAINED),
        ],
    )
    def test_without_a_context_it_is_the_trained_one(self, options: LlamaServerOptions, expected: int) -> None:
        assert cells(options, TRAINED) == expected

    def test_everything_else_is_handed_on(self) -> None:
        options = LlamaServerOptions(
            batch=1024, kv_cache_type_k="q8_0", kv_cache_type_v="q4_0", layers_on_gpu=20, flash_attention=True,
            swa_full=True,
        )  # fmt: skip
        wanted = load_options(options, TRAINED)
        assert (wanted.batch_size, wanted.kv_cache_type_k, wanted.kv_cache_type_v) == (1024, "q8_0", "q4_0")
        assert (wanted.layers_on_gpu, wanted.flash_attention, wanted.swa_full) == (20, True, True)
        assert load_options(LlamaServerOptions(), TRAINED).batch_size == 512


class TestFit:
    """What `--fit` changes."""

    def test_nothing_when_there_is_room(self) -> None:
        outcome = fit(LlamaServerOptions(context=8192), TRAINED, LAYERS, [24 * GIBIBYTE], one_card)
        assert (outcome.changed, outcome.fits, outcome.context, outcome.layers_on_gpu) == (False, True, 8192, None)

    def test_the_margin_decides_to_the_byte(self) -> None:
        (need,) = one_card(8192, None)
        options = LlamaServerOptions(context=8192)
        exact = fit(options, TRAINED, LAYERS, [need + FIT_TARGET_BYTES], one_card)
        short = fit(options, TRAINED, LAYERS, [need + FIT_TARGET_BYTES - 1], one_card)
        assert (exact.changed, short.changed) == (False, True)
        assert short.layers_on_gpu == LAYERS - 1

    def test_the_context_shrinks_first(self) -> None:
        outcome = fit(LlamaServerOptions(), TRAINED, LAYERS, [12 * GIBIBYTE], one_card)
        assert outcome.changed
        assert outcome.fits
        assert outcome.layers_on_gpu is None
        assert outcome.context % 256 == 0
        assert 4096 < outcome.context < TRAINED
        (used,) = outcome.projected_bytes
        left = 12 * GIBIBYTE - used
        assert FIT_TARGET_BYTES <= left < FIT_TARGET_BYTES + 256 * CELL_BYTES
        assert outcome.notes == (f"context reduced from {TRAINED} to {outcome.context}",)

    def test_then_the_layers(self) -> None:
        outcome = fit(LlamaServerOptions(), TRAINED, LAYERS, [4 * GIBIBYTE], one_card)
        assert outcome.context == 4096
        assert outcome.layers_on_gpu is not None
        assert outcome.fits
        more = one_card(4096, outcome.layers_on_gpu + 1)
        assert more[0] > 4 * GIBIBYTE - FIT_TARGET_BYTES

    def test_a_context_by_hand_stays(self) -> None:
        outcome = fit(LlamaServerOptions(context=65536), TRAINED, LAYERS, [8 * GIBIBYTE], one_card)
        assert outcome.context == 65536
        assert outcome.layers_on_gpu is not None
        assert "the context of 65536 was set by hand and stays" in outcome.notes

    def test_zero_asks_for_the_whole_context(self) -> None:
        outcome = fit(LlamaServerOptions(context=0), TRAINED, LAYERS, [12 * GIBIBYTE], one_card)
        assert outcome.context == TRAINED
        assert outcome.layers_on_gpu is not None

    def test_layers_by_hand_stop_it(self) -> None:
        outcome = fit(LlamaServerOptions(context=65536, layers_on_gpu=33), TRAINED, LAYERS, [8 * GIBIBYTE], one_card)
        assert not outcome.fits
        assert not outcome.changed
        assert outcome.layers_on_gpu == 33
        assert "may run out of memory" in outcome.notes[-1]

    def test_off_means_off(self) -> None:
        outcome = fit(LlamaServerOptions(fit=False), TRAINED, LAYERS, [8 * GIBIBYTE], one_card)
        assert (outcome.changed, outcome.fits, outcome.context) == (False, False, TRAINED)

    def test_another_margin_and_least_context(self) -> None:
        options = LlamaServerOptions(fit_target_bytes=(256 * MEBIBYTE,), fit_context=32768)
        outcome = fit(options, TRAINED, LAYERS, [4 * GIBIBYTE], one_card)
        assert outcome.context == 32768
        assert outcome.projected_bytes[0] <= 4 * GIBIBYTE - 256 * MEBIBYTE

    def test_each_card_has_its_margin(self) -> None:
        free = [6 * GIBIBYTE, 6 * GIBIBYTE]
        options = LlamaServerOptions(context=32768, fit_target_bytes=(0, 3 * GIBIBYTE))
        outcome = fit(options, TRAINED, LAYERS, free, two_cards)
        assert outcome.changed
        assert outcome.projected_bytes[1] <= 3 * GIBIBYTE

    def test_two_cards_keep_half_a_layer_each(self) -> None:
        free = [6 * GIBIBYTE, 6 * GIBIBYTE]
        outcome = fit(LlamaServerOptions(), TRAINED, LAYERS, free, two_cards)
        single = fit(LlamaServerOptions(), TRAINED, LAYERS, [11 * GIBIBYTE], one_card)
        assert outcome.fits
        assert 4096 < outcome.context < single.context

    def test_an_empty_card_takes_nothing(self) -> None:
        outcome = fit(LlamaServerOptions(), TRAINED, LAYERS, [0], one_card)
        assert outcome.layers_on_gpu == 0
        assert not outcome.fits

    def test_more_memory_never_means_less(self) -> None:
        seen = []
        for tenth in range(20, 260, 3):
            outcome = fit(LlamaServerOptions(), TRAINED, LAYERS, [tenth * GIBIBYTE // 10], one_card)
            seen.append((LAYERS if outcome.layers_on_gpu is None else outcome.layers_on_gpu, outcome.context))
        assert seen == sorted(seen)


class TestOffload:
    """`-ngl` counts the output layer."""

    def test_thirty_of_forty(self) -> None:
        result = offload(30, 40)
        assert (result.blocks_on_card, result.output_on_card, result.blocks_on_host) == (29, True, 11)
        assert math.isclose(result.host_ratio, 0.275)

    @pytest.mark.parametrize(
        ("layers", "expected"),
        [(0, (0, False, 40)), (1, (0, True, 40)), (40, (39, True, 1)), (41, (40, True, 0)), (99, (40, True, 0)),
         (-1, (0, False, 40))],
    )  # fmt: skip
    def test_edges(self, layers: int, expected: tuple[int, bool, int]) -> None:
        result = offload(layers, 40)
        assert (result.blocks_on_card, result.output_on_card, result.blocks_on_host) == expected

    def test_no_layers_at_all(self) -> None:
        assert offload(5, 0).host_ratio == 0


class TestCommandLine:
    """What would be typed."""

    def test_defaults_are_left_out(self) -> None:
        assert arguments(LlamaServerOptions(), "m.gguf") == ("llama-server", "-m", "m.gguf")

    def test_everything_that_differs(self) -> None:
        options = LlamaServerOptions(
            context=32768, parallel=2, layers_on_gpu=20, unified_kv=True, batch=1024, kv_cache_type_k="q8_0",
            kv_cache_type_v="q8_0", flash_attention=True, swa_full=True, fit_target_bytes=(2 * GIBIBYTE, GIBIBYTE),
            fit_context=8192,
        )  # fmt: skip
        line = command_line(arguments(options, "/my models/m.gguf", projector_path="/p.gguf"))
        assert line == (
            "llama-server -m '/my models/m.gguf' --mmproj /p.gguf -c 32768 -ngl 20 -np 2 --kv-unified -b 2048 -ub 1024 "
            "-ctk q8_0 -ctv q8_0 -fa on --swa-full --fit-target 2048,1024 --fit-ctx 8192"
        )

    def test_a_plan_is_written_out(self) -> None:
        outcome = fit(LlamaServerOptions(), TRAINED, LAYERS, [4 * GIBIBYTE], one_card)
        words = arguments(LlamaServerOptions(), "m.gguf", outcome=outcome)
        layers = str(outcome.layers_on_gpu)
        assert words == ("llama-server", "-m", "m.gguf", "-c", "4096", "-ngl", layers, "--fit", "off")

    def test_a_plan_with_all_layers(self) -> None:
        outcome = fit(LlamaServerOptions(context=4096), TRAINED, LAYERS, [24 * GIBIBYTE], one_card)
        assert "all" in arguments(LlamaServerOptions(context=4096), "m.gguf", outcome=outcome)
