from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpudesk.arguments.planner_values import AskedModel
from gpudesk.build import open_workstation, planning_means
from gpudesk.commands import fit
from gpudesk.commands.fit import smaller_siblings
from gpudesk.commands.fit_request import FitRequest, load_options, request_from
from gpudesk.commands.planning_session import PlanningMeans, progress_on
from gpudesk.config.settings import Settings
from gpudesk.domain.model import InstalledModel
from gpudesk.errors import ExitCode, SourceError, UsageError
from gpudesk.fit.metadata import Tensor
from gpudesk.fit.plan import plan
from gpudesk.fit.values import EngineProfile, Wanted
from gpudesk.output.fit import FIELDS
from gpudesk.sources.model_metadata import FoundModel, read_file
from tests.command_line import CommandLine, command_line, nobody_listens
from tests.fit.headers import LLAMA_KEYS, header

MIB = 1 << 20
GIB = 1 << 30

BIG_KEYS: dict[str, object] = {
    **LLAMA_KEYS,
    "llama.block_count": 32,
    "llama.context_length": 131072,
    "llama.embedding_length": 4096,
    "llama.feed_forward_length": 14336,
    "llama.attention.head_count": 32,
    "llama.attention.head_count_kv": 8,
    "llama.rope.dimension_count": 128,
    "llama.vocab_size": 128256,
}
BIG_TENSORS: tuple[Tensor, ...] = (
    Tensor("token_embd.weight", "Q4_K", (4096, 128256)),
    *(
        Tensor(f"blk.{layer}.{name}.weight", kind, shape)
        for layer in range(32)
        for name, kind, shape in (
            ("attn_norm", "F32", (4096,)),
            ("attn_q", "Q4_K", (4096, 4096)),
            ("attn_k", "Q4_K", (4096, 1024)),
            ("attn_v", "Q6_K", (4096, 1024)),
            ("attn_output", "Q4_K", (4096, 4096)),
            ("ffn_norm", "F32", (4096,)),
            ("ffn_gate", "Q4_K", (4096, 14336)),
            ("ffn_up", "Q4_K", (4096, 14336)),
            ("ffn_down", "Q6_K", (14336, 4096)),
        )
    ),
    Tensor("output_norm.weight", "F32", (4096,)),
    Tensor("output.weight", "Q6_K", (4096, 128256)),
)
"""An 8B Llama: about 4.9 GiB, 128 KiB of KV per token."""


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The header of an 8B model, its weights a hole in the file."""
    path = tmp_path_factory.mktemp("models") / "llama-8b.gguf"
    start = header(BIG_KEYS, BIG_TENSORS)
    from tests.fit.headers import weights_bytes

    with path.open("wb") as file:
        file.write(start)
        file.truncate(len(start) + weights_bytes(BIG_TENSORS))
    return path


def described(*models: str | Path, **options: Any) -> FitRequest:
    """A request for cards that need not be here."""
    chosen: dict[str, Any] = {"cards": ("RTX 4090",), "as_json": True, **options}
    return FitRequest(tuple(AskedModel(str(model)) for model in models), **chosen)


def means(tmp_path: Path | None = None, **settings: Any) -> PlanningMeans:
    """PlanningMeans without any engine and computer."""

    def refuse() -> Any:
        raise AssertionError("this computer was looked at")

    made = planning_means(refuse, Settings(**settings), demo=False)
    return PlanningMeans(made.settings, made.workstation, made.metadata, tmp_path)


def answered(request: FitRequest, given: PlanningMeans | None = None) -> tuple[int, dict[str, Any]]:
    """Exit code and document."""
    out = io.StringIO()
    code = fit.run(request, given or means(), out)
    return code, json.loads(out.getvalue())


def texted(request: FitRequest, given: PlanningMeans | None = None) -> tuple[int, str]:
    out = io.StringIO()
    code = fit.run(request, given or means(), out)
    return code, out.getvalue()


class TestDescribedCards:
    def test_a_file_on_a_card_that_is_not_here(self, model_file: Path) -> None:
        code, content = answered(described(model_file, context_length=8192))
        assert (code, content["verdict"]) == (ExitCode.OK, "fits")
        (model,) = content["models"]
        parts = ("weights", "kv_cache", "compute", "projector", "overhead")
        assert model["total_bytes"] == sum(model[f"{part}_bytes"] for part in parts) == content["total_bytes"]
        assert model["kv_cache_bytes"] == 8192 * 32 * 8 * 256 * 2
        assert model["low_bytes"] < model["total_bytes"] < model["high_bytes"]
        assert (model["layers_on_gpu"], model["layers_total"]) == (33, 33)
        assert (model["basis"], model["context_length"]) == ("calculated", 8192)
        (card,) = content["cards"]
        assert card == {
            "index": 0, "name": "GeForce RTX 4090", "memory_total_bytes": 24564 * MIB,
            "available_bytes": 24564 * MIB, "planned_bytes": model["total_bytes"],
        }  # fmt: skip

    def test_the_document_has_the_keys_of_the_contract(self, model_file: Path) -> None:
        _, content = answered(described(model_file, memory=(6 * GIB,), cards=(), context_length=65536))
        for place, fields in FIELDS:
            value: Any = content
            for step in filter(None, place.split(".")):
                value = value[step.removesuffix("[]")]
                value = value[0] if step.endswith("[]") else value
            assert list(value) == [key for key, _ in fields]

    @pytest.mark.parametrize(
        ("memory", "code", "verdicts"),
        [
            (24 * GIB, ExitCode.OK, {"fits"}),
            (4 * GIB, ExitCode.FAILED, {"spills"}),
            (64 * MIB, ExitCode.FAILED, {"spills", "does not fit"}),
        ],
    )
    def test_the_exit_code_tells_the_verdict(
        self, model_file: Path, memory: int, code: int, verdicts: set[str]
    ) -> None:
        given, content = answered(described(model_file, cards=(), memory=(memory,), context_length=8192))
        assert given == code
        assert content["verdict"] in verdicts

    def test_a_context_behind_the_model_wins_over_the_option(self, model_file: Path) -> None:
        request = described(context_length=4096)
        both = FitRequest((AskedModel(str(model_file), 2048), AskedModel(str(model_file))), 4096, cards=request.cards,
                          as_json=True)  # fmt: skip
        _, content = answered(both)
        assert [model["context_length"] for model in content["models"]] == [2048, 4096]

    def test_a_context_above_what_was_trained_is_cut_and_said(self, model_file: Path) -> None:
        request = described(model_file, context_length=1 << 20)
        _, content = answered(request)
        assert content["models"][0]["context_length"] == 131072
        assert content["server"]["context_length"] == 131072
        _, text = texted(described(model_file, context_length=1 << 20, as_json=False))
        assert "131072" in text
        assert "trained" in text

    def test_a_smaller_kv_type_and_more_slots(self, model_file: Path) -> None:
        plain = answered(described(model_file, context_length=8192))[1]["models"][0]
        small = answered(described(model_file, context_length=8192, kv_cache_type=("q8_0", "q8_0")))[1]["models"][0]
        many = answered(described(model_file, context_length=8192, parallel=4))[1]["models"][0]
        assert small["kv_cache_bytes"] == plain["kv_cache_bytes"] * 34 // 64
        assert many["kv_cache_bytes"] == 4 * plain["kv_cache_bytes"]
        assert small["weights_bytes"] == plain["weights_bytes"] == many["weights_bytes"]

    def test_a_reserve_larger_than_the_card_is_said(self, model_file: Path) -> None:
        given = means(reserve_bytes=99 * GIB)
        code, text = texted(described(model_file, as_json=False), given)
        assert code == ExitCode.FAILED
        assert "the reserve of 99.0 GiB leaves nothing of GeForce RTX 4090" in text

    def test_what_others_hold_is_not_available(self, model_file: Path) -> None:
        _, content = answered(described(model_file, others=(2 * GIB,)))
        assert content["cards"][0]["available_bytes"] == 24564 * MIB - 2 * GIB

    def test_two_cards_share_what_one_cannot_hold(self, model_file: Path) -> None:
        _, content = answered(described(model_file, cards=(), memory=(5 * GIB, 5 * GIB), context_length=8192))
        planned = [card["planned_bytes"] for card in content["cards"]]
        assert all(planned)
        assert sum(planned) == content["total_bytes"]

    @pytest.mark.parametrize("version", ["0.5.4", "0.12.6", "0.24.0", "0.33.0"])
    def test_every_era_answers(self, model_file: Path, version: str) -> None:
        code, content = answered(described(model_file, version=version, context_length=4096))
        assert (code, content["server"]["context_length"]) == (ExitCode.OK, 4096)

    def test_text_begins_with_the_verdict_and_names_the_engine(self, model_file: Path) -> None:
        code, text = texted(described(model_file, as_json=False, version="0.33.0", context_length=8192))
        assert code == ExitCode.OK
        assert text.startswith("fits: llama-8b")
        assert "Ollama 0.33.0 will load" in text
        assert "source: " not in text

    def test_explained_text_names_its_sources(self, model_file: Path) -> None:
        _, text = texted(described(model_file, as_json=False, explain=True))
        assert text.count("source: ") == 4
        assert "llama.cpp src/llama-kv-cache.cpp" in text

    def test_a_file_that_is_not_there(self) -> None:
        with pytest.raises(SourceError, match=r"none\.gguf"):
            answered(described("none.gguf"))

    def test_a_card_nobody_knows(self, model_file: Path) -> None:
        with pytest.raises(UsageError, match="RTX 9999"):
            answered(described(model_file, cards=("RTX 9999",)))


class TestMeasuredPoints:
    def test_points_of_this_kind_of_card_correct_the_answer(self, model_file: Path, tmp_path: Path) -> None:
        from gpudesk.sources.calibration_store import CalibrationStore
        from tests.fit.test_calibration import point

        plain = answered(described(model_file, context_length=8192))[1]["models"][0]
        store = CalibrationStore(tmp_path)
        for number in range(5):
            store.add(point(number, 200))
        corrected = answered(described(model_file, context_length=8192), means(tmp_path))[1]["models"][0]
        assert corrected["basis"] == "calibrated"
        assert corrected["overhead_bytes"] == plain["overhead_bytes"] + 200 * MIB
        assert corrected["high_bytes"] - corrected["low_bytes"] < plain["high_bytes"] - plain["low_bytes"]

    def test_a_damaged_store_is_said_and_ignored(
        self, model_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from gpudesk.sources.calibration_store import FILE_NAME

        (tmp_path / FILE_NAME).write_bytes(b"nonsense")
        assert answered(described(model_file), means(tmp_path))[1]["models"][0]["basis"] == "calculated"
        assert "set aside" in capsys.readouterr().err


@pytest.fixture
def demo() -> PlanningMeans:
    """The simulated workstation, new for each question."""
    return planning_means(lambda: open_workstation(Settings(), demo="coding"), Settings(), demo=True)


class TestDemo:
    def test_models_beside_what_is_loaded(self, demo: PlanningMeans) -> None:
        code, content = answered(FitRequest((AskedModel("qwen3:14b", 8192), AskedModel("bge-m3")), as_json=True), demo)
        assert code in (0, 1)
        assert [model["name"] for model in content["models"]] == ["qwen3:14b", "bge-m3:latest"]
        assert content["cards"][0]["name"] == "NVIDIA GeForce RTX 4090"
        assert 0 < content["cards"][0]["available_bytes"] < content["cards"][0]["memory_total_bytes"]

    def test_what_is_too_much_comes_with_alternatives(self, demo: PlanningMeans) -> None:
        request = FitRequest((AskedModel("llama3.3:70b", 32768),), as_json=True)
        code, content = answered(request, demo)
        assert (code, content["verdict"]) == (1, "spills")
        assert content["models"][0]["layers_on_gpu"] < content["models"][0]["layers_total"]

    def test_the_text_says_that_it_is_simulated(self, demo: PlanningMeans) -> None:
        _, text = texted(FitRequest((AskedModel("qwen3:8b"),)), demo)
        assert text.startswith("DEMO: ")

    def test_a_name_that_is_not_installed(self, demo: PlanningMeans) -> None:
        with pytest.raises(UsageError, match="qwen3:15b is not installed") as caught:
            answered(FitRequest((AskedModel("qwen3:15b"),)), demo)
        assert "qwen3:14b" in (caught.value.hint or "")

    def test_a_cloud_model(self, demo: PlanningMeans) -> None:
        with pytest.raises(UsageError, match="cloud model"):
            answered(FitRequest((AskedModel("gpt-oss:120b-cloud"),)), demo)

    @pytest.mark.slow
    def test_every_installed_model_can_be_planned(self, demo: PlanningMeans) -> None:
        request = FitRequest((), cards=("RTX 4090",))
        with demo.opened(request) as (station, desk):
            assert desk is not None
            source = demo.metadata(station)
            found, failures = source.find_all(desk.installed)
            source.close()
        assert failures == ()
        assert len(found) > 35
        situation = fit.situation_of(request, demo, desk)
        for each in found:
            options = load_options(request, AskedModel(each.name), each, situation.profile)
            made = plan([Wanted(each.name, each.metadata, options)], situation.cards, situation.profile)
            assert made.total_bytes > 0, each.name
            assert made.models[0].low_bytes <= made.models[0].parts.total_bytes <= made.models[0].high_bytes


def test_options_are_those_typed_then_the_modelfile_s_then_the_engine_s(model_file: Path) -> None:
    from dataclasses import replace

    found = replace(read_file(model_file), parameters={"num_ctx": 16384, "num_batch": 256, "num_gpu": 20})
    profile = EngineProfile(kv_cache_type="q8_0", flash_attention=True)
    plain = load_options(FitRequest(()), AskedModel("x"), found, profile)
    assert (plain.context_length, plain.batch_size, plain.layers_on_gpu) == (16384, 256, 20)
    assert (plain.kv_cache_type_k, plain.kv_cache_type_v, plain.flash_attention) == ("q8_0", "q8_0", True)
    request = FitRequest((), 4096, 2, ("q8_0", "q4_0"), flash_attention=False)
    typed = load_options(request, AskedModel("x"), found, profile)
    assert (typed.context_length, typed.parallel, typed.flash_attention) == (4096, 2, False)
    assert (typed.kv_cache_type_k, typed.kv_cache_type_v) == ("q8_0", "q4_0")
    assert load_options(request, AskedModel("x", 99), found, profile).context_length == 99


def test_smaller_quantizations_of_the_same_model_are_alternatives(model_file: Path) -> None:
    def installed(name: str, quantization: str, size: int, parameters: str = "8B") -> InstalledModel:
        return InstalledModel(name, "u", "0" * 64, size, parameters, quantization, "llama")

    models = [
        installed("a:q8", "Q8_0", 8), installed("a:q4", "Q4_K_M", 5), installed("a:q3", "Q3_K_M", 4),
        installed("a:f16", "F16", 16), installed("b:q4", "Q4_K_M", 2, "3B"), installed("same:q8", "Q8_0", 7),
    ]  # fmt: skip
    found = [FoundModel("a:q8", read_file(model_file).metadata)]
    assert [model.name for model in smaller_siblings(found, models)] == ["a:q4", "a:q3"]
    assert smaller_siblings(found, ()) == []


def test_progress_is_for_terminals_only() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert progress_on(io.StringIO()) is None
    assert progress_on(None) is None
    stream = Terminal()
    show = progress_on(stream)
    assert show is not None
    show(1, 2)
    show(2, 2)
    assert stream.getvalue() == "reading models 1 of 2\rreading models 2 of 2\r\x1b[K"


def test_the_request_is_what_was_typed() -> None:
    from gpudesk.arguments.parser import parse

    typed = parse(["fit", "a@4k", "b", "--ctx", "8k", "--parallel", "2", "--kv", "q8_0", "--flash-attention", "off",
                   "--vram", "24GiB,8GiB", "--others", "1GiB", "--engine-version", "0.12.6", "--explain",
                   "--json"])  # fmt: skip
    assert request_from(vars(typed)) == FitRequest(
        (AskedModel("a", 4096), AskedModel("b")), 8192, 2, ("q8_0", "q8_0"), False, (), (24 * GIB, 8 * GIB), (GIB,),
        "0.12.6", True, True,
    )  # fmt: skip


class TestFromAShell:
    @pytest.fixture
    def shell(self, tmp_path: Path) -> Iterator[CommandLine]:
        with nobody_listens() as url:
            yield command_line(tmp_path, url)

    @pytest.mark.slow
    def test_exit_codes(self, shell: CommandLine, model_file: Path) -> None:
        codes = {
            ("fit", str(model_file), "--card", "RTX 4090", "--ctx", "8k"): 0,
            ("fit", str(model_file), "--vram", "2GiB"): 1,
            ("fit", f"{model_file}@1e9", "--card", "RTX 4090"): 2,
            ("fit", str(model_file), "--card", "RTX 9999"): 2,
            ("fit", "qwen3:14b", "--card", "RTX 4090"): 3,
            ("fit", str(model_file)): 3,
        }
        for arguments, code in codes.items():
            result = shell.run(*arguments)
            assert result.returncode == code, (arguments, result.stderr)
            assert "Traceback" not in result.stderr

    def test_files_need_neither_network_nor_screen(self, model_file: Path) -> None:
        script = (
            "import sys; from gpudesk.cli import run; "
            f"code = run(['fit', {str(model_file)!r}, '--card', 'RTX 4090', '--json']); "
            "print(sorted({'textual', 'rich', 'httpcore', 'httpx', 'pynvml', 'psutil', 'sqlite3'} & set(sys.modules)), "
            "file=sys.stderr)"
        )
        result = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=60,
            env={**os.environ, "OLLAMA_HOST": "127.0.0.1:1"},
        )  # fmt: skip
        assert result.stderr.strip() == "[]"
        assert json.loads(result.stdout)["verdict"] == "fits"

    def test_wrong_settings_name_what_is_allowed(self, shell: CommandLine) -> None:
        for option, value in (("--ctx", "0"), ("--parallel", "x"), ("--kv", "q9"), ("--vram", "many"), ("--card", "x")):
            result = shell.run("fit", "a.gguf", option, value)
            assert result.returncode == 2
            assert result.stdout == ""


class TestProjectors:
    @pytest.fixture
    def beside(self, model_file: Path, tmp_path: Path) -> Path:
        """The model in a directory of its own, with a projector of 64 MiB that is for it."""
        from tests.fit.headers import weights_bytes

        model = tmp_path / "model.gguf"
        model.symlink_to(model_file)
        tensors = (Tensor("mm.weight", "F32", (4096, 4096)),)
        keys = {"general.architecture": "clip", "clip.vision.projection_dim": 4096}
        with (tmp_path / "mmproj-f16.gguf").open("wb") as file:
            start = header(keys, tensors)
            file.write(start)
            file.truncate(len(start) + weights_bytes(tensors))
        return model

    def test_one_beside_a_file_is_counted_and_said(self, beside: Path) -> None:
        _, content = answered(described(beside))
        assert content["models"][0]["projector_bytes"] >= 64 * MIB
        _, words = texted(described(beside, as_json=False))
        assert "mmproj-f16.gguf beside it makes it see" in words

    def test_none_leaves_it_out(self, beside: Path) -> None:
        _, content = answered(described(beside, mmproj="none"))
        assert content["models"][0]["projector_bytes"] == 0

    def test_a_named_one_is_taken_from_anywhere(self, beside: Path, model_file: Path) -> None:
        projector = str(beside.parent / "mmproj-f16.gguf")
        _, content = answered(described(model_file, mmproj=projector))
        assert content["models"][0]["projector_bytes"] >= 64 * MIB
        with pytest.raises(UsageError, match="goes with one"):
            answered(described(model_file, beside, mmproj=projector))


class TestLlamaServer:
    def test_ctx_is_for_all_slots_and_the_command_is_told(self, model_file: Path) -> None:
        request = described(model_file, engine="llama-server", context_length=8192, parallel=2)
        _, content = answered(request)
        assert content["server"]["parallel"] == 2
        assert content["models"][0]["context_length"] == 4096
        _, words = texted(replace(request, as_json=False))
        assert f"llama-server -m {model_file} -c 8192 -np 2" in words

    def test_its_own_fit_takes_context_then_layers(self, model_file: Path) -> None:
        tight = described(model_file, engine="llama-server", cards=(), memory=(8 * GIB,), as_json=False)
        code, words = texted(tight)
        assert code == ExitCode.OK
        assert "context reduced from" in words
        small = replace(tight, memory=(4 * GIB,))
        code, words = texted(small)
        assert code == ExitCode.FAILED
        assert "--fit puts" in words

    def test_without_fit_nothing_is_changed(self, model_file: Path) -> None:
        request = described(model_file, engine="llama-server", fit=False, cards=(), memory=(8 * GIB,), as_json=False)
        assert "--fit is off: taken as it is" in texted(request)[1]

    def test_layers_are_those_of_ngl(self, model_file: Path) -> None:
        for engine in ("llama-server", "ollama"):
            _, content = answered(described(model_file, engine=engine, layers=10))
            assert content["models"][0]["layers_on_gpu"] == 10
