from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpudesk.clock import SYSTEM_CLOCK
from gpudesk.commands.budget import BudgetRequest, request_from, run
from gpudesk.commands.planning_session import PlanningMeans
from gpudesk.config.settings import Settings
from gpudesk.domain.card import Card, CardProcess, CardsSample, Driver, ProcessAccounting
from gpudesk.domain.desk import Desk
from gpudesk.domain.host import Host
from gpudesk.domain.reading import Sample
from gpudesk.errors import ExitCode, FailureKind, SourceError, UsageError
from gpudesk.units import GIBIBYTE
from gpudesk.workstation import Workstation
from tests.commands.named_models import NamedModels, means_with

FOLDER = Path(__file__).parents[1] / "fixtures" / "fit"
GB = 10**9


class FakeSource:
    """A source that gives or raises what a test wants."""

    interval_seconds = 1.0

    def __init__(self, name: str, outcome: Sample | Exception) -> None:
        self.name = name
        self._outcome = outcome

    def read(self, desk: Desk) -> Sample:
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    def close(self) -> None:
        pass


SPEECH = CardProcess(4711, 3 * GIBIBYTE)
CARD = Card(
    0, "GPU-1", "NVIDIA GeForce RTX 4090", 24 * GIBIBYTE, 5 * GIBIBYTE, 19 * GIBIBYTE,
    processes=(SPEECH, CardProcess(9, 2 * GIBIBYTE)), process_accounting=ProcessAccounting.FULL,
)  # fmt: skip
NO_DRIVER = SourceError(FailureKind.MISSING, "no driver library", "install it")


class Rig:
    """One computer, and how often it was looked at."""

    def __init__(self, cards: Sample | Exception = NO_DRIVER) -> None:
        self.cards = cards
        self.opened = 0

    def workstation(self) -> Workstation:
        self.opened += 1
        sources = (FakeSource("nvml", self.cards), FakeSource("host", Host(64 << 30, 1 << 30)))
        return Workstation(sources, SYSTEM_CLOCK, Settings())

    def means(self) -> PlanningMeans:
        def metadata(workstation: Workstation | None) -> Any:
            raise AssertionError("nobody asked for a model")

        return PlanningMeans(Settings(), self.workstation, metadata)


def shown(request: BudgetRequest, rig: Rig | None = None) -> tuple[int, str]:
    """Exit code and output."""
    out = io.StringIO()
    code = run(request, (rig or Rig()).means(), out)
    return code, out.getvalue()


def fixture(name: str, **changes: Any) -> BudgetRequest:
    """A request about a fixture."""
    return replace(BudgetRequest(FOLDER / f"{name}.toml"), **changes)


def written(folder: Path, text: str, **changes: Any) -> BudgetRequest:
    """A request about a file made here."""
    path = folder / "desk.toml"
    path.write_text(text, encoding="utf-8")
    return replace(BudgetRequest(path), **changes)


class TestPipeline:
    """The mixed pipeline of a guide."""

    def test_text(self) -> None:
        code, text = shown(fixture("voice_pipeline"))
        assert code == ExitCode.OK
        assert text == (
            "Voice and vision on one card: fits\n"
            "\n"
            "entry                     idle     peak  basis\n"
            "LLaMA-3.1-8B Q4 GPTQ    5.5 GB   7.5 GB  declared\n"
            "Florence-2-large fp16   1.5 GB   2.5 GB  declared\n"
            "BGE-large-en fp16       1.3 GB   1.8 GB  declared\n"
            "XTTS-v2 fp16            1.8 GB   2.5 GB  declared\n"
            "total                  10.1 GB  14.3 GB\n"
            "\n"
            "RTX 3090, 24.0 GB: fits\n"
            "  idle 10.1 GB, 13.9 GB left\n"
            "  peak 14.3 GB, 9.7 GB left\n"
            "  one at a time 12.1 GB\n"
            "\n"
            "guide, idle: article value 10.1 GB, right\n"
            "guide, peak: article value 14.3 GB, right\n"
            "guide, memory: article value 24.0 GB, right is 32.0 GB (an RTX 5090 has 32 GB)\n"
            "guide, headroom: article value 9.0 GB, right is 17.7 GB (32 GB less 14.3 GB leaves 17.7 GB; on a card of "
            "24 GB it would be 9.7 GB)\n"
        )

    def test_json(self) -> None:
        code, text = shown(fixture("voice_pipeline", as_json=True))
        document = json.loads(text)
        assert code == ExitCode.OK
        assert (document["schema_version"], document["verdict"]) == (1, "fits")
        assert (document["idle_bytes"], document["peak_bytes"]) == (10_100_000_000, 14_300_000_000)
        assert [entry["kind"] for entry in document["entries"]] == ["language", "vision", "embedding", "speech"]
        (card,) = document["cards"]
        assert (card["memory_total_bytes"], card["one_at_a_time_bytes"]) == (24 * GB, 12_100_000_000)
        headroom = document["claims"][-1]
        assert (headroom["claimed_bytes"], headroom["actual_bytes"]) == (9 * GB, 17_700_000_000)
        assert headroom["right"] is False

    def test_another_card_on_the_command_line(self) -> None:
        code, text = shown(fixture("voice_pipeline", memory=(14 * GB,)))
        assert code == ExitCode.FAILED
        assert "Voice and vision on one card: does not fit" in text
        assert "fits while only one part works at a time, 12.1 GB" in text

    def test_a_card_by_name(self) -> None:
        code, text = shown(fixture("voice_pipeline", cards=("RTX 5090",), as_json=True))
        (card,) = json.loads(text)["cards"]
        assert code == ExitCode.OK
        assert card["memory_total_bytes"] == 32607 << 20

    def test_nothing_is_looked_at_when_everything_is_told(self) -> None:
        rig = Rig()
        shown(fixture("voice_pipeline"), rig)
        shown(fixture("assistants", simple=True), rig)
        assert rig.opened == 0

    def test_two_instances(self) -> None:
        code, text = shown(fixture("vllm_pair"))
        assert code == ExitCode.FAILED
        assert "codestral-22b: starts with 13.2 GB, KV cache 0.0 GB" in text
        assert "codestral-22b: 41.0 GiB of weights do not fit its share of 12.3 GiB" in text

    def test_two_cards_are_told_apart(self) -> None:
        _, text = shown(fixture("combination_two_4090"))
        assert text.count("RTX 4090, 24.0 GB: fits") == 2
        assert "guide, idle: article value 28.0 GB, right is 29.3 GB (the parts add up to 29.3 GB)" in text


class TestSimple:
    """The rule of thumb."""

    @pytest.mark.parametrize(
        ("card_gb", "code", "sums"),
        [
            (24, 0, "card 13.69 GB, host memory 0.00 GB"),
            (16, 0, "card 13.69 GB, host memory 0.00 GB"),
            (12, 1, "card 10.97 GB, host memory 2.71 GB"),
            (8, 1, "card 6.02 GB, host memory 7.67 GB"),
            (6, 1, "card 4.96 GB, host memory 8.73 GB"),
        ],
    )
    def test_outcomes(self, card_gb: int, code: int, sums: str) -> None:
        result, text = shown(fixture("assistants", simple=True, memory=(card_gb * GB,)))
        assert result == code
        assert sums in text.splitlines()

    def test_text(self) -> None:
        _, text = shown(fixture("assistants", simple=True, memory=(12 * GB,)))
        assert text == (
            "Three assistants: spills\n"
            "simple planner: file size from a table times 1.18, by priority, on 12 GB\n"
            "\n"
            "  1  codellama  Q5_K_M    6.02 GB  card\n"
            "  2  mistral    Q4_K_M    4.96 GB  card\n"
            "  3  phi3       Q4_K_M    2.71 GB  host memory\n"
            "\n"
            "card 10.97 GB, host memory 2.71 GB\n"
            "phi3 runs from host memory: expect it 3 to 10 times slower\n"
        )

    def test_json(self) -> None:
        _, text = shown(fixture("assistants", simple=True, as_json=True))
        document = json.loads(text)
        assert (document["planner"], document["verdict"], document["card_bytes"]) == ("simple", "fits", 13_688_000_000)
        assert [model["need_bytes"] for model in document["models"]] == [6_018_000_000, 4_956_000_000, 2_714_000_000]
        assert document["models"][0]["place"] == "card"

    def test_a_named_card_counts_as_its_box_says(self) -> None:
        _, text = shown(fixture("assistants", simple=True, cards=("RTX 4060",)))
        assert "on 8 GB" in text
        assert "card 6.02 GB, host memory 7.67 GB" in text

    def test_several_cards_are_one(self) -> None:
        _, text = shown(fixture("assistants", simple=True, memory=(6 * GB, 6 * GB)))
        assert "card 10.97 GB, host memory 2.71 GB" in text
        assert "2 cards taken as one: the simple planner knows no other" in text

    def test_this_computer(self, tmp_path: Path) -> None:
        request = written(tmp_path, '[[entry]]\nname = "a"\nparameters = 7\nquantization = "Q4_K_M"\n', simple=True)
        code, text = shown(request, Rig(CardsSample((CARD,), Driver("580"))))
        assert code == ExitCode.OK
        assert "on 24 GB" in text
        assert "counted as if the card were empty" in text

    def test_something_else_than_language_models(self) -> None:
        with pytest.raises(UsageError, match="simple planner knows nothing else"):
            shown(fixture("voice_pipeline", simple=True))


class TestThisComputer:
    """The cards here, with what is on them now."""

    def test_free_memory_counts(self, tmp_path: Path) -> None:
        request = written(tmp_path, '[[entry]]\nname = "a"\nidle = "1GiB"\npeak = "18GiB"\n', as_json=True)
        code, text = shown(request, Rig(CardsSample((CARD,), Driver("580"))))
        document = json.loads(text)
        assert code == ExitCode.OK
        assert document["cards"][0]["available_bytes"] == 19 * GIBIBYTE
        assert document["cards"][0]["name"] == "NVIDIA GeForce RTX 4090"

    def test_a_measured_process_is_not_counted_twice(self, tmp_path: Path) -> None:
        request = written(tmp_path, '[[entry]]\nname = "speech"\npid = 4711\npeak = "4GiB"\n', as_json=True)
        rig = Rig(CardsSample((CARD,), Driver("580")))
        code, text = shown(request, rig)
        document = json.loads(text)
        assert code == ExitCode.OK
        (entry,) = document["entries"]
        assert (entry["idle_bytes"], entry["peak_bytes"], entry["basis"]) == (3 * GIBIBYTE, 4 * GIBIBYTE, "measured")
        assert document["cards"][0]["available_bytes"] == 22 * GIBIBYTE
        assert rig.opened == 1

    def test_a_process_listed_twice_counts_once(self, tmp_path: Path) -> None:
        twice = replace(CARD, processes=(SPEECH, replace(SPEECH, compute=False, graphics=True)))
        request = written(tmp_path, '[[entry]]\nname = "speech"\npid = 4711\n', as_json=True)
        _, text = shown(request, Rig(CardsSample((twice,), Driver("580"))))
        assert json.loads(text)["idle_bytes"] == 3 * GIBIBYTE

    def test_a_process_on_another_described_card(self, tmp_path: Path) -> None:
        request = written(tmp_path, '[[entry]]\nname = "speech"\npid = 4711\n', memory=(4 * GIBIBYTE,), as_json=True)
        code, text = shown(request, Rig(CardsSample((CARD,), Driver("580"))))
        assert code == ExitCode.OK
        assert json.loads(text)["cards"][0]["available_bytes"] == 4 * GIBIBYTE

    def test_a_process_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="entry speech: pid 4712 holds no memory on any card"):
            shown(written(tmp_path, '[[entry]]\nname = "speech"\npid = 4712\n'), Rig(CardsSample((CARD,), Driver())))

    def test_no_driver_to_measure_with(self, tmp_path: Path) -> None:
        request = written(tmp_path, '[[entry]]\nname = "speech"\npid = 4711\n', memory=(4 * GIBIBYTE,))
        with pytest.raises(SourceError, match="no driver tells what processes hold") as caught:
            shown(request)
        assert caught.value.exit_code == ExitCode.UNREACHABLE

    def test_no_card_here(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError) as caught:
            shown(written(tmp_path, '[[entry]]\nname = "a"\nidle = "1GiB"\n'))
        assert caught.value.exit_code == ExitCode.UNREACHABLE
        assert "--vram" in (caught.value.hint or "")


class TestFiles:
    """What is said about a file that cannot be used."""

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="there is no file"):
            shown(BudgetRequest(tmp_path / "nothing.toml"))

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="cannot be read"):
            shown(BudgetRequest(tmp_path))

    def test_not_text(self, tmp_path: Path) -> None:
        path = tmp_path / "desk.toml"
        path.write_bytes(b"a = 1\n\xff\xfe")
        with pytest.raises(UsageError, match="not UTF-8 at line 2"):
            shown(BudgetRequest(path))

    def test_too_large(self, tmp_path: Path) -> None:
        path = tmp_path / "desk.toml"
        path.write_bytes(b"#" * ((1 << 20) + 1))
        with pytest.raises(UsageError, match="larger than 1 MiB"):
            shown(BudgetRequest(path))

    def test_complaints_name_the_file(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"desk\.toml: entry 1 \(a\): idle is 5, expected a size"):
            shown(written(tmp_path, '[[entry]]\nname = "a"\nidle = 5\n'))

    def test_windows_line_ends_and_byte_order_mark(self, tmp_path: Path) -> None:
        path = tmp_path / "desk.toml"
        path.write_bytes(b'\xef\xbb\xbf[[entry]]\r\nname = "a"\r\nidle = "1GiB"\r\n')
        code, _ = shown(BudgetRequest(path, memory=(4 * GIBIBYTE,)))
        assert code == ExitCode.OK

    def test_an_unknown_card(self) -> None:
        with pytest.raises(UsageError, match="no known card"):
            shown(fixture("voice_pipeline", cards=("RTX 9999",)))

    def test_the_reserve_is_kept(self, tmp_path: Path) -> None:
        request = written(tmp_path, 'reserve = "2GiB"\n[[entry]]\nname = "a"\nidle = "3GiB"\n', memory=(4 * GIBIBYTE,))
        code, text = shown(request)
        assert code == ExitCode.FAILED
        assert "2.0 GiB available of 4.0 GiB: does not fit" in text


def test_names_the_terminal_cannot_show(tmp_path: Path) -> None:
    request = written(tmp_path, '[[entry]]\nname = "späße 语"\nidle = "1GiB"\n', memory=(4 * GIBIBYTE,))
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    assert run(request, Rig().means(), out) == ExitCode.OK
    out.flush()
    assert b"sp??e ?" in raw.getvalue()


def test_the_request_of_a_command_line() -> None:
    given = {"file": "a.toml", "simple": True, "card": ["RTX 4090"], "vram": (), "json": True}
    assert request_from(given) == BudgetRequest(Path("a.toml"), simple=True, cards=("RTX 4090",), as_json=True)


class TestCalculated:
    """Language models from their headers."""

    def test_a_model_beside_declared_parts(self, tmp_path: Path) -> None:
        text = (
            '[[entry]]\nname = "chat"\nmodel = "qwen3:14b"\ncontext = {}\n[[entry]]\nname = "speech"\nidle = "1GiB"\n'
        )
        totals = []
        for context in (4096, 16384):
            request = written(tmp_path, text.format(context), memory=(24 * GIBIBYTE,), as_json=True)
            code, document = calculated(request, NamedModels("qwen3:14b"))
            assert code == ExitCode.OK
            chat, speech = document["entries"]
            assert (chat["basis"], speech["basis"]) == ("calculated", "declared")
            assert chat["layers_on_gpu"] == chat["layers_total"] == 41
            assert chat["idle_bytes"] <= chat["peak_bytes"]
            assert document["idle_bytes"] == chat["idle_bytes"] + GIBIBYTE
            totals.append(chat["idle_bytes"])
        kv_bytes = 12288 * 40 * 8 * 256 * 2
        assert kv_bytes <= totals[1] - totals[0] < kv_bytes * 1.2

    def test_the_whole_model_counts_even_where_it_does_not_fit(self, tmp_path: Path) -> None:
        request = written(
            tmp_path,
            '[[entry]]\nname = "a"\nmodel = "qwen3:14b"\ncontext = 4096\n',
            memory=(6 * GIBIBYTE,),
            as_json=True,
        )
        code, document = calculated(request, NamedModels("qwen3:14b"))
        assert code == ExitCode.FAILED
        assert document["verdict"] == "does not fit"
        assert document["idle_bytes"] > 8 * GIBIBYTE

    def test_two_of_it_take_twice_as_much(self, tmp_path: Path) -> None:
        text = '[[entry]]\nname = "a"\nmodel = "qwen3:14b"\ncontext = 4096\ncount = {}\n'
        sizes = []
        for count in (1, 2):
            request = written(tmp_path, text.format(count), memory=(96 * GIBIBYTE,), as_json=True)
            sizes.append(calculated(request, NamedModels("qwen3:14b"))[1]["idle_bytes"])
        assert sizes[1] == 2 * sizes[0]

    def test_llama_server_makes_room_beside_the_rest(self, tmp_path: Path) -> None:
        text = (
            '[[entry]]\nname = "a"\ngguf = "qwen3:14b.gguf"\nengine = "llama-server"\n'
            '[[entry]]\nname = "speech"\nidle = "{}GiB"\n'
        )
        contexts = []
        for other in (1, 3):
            request = written(tmp_path, text.format(other), memory=(14 * GIBIBYTE,), as_json=True)
            code, document = calculated(request, NamedModels("qwen3:14b"))
            entry, _ = document["entries"]
            words = entry["notes"][-1].split()
            assert code == ExitCode.OK
            assert words[:3] == ["llama-server", "-m", "qwen3:14b.gguf"]
            assert words[-4:] == ["-ngl", "all", "--fit", "off"]
            contexts.append(int(words[words.index("-c") + 1]))
            left = 14 * GIBIBYTE - document["idle_bytes"]
            assert GIBIBYTE <= left < GIBIBYTE + (200 << 20)
        assert 4096 <= contexts[1] < contexts[0] < 40960

    def test_a_spill_by_llama_server_is_said(self, tmp_path: Path) -> None:
        request = written(
            tmp_path,
            '[[entry]]\nname = "a"\ngguf = "qwen3:14b.gguf"\nengine = "llama-server"\n',
            memory=(6 * GIBIBYTE,),
        )
        out = io.StringIO()
        code = run(request, means_with(NamedModels("qwen3:14b")), out)
        assert code == ExitCode.FAILED
        assert out.getvalue().startswith("Spills\n")
        assert "of 41 layers on the CPU" in out.getvalue()

    def test_a_model_nobody_knows(self, tmp_path: Path) -> None:
        request = written(tmp_path, '[[entry]]\nname = "a"\nmodel = "qwen9"\n', memory=(6 * GIBIBYTE,))
        models = NamedModels("qwen3:14b")
        with pytest.raises(UsageError, match="qwen9 is not installed"):
            run(request, means_with(models), io.StringIO())
        assert models.closed == 1


def calculated(request: BudgetRequest, models: NamedModels) -> tuple[int, Any]:
    """Exit code and JSON document."""
    out = io.StringIO()
    code = run(request, means_with(models), out)
    assert models.closed == 1
    return code, json.loads(out.getvalue())
