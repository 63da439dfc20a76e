"""An action on its way: made again from the newest desk whenever it is looked at, and told apart by what it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.actions.lookup import installed_as, loaded_as
from gpudesk.actions.values import Load, Preview, Refusal
from gpudesk.errors import GpudeskError
from gpudesk.records import dataclass, replace

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpudesk.actions.values import ActionId
    from gpudesk.domain.desk import Desk, LoadedModel
    from gpudesk.domain.model import InstalledModel


@dataclass(frozen=True, slots=True)
class Target:
    """A model as it was when the key was pressed."""

    engine_url: str
    name: str
    digest: str | None = None

    def loaded(self, desk: Desk) -> LoadedModel | None:
        """Return it as it is loaded now."""
        return loaded_as(desk, Load(self.engine_url, self.name))

    def installed(self, desk: Desk) -> InstalledModel | None:
        """Return it as it is installed now."""
        return installed_as(desk, Load(self.engine_url, self.name))

    def changed(self, desk: Desk) -> Refusal | None:
        """Say that another model has its name now; a model that is gone is the preview's business."""
        for found in (self.loaded(desk), self.installed(desk)):
            if found is not None and None not in (found.digest, self.digest) and found.digest != self.digest:
                message = f"{self.name} is another model than when the key was pressed"
                return Refusal(message, "Look again, and press the key again")
        return None


def target_of(model: LoadedModel | InstalledModel) -> Target:
    """Hold on to a model by name and digest."""
    return Target(model.engine_url, model.name, model.digest)


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a key asks for."""

    action: ActionId
    subject: str
    make: Callable[[Desk], Preview]
    """Makes the preview; raises `GpudeskError` when it cannot be told what is meant."""
    targets: tuple[Target, ...] = ()
    """Models it was pressed for; refused when one of them is another one by now."""

    def preview(self, desk: Desk) -> Preview:
        """Return what it would do on this desk; whatever speaks against it is the refusal."""
        for target in self.targets:
            refusal = target.changed(desk)
            if refusal is not None:
                return Preview(self.action, self.subject, refusal=refusal)
        try:
            return self.make(desk)
        except GpudeskError as error:
            return Preview(self.action, self.subject, refusal=Refusal(error.message, error.hint))


def does_the_same(one: Preview, other: Preview) -> bool:
    """Tell whether two previews come to the same steps on the same models; times and figures move meanwhile."""
    return _essence(one) == _essence(other)


def _essence(preview: Preview) -> tuple[object, ...]:
    steps = tuple(
        (step.kind, step.source, replace(step.load, keep_alive=None, memory_bytes=None)) for step in preview.steps
    )
    return steps, len(preview.loses), preview.danger, preview.refusal is None
