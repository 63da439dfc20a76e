from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudesk.sources.process_names import NAME_LIMIT, is_worker, readable_name
from gpudesk.sources.process_table import RawProcess
from gpudesk.text import clean

HEX = "6a0746a1ec1aef3e7ec53868f220ff6e389f6f8ef87a01d77c96807de94ca2aa"
SECRET = "hf_secret123"


def named(*argv: str, comm: str | None = "comm", directory: str | None = None, container: bool = False) -> str | None:
    return readable_name(RawProcess(7, comm, argv, working_directory=directory, container=container))


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["/usr/lib/xorg/Xorg", ":0", "-auth", "/run/lightdm/root/:0"], "Xorg"),
        (["/usr/bin/gnome-shell"], "gnome-shell"),
        (["/usr/lib/firefox/firefox", "-contentproc", "-childID", "4"], "firefox"),
        (["-bash"], "bash"),
        (["python", "train.py"], "python train.py"),
        (["/home/me/venv/bin/python3.11", "-u", "/home/me/src/train.py", "--token", SECRET], "python train.py"),
        (["python3", "-m", "torch.distributed.run", "--key", SECRET], "python -m torch.distributed.run"),
        (["python", "-um", "http.server"], "python -m http.server"),
        (["python", "-mtimeit"], "python -m timeit"),
        (["python", "-m"], "python"),
        (["python", "-c", f"import x; login('{SECRET}')"], "python -c"),
        (["python", "-Ic", f"login('{SECRET}')"], "python -c"),
        (["python", "-W", "ignore", "-X", "dev", "a.py"], "python a.py"),
        (["python", "-Ximporttime", "-Wonce::c", "a.py"], "python a.py"),
        (["python", "--check-hash-based-pycs", "always", "a.py"], "python a.py"),
        (["python"], "python"),
        (["python", "-"], "python"),
        (["pypy3.10", "a.py"], "python a.py"),
        (["pythonw.exe", "a.py"], "python a.py"),
        (["C:\\Python312\\python.exe", "C:\\src\\a.py"], "python a.py"),
        (["python", "-m", "ipykernel_launcher", "-f", "/run/kernel.json"], "jupyter kernel"),
        (["/venv/bin/python", "/venv/bin/vllm", "serve", "x", "--api-key", SECRET], "vllm"),
        (["VLLM::EngineCore"], "vllm EngineCore"),
        (["VLLM::Worker_TP0"], "vllm Worker_TP0"),
        (["python", "/home/me/ComfyUI/main.py", "--listen"], "ComfyUI"),
        (["python", "/home/me/app/main.py"], "python main.py"),
        (["java", "-Xmx4g", "-jar", "/opt/mc/server.jar", "nogui"], "java server.jar"),
        (["java", "-cp", "/a:/b", "@args", "com.example.Main", SECRET], "java com.example.Main"),
        (["java", "-p", "mods", "-m", "app/com.example.Main"], "java app/com.example.Main"),
        (["java", f"-Dpassword={SECRET}"], "java"),
        (["java", "-jar"], "java"),
        (["node", "--inspect", "/srv/app/server.js", SECRET], "node server.js"),
        (["node", "-e", f"login('{SECRET}')"], "node"),
        (["bash", "-c", f"TOKEN={SECRET} run"], "bash"),
        (["/bin/sh", "/opt/run.sh", SECRET], "sh run.sh"),
        (["/usr/lib/electron/electron", "/usr/lib/signal-desktop/resources/app.asar"], "signal-desktop"),
        (["electron", "--type=gpu-process"], "electron"),
        (["electron", "/opt/thing.asar"], "thing"),
        (["/usr/share/code/code", "--type=gpu-process", "--no-sandbox"], "code"),
        (["/opt/google/chrome/chrome --type=gpu-process --token=" + SECRET], "chrome"),
        (["nginx: worker process"], "nginx"),
        (["Z:\\games\\Big Game\\Game.exe", "-dx12"], "Game.exe"),
        (["Z:\\games\\Big Game\\Game.exe"], "Game.exe"),
        (["/usr/bin/wine64-preloader", "/usr/bin/wine64", "C:\\x\\Game.exe"], "Game.exe"),
        (["/opt/proton", "waitforexitandrun", "/games/Other.EXE"], "Other.EXE"),
        (["wineserver"], "wineserver"),
        (["llama-server", "-m", "/models/qwen3-8b.gguf", "--api-key", SECRET], "llama-server qwen3-8b.gguf"),
        (["./llama-server", "--model=/models/a.gguf"], "llama-server a.gguf"),
        (["llama-server", "-hf", "ggml-org/gemma-3-4b"], "llama-server gemma-3-4b"),
        (["llama-server", "-m", f"/blobs/sha256-{HEX}"], "llama-server sha256-6a0746a1ec1a"),
        (["llama-server", "-m", f"https://x/y.gguf?token={SECRET}"], "llama-server y.gguf"),
        (["llama-server", "-m"], "llama-server"),
        (["llama-server", "--port", "1"], "llama-server"),
        (["/usr/local/bin/ollama", "serve"], "ollama serve"),
        (["ollama", "runner", "--port", "1"], "ollama runner"),
        (["ollama", "--version"], "ollama"),
        (["evil\x1b[2J\u202e\nname"], "evil[2J name"),
        (["/usr/bin/"], "/usr/bin/"),
        (["  "], "comm"),
    ],
)
def test_readable_names(argv: list[str], name: str) -> None:
    assert named(*argv) == name


def test_nothing_secret_is_ever_in_a_name() -> None:
    for argv in (["python", "-c", SECRET], ["x", SECRET], ["ollama", SECRET], ["node", SECRET], ["chrome " + SECRET]):
        assert SECRET not in (named(*argv) or "")


def test_without_a_command_line_the_short_name_is_all() -> None:
    assert readable_name(RawProcess(7, "Xorg", None)) == "Xorg"
    assert readable_name(RawProcess(7, "kworker/0:1", ())) == "kworker/0:1"
    assert readable_name(RawProcess(7, None, None)) is None
    assert readable_name(RawProcess(7, "\x1b", None)) is None


def test_a_program_path_with_a_space_is_not_taken_apart() -> None:
    assert named("/home/me/My Games/tux racer", comm="tux racer") == "tux racer"


def test_containers_are_marked() -> None:
    assert named("python", "train.py", container=True) == "python train.py (container)"


def test_comfyui_is_known_by_its_folder() -> None:
    assert named("python", "main.py", directory="/home/me/ComfyUI") == "ComfyUI"
    assert named("python", "main.py", directory="/home/me/comfyui-portable/app") == "ComfyUI"
    assert named("python", "main.py", directory="/home/comfyui/projects/other") == "python main.py"
    assert named("python", "main.py") == "python main.py"


def test_long_names_are_cut() -> None:
    name = named("x" * 4096)
    assert name is not None
    assert len(name) == NAME_LIMIT


def test_multiprocessing_children_are_known() -> None:
    spawn = ("python", "-c", "from multiprocessing.spawn import spawn_main", "--multiprocessing-fork")
    assert is_worker(RawProcess(7, "python", spawn))
    assert not is_worker(RawProcess(7, "python", ("python", "train.py")))
    assert not is_worker(RawProcess(7, "python", None))


@given(st.lists(st.text(max_size=30), max_size=6), st.one_of(st.none(), st.text(max_size=20)))
def test_any_process_has_a_name_or_none(argv: list[str], comm: str | None) -> None:
    for program in ([], ["python"], ["java"], ["electron"], ["llama-server"], ["wine"]):
        name = readable_name(RawProcess(7, comm, (*program, *argv)))
        assert name is None or name == clean(name, NAME_LIMIT) != ""
