"""Previews of what changes models on the engine's disk: pull, delete, derive."""

from __future__ import annotations

from gpudesk.actions.lookup import engine_at, installed_as, loaded_as, loaded_now, pins_of, with_tag
from gpudesk.actions.planned_steps import leave, total_seconds
from gpudesk.actions.values import ActionId, Danger, Load, Preview, Refusal, Step, StepKind
from gpudesk.actions.wording import enumerated, refused, shared, waiting
from gpudesk.domain.desk import Desk
from gpudesk.domain.model import InstalledModel
from gpudesk.records import replace
from gpudesk.text import clean
from gpudesk.units import gibibytes

LEAST_CONTEXT = 4
"""Ollama raises anything shorter to this (server/sched.go:170 at v0.33.0-rc2)."""


def pull(desk: Desk, name: str, engine_url: str | None = None) -> Preview:
    """Preview a download; None is the first engine."""
    # A name that was copied from a browser; Ollama lists what it pulls without it (types/model/name.go `ParseName`).
    full = with_tag(clean(name.strip().removeprefix("https://"), 200))
    url = engine_url or (desk.engines[0].url if desk.engines else None)
    if url is None:
        return refused(ActionId.PULL, full, "no engine is known", "Start Ollama, or name one in the configuration")
    refusal = _no_answer(desk, url)
    if refusal is None and (not name.strip() or any(character.isspace() for character in full)):
        refusal = Refusal(f"{full!r} is no name of a model", "Names look like qwen3:14b or hf.co/owner/model:Q4_K_M")
    load = Load(url, full)
    blank = Preview(ActionId.PULL, full, before=loaded_now(desk, [url]), refusal=refusal)
    if refusal is not None:
        return blank
    installed = installed_as(desk, load)
    notes = []
    if installed is not None:
        notes.append(f"{installed.name} is installed: only what has changed is downloaded")
        if loaded_as(desk, load) is not None:
            notes.append("the loaded one stays as it is until it is loaded again")
    return replace(blank, steps=(Step(StepKind.PULL, load),), notes=tuple(notes))


def delete(desk: Desk, installed: InstalledModel) -> Preview:
    """Preview a deletion: unloaded and unpinned first; names what else uses the file, which then stays on disk.

    Ollama does not unload what it deletes (its own client does that before, cmd/cmd.go:1183 at v0.33.0-rc2).
    """
    load = Load(installed.engine_url, installed.name, digest=installed.digest)
    blank = Preview(ActionId.DELETE, installed.name, before=loaded_now(desk, [installed.engine_url]))
    refusal = _no_answer(desk, installed.engine_url)
    if refusal is None and installed_as(desk, load) is None:
        refusal = Refusal(f"{installed.name} is not installed")
    if refusal is not None:
        return replace(blank, refusal=refusal)
    there = next(
        (model for model in desk.models if (model.engine_url, model.name) == (installed.engine_url, installed.name)),
        None,
    )
    steps = leave(desk, there) if there is not None else []
    if there is None:
        pins = pins_of(desk, installed.engine_url, installed.name)
        steps = [Step(StepKind.UNPIN, replace(load, name=state.wish.name, pinned=True)) for state in pins]
    others, notes = _users_of(desk, installed)
    size = f", {gibibytes(installed.size_bytes)} on disk" if installed.size_bytes is not None else ""
    if others:
        loses = f"the name {installed.name}; its file stays on disk, for {enumerated(others)} {_uses(others)} it too"
    elif installed.remote_host is not None:
        loses = f"{installed.name}, a name for a model that runs at {installed.remote_host}"
    else:
        loses = f"{installed.name}{size}: it would have to be downloaded or made again"
    return replace(
        blank,
        steps=(*steps, Step(StepKind.DELETE, load)),
        danger=Danger.DESTRUCTIVE,
        loses=(loses,),
        notes=(*notes, *(() if there is None else (*waiting(desk, [there]), *shared([there])))),
        frees_bytes=there.memory_bytes if there is not None else None,
        expected_seconds=total_seconds(steps),
    )


def _uses(names: list[str]) -> str:
    return "uses" if len(names) == 1 else "use"


def _users_of(desk: Desk, installed: InstalledModel) -> tuple[list[str], tuple[str, ...]]:
    """Return the other names that use the same file, and a note where that cannot be told."""
    if installed.remote_host is not None or installed.digest is None:
        return [], ()
    weights = {each.digest: each.blob_digests[0] for each in desk.details if each.blob_digests}
    own = weights.get(installed.digest)
    here = [each for each in desk.installed if each.engine_url == installed.engine_url and each.name != installed.name]
    others = [
        each.name
        for each in here
        if each.digest == installed.digest or (own is not None and weights.get(each.digest or "") == own)
    ]
    untold = own is None or any(each.digest not in weights for each in here if each.remote_host is None)
    if others or not untold:
        return others, ()
    return others, ("whether another model uses the same file is not known yet; if so, it stays on disk",)


def derive(desk: Desk, installed: InstalledModel, context_length: int, new_name: str | None = None) -> Preview:
    """Preview a model with its context baked in, so that all clients agree on it; it shares the file of the first.

    Args:
        desk: what is known.
        installed: what it is made of.
        context_length: what it shall have.
        new_name: its name; None keeps the family in it: `qwen2.5-coder:1.5b` becomes `qwen2.5-coder-16k:1.5b`.
    """
    name = with_tag(clean(new_name.strip(), 200)) if new_name else derived_name(installed.name, context_length)
    url = installed.engine_url
    blank = Preview(ActionId.DERIVE, f"{name} from {installed.name}", before=loaded_now(desk, [url]))
    details = next((each for each in desk.details if each.digest == installed.digest), None)
    trained = details.context_length_trained if details is not None else None
    refusal = _no_answer(desk, url)
    if refusal is None and installed.remote_host is not None:
        refusal = Refusal(f"{installed.name} is a cloud model: it runs at {installed.remote_host}")
    if refusal is None and context_length < LEAST_CONTEXT:
        refusal = Refusal(f"a context of {context_length} is too short", f"At least {LEAST_CONTEXT}")
    if refusal is None and trained is not None and context_length > trained:
        refusal = Refusal(f"{installed.name} was trained for {trained} tokens", f"Choose {trained} or less")
    if refusal is not None:
        return replace(blank, refusal=refusal)
    existing = installed_as(desk, Load(url, name))
    loses = (f"{existing.name} as it is: it is replaced",) if existing is not None else ()
    step = Step(StepKind.DERIVE, Load(url, name, context_length=context_length), source=installed.name)
    notes = (f"it takes no room on disk: the weights are those of {installed.name}",)
    return replace(blank, steps=(step,), loses=loses, notes=notes, danger=Danger.DESTRUCTIVE if loses else Danger.NONE)


def derived_name(name: str, context_length: int) -> str:
    """Name a derived model so that its family can still be read in it; a context already there is replaced.

    Clients tell by the name what a model can do (Continue core/llm/toolSupport.ts at 2.0.0).
    """
    base, _, tag = with_tag(name).rpartition(":")
    word = f"{context_length // 1024}k" if context_length % 1024 == 0 else str(context_length)
    family, dash, last = base.rpartition("-")
    if dash and last.endswith("k") and last[:-1].isdecimal() and last.isascii():
        base = family
    return f"{base}-{word}:{tag}"


def _no_answer(desk: Desk, url: str) -> Refusal | None:
    engine = engine_at(desk, url)
    if engine is None:
        return Refusal(f"no engine at {clean(url, 80)} is known", "Name it in the configuration: engines")
    if not engine.reachable:
        return Refusal(f"{url} does not answer{f': {engine.error}' if engine.error else ''}", engine.hint)
    return None
