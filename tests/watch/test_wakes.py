from __future__ import annotations

from dataclasses import replace

from gpudesk.domain.engine import CatalogSample, DetailsSample, EngineSample
from gpudesk.domain.model import InstalledModel, ModelDetails
from gpudesk.watch.wakes import NOBODY, Wakes, wakes
from tests.watch.build import ENGINE, GIB, MIB, URL, Watch, card, forever, model, process, timer

CATALOG, DETAILS = f"ollama-catalog {URL}", f"ollama-details {URL}"
CHAT = "qwen3:14b"


def after(watch: Watch, step: object) -> Wakes:
    """Return whom one step wakes."""
    before = watch.desk
    step()  # type: ignore[operator]
    return wakes(before, watch.desk)


def started() -> Watch:
    watch = Watch()
    watch.cards(0, card(0, (1, GIB)))
    watch.engine(0, model(CHAT, forever()))
    digest = watch.desk.models[0].digest or ""
    watch.give(CATALOG, CatalogSample(URL, (InstalledModel(CHAT, URL, digest),)), 0)
    watch.give(DETAILS, DetailsSample(URL, (ModelDetails(digest),)), 0)
    watch.processes(0, process(1))
    return watch


def test_nothing_new_wakes_nobody() -> None:
    watch = started()
    assert after(watch, lambda: watch.cards(1, card(0, (1, GIB), utilization_ratio=0.5))) is NOBODY
    assert after(watch, lambda: watch.engine(2, model(CHAT, forever()))) is NOBODY
    assert after(watch, lambda: watch.engine(4, model(CHAT, timer(304)))) is NOBODY
    assert after(watch, lambda: watch.processes(5, process(1), process(2))) is NOBODY


def test_a_pid_that_comes_or_goes_wakes_the_process_table() -> None:
    watch = started()
    assert after(watch, lambda: watch.cards(1, card(0, (1, GIB), (2, MIB)))).once == {"processes"}
    assert after(watch, lambda: watch.cards(2, card(0, (1, GIB)))).once == {"processes"}


def test_an_unknown_loaded_model_wakes_everybody_who_could_tell_about_it() -> None:
    watch = started()
    woken = after(watch, lambda: watch.engine(1, model(CHAT, forever()), model("new:1b", forever())))
    assert woken.once == {"processes", CATALOG, DETAILS}


def test_a_known_model_that_is_loaded_again_wakes_only_the_process_table() -> None:
    watch = started()
    watch.engine(1)
    assert after(watch, lambda: watch.engine(2, model(CHAT, forever()))).once == {"processes"}


def test_a_model_that_left_wakes_the_catalog_because_it_may_be_deleted() -> None:
    watch = started()
    assert after(watch, lambda: watch.engine(1)).once == {"processes", CATALOG}


def test_a_jump_of_memory_makes_local_engines_brisk() -> None:
    watch = started()
    remote = "http://10.0.0.2:11434"
    watch.give(f"ollama {remote}", EngineSample(remote, local=False), 0)
    small = after(watch, lambda: watch.cards(1, card(0, (1, GIB + 64 * MIB))))
    assert small is NOBODY
    jump = after(watch, lambda: watch.cards(2, card(0, (1, GIB + 129 * MIB))))
    assert jump == Wakes(brisk=frozenset({ENGINE}))
    assert after(watch, lambda: watch.cards(3, card(0, (1, GIB)))).brisk == {ENGINE}


def test_the_first_look_at_a_card_is_no_jump() -> None:
    watch = Watch()
    watch.engine(0)
    assert after(watch, lambda: watch.cards(0, card(0, (1, 9 * GIB)))).brisk == frozenset()


def test_an_engine_that_is_back_is_asked_everything_again() -> None:
    watch = started()
    watch.fail(ENGINE, 1)
    assert after(watch, lambda: watch.engine(2, model(CHAT, forever()))).once == {CATALOG, DETAILS}


def test_a_digest_that_is_not_told_asks_the_catalog() -> None:
    watch = started()
    unnamed = replace(model("x", forever()), digest=None)
    assert after(watch, lambda: watch.engine(1, model(CHAT, forever()), unnamed)).once == {"processes", CATALOG}
