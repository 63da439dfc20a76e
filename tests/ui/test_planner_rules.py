from __future__ import annotations

from dataclasses import replace

import pytest

from gpudesk.domain.desk import Desk
from gpudesk.fit.values import Alternative, CardBudget, LoadOptions, Plan, ServerForecast, Verdict
from gpudesk.keymap import BINDINGS, Scope, check_keymap
from gpudesk.ui.cells import Line, line_width
from gpudesk.ui.planner.choices import (
    Change,
    Choice,
    Settings,
    applied,
    changed,
    chosen,
    gathered,
    leaving,
    with_context_step,
    with_kv_step,
    with_slots_step,
)
from gpudesk.ui.planner.handover import command_words, handover_lines
from gpudesk.ui.planner.layout import plan_planner
from gpudesk.ui.planner.view_answer import Reading, answer_lines, settings_notes, verdict_line
from gpudesk.ui.planner.view_bars import SIGNS, cards_lines, planned_segments
from gpudesk.ui.scene import Scene
from gpudesk.watch.planning import Ground, Handover, PlannableModel, Purpose
from tests.ui.desks import CHAT, CODER, EMBED, GIB, NOW, one_card, two_cards
from tests.ui.plans import HandMade, metadata


def plannable(name: str, gib: float = 5.0, **options: object) -> PlannableModel:
    return PlannableModel(name, metadata(gib), LoadOptions(**options))  # type: ignore[arg-type]


def known_of(desk: Desk) -> dict[str, PlannableModel]:
    return {model.name: plannable(model.name, (model.size_bytes or 0) / GIB) for model in desk.installed}


def scene_of(desk: Desk, **changes: object) -> Scene:
    marks = {model.key: number for number, model in enumerate(desk.models)}
    return Scene(desk=desk, now=NOW, marks=marks, reserve_bytes=GIB, **changes)  # type: ignore[arg-type]


def everyday(*extra: str) -> tuple[tuple[Choice, ...], Scene, HandMade, Ground]:
    desk = one_card()
    scene = scene_of(desk)
    planner = HandMade()
    choices = gathered(desk, (), known_of(desk), {}, scene.marks)
    for name in extra:
        choices = changed(choices, name, chosen=True)
    return choices, scene, planner, planner.ground(desk)


def planned(choices: tuple[Choice, ...], planner: HandMade, ground: Ground) -> Plan:
    return planner.plan([each.wanted for each in chosen(choices)], ground, leaving=leaving(choices))


def text(lines: list[Line]) -> str:
    return "\n".join("".join(span.text for span in line) for line in lines)


# --- choices ---------------------------------------------------------------------------------------------------------


def test_what_is_loaded_is_chosen_as_it_is_loaded_and_stands_first() -> None:
    choices, _, _, _ = everyday()
    assert [each.name for each in choices[:3]] == [CHAT.name, CODER.name, EMBED.name]
    assert [each.name for each in choices if each.chosen] == [CHAT.name, CODER.name, EMBED.name]
    first = choices[0].options
    assert (first.context_length, first.parallel, first.kv_cache_type_k) == (16384, 2, "q8_0")
    assert {each.change for each in choices[:3]} == {Change.STAYS}


def test_cloud_models_cannot_be_chosen() -> None:
    choices, _, _, _ = everyday()
    assert not [each for each in choices if "cloud" in each.name]


def test_choices_survive_a_new_desk_and_a_model_loaded_meanwhile_is_chosen() -> None:
    choices, scene, _, _ = everyday("gemma3:4b")
    choices = changed(choices, CHAT.name, chosen=False, settings=Settings(context_length=2048))
    desk = one_card()
    newcomer = replace(CODER, name="phi4:14b", cards=())
    after = gathered(replace(desk, models=(*desk.models, newcomer)), choices, known_of(desk), {}, scene.marks)
    by_name = {each.name: each for each in after}
    assert not by_name[CHAT.name].chosen
    assert by_name[CHAT.name].settings.context_length == 2048
    assert by_name["gemma3:4b"].chosen
    assert by_name["phi4:14b"].chosen
    assert by_name["phi4:14b"].options.parallel == CODER.parallel


def test_what_a_plan_means_for_a_model_is_said() -> None:
    choices, _, _, _ = everyday("gemma3:4b")
    choices = changed(choices, CHAT.name, settings=replace(choices[0].settings, context_length=32768))
    choices = changed(choices, CODER.name, chosen=False)
    by_name = {each.name: each.change for each in choices}
    assert by_name[CHAT.name] is Change.RELOADS
    assert by_name[CODER.name] is Change.GOES
    assert by_name[EMBED.name] is Change.STAYS
    assert by_name["gemma3:4b"] is Change.COMES
    assert by_name["phi4:14b"] is Change.NONE
    assert leaving(choices) == (CODER.name,)


def test_only_a_restart_of_ollama_changes_slots_and_cache() -> None:
    choices, _, _, _ = everyday()
    for settings in ({"parallel": 4}, {"kv_cache_type": "q4_0"}, {"parallel": 4, "context_length": 32768}):
        wanted = changed(choices, CHAT.name, settings=replace(choices[0].settings, **settings))
        assert wanted[0].change is Change.RESTART, settings


def test_a_context_beyond_the_trained_one_is_no_reason_to_reload() -> None:
    choices, _, _, _ = everyday()
    trained = choices[0].context_trained
    assert choices[0].loaded is not None
    assert trained is not None
    full = replace(choices[0], loaded=replace(choices[0].loaded, context_length=trained))
    beyond = replace(full, settings=replace(full.settings, context_length=trained * 2))
    assert beyond.change is Change.STAYS
    assert replace(full, settings=replace(full.settings, context_length=trained // 2)).change is Change.RELOADS


def test_on_a_card_that_is_not_here_nothing_stays_or_goes() -> None:
    choices, _, _, _ = everyday()
    away = [replace(each, here=False) for each in changed(choices, CODER.name, chosen=False)]
    assert {each.change for each in away} == {Change.COMES, Change.NONE}


@pytest.mark.parametrize(
    ("now", "step", "after"),
    [(4096, 1, 6144), (4096, -1, 2048), (5000, 1, 6144), (5000, -1, 4096), (32768, 1, 40960), (40960, 1, 40960),
     (1024, -1, 1024)],
)  # fmt: skip
def test_context_goes_by_steps_up_to_what_was_trained(now: int, step: int, after: int) -> None:
    choice = Choice("a", model=plannable("a"), settings=Settings(context_length=now))
    assert with_context_step(choice, step).context_length == after


def test_slots_and_kv_types_go_around() -> None:
    choice = Choice("a", model=plannable("a"))
    seen = []
    for _ in range(6):
        choice = replace(choice, settings=with_slots_step(choice))
        seen.append(choice.options.parallel)
    assert seen == [2, 4, 8, 16, 1, 2]
    there = replace(choice, settings=with_kv_step(choice, 1))
    assert there.options.kv_cache_type_k == there.options.kv_cache_type_v == "q8_0"
    assert with_kv_step(there, -1).kv_cache_type == "f16"


def test_an_alternative_is_taken_as_the_planner_described_it() -> None:
    choices, _, _, _ = everyday("gemma3:4b")
    wanted = [each.wanted for each in chosen(choices)]
    without_coder = tuple(one for one in wanted if one.name != CODER.name)
    shorter = replace(without_coder[0], options=replace(without_coder[0].options, context_length=4096, parallel=1))
    alternative = Alternative("swap", "…", Verdict.FITS, 1, 1, wanted=(shorter, *without_coder[1:]))
    after = applied(choices, alternative)
    assert after is not None
    assert [each.wanted for each in chosen(after)] == [shorter, *without_coder[1:]]
    assert leaving(after) == (CODER.name,)


def test_an_alternative_with_an_unknown_model_is_not_taken() -> None:
    choices, _, _, _ = everyday()
    stranger = replace(chosen(choices)[0].wanted, name="nobody:1b")
    assert applied(choices, Alternative("model:nobody:1b", "…", Verdict.FITS, 1, 1, wanted=(stranger,))) is None
    assert applied(choices, Alternative("kv:q8_0", "…", Verdict.FITS, 1, 1)) is None


# --- what is shown ---------------------------------------------------------------------------------------------------


def test_every_verdict_has_a_glyph_of_its_own_and_a_word() -> None:
    assert set(SIGNS) == set(Verdict)
    assert len({sign for sign, _ in SIGNS.values()}) == len(Verdict)


def test_the_bars_of_a_plan_add_up_to_the_card() -> None:
    choices, scene, planner, ground = everyday("gemma3:4b")
    choices = changed(choices, CODER.name, chosen=False)
    plan = planned(choices, planner, ground)
    segments = planned_segments(0, ground.cards[0], plan, choices, scene, ground)
    assert sum(each.memory_bytes for each in segments) == ground.cards[0].memory_total_bytes
    labels = " | ".join(each.label for each in segments)
    assert CODER.name not in labels
    assert "gemma3:4b" in labels
    assert "Xorg" in labels or "processes" in labels
    assert "reserve 1.0" in labels


def test_a_loaded_model_that_cannot_be_planned_is_still_on_the_card() -> None:
    desk = one_card()
    scene = scene_of(desk)
    known = known_of(desk)
    del known[CHAT.name]
    choices = gathered(desk, (), known, {CHAT.name: "broken"}, scene.marks)
    planner = HandMade()
    ground = planner.ground(desk)
    segments = planned_segments(0, ground.cards[0], planned(choices, planner, ground), choices, scene, ground)
    assert [each.memory_bytes for each in segments if CHAT.name in each.label] == [CHAT.memory_bytes]


def test_the_answer_says_the_verdict_in_words_before_all_else() -> None:
    choices, _, planner, ground = everyday("deepseek-r1:32b")
    plan = planned(choices, planner, ground)
    assert plan.verdict is Verdict.SPILLS
    first = text(answer_lines(plan, choices, ground, Reading(), 100)[:1])
    big = plan.models[-1]
    assert first.startswith(f"◐ spills: {41 - big.layers_on_gpu} of 41 layers of deepseek-r1:32b on the CPU")


def test_what_the_engine_would_do_is_said_apart_from_what_is_possible() -> None:
    choices, _, planner, ground = everyday()
    planner.evicts = (EMBED.name,)
    lines = text(answer_lines(planned(choices, planner, ground), choices, ground, Reading(), 100)).splitlines()
    assert lines[0].startswith("✓ fits")
    assert lines[1] == f"! Ollama 0.33.0 by itself evicts {EMBED.name}"
    assert any("set num_ctx 16384 and it will not" in line for line in lines)


def test_alternatives_carry_their_digit_their_verdict_and_their_numbers() -> None:
    choices, _, planner, ground = everyday("deepseek-r1:32b")
    plan = planned(choices, planner, ground)
    lines = answer_lines(plan, choices, ground, Reading(), 100)
    for number, each in enumerate(plan.alternatives, start=1):
        (line,) = [line for line in lines if line and line[0].text == f"{number} "]
        shown = text([line])
        assert each.verdict.value in shown
        assert f"{each.total_bytes / GIB:.1f} GiB" in shown
        assert {span.action for span in line if span.text.strip()} == {f"screen.alternative({number})"}


@pytest.mark.parametrize("width", [38, 58, 78, 92, 118])
def test_parts_band_and_basis_are_there_at_every_width(width: int) -> None:
    choices, _, planner, ground = everyday("gemma3:4b")
    plan = planned(choices, planner, ground)
    lines = answer_lines(plan, choices, ground, Reading(), width, selected="gemma3:4b")
    assert max(line_width(line) for line in lines) <= width
    shown = text(lines[next(i for i, line in enumerate(lines) if line and line[0].text == "Parts") :])
    for word in ("weights", "KV", "compute", "overhead", "calculated", "gemma3:4b"):
        assert word in shown
    assert shown.index("gemma3:4b") < shown.index("nomic-embed")


def test_progress_problems_and_nothing_chosen_are_said() -> None:
    choices, _, _, ground = everyday()
    reading = text(answer_lines(None, choices, ground, Reading(12, 60, 3.2), 80))
    assert "reading headers 12 of 60, 3s" in reading
    broken = text(answer_lines(None, choices, ground, Reading(), 80, "this cannot be planned: zero layers"))
    assert "! this cannot be planned: zero layers" in broken
    assert "choose models with space" in text(answer_lines(None, (), ground, Reading(), 80))
    assert "choose a card first" in text(answer_lines(None, (), Ground(), Reading(), 80))


def test_settings_that_ollama_has_once_for_all_are_named() -> None:
    choices, _, _, ground = everyday()
    notes = " ".join(settings_notes(choices, ground))
    assert "OLLAMA_KV_CACHE_TYPE" in notes
    assert "OLLAMA_NUM_PARALLEL" in notes
    plain = tuple(replace(each, settings=Settings()) for each in choices)
    assert settings_notes(plain, ground) == []


@pytest.mark.parametrize("room", [1, 2, 3, 4, 6, 8, 12])
@pytest.mark.parametrize("width", [36, 58, 78, 118, 196])
def test_the_cards_keep_to_their_room(width: int, room: int) -> None:
    desk = two_cards()
    scene = scene_of(desk, colored=False)
    planner = HandMade()
    ground = planner.ground(desk)
    choices = gathered(desk, (), known_of(desk), {}, scene.marks)
    plan = planned(choices, planner, ground)
    lines = cards_lines(plan, choices, scene, ground, width, room)
    assert len(lines) <= room
    assert max(line_width(line) for line in lines) <= width
    if room >= 2 and width > 50:
        assert plan.verdict.value in text(lines)


def test_without_a_card_it_says_so_and_what_to_do() -> None:
    shown = text(cards_lines(None, (), scene_of(one_card()), Ground(problem="no NVIDIA driver"), 80, 4))
    assert "! no NVIDIA driver" in shown
    assert "c chooses a card" in shown


def test_a_card_that_only_nearly_holds_it_all_says_how_much_is_too_much() -> None:
    choices, scene, planner, _ = everyday()
    tiny = Ground((CardBudget(0, "RTX 4090", 8 * GIB, 7 * GIB, None, GIB),), described="RTX 4090")
    plan = planner.made(tuple(each.wanted for each in chosen(choices)), tiny, 40 * GIB, alternatives=False)
    shown = text(cards_lines(plan, choices, scene, tiny, 118, 4))
    assert "too much" in shown
    assert "not in this computer" in shown


def test_the_verdict_comes_first_where_it_is_narrow() -> None:
    plan = Plan(Verdict.DOES_NOT_FIT, (), (), 0, ServerForecast())
    assert text([verdict_line(plan, 20)]) == "✗ does not fit"


def test_the_layout_fills_the_screen_without_overlap() -> None:
    for width in (40, 60, 80, 99, 120, 150, 200):
        for height in (12, 20, 24, 30, 60):
            for cards in (0, 1, 2, 8):
                places = plan_planner(width, height, cards=cards, choices=42, banner=True, typing=True)
                cells = [
                    (x, y)
                    for place in places.values()
                    for x in (place.x, place.x + place.width - 1)
                    for y in range(place.y, place.y + place.height)
                ]
                assert len(cells) == len(set(cells)), (width, height, cards)
                assert {y for _, y in cells} == set(range(height)), (width, height, cards)
                assert places["choices"].height >= 3


# --- on its way out --------------------------------------------------------------------------------------------------


def test_a_plan_without_a_door_is_text_that_can_be_followed() -> None:
    choices, _, planner, ground = everyday("gemma3:4b")
    choices = changed(choices, CODER.name, chosen=False)
    choices = changed(choices, EMBED.name, settings=Settings(context_length=1024))
    plan = planned(choices, planner, ground)
    handover = Handover(plan, tuple(each.wanted for each in chosen(choices)), leaving(choices), ground)
    shown = text(handover_lines(Purpose.MAKE_IT_SO, handover, 100))
    assert f"unload {CODER.name}" in shown
    assert f"keep {CHAT.name} with num_ctx 16384, 2 slots, KV q8_0" in shown
    assert f"reload {EMBED.name} with num_ctx 1024" in shown
    assert "load gemma3:4b with num_ctx 4096, 1 slot, KV f16" in shown
    assert command_words(handover) == (f"gpudesk fit {CHAT.name}@16384 {EMBED.name}@1024 gemma3:4b@4096")
    assert "Nearly the same in a shell" in shown
    alone = replace(handover, wanted=handover.wanted[:1], plan=replace(plan, models=plan.models[:1]))
    assert command_words(alone) == f"gpudesk fit {CHAT.name}@16384 --parallel 2 --kv q8_0"
    assert "\nThe same in a shell" in text(handover_lines(Purpose.MAKE_IT_SO, alone, 100))
    assert "nothing is saved from here" in text(handover_lines(Purpose.SAVE, handover, 100))
    anew = text(handover_lines(Purpose.MAKE_IT_SO, replace(alone, needs_restart=True), 100))
    assert "start Ollama 0.33.0 again with OLLAMA_NUM_PARALLEL=2 and OLLAMA_KV_CACHE_TYPE=q8_0" in anew
    assert f"· load {CHAT.name}" in anew
    mixed = text(handover_lines(Purpose.MAKE_IT_SO, replace(handover, needs_restart=True), 100))
    assert "OLLAMA_KV_CACHE_TYPE=q8_0" in mixed
    assert "OLLAMA_KV_CACHE_TYPE=f16" not in mixed


def test_keys_of_the_planner_are_free_of_conflicts_and_reach_every_alternative() -> None:
    assert check_keymap({}) == ()
    keys = {key for one in BINDINGS if one.scope in (Scope.PLANNER, Scope.CHOICES) for key in one.keys}
    assert {str(digit) for digit in range(1, 10)} <= keys
    assert any("plan_slots" in error for error in check_keymap({"plan_make_it_so": "s"}))
