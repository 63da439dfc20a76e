"""What the commands and the screen do with editors: models out of the desk on one side, files on the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gpudesk.actions.lookup import find_model, is_pinned, pins_of, runners
from gpudesk.domain.working_set import SetModel
from gpudesk.errors import GpudeskError, UsageError
from gpudesk.exports.chosen import (
    ROLES,
    Known,
    Pick,
    Together,
    completed,
    picked,
    picked_of,
    picked_suggestion,
)
from gpudesk.exports.values import Role
from gpudesk.records import dataclass, replace
from gpudesk.units import gibibytes

if TYPE_CHECKING:
    from gpudesk.arguments.planner_values import AskedModel
    from gpudesk.domain.desk import Desk, LoadedModel
    from gpudesk.domain.model import InstalledModel, ModelDetails
    from gpudesk.exports.chosen import Judge
    from gpudesk.exports.foresight import Planned
    from gpudesk.exports.values import Chosen, ChosenModel
    from gpudesk.fit.roles import Candidate
    from gpudesk.fit.values import Wanted
    from gpudesk.stores.working_sets import WorkingSetStore
    from gpudesk.watch.planning import Ground, PlannableModel, Planning

_BOUNDLESS = 1 << 60
SAY_WHICH = "Say which: --chat MODEL --autocomplete MODEL"
SUGGESTED_ROLES = ("code", "autocomplete", "embed")


@dataclass(frozen=True, slots=True)
class Picked:
    """Models with their roles, and where they come from."""

    picks: tuple[Pick, ...]
    origin: str
    """`loaded or pinned`, `set coding`."""
    left_out: tuple[str, ...] = ()
    """Models of it that got no role, and why, a sentence each."""


@dataclass(frozen=True, slots=True)
class Option:
    """A model that can do a role."""

    name: str
    reason: str
    """Why it is good for it."""


class EditorChoice:
    """Chooses models for an editor on one desk. Blocks while headers are read; made anew for each desk."""

    def __init__(self, desk: Desk, planning: Planning, sets: WorkingSetStore) -> None:
        """Make it; nothing is read yet.

        Args:
            desk: what is installed, loaded and pinned.
            planning: reads headers and plans.
            sets: the working sets.
        """
        self._desk, self._planning, self._sets = desk, planning, sets
        self._plannable: dict[tuple[str, str], PlannableModel] = {}
        self._failed: dict[tuple[str, str], str] = {}

    def moved(self, desk: Desk) -> EditorChoice:
        """Return the same on a newer desk, with the headers that are known."""
        newer = EditorChoice(desk, self._planning, self._sets)
        newer._plannable = self._plannable
        newer._failed = {}
        return newer

    # --- what is picked -----------------------------------------------------------------------------------------

    def by_hand(self, words: Mapping[Role, AskedModel]) -> Picked:
        """Return models somebody named.

        Raises:
            UsageError: one is not installed, or has two contexts.
        """
        found: dict[Role, tuple[str, int | None]] = {}
        for role in ROLES:
            if role in words:
                found[role] = (find_model(self._desk, words[role].word).name, words[role].context_length)
        return Picked(picked(found), "by hand")

    def of_set(self, name: str) -> Picked:
        """Return the models of a working set, each with the role it is best for.

        Raises:
            UsageError: there is no such set, a model of it is not installed, or none of them has a role.
            StoreError: it cannot be read.
        """
        listed = self._sets.read(name).models
        models = tuple(
            replace(model, name=find_model(self._desk, model.name, model.engine_url).name) for model in listed
        )
        return self._with_roles(models, f"set {name}")

    def resident(self) -> Picked | None:
        """Return what is loaded or pinned; None when that is nothing."""
        models: dict[str, SetModel] = {}
        for model in runners(self._desk.models):
            context = model.context_length
            models[model.name] = SetModel(model.name, context, pinned=is_pinned(self._desk, model))
        for state in self._desk.pins:
            wish = state.wish
            if any(each.name == wish.name for each in self._desk.installed):
                models[wish.name] = SetModel(wish.name, wish.context_length, pinned=True)
        if not models:
            return None
        contexts_left = tuple(replace(model, context_length=None) for model in models.values())
        return self._with_roles(contexts_left, "loaded or pinned")

    def suggested(self) -> Picked:
        """Return the best set of installed models that fits.

        Raises:
            UsageError: nothing is installed that can do the roles.
        """
        from gpudesk.fit.suggest import missing_roles, suggest

        installed = [model for model in self._desk.installed if model.remote_host is None]
        candidates = list(self._candidates(installed).values())
        missing = missing_roles(candidates, SUGGESTED_ROLES)
        roles = [role for role in SUGGESTED_ROLES if role not in missing]
        ground = self._planning.ground(self._desk)
        found = suggest(candidates, roles, ground.cards, ground.profile, residents=ground.residents)
        if "code" in missing or not found:
            why = ground.problem or f"none of the {len(installed)} installed models can be talked to"
            raise UsageError(f"nothing can be suggested: {why}", SAY_WHICH)
        names = {"autocomplete": "fills in the middle", "embed": "embeds"}
        left_out = tuple(f"no installed model {names[role]}" for role in missing if role in names)
        # What is loaded already stays as it is: the plan's context is only a proposal.
        picks = tuple(
            replace(pick, context_length=None) if self.known(pick.name).context_now is not None else pick
            for pick in picked_suggestion(found[0])
        )
        return Picked(picks, "suggested", left_out)

    def options(self, role: Role) -> tuple[Option, ...]:
        """Return the installed models for a role, the best first."""
        from gpudesk.fit.roles import billions, suitability

        work = "code" if role is Role.CHAT else role.value
        found: list[tuple[float, Option]] = []
        for name, each in self._candidates(self._desk.installed).items():
            fit = suitability(each, work, billions(each.wanted.metadata))
            if fit is not None:
                found.append((fit.score, Option(name, fit.reason)))
        return tuple(option for _, option in sorted(found, key=lambda pair: (-pair[0], pair[1].name)))

    def set_names(self) -> tuple[str, ...]:
        """Return the names of the working sets; none where they cannot be read."""
        try:
            return self._sets.names()
        except GpudeskError:
            return ()

    def _with_roles(self, models: Sequence[SetModel], origin: str) -> Picked:
        installed = [each for model in models if (each := self._installed(model.name)) is not None]
        candidates = self._candidates(installed)
        picks = picked_of(models, candidates)
        taken = {pick.name for pick in picks}
        left_out = tuple(self._why_left_out(model.name) for model in models if model.name not in taken)
        if not picks:
            detail = "; ".join(left_out)
            raise UsageError(f"no model for an editor: {origin}{f'; {detail}' if detail else ''}", SAY_WHICH)
        return Picked(picks, origin, left_out)

    def _why_left_out(self, name: str) -> str:
        installed = self._installed(name)
        failed = self._failed.get((installed.engine_url, name)) if installed is not None else None
        return failed or f"{name} is left out: another one of them does what it could do"

    # --- what comes of it ---------------------------------------------------------------------------------------

    def complete(self, given: Picked, *, judged: bool = True) -> Chosen:
        """Return what an editor is set up with.

        Args:
            given: the models and their roles.
            judged: warn where they do not stay loaded together.

        Raises:
            UsageError: a model that cannot do its role.
        """
        installed = [each for pick in given.picks if (each := self._installed(pick.name)) is not None]
        self._read(installed)
        known = {pick.name: self.known(pick.name) for pick in given.picks}
        chosen = completed(given.picks, known, self.judge if judged else None)
        return replace(chosen, warnings=(*given.left_out, *chosen.warnings))

    def known(self, name: str) -> Known:
        """Return what is known of a model that is loaded or installed.

        Raises:
            UsageError: it is neither.
        """
        found = find_model(self._desk, name)
        installed = self._installed(name)
        digest = found.digest
        details = next((each for each in self._desk.details if digest is not None and each.digest == digest), None)
        header = self._plannable.get((found.engine_url, found.name))
        trained = header.metadata.context_length_trained if header is not None else None
        return Known(
            name=found.name,
            engine_url=found.engine_url,
            capabilities=_capabilities(installed, details, header),
            family=(header.metadata.architecture if header is not None else None)
            or (details.family if details is not None else None)
            or found.family,
            context_now=self._context_now(found),
            context_made=header.options.context_length if header is not None else None,
            context_trained=trained or (details.context_length_trained if details is not None else None),
            remote=installed is not None and installed.remote_host is not None,
        )

    def _context_now(self, model: InstalledModel | LoadedModel) -> int | None:
        """Return the context of its pin, else the one it is loaded with: a pin is what it shall come back to."""
        pins = pins_of(self._desk, model.engine_url, model.name)
        pinned = next((state.wish.context_length for state in pins if state.wish.context_length is not None), None)
        loaded = next(
            (each for each in self._desk.models if (each.engine_url, each.name) == (model.engine_url, model.name)), None
        )
        return pinned or (loaded.context_length if loaded is not None else None)

    @property
    def judge(self) -> Judge:
        """Tells whether models fit together, with everything else of the engine gone."""
        return self._judge

    def why_apart(self, planned: Sequence[Planned]) -> str | None:
        """Say why models that an editor asks for do not stay loaded together; None where they do or nobody knows."""
        from gpudesk.exports.values import ChosenModel

        here = {engine.url for engine in self._desk.engines if engine.local}
        if any(each.engine_url not in here for each in planned):
            return None  # its cards are not these, and its headers are far away
        try:
            self._read([each for model in planned if (each := self._installed(model.name)) is not None])
            together = self._judge(
                [ChosenModel(each.name, (), each.engine_url, context_length=each.context_length) for each in planned]
            )
        except GpudeskError:
            return None
        if together.stays is not False:
            return None
        sizes = f"{gibibytes(together.needs_bytes)} of {gibibytes(together.room_bytes)}"
        evicted = " and ".join(together.would_evict)
        return f"{sizes}, and the engine unloads {evicted} for the others" if evicted else sizes

    def _judge(self, models: Sequence[ChosenModel]) -> Together:
        engines = {engine.url: engine for engine in self._desk.engines}
        far = next((url for model in models if (url := model.engine_url) in engines and not engines[url].local), None)
        if far is not None:
            return Together(note=f"{far} is on another computer")
        wanted: list[Wanted] = []
        for model in models:
            one = self._wanted(model)
            if isinstance(one, str):
                return Together(note=one)
            wanted.append(one)
        ground = self._planning.ground(self._desk)
        if ground.problem is not None:
            return Together(note=ground.problem)
        leaving = [resident.name for resident in ground.residents]
        plan = self._planning.plan(wanted, ground, leaving=leaving, alternatives=False)
        names = {model.name for model in models}
        # Where it spills, the plan tells what goes on the cards; asked is what would have to.
        whole = plan if plan.verdict.value in {"fits", "tight"} else self._planning.plan(
            wanted, _boundless(ground), alternatives=False
        )  # fmt: skip
        return Together(
            verdict=plan.verdict.value,
            needs_bytes=whole.total_bytes,
            room_bytes=sum(card.budget.available_bytes for card in plan.cards),
            by_model=tuple((made.name, made.parts.total_bytes) for made in whole.models),
            would_evict=tuple(name for name in plan.server.would_evict if name in names and len(names) > 1),
            swap_seconds=_swap_seconds(wanted),
        )

    def _wanted(self, model: ChosenModel) -> Wanted | str:
        from gpudesk.fit.values import Wanted

        header = self._plannable.get((model.engine_url, model.name))
        if header is None:
            return self._failed.get((model.engine_url, model.name), f"{model.name}: its header is not known")
        options = replace(header.options, context_length=model.context_length)
        return Wanted(model.name, header.metadata, options, header.blob_digest)

    # --- headers ------------------------------------------------------------------------------------------------

    def _installed(self, name: str) -> InstalledModel | None:
        return next((each for each in self._desk.installed if each.name == name), None)

    def _read(self, models: Sequence[InstalledModel]) -> None:
        asked = [each for each in models if not {(each.engine_url, each.name)} & {*self._plannable, *self._failed}]
        if not asked:
            return
        try:
            found, failures = self._planning.read(asked)
        except GpudeskError as error:
            self._failed.update(((each.engine_url, each.name), error.message) for each in asked)
            return
        by_name, reasons = {each.name: each for each in found}, dict(failures)
        for each in asked:
            if each.name in by_name:
                self._plannable[each.engine_url, each.name] = by_name[each.name]
            else:
                self._failed[each.engine_url, each.name] = reasons.get(each.name, f"{each.name}: no header")

    def _candidates(self, models: Sequence[InstalledModel]) -> dict[str, Candidate]:
        from gpudesk.fit.roles import Candidate
        from gpudesk.fit.values import Wanted

        self._read(models)
        candidates = {}
        for model in models:
            header = self._plannable.get((model.engine_url, model.name))
            if header is not None:
                wanted = Wanted(header.name, header.metadata, header.options, header.blob_digest)
                capabilities = self.known(model.name).capabilities
                is_set = header.options.context_length is not None
                candidates[model.name] = Candidate(wanted, capabilities, is_set)
        return candidates


def _capabilities(
    installed: InstalledModel | None, details: ModelDetails | None, header: PlannableModel | None
) -> tuple[str, ...] | None:
    for known in (installed, details, header):
        if known is not None and known.capabilities is not None:
            return known.capabilities
    return None


def _boundless(ground: Ground) -> Ground:
    """Return cards on which everything fits."""
    first = tuple(
        replace(card, memory_total_bytes=_BOUNDLESS, available_bytes=_BOUNDLESS - card.reserve_bytes)
        for card in ground.cards[:1]
    )
    return replace(ground, cards=first, residents=())


def _swap_seconds(wanted: Sequence[Wanted]) -> float | None:
    """Return what loading the larger of two models again costs."""
    from gpudesk.fit.server_rules import file_bytes
    from gpudesk.fit.swap_cost import swap_seconds

    return swap_seconds(max(file_bytes(one.metadata) for one in wanted)) if len(wanted) > 1 else None


def choose(
    choice: EditorChoice, words: Mapping[Role, AskedModel], set_name: str | None = None, *, suggest: bool = False
) -> tuple[Picked, Chosen]:
    """Choose as it was asked: by hand, of a set, suggested; by itself what is loaded, else what is suggested.

    Raises:
        UsageError: it cannot be done.
    """
    if words:
        given = choice.by_hand(words)
    elif set_name is not None:
        given = choice.of_set(set_name)
    elif suggest:
        given = choice.suggested()
    else:
        given = choice.resident() or choice.suggested()
    return given, choice.complete(given)
