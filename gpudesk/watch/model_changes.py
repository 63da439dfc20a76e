"""What became of the models of one engine between two desks."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from gpudesk.domain.event import Event, EventKind
from gpudesk.records import dataclass, replace
from gpudesk.watch.known_models import (
    Known,
    ModelKey,
    differences,
    is_spilled,
    known,
    models_of,
    other_process,
    pids_of,
)
from gpudesk.watch.model_events import (
    arrived,
    back_on_card,
    departed,
    departed_with_server,
    evicted,
    is_dismissed,
    keep_alive_changed,
    reloaded,
    spilled,
)
from gpudesk.watch.names import CARDS, PROCESSES, engine_source
from gpudesk.watch.outage_changes import DOWN
from gpudesk.watch.restarts import Ending
from gpudesk.watch.timers import next_look

if TYPE_CHECKING:
    from datetime import datetime

    from gpudesk.domain.desk import Desk, LoadedModel
    from gpudesk.watch.known_models import Left

EVICTION_WINDOW = timedelta(seconds=10)
"""A model that leaves early this close to another's arrival probably made room for it."""
LISTED_WINDOW = timedelta(seconds=4)
"""And one that leaves this soon after another was listed: an engine evicts before it loads, a person comes later."""
SURELY_WINDOW = timedelta(seconds=2)
"""And surely, when the other's load began this soon: an engine that evicts waits for the memory, people take longer."""
RELOAD_WINDOW = timedelta(seconds=60)
"""A model that left early and is back within this was loaded anew: from Ollama 0.30 on it is in no list meanwhile."""
SETTLING = timedelta(seconds=10)
"""After a load its process is found some seconds later than the engine tells of it; that is no second load."""


def looked_at(desk: Desk, url: str) -> datetime:
    """Return when an engine was last asked with success."""
    state = desk.source(engine_source(url))
    return desk.taken_at if state is None or state.last_value_at is None else state.last_value_at


def update_ending(url: str, before: Desk, after: Desk, left: Left) -> Ending | None:
    """Return the end of the server that a new version tells of, when nothing says that models left before it.

    The version is asked only now and then, so what left early and all at once left with the old server.
    """
    gone = {event.at for key, (_, event) in left.items() if key[0] == url}
    stayed = models_of(before, url).keys() & models_of(after, url).keys()
    if len(gone) > 1 or stayed:
        return None
    return Ending(min(gone, default=after.taken_at), after.taken_at, after.taken_at)


@dataclass(slots=True)
class EngineRound:
    """One engine's models being compared; what is to be remembered and told is collected here."""

    url: str
    before: Desk
    after: Desk
    models: dict[ModelKey, Known]
    left: dict[ModelKey, tuple[Known, Event]]
    revised: dict[Event, Event | None]
    events: list[Event]
    ending: Ending | None = None
    """How its server last ended, if that was seen."""
    waits: bool = False
    """A model has another process than before, and what the engine says of it is older than that."""

    def compare(self) -> None:
        """Compare departures, arrivals and those who stayed, in this order."""
        present = models_of(self.after, self.url)
        if not self._was_seen():
            for key, model in present.items():
                self.models[key] = known(model, self.after, looked_at(self.after, self.url))
            return
        self._explain_by_restart()
        absent = [key for key in self.models if key[0] == self.url and key not in present]
        state = self.after.source(engine_source(self.url))
        if state is not None and state.failure is not None:
            absent = [key for key in absent if self._process_gone(self.models[key])]
        arrivals = {key: model for key, model in present.items() if key not in self.models}
        for key in absent:
            self._leave(key, arrivals)
        for key, model in arrivals.items():
            self._arrive(key, model)
        for key, model in present.items():
            if key not in arrivals:
                self._stay(key, model)

    def _was_seen(self) -> bool:
        """Tell whether the engine ever answered, so that what it lists now can be compared with something."""
        state = self.before.source(engine_source(self.url))
        if state is not None:
            return state.last_value_at is not None
        return any(engine.url == self.url and engine.reachable for engine in self.before.engines) or any(
            model.engine_url == self.url for model in self.before.models
        )

    def _process_gone(self, was: Known) -> bool:
        """Tell whether a model of a silent engine is known to be gone, not merely too long unheard of."""
        if self.ending is not None and self.ending.back_at is None:
            return True
        state = self.after.source(CARDS)
        if not was.pids or state is None or state.failure is not None:
            return False
        alive = {process.pid for card in self.after.cards for process in card.card.processes}
        alive.update(process.pid for process in self.after.processes if process.exists)
        alive.difference_update(process.pid for process in self.after.processes if process.orphaned)
        return not any(pid in alive for pid, _ in was.pids)

    def _leave(self, key: ModelKey, arrivals: dict[ModelKey, LoadedModel]) -> None:
        """Tell of a model that is gone."""
        was = self.models.pop(key)
        ending = self._ending_since(looked_at(self.before, self.url))
        if ending is not None and not was.is_over(self.after.taken_at):
            self.events.append(departed_with_server(was, self.url, self.after.taken_at, ending.text(self.url)))
            return
        state = self.before.source(engine_source(self.url))
        away = state is not None and state.failure is not None and state.failure.kind in DOWN
        for_whom = next((model.name for model in arrivals.values() if model.name != was.name), None)
        sure = for_whom is not None
        if for_whom is None:
            for_whom = self._lately_loaded(was.name)
        event = departed(was, self.url, self.after.taken_at, for_whom=for_whom, away=away, sure=sure)
        self.events.append(event)
        if event.before is not None and (event.kind is EventKind.UNLOADED or not sure):
            self.left[key] = (was, event)

    def _ending_since(self, moment: datetime) -> Ending | None:
        """Return the end of the server if it was noticed since then."""
        return self.ending if self.ending is not None and self.ending.ended_at >= moment else None

    def _explain_by_restart(self) -> None:
        """Say of those that left shortly before the end of the server was noticed that they left with it."""
        if self.ending is None:
            return
        for key, (was, event) in list(self.left.items()):
            if key[0] == self.url and self.ending.alive_at <= event.at <= self.ending.ended_at:
                self.revised[event] = departed_with_server(was, self.url, event.at, self.ending.text(self.url))
                del self.left[key]

    def _lately_loaded(self, name: str) -> str | None:
        """Return the other model that was loaded a moment ago, if one was."""
        for event in reversed(self.before.events):
            if self.after.taken_at - event.at > LISTED_WINDOW:
                return None
            loaded = event.kind in {EventKind.LOADED, EventKind.RELOADED}
            if loaded and event.engine_url == self.url and event.subject != name:
                return event.subject
        return None

    def _arrive(self, key: ModelKey, model: LoadedModel) -> None:
        """Tell of a model that was loaded, or loaded anew, and of those that had made room for it."""
        now = self.after.taken_at
        new = known(model, self.after, looked_at(self.after, self.url))
        back = self.left.pop(key, None)
        if back is not None and back[1] in self.before.events and now - back[1].at <= RELOAD_WINDOW:
            was, event = back
            self.revised[event] = None
            self.events.append(reloaded(was, new, self.url, now))
            timer, change = next_look(was.timer, model.keep_alive, looked_at(self.after, self.url), event.at)
            if change is not None:
                self.events.append(keep_alive_changed(model, change, now))
            new = replace(new, timer=timer)
        else:
            self.events.append(arrived(model, now))
        self.models[key] = new
        if new.spilled:
            self.events.append(spilled(model, now))
        self._explain_departures(model, new)

    def _explain_departures(self, model: LoadedModel, new: Known) -> None:
        """Say of those that left shortly before this load began that they made room for it."""
        starts = [started for _, started in new.pids if started is not None]
        began = min([self.after.taken_at, *starts])
        for key, (was, event) in list(self.left.items()):
            gap = began - event.at
            if is_dismissed(was, event.at):
                continue
            if key[0] != self.url or event.subject == model.name or event.before is None or gap > EVICTION_WINDOW:
                continue
            sure = gap <= SURELY_WINDOW
            self.revised[event] = evicted(event.subject, self.url, event.at, event.before, model.name, sure=sure)
            del self.left[key]

    def _stay(self, key: ModelKey, model: LoadedModel) -> None:
        """Tell what is new about a model that is still there."""
        was = self.models[key]
        if self._is_outdated(was, model):
            self.waits = True
            return
        now, reload = self._settings(was, model)
        if reload is not None:
            self.events.append(reload)
        look, earlier = looked_at(self.after, self.url), looked_at(self.before, self.url)
        timer, change = next_look(was.timer, model.keep_alive, look, earlier)
        if change is not None:
            ending = self._ending_since(earlier)
            why = None if ending is None else ending.text(self.url)
            self.events.append(keep_alive_changed(model, change, self.after.taken_at, why))
        now = replace(now, timer=timer)
        if model.cpu_ratio is not None and is_spilled(model, self.after) != was.spilled:
            now = replace(now, spilled=not was.spilled)
            tell = spilled if now.spilled else back_on_card
            self.events.append(tell(model, self.after.taken_at))
        self.models[key] = now

    def _is_outdated(self, was: Known, model: LoadedModel) -> bool:
        """Tell whether the engine has to be asked first: what it last said may be of the process before.

        Not where the new process's own command line has the same context, or is all that tells it.
        """
        if not other_process(was.pids, pids_of(model, self.after)):
            return False
        if model.runner is not None and model.runner.context_per_slot == model.context_length is not None:
            return False
        asked, looked = self.after.source(engine_source(self.url)), self.after.source(PROCESSES)
        if asked is None or asked.failure is not None or asked.last_value_at is None or looked is None:
            return False
        return looked.last_value_at is not None and asked.last_value_at < looked.last_value_at

    def _settings(self, was: Known, model: LoadedModel) -> tuple[Known, Event | None]:
        """Tell whether a model was loaded anew, by its settings and its process."""
        new = known(model, self.after, self.after.taken_at)
        now = replace(
            was,
            context_length=was.context_length if new.context_length is None else new.context_length,
            parallel=was.parallel if new.parallel is None else new.parallel,
            kv_cache_type=was.kv_cache_type if new.kv_cache_type is None else new.kv_cache_type,
            pids=new.pids or was.pids,
        )
        if now == was:
            return was, None
        other_context = (
            None not in (was.context_length, model.context_length) and was.context_length != now.context_length
        )
        ending = self._ending_since(max(was.since, self.after.taken_at - RELOAD_WINDOW))
        settling = ending is None and self.after.taken_at - was.since < SETTLING
        anew = bool(differences(was, now)) or other_process(was.pids, now.pids)
        if not other_context and (settling or not anew):
            return now, None
        now = replace(now, since=self.after.taken_at)
        why = None if ending is None else ending.text(self.url)
        return now, reloaded(was, now, self.url, self.after.taken_at, why)
