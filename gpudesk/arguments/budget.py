"""What can be typed behind `budget` and `tiers`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from gpudesk.arguments import planner_values
from gpudesk.arguments.planner import Checked


def add_budget_verbs(verbs: Any, checked: Checked, add_common: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the verbs.

    Args:
        verbs: what `add_subparsers` returned.
        checked: turns a check into argparse's type.
        add_common: adds the options every command has.
    """
    form = argparse.RawDescriptionHelpFormatter
    budget = verbs.add_parser("budget", help="what a mixed pipeline takes, idle and at its peak", allow_abbrev=False,
                              formatter_class=form, description="Add up language, vision, embedding and speech models "
                              "and other programs, as a TOML file lists them. Exit 0: fits or tight, 1: spills or does "
                              "not fit.")  # fmt: skip
    budget.add_argument("file", metavar="FILE", help="TOML with [[entry]] tables")
    budget.add_argument("--simple", action="store_true",
                        help="the rule of thumb of the guides: file sizes from a table times 1.18, by priority, whole "
                             "models to host memory")  # fmt: skip
    _add_cards(budget, checked, "on which cards; without these, those of the file, else the ones here")
    budget.add_argument("--json", action="store_true", help="as one JSON document")
    add_common(budget)
    tiers = verbs.add_parser("tiers", help="what fits which card", allow_abbrev=False, formatter_class=form,
                             description="What cards of each common size have room for: how many small models by the "
                             "rule of thumb, and each model with the longest context.")  # fmt: skip
    tiers.add_argument("models", metavar="MODEL[@CTX]", nargs="*", type=checked(planner_values.model_value),
                       help="an installed model, a .gguf file or a saved reply of /api/show (.json); without one, "
                            "every installed model")  # fmt: skip
    tiers.add_argument("--card", metavar="NAME", action="append", default=[],
                       help='only this card of the table, e.g. "RTX 4090"; repeat for several')  # fmt: skip
    tiers.add_argument("--vram", metavar="SIZE[,SIZE]", type=checked(planner_values.memory_value), default=(),
                       help="only cards with so much memory, each by itself, e.g. 24GiB,12GiB")  # fmt: skip
    tiers.add_argument("--json", action="store_true", help="as one JSON document")
    add_common(tiers)


def _add_cards(verb: argparse.ArgumentParser, checked: Checked, title: str) -> None:
    kind = verb.add_argument_group(title).add_mutually_exclusive_group()
    kind.add_argument("--card", metavar="NAME", action="append", default=[],
                      help='a common card by name, e.g. "RTX 4090"; repeat for several')  # fmt: skip
    kind.add_argument("--vram", metavar="SIZE[,SIZE]", type=checked(planner_values.memory_value), default=(),
                      help="cards by their memory, e.g. 24GiB,12GiB")  # fmt: skip
