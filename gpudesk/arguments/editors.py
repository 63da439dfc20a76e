"""What can be typed behind `gpudesk editors`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from gpudesk.arguments import planner_values
from gpudesk.arguments.planner import Checked

WHATS = ("list", "show", "check", "diff", "write", "restore")

_DESCRIPTION = """\
Set up editors with models that fit together, such that what they send is what is resident: the same context, a
keep-alive that undoes no pin.

  list      the editors of this computer, and how each is set up
  show      the files of one, and what gpudesk wrote there
  check     what is silently wrong in their files; exit code 1 when something is
  diff      the change that `write` would make
  write     show the change, ask, and make it; without a terminal only with --yes
  restore   bring back the files as they were before the last write

Without --chat, --autocomplete, --embed, --set and --suggest the models are those that are loaded or pinned, and when
there are none, those that `gpudesk suggest` puts first.
"""


def add_editor_verbs(verbs: Any, checked: Checked, add_common: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the verb.

    Args:
        verbs: what `add_subparsers` returned.
        checked: turns a check into argparse's type.
        add_common: adds the options every command has.
    """
    parser: argparse.ArgumentParser = verbs.add_parser(
        "editors", help="configurations of editors that keep the pins", description=_DESCRIPTION, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("what", metavar="WHAT", choices=WHATS, help="list, show, check, diff, write or restore")
    parser.add_argument("editor", metavar="EDITOR", nargs="?",
                        help="such as continue or zed; `gpudesk editors list` lists them")  # fmt: skip
    models = parser.add_argument_group("which models")
    for role, text in (
        ("chat", "for chat, edit and apply"), ("autocomplete", "for every key press"), ("embed", "for finding things"),
    ):  # fmt: skip
        models.add_argument(f"--{role}", metavar="MODEL[@CTX]", type=checked(planner_values.model_value), help=text)
    models.add_argument("--set", metavar="NAME", dest="set_name", help="those of a working set")
    models.add_argument("--suggest", action="store_true", help="the best that fit together of what is installed")
    group = parser.add_argument_group("how it is done")
    way = group.add_mutually_exclusive_group()
    way.add_argument("--block", action="store_true", help="in a file of gpudesk's own (the default where there is one)")
    way.add_argument("--merge", action="store_true", help="as entries in your file, which stays as it is otherwise")
    group.add_argument("--migrate", action="store_true",
                       help="Continue only: make a config.yaml of the deprecated config.json, which stays")  # fmt: skip
    group.add_argument("--path", metavar="PATH", help="this file, or the one in this folder, instead of the usual one")
    group.add_argument("--fix", action="store_true", help="with check: make the fixes that are safe")
    group.add_argument("--dry-run", action="store_true", help="show the change, and make none")
    group.add_argument("--yes", action="store_true", help="do not ask")
    group.add_argument("--json", action="store_true", help="one JSON document; its keys are a contract")
    add_common(parser)
