"""What can be typed behind the commands that change something."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from typing import Any

from gpudesk.arguments import planner_values
from gpudesk.arguments.planner import Checked

MODULES: Mapping[str, str] = {
    "load": "load",
    "unload": "unload",
    "keep": "keep",
    "pin": "pin",
    "unpin": "pin",
    "swap": "swap",
    "free": "free",
    "restore": "restore",
    "apply": "apply",
    "set": "sets",
    "pull": "pull",
    "rm": "delete",
    "derive": "derive",
    "log": "log",
    "guard": "guard",
}
"""Each verb with its module in `gpudesk.commands`."""

_NEGATIVE = re.compile(r"-\.?\d")

TIMES = "5m, 2h30m, 1d, forever, until 18:00"


def add_acting_verbs(verbs: Any, checked: Checked, add_common: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the verbs.

    Args:
        verbs: what `add_subparsers` returned.
        checked: turns a check into argparse's type.
        add_common: adds the options every command has.
    """

    def verb(name: str, summary: str, description: str) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = verbs.add_parser(
            name, help=summary, description=description, allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        # `-5m` is a time, as it is for argparse itself from Python 3.14 on; no option begins with a digit.
        added._negative_number_matcher = _NEGATIVE
        return added

    for add in (_add_one_model, _add_several, _add_stored):
        for parser in add(verb, checked):
            _add_acting_options(parser, checked)
            add_common(parser)
    for parser in _add_watching(verb):
        add_common(parser)


Verb = Callable[[str, str, str], argparse.ArgumentParser]


def _add_one_model(verb: Verb, checked: Checked) -> list[argparse.ArgumentParser]:
    load = verb("load", "load a model and wait until it is on the card",
                "Load a model and wait until the engine lists it and the card has it. Makes room by unloading idle "
                "models; never a pinned one.")  # fmt: skip
    _add_wish(load, checked, "MODEL[@CTX]", "an installed model; @16k sets its context")
    load.add_argument("--pin", action="store_true", help="pin it as well")
    unload = verb("unload", "unload models and wait until their memory is free",
                  "Unload models and wait until the driver has their memory back. One that answers is waited "
                  "for.")  # fmt: skip
    _add_names(unload, "a loaded model")
    keep = verb("keep", "change how long a loaded model stays", "Set the keep-alive of a loaded model, which is never "
                "loaded again for it.")  # fmt: skip
    keep.add_argument("name", metavar="MODEL", help="a loaded model")
    keep.add_argument("duration", metavar="DURATION", nargs="+", help=f"{TIMES}, or 0 to go when idle")
    pin = verb("pin", "keep a model for good, and notice when it is lost",
               "Load a model if it is not, keep it forever, never make it go for another load, and say who broke it "
               "when it is lost.")  # fmt: skip
    _add_model(pin, checked, "MODEL[@CTX]", "an installed model; @16k is the context it should have")
    pin.add_argument("--ctx", metavar="TOKENS", type=checked(planner_values.context_value),
                     help="the same as @CTX")  # fmt: skip
    pin.add_argument("--restore", action=argparse.BooleanOptionalAction,
                     help="load it again when it is lost (default: as configured)")  # fmt: skip
    unpin = verb("unpin", "end a pin; the model stays loaded", "End a pin. The model stays loaded, with the keep-alive "
                 "it has.")  # fmt: skip
    _add_names(unpin, "a pinned model")
    return [load, unload, keep, pin, unpin]


def _add_several(verb: Verb, checked: Checked) -> list[argparse.ArgumentParser]:
    swap = verb("swap", "one loaded model for another", "Unload one model, load the other, and see that all of it is "
                "on the card. When anything fails, the first one comes back as it was.")  # fmt: skip
    swap.add_argument("name", metavar="MODEL", help="the loaded model that goes")
    _add_wish(swap, checked, "OTHER[@CTX]", "the one that comes")
    swap.add_argument("--pin", action="store_true", help="pin the one that comes")
    free = verb("free", "make room on the card, for a game or a render", "Unload models until there is room. "
                "gpudesk restore brings them back.")  # fmt: skip
    free.add_argument("size", metavar="SIZE", nargs="?", type=checked(_size_value),
                      help="how much must be free, e.g. 12GiB (default: everything models hold)")  # fmt: skip
    free.add_argument("--card", metavar="INDEX", type=checked(_index_value), help="on this card only")
    restore = verb("restore", "bring back what free took off the card", "Load again what gpudesk free unloaded, with "
                   "its context, keep-alive and pin.")  # fmt: skip
    restore.add_argument("--unfinished", choices=("finish", "undo", "forget"),
                         help="instead: what to do about an action that a gpudesk was killed in")  # fmt: skip
    apply = verb("apply", "load a working set, unload the rest", "Make what is loaded be what the working set says. "
                 "Pinned models stay. A set that cannot fit is refused before anything moves.")  # fmt: skip
    apply.add_argument("name", metavar="NAME", help="a working set; gpudesk set list lists them")
    sets = verb("set", "working sets: save, list, show, edit, delete", "Named sets of models, one TOML file each, made "
                "to be shared.")  # fmt: skip
    sets.add_argument("what", metavar="WHAT", choices=("save", "list", "show", "edit", "delete"),
                      help="save: what is loaded now; list; show: as TOML; edit: in $VISUAL or $EDITOR; "
                           "delete")  # fmt: skip
    sets.add_argument("name", metavar="NAME", nargs="?", help="of the set")
    return [swap, free, restore, apply, sets]


def _add_stored(verb: Verb, checked: Checked) -> list[argparse.ArgumentParser]:
    pull = verb("pull", "download a model", "Download a model; goes on where an earlier try ended.")
    pull.add_argument("name", metavar="MODEL", help="for example qwen3:14b or hf.co/owner/model:Q4_K_M")
    delete = verb("rm", "delete an installed model", "Delete an installed model, unloading it first.")
    delete.add_argument("name", metavar="MODEL", help="an installed model")
    derive = verb("derive", "a model with its context baked in", "Make a model with a context of its own out of an "
                  "installed one, so that all clients agree on it. It takes no room on disk.")  # fmt: skip
    derive.add_argument("name", metavar="MODEL", help="an installed model")
    derive.add_argument("--ctx", metavar="TOKENS", required=True, type=checked(planner_values.context_value),
                        help="its context, e.g. 8192 or 32k")  # fmt: skip
    derive.add_argument("--as", metavar="NAME", dest="new_name",
                        help="name of the new model (default: with the context in it: qwen3-16k:14b)")  # fmt: skip
    return [pull, delete, derive]


def _add_watching(verb: Verb) -> list[argparse.ArgumentParser]:
    log = verb("log", "what was done: the journal", "Every action: what, why, by whom, and how it ended.")
    log.add_argument("--limit", metavar="NUMBER", type=int, default=20, help="how many at most (default 20)")
    log.add_argument("--follow", action="store_true", help="go on with what comes; with --json one line each")
    log.add_argument("--json", action="store_true", help="as one JSON document")
    guard = verb("guard", "keep pins and alarms while no screen is open", "Watch without a screen: notice lost pins, "
                 "put right those that were pinned with --restore, tell alarms to the desktop. Of several only one "
                 "acts. packaging/gpudesk-guard.service runs it under systemd.")  # fmt: skip
    guard.add_argument("--json", action="store_true", help="one JSON document per line and event")
    return [log, guard]


def _add_wish(parser: argparse.ArgumentParser, checked: Checked, metavar: str, text: str) -> None:
    """Add a model that is to be loaded, and how."""
    _add_model(parser, checked, metavar, text)
    parser.add_argument("--ctx", metavar="TOKENS", type=checked(planner_values.context_value),
                        help="the same as @CTX (default: as it is loaded, or what the engine chooses)")  # fmt: skip
    parser.add_argument("--keep-alive", metavar="DURATION", help=f"how long it stays: {TIMES}")


def _add_model(parser: argparse.ArgumentParser, checked: Checked, metavar: str, text: str) -> None:
    parser.add_argument("model", metavar=metavar, type=checked(planner_values.model_value), help=text)


def _add_names(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("names", metavar="MODEL", nargs="+", help=text)


def _add_acting_options(parser: argparse.ArgumentParser, checked: Checked) -> None:
    group = parser.add_argument_group("how it is done")
    group.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    group.add_argument("--yes", action="store_true", help="do not ask, also where something is lost")
    group.add_argument("--timeout", metavar="SECONDS", type=checked(_timeout_value),
                       help="give up after this long and bring back what was there (default: as long as it "
                            "takes)")  # fmt: skip
    group.add_argument("--json", action="store_true", help="one JSON document; its keys are a contract")


def _size_value(value: object) -> int:
    from gpudesk.config.options import UnusableError
    from gpudesk.quantities import parse_bytes

    size = parse_bytes(value) if isinstance(value, str) else None
    if not size:
        raise UnusableError("a size such as 12GiB")
    return size


def _index_value(value: object) -> int:
    from gpudesk.config.options import UnusableError

    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 4:
        return int(value)
    raise UnusableError("the index of a card, such as 0")


def _timeout_value(value: object) -> float:
    from gpudesk.config.options import UnusableError
    from gpudesk.quantities import parse_seconds

    seconds = parse_seconds(value) if isinstance(value, str) else None
    if not seconds:
        raise UnusableError("a time such as 90s or 5m")
    return seconds
