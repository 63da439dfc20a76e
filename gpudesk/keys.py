"""The registry of every key of the screen. Pure data; see `keymap` for what is done with it."""

from __future__ import annotations

from enum import StrEnum

from gpudesk.records import dataclass


class Scope(StrEnum):
    """Where a key works."""

    EVERYWHERE = "everywhere"
    DESK = "desk"
    """The main screen, whatever has the focus."""
    PANELS = "panels"
    """A screen of several panels: the desk and the planner."""
    LIST = "list"
    """A list or the cards, when focused."""
    PLANNER = "planner"
    """The planner, whatever has the focus."""
    CHOICES = "choices"
    """The planner's list of models, when focused."""
    DETAIL = "detail"
    """The detail and help views."""
    DIALOG = "dialog"
    """A question that is asked before something is done."""
    SETS = "sets"
    """The list of working sets."""
    EDITORS = "editors"
    """The editors' screen, whatever has the focus."""
    EDITOR_ROLES = "editor roles"
    """The list of roles on it, when focused."""


OVERLAPS = {
    Scope.EVERYWHERE: frozenset(Scope),
    Scope.DESK: frozenset({Scope.EVERYWHERE, Scope.DESK, Scope.PANELS, Scope.LIST}),
    Scope.PANELS: frozenset(Scope) - {Scope.DETAIL, Scope.DIALOG, Scope.SETS},
    Scope.LIST: frozenset(Scope) - {Scope.DETAIL, Scope.DIALOG, Scope.SETS},
    Scope.PLANNER: frozenset(Scope) - {Scope.DESK, Scope.DIALOG, Scope.SETS, Scope.EDITORS, Scope.EDITOR_ROLES},
    Scope.CHOICES: frozenset({Scope.EVERYWHERE, Scope.PANELS, Scope.LIST, Scope.PLANNER, Scope.CHOICES}),
    Scope.DETAIL: frozenset({Scope.EVERYWHERE, Scope.PLANNER, Scope.DETAIL, Scope.EDITORS}),
    Scope.DIALOG: frozenset({Scope.EVERYWHERE, Scope.DIALOG, Scope.SETS}),
    Scope.SETS: frozenset({Scope.EVERYWHERE, Scope.DIALOG, Scope.SETS}),
    Scope.EDITORS: frozenset(
        {Scope.EVERYWHERE, Scope.PANELS, Scope.LIST, Scope.DETAIL, Scope.EDITORS, Scope.EDITOR_ROLES}
    ),
    Scope.EDITOR_ROLES: frozenset({Scope.EVERYWHERE, Scope.PANELS, Scope.LIST, Scope.EDITORS, Scope.EDITOR_ROLES}),
}
"""Scopes that are active at the same time, in which one key cannot mean two things."""


@dataclass(frozen=True, slots=True)
class KeyAction:
    """One thing a key does."""

    id: str
    """Stable name for the keymap: `[keys] filter = "slash"`."""
    keys: tuple[str, ...]
    """Default keys, as Textual names them."""
    action: str
    """What runs, in Textual's action notation."""
    description: str
    """One or two words, for the footer and the palette."""
    help: str
    """A sentence, for the help view and the tooltip."""
    group: str
    scope: Scope
    in_footer: bool = False
    in_palette: bool = False


ACTING = "Acting"
"""The group of the keys that change something."""
WRITING = frozenset({"plan_make_it_so", "plan_save", "editor_write", "editor_fix", "editor_restore", "editor_migrate"})
"""Keys of other groups that change something."""
DIALOGS = "In dialogs"
SET_KEYS_MOST = 6
"""Working sets that have a key without asking for one: the digits that the lists of the desk leave."""

BINDINGS: tuple[KeyAction, ...] = (
    KeyAction("help", ("question_mark", "f1"), "app.help", "help", "Show every key and what the columns mean",
              "General", Scope.EVERYWHERE, True, True),
    KeyAction("quit", ("q",), "app.leave(0)", "quit", "Leave gpudesk; models stay as they are",
              "General", Scope.EVERYWHERE, True, True),
    KeyAction("interrupt", ("ctrl+c",), "app.leave(130)", "interrupt", "Leave at once, exit code 130",
              "General", Scope.EVERYWHERE),
    KeyAction("palette", ("ctrl+p",), "app.command_palette", "palette", "Search everything that can be done",
              "General", Scope.EVERYWHERE, True),
    KeyAction("theme", ("t",), "app.next_theme", "theme", "Switch between the dark and the light theme",
              "General", Scope.EVERYWHERE, False, True),
    KeyAction("suspend", ("ctrl+z",), "app.suspend_process", "suspend", "Back to the shell; `fg` returns",
              "General", Scope.EVERYWHERE),
    KeyAction("refresh", ("r",), "app.refresh_now", "refresh", "Read everything now instead of at its next turn",
              "General", Scope.EVERYWHERE, False, True),
    KeyAction("graph_span", ("g",), "app.graph_span", "graph span", "Graphs over 60 seconds or over 10 minutes",
              "Views", Scope.EVERYWHERE, False, True),
    KeyAction("details", ("enter",), "details", "details", "Everything known of the selected model, card or row",
              "Views", Scope.LIST, True, True),
    KeyAction("filter", ("slash",), "screen.filter", "filter", "Show only rows that contain what you type",
              "Views", Scope.PANELS, True, True),
    KeyAction("back", ("escape",), "screen.back", "back", "Clear the filter, close a view",
              "Views", Scope.EVERYWHERE),
    KeyAction("sort", ("o",), "next_sort", "sort", "Order the list by the next column",
              "Views", Scope.LIST, True, True),
    KeyAction("reverse_sort", ("O",), "reverse_sort", "reverse", "Turn the order around",
              "Views", Scope.LIST, False, True),
    KeyAction("installed", ("1",), "screen.tab('installed')", "installed", "Installed models",
              "Views", Scope.DESK, False, True),
    KeyAction("processes", ("2",), "screen.tab('processes')", "processes", "Other processes on the cards",
              "Views", Scope.DESK, False, True),
    KeyAction("events", ("3",), "screen.tab('events')", "events", "What happened, newest first",
              "Views", Scope.DESK, False, True),
    KeyAction("problems", ("4",), "screen.tab('problems')", "problems", "What is wrong and what to do",
              "Views", Scope.DESK, False, True),
    KeyAction("fit", ("f",), "app.planner", "fit", "Plan: does a combination of models fit, before anything is loaded",
              "Views", Scope.DESK, True, True),
    KeyAction("editors", ("e",), "app.editors", "editors",
              "Editors: set them up with models that fit; what is wrong in their files",
              "Views", Scope.DESK, True, True),
    KeyAction("load", ("l",), "app.act('load')", "load",
              "Load the selected model; asks how, and shows what that comes to",
              ACTING, Scope.DESK, True, True),
    KeyAction("unload", ("u",), "app.act('unload')", "unload",
              "Unload the selected model; done when the driver has its memory back", ACTING, Scope.DESK, True, True),
    KeyAction("pin", ("p",), "app.act('pin')", "pin",
              "Pin the selected model, so that its loss is noticed; again ends the pin",
              ACTING, Scope.DESK, True, True),
    KeyAction("keep_alive", ("k",), "app.act('keep')", "keep",
              "How long the selected model stays when idle; never loads it again",
              ACTING, Scope.DESK, True, True),
    KeyAction("swap", ("s",), "app.act('swap')", "swap",
              "Exchange the selected model for another, whole on the card or not",
              ACTING, Scope.DESK, True, True),
    KeyAction("working_sets", ("w",), "app.act('sets')", "sets",
              "Working sets: apply one, save what is loaded as one", ACTING, Scope.DESK, True, True),
    KeyAction("free", ("F",), "app.act('free')", "free card",
              "Free the card for a game or a render, or bring back what was there", ACTING, Scope.DESK, False, True),
    KeyAction("pull", ("P",), "app.act('pull')", "pull", "Download a model by its name",
              ACTING, Scope.DESK, False, True),
    KeyAction("delete", ("D",), "app.act('delete')", "delete", "Delete the selected model from the disk; asks first",
              ACTING, Scope.DESK, False, True),
    KeyAction("derive", ("V",), "app.act('derive')", "derive",
              "Make a model of the selected one with its context baked in",
              ACTING, Scope.DESK, False, True),
    KeyAction("cancel", ("x",), "app.act('cancel')", "cancel",
              "Take back what is running; what was there before comes back", ACTING, Scope.DESK, False, True),
    KeyAction("journal", ("J",), "app.act('journal')", "journal", "What gpudesk has done, newest first",
              ACTING, Scope.DESK, False, True),
    *(KeyAction(f"apply_set_{number}", (key,), f"app.act_set({number})", f"set {number}",
                f"Apply working set {number} of the list, without opening it", ACTING, Scope.DESK)
      for number, key in enumerate("567890"[:SET_KEYS_MOST], 1)),
    KeyAction("focus_next", ("tab",), "screen.focus_next", "next list", "To the next list",
              "Moving", Scope.PANELS, True),
    KeyAction("focus_previous", ("shift+tab",), "screen.focus_previous", "previous list", "To the previous list",
              "Moving", Scope.PANELS),
    KeyAction("up", ("up",), "move(-1)", "up", "One row up", "Moving", Scope.LIST),
    KeyAction("down", ("down",), "move(1)", "down", "One row down", "Moving", Scope.LIST),
    KeyAction("page_up", ("pageup", "ctrl+b"), "page(-1)", "page up", "One page up", "Moving", Scope.LIST),
    KeyAction("page_down", ("pagedown", "ctrl+f"), "page(1)", "page down", "One page down", "Moving", Scope.LIST),
    KeyAction("first", ("home",), "first", "first", "To the first row, and stay there", "Moving", Scope.LIST),
    KeyAction("last", ("end", "G"), "last", "last", "To the last row", "Moving", Scope.LIST),
    KeyAction("plan_toggle", ("space",), "choose", "choose", "Add the model to the plan or take it out; so does enter",
              "In the planner", Scope.CHOICES, True),
    KeyAction("plan_less_context", ("left", "minus"), "screen.context(-1)", "less context",
              "Less context for the selected model", "In the planner", Scope.CHOICES),
    KeyAction("plan_more_context", ("right", "plus", "equals_sign"), "screen.context(1)", "context",
              "More context for the selected model, at most what it was trained for", "In the planner", Scope.CHOICES,
              True),
    KeyAction("plan_slots", ("s",), "screen.slots", "slots", "Slots of the selected model: 1, 2, 4, 8, 16",
              "In the planner", Scope.CHOICES, True),
    KeyAction("plan_kv_type", ("v",), "screen.kv_type(1)", "KV type", "Next number format of the context's cache",
              "In the planner", Scope.CHOICES, True),
    KeyAction("plan_kv_type_back", ("V",), "screen.kv_type(-1)", "KV type back",
              "Number format of the context's cache, the other way around", "In the planner", Scope.CHOICES),
    KeyAction("plan_make_it_so", ("m",), "screen.make_it_so", "make it so", "Hand the plan over to be carried out",
              "In the planner", Scope.PLANNER, True, True),
    KeyAction("plan_save", ("w",), "screen.save_plan", "save", "Save the plan as a working set",
              "In the planner", Scope.PLANNER, True, True),
    KeyAction("plan_card", ("c",), "screen.choose_card", "card", "Plan with a card from the table, or with your own",
              "In the planner", Scope.PLANNER, True, True),
    KeyAction("plan_file", ("a",), "screen.add_file", "file", "Add a .gguf file by its path",
              "In the planner", Scope.PLANNER, True, True),
    KeyAction("plan_undo", ("backspace",), "screen.undo", "undo", "Take back the last change of the plan",
              "In the planner", Scope.PLANNER, False, True),
    *(KeyAction(f"plan_alternative_{number}", (f"{number}",), f"screen.alternative({number})", f"alternative {number}",
                f"Take alternative {number} of the planner's list", "In the planner", Scope.PLANNER)
      for number in range(1, 10)),
    KeyAction("editor_write", ("w",), "screen.write", "write",
              "Write the change that is shown, after one question", "In the editors' screen",
              Scope.EDITORS, True, True),
    KeyAction("editor_check", ("c",), "screen.turn", "check",
              "Show what is wrong in the editor's files, or the change again", "In the editors' screen",
              Scope.EDITORS, True, True),
    KeyAction("editor_fix", ("x",), "screen.fix", "fix", "Make the fixes that are safe, after one question",
              "In the editors' screen", Scope.EDITORS, True, True),
    KeyAction("editor_restore", ("b",), "screen.restore", "restore",
              "Bring back the files as they were, after one question",
              "In the editors' screen", Scope.EDITORS, True, True),
    KeyAction("editor_migrate", ("m",), "screen.migrate", "migrate",
              "Make a config.yaml of Continue's deprecated config.json", "In the editors' screen",
              Scope.EDITORS, False, True),
    KeyAction("editor_path", ("a",), "screen.other_file", "another file",
              "Write another file than the usual one: its path, or its folder's", "In the editors' screen",
              Scope.EDITORS, False, True),
    KeyAction("editor_other", ("right", "space", "plus"), "screen.step(1)", "other",
              "The next model for the role, the next way, the next source of models",
              "In the editors' screen", Scope.EDITOR_ROLES, True),
    KeyAction("editor_other_back", ("left", "minus"), "screen.step(-1)", "other back",
              "The one before", "In the editors' screen", Scope.EDITOR_ROLES),
    KeyAction("detail_up", ("up",), "scroll(-1)", "up", "Scroll up", "In details and help", Scope.DETAIL),
    KeyAction("detail_down", ("down",), "scroll(1)", "down", "Scroll down", "In details and help", Scope.DETAIL),
    KeyAction("detail_page_up", ("pageup", "ctrl+b"), "scroll_page(-1)", "page up", "Scroll one page up",
              "In details and help", Scope.DETAIL),
    KeyAction("detail_page_down", ("pagedown", "ctrl+f", "space"), "scroll_page(1)", "page down",
              "Scroll one page down", "In details and help", Scope.DETAIL),
    KeyAction("detail_first", ("home",), "scroll_to(0)", "top", "To the top", "In details and help", Scope.DETAIL),
    KeyAction("detail_last", ("end", "G"), "scroll_to(1)", "end", "To the end", "In details and help", Scope.DETAIL),
    KeyAction("detail_close", ("enter",), "screen.back", "close", "Close the view", "In details and help",
              Scope.DETAIL),
    KeyAction("dialog_accept", ("enter",), "screen.accept", "do it", "Do what the dialog says; choose",
              DIALOGS, Scope.DIALOG),
    KeyAction("dialog_yes", ("y",), "screen.yes", "yes", "Yes: do it, though something is lost", DIALOGS, Scope.DIALOG),
    KeyAction("dialog_no", ("n",), "screen.back", "no", "No: nothing is done", DIALOGS, Scope.DIALOG),
    KeyAction("dialog_up", ("up",), "screen.move(-1)", "up", "The line above", DIALOGS, Scope.DIALOG),
    KeyAction("dialog_down", ("down", "tab"), "screen.move(1)", "down", "The line below", DIALOGS, Scope.DIALOG),
    KeyAction("dialog_less", ("left", "minus"), "screen.change(-1)", "less", "The choice before",
              DIALOGS, Scope.DIALOG),
    KeyAction("dialog_more", ("right", "space", "plus"), "screen.change(1)", "more", "The next choice",
              DIALOGS, Scope.DIALOG),
    KeyAction("dialog_page_up", ("pageup",), "screen.page(-1)", "page up", "Scroll what is shown beneath up",
              DIALOGS, Scope.DIALOG),
    KeyAction("dialog_page_down", ("pagedown",), "screen.page(1)", "page down", "Scroll what is shown beneath down",
              DIALOGS, Scope.DIALOG),
    KeyAction("set_save", ("a",), "screen.save_set", "save", "Save what is loaded now as a working set",
              DIALOGS, Scope.SETS),
    KeyAction("set_edit", ("e",), "screen.edit_set", "edit", "Open the set's file in your editor", DIALOGS, Scope.SETS),
    KeyAction("set_delete", ("d",), "screen.delete_set", "delete", "Delete the selected set; asks first",
              DIALOGS, Scope.SETS),
)  # fmt: skip
"""The registry, in the order of the help view."""
