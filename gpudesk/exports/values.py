"""What is exported, what a file becomes, and what is found wrong in one. Contexts in tokens per slot."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from gpudesk.domain.keep_alive import FOREVER, KeepAliveWish
from gpudesk.records import dataclass


class Role(StrEnum):
    """What a model is for in an editor."""

    CHAT = "chat"
    EDIT = "edit"
    APPLY = "apply"
    AUTOCOMPLETE = "autocomplete"
    EMBED = "embed"
    RERANK = "rerank"


@dataclass(frozen=True, slots=True)
class ChosenModel:
    """A model with the roles it shall have, and how it is (to be) resident. One entry per model, not per role."""

    name: str
    """As the engine names it, tag included."""
    roles: tuple[Role, ...]
    engine_url: str
    """Base URL without a trailing slash and without /v1."""
    context_length: int | None = None
    """The planned `num_ctx`, the same for all roles; None when the model has it baked in."""
    context_baked_in: bool = False
    """Derived with `num_ctx` in its parameters: no client needs to send one."""
    keep_alive: KeepAliveWish = FOREVER
    max_tokens: int | None = None
    """Longest answer; None is a default per role."""
    capabilities: tuple[str, ...] | None = None
    """As the engine tells them: `completion`, `tools`, `insert`, `vision`, `embedding`, `thinking`."""
    family: str | None = None
    """`general.architecture`."""
    template_has_suffix: bool | None = None
    """Its template does fill-in-the-middle by itself (`.Suffix`)."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Everything an editor is set up with."""

    models: tuple[ChosenModel, ...]
    warnings: tuple[str, ...] = ()
    """Said before anything is written: a pair that does not fit, with numbers."""

    def of(self, role: Role) -> ChosenModel | None:
        """Return the model of a role."""
        return next((model for model in self.models if role in model.roles), None)


class Way(StrEnum):
    """How an editor's configuration is changed."""

    OWN_FILE = "own file"
    """A file that is gpudesk's alone."""
    MERGE = "merge"
    """Entries of gpudesk within the user's file; everything else stays byte for byte."""
    PRINT = "print"
    """Nothing is written: a snippet, or variables for the shell."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file before and after. Nothing has been written."""

    path: Path
    """As named, before symlinks are resolved."""
    before: bytes | None
    """None: there is no such file."""
    after: bytes | None
    """None: the file is removed. Equal to `before`: only its time is touched, so that the editor reads again."""
    why: str
    """`the models of gpudesk`, `touched so that Continue reads again`."""
    secret: bool = False
    """It may hold keys: new files and backups are readable by their owner alone."""

    @property
    def changes(self) -> bool:
        """Something in it becomes different."""
        return self.before != self.after


@dataclass(frozen=True, slots=True)
class Export:
    """What setting up an editor comes to."""

    editor: str
    way: Way
    changes: tuple[FileChange, ...] = ()
    snippet: str | None = None
    """What is printed instead, or as well."""
    notes: tuple[str, ...] = ()
    """What the user should do or know: restart the editor, choose the model once."""
    named: bool = False
    """A person named the file: a folder that is missing is a slip, and is not made."""
    back_to: int | None = None
    """Of what takes back writes: the number of the first one of them."""
    emptied: tuple[Path, ...] = ()
    """Folders that are removed where nothing is left in them: gpudesk made them."""


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """The editor does not load it, or it does something else than it says."""
    WARNING = "warning"
    """It works, and costs: a reload, a lost pin, an empty prompt."""
    HINT = "hint"


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace bytes `start` to `end` of a file, counted in its decoded text."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something silently wrong in a configuration."""

    code: str
    """Stable: `unknown-key`, `keep-alive-undoes-pin`, `context-mismatch`."""
    severity: Severity
    path: Path
    line: int | None
    """From 1."""
    where: str
    """Key path: `models[0].defaultCompletionOptions.keepAlive`."""
    message: str
    """What is wrong."""
    effect: str
    """What happens because of it."""
    fix: str | None = None
    """What to do."""
    edits: tuple[Edit, ...] = ()
    """Set for a safe fix: what `--fix` does."""
    bars_file: bool = False
    """The editor takes nothing of the file because of it."""
