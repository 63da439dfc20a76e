"""What an action is, before, while and after it runs. All sizes in bytes, contexts in tokens per slot."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime
from enum import StrEnum

from gpudesk.domain.keep_alive import KeepAliveWish
from gpudesk.records import dataclass


class ActionId(StrEnum):
    """The actions, by the word that is typed for each."""

    LOAD = "load"
    UNLOAD = "unload"
    KEEP = "keep"
    PIN = "pin"
    UNPIN = "unpin"
    SWAP = "swap"
    FREE = "free"
    RESTORE = "restore"
    APPLY = "apply"
    PULL = "pull"
    DELETE = "rm"
    DERIVE = "derive"


class Danger(StrEnum):
    """What an action can cost."""

    NONE = "none"
    """Nothing is lost: it runs at once."""
    REVERSIBLE = "reversible"
    """Something that was loaded goes; it can be loaded again. Asked once, or `--yes`."""
    DESTRUCTIVE = "destructive"
    """Something goes that has to be made or downloaded again. Asked once, naming it, or `--yes`."""


class Origin(StrEnum):
    """Who wants it; in the journal."""

    KEY = "key"
    COMMAND = "command"
    GUARD = "guard"


@dataclass(frozen=True, slots=True)
class Load:
    """A model as it shall be loaded, or as it is: enough to bring it back."""

    engine_url: str
    name: str
    context_length: int | None = None
    """Sent as `num_ctx`; None lets the engine decide."""
    keep_alive: KeepAliveWish | None = None
    """None lets the engine decide."""
    pinned: bool = False
    restore_pin: bool = False
    """Of a pinned one: it is put right when it is lost."""
    embedding: bool = False
    """Only embeds: loaded through `/api/embed`, because `/api/generate` refuses it."""
    digest: str | None = None
    memory_bytes: int | None = None
    """On the cards: measured for a loaded model, expected for another."""


class StepKind(StrEnum):
    """The steps actions are made of."""

    LOAD = "load"
    UNLOAD = "unload"
    """Done when the engine no longer lists it and the driver has its memory back."""
    KEEP_ALIVE = "keep-alive"
    PIN = "pin"
    UNPIN = "unpin"
    PULL = "pull"
    DELETE = "delete"
    DERIVE = "derive"


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `load` says which model, and how."""

    kind: StepKind
    load: Load
    expected_seconds: float | None = None
    why: str | None = None
    """`makes room for qwen3:14b`."""
    source: str | None = None
    """For `derive`: the model it is derived from."""
    restore_pin: bool = False
    """For `pin`: put it right when it is lost."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an action is not available."""

    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """What an action would do. Nothing has happened yet."""

    action: ActionId
    subject: str
    """The exact target, as asked about: `qwen3:14b`, `qwen3:14b to gpt-oss:20b`, `coding`."""
    steps: tuple[Step, ...] = ()
    """In order; at every point what is loaded fits. Empty: it is so already."""
    danger: Danger = Danger.NONE
    loses: tuple[str, ...] = ()
    """What is lost, a sentence each; empty exactly when nothing is asked."""
    notes: tuple[str, ...] = ()
    """What else is worth knowing: what the engine will do by itself, how sure the figures are."""
    verdict: str | None = None
    """`fits`, `tight`, `spills` or `does not fit`, where something is loaded and it can be told."""
    needs_bytes: int | None = None
    """On the cards, for what is loaded."""
    frees_bytes: int | None = None
    free_after_bytes: int | None = None
    expected_seconds: float | None = None
    before: tuple[Load, ...] = ()
    """What is loaded now, on the engines concerned: what a failure goes back to."""
    refusal: Refusal | None = None
    may_evict: tuple[str, ...] = ()
    """Loaded models that the engine may unload for it where its memory cannot be seen; each is one of `loses`."""

    @property
    def runs(self) -> bool:
        """There is something to do, and nothing speaks against it."""
        return self.refusal is None and bool(self.steps)


@dataclass(frozen=True, slots=True)
class Progress:
    """How a running action is doing."""

    step: Step | None
    """None while what was there is brought back."""
    number: int
    """Of the step, from 1."""
    total: int
    text: str
    """`loading qwen3:14b`, `waiting for the driver to take back 9.4 GiB`."""
    elapsed_seconds: float
    """In this step."""
    expected_seconds: float | None = None
    completed_bytes: int | None = None
    total_bytes: int | None = None


class Ending(StrEnum):
    """How an action ended."""

    DONE = "done"
    """Carried out, and seen to be so."""
    UNDONE = "undone"
    """It failed or was canceled; what was there is back."""
    FAILED = "failed"
    """It failed, and something that was there is missing; `missing` says what."""
    REFUSED = "refused"
    """Nothing was done."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What became of one step."""

    step: Step
    ok: bool
    seconds: float
    seen: str
    """What was observed: `gone from Ollama after 0.2 s, 9.4 GiB back after 0.9 s`."""
    waited_seconds: float = 0.0
    """Of these, spent waiting for the engine or the driver; the rest is gpudesk's own."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an action ended, and what to do when it did not end well."""

    ending: Ending
    message: str
    hint: str | None = None
    seconds: float = 0.0
    steps: tuple[StepResult, ...] = ()
    canceled: bool = False
    missing: tuple[Load, ...] = ()
    """Was there before, is not now, and was not meant to go."""
    after: tuple[Load, ...] = field(default_factory=tuple)
    """What is loaded now, on the engines concerned."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One line of the journal: what was done, why, and what it was like before and after."""

    at: datetime
    """Aware UTC: when it began."""
    action: str
    subject: str
    who: Origin
    ending: Ending
    message: str
    seconds: float
    why: str | None = None
    before: tuple[Load, ...] = ()
    after: tuple[Load, ...] = ()
    steps: tuple[str, ...] = ()
    hint: str | None = None
