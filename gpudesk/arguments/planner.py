"""What can be typed behind `fit`, `suggest` and `points`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from gpudesk.arguments import planner_values

Checked = Callable[[Callable[[object], Any]], Callable[[str], Any]]
"""Makes a check of a value one of the command line."""


def add_planner_verbs(verbs: Any, checked: Checked, add_common: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the planner's verbs.

    Args:
        verbs: what `add_subparsers` returned.
        checked: turns a check into argparse's type.
        add_common: adds the options every command has.
    """
    form = argparse.RawDescriptionHelpFormatter
    fit = verbs.add_parser("fit", help="do these models fit together, before anything is loaded", allow_abbrev=False,
                           formatter_class=form, description="Tell whether models fit together, how sure that is, and "
                           "what would help. Nothing is loaded. Exit 0: fits or tight, 1: spills or does "
                           "not fit.")  # fmt: skip
    fit.add_argument("models", metavar="MODEL[@CTX]", nargs="+", type=checked(planner_values.model_value),
                     help="an installed model, a .gguf file or a saved reply of /api/show (.json); @16k sets its "
                          "context")  # fmt: skip
    _add_options_of_loading(fit, checked)
    fit.add_argument("--mmproj", metavar="FILE|none",
                     help="the file that lets a .gguf model see (default: a fitting one beside it)")  # fmt: skip
    _add_engine(fit, checked)
    fit.add_argument("--explain", action="store_true", help="how each part came about, with the source of its rule")
    fit.add_argument("--json", action="store_true", help="one JSON document; its keys are a contract")
    add_common(fit)
    suggest = verbs.add_parser("suggest", help="which installed models fit together", allow_abbrev=False,
                               formatter_class=form, description="Rank the sets of installed models, one per role, "
                               "that fit together with room to work.")  # fmt: skip
    suggest.add_argument("--roles", metavar="ROLE,…", type=checked(planner_values.roles_value),
                         default=("chat", "autocomplete", "embed"),
                         help=f"what the models are for: {', '.join(planner_values.ROLES)} (default "
                              "chat,autocomplete,embed)")  # fmt: skip
    _add_options_of_loading(suggest, checked)
    suggest.add_argument("--json", action="store_true", help="as one JSON document")
    add_common(suggest)
    points = verbs.add_parser("points", help="measured loads that correct the estimates", allow_abbrev=False,
                              formatter_class=form, description="gpudesk remembers what the driver measured of loads "
                              "it has watched, without names of models.")  # fmt: skip
    points.add_argument("what", metavar="WHAT", choices=("show", "export", "forget"),
                        help="show: how many and what they say; export: all as JSON; forget: delete them")  # fmt: skip
    add_common(points)


def _add_engine(fit: argparse.ArgumentParser, checked: Checked) -> None:
    engine = fit.add_argument_group("by which engine")
    engine.add_argument("--engine", choices=("ollama", "llama-server"), default="ollama",
                        help="default ollama; for llama-server, --ctx is its -c, the context of all slots together, "
                             "and --parallel its -np")  # fmt: skip
    engine.add_argument("--ngl", metavar="LAYERS", type=checked(planner_values.layers_value),
                        help="layers on the cards, the output layer counted (default: as many as fit)")  # fmt: skip
    engine.add_argument("--batch", metavar="TOKENS", type=checked(planner_values.batch_value),
                        help="tokens that one graph computes: -ub, num_batch")  # fmt: skip
    engine.add_argument("--fit", choices=("on", "off"), default="on",
                        help="of llama-server: less context, then fewer layers until 1 GiB is free")  # fmt: skip


def _add_options_of_loading(verb: argparse.ArgumentParser, checked: Checked) -> None:
    group = verb.add_argument_group("how they would be loaded")
    group.add_argument("--ctx", metavar="TOKENS", type=checked(planner_values.context_value),
                       help="context of each model, e.g. 8192 or 32k (default: the engine's)")  # fmt: skip
    group.add_argument("--parallel", metavar="SLOTS", type=checked(planner_values.parallel_value),
                       help="requests served at the same time")  # fmt: skip
    group.add_argument("--kv", metavar="TYPE", type=checked(planner_values.kv_value),
                       help="type of the KV cache: f16, q8_0, q4_0, …, or keys/values")  # fmt: skip
    group.add_argument("--flash-attention", metavar="on|off|auto", choices=("on", "off", "auto"), default="auto",
                       help="default auto: as the engine chooses")  # fmt: skip
    group.add_argument("--engine-version", metavar="VERSION", type=checked(planner_values.version_value),
                       help="of Ollama, whose rules are foretold (default: the running one)")  # fmt: skip
    where = verb.add_argument_group("on which cards; without these, the ones here with what is free now")
    kind = where.add_mutually_exclusive_group()
    kind.add_argument("--card", metavar="NAME", action="append", default=[],
                      help='a common card by name, e.g. "RTX 4090"; repeat for several')  # fmt: skip
    kind.add_argument("--vram", metavar="SIZE[,SIZE]", type=checked(planner_values.memory_value), default=(),
                      help="cards by their memory, e.g. 24GiB,12GiB")  # fmt: skip
    where.add_argument("--others", metavar="SIZE[,SIZE]", type=checked(planner_values.others_value), default=(),
                       help="what other programs hold on the first card, or on each")  # fmt: skip
