"""What can be typed: options, verbs, and the help that explains them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence, Set
from typing import NoReturn, TypeVar

from gpudesk.errors import UsageError

T = TypeVar("T")

ACTING_VERBS = (
    "load", "unload", "keep", "pin", "unpin", "swap", "free", "restore", "apply", "set", "pull", "rm", "derive", "log",
    "guard",
)  # fmt: skip
FIT_VERBS = ("fit", "suggest", "budget", "tiers", "points")
VERBS = ("status", *ACTING_VERBS, "editors", *FIT_VERBS, "doctor", "config")

DESCRIPTION = "Live video memory per model, for people who run language models on their own graphics card."

EXAMPLES = """\
examples:
  gpudesk                                   the screen; without a terminal, the status text
  gpudesk status                            one look, as text
  gpudesk status --json | jq '.models[].name'
  gpudesk status --json --watch             one JSON document per line and interval
  gpudesk --ollama localhost --ollama https://gpu-box:11434
  gpudesk --demo                            a simulated workstation, to look around
  gpudesk load qwen3:14b@16k --keep-alive 2h  load it and wait until it is on the card
  gpudesk swap qwen3:14b gpt-oss:20b --dry-run  say what a swap would do, and do nothing
  gpudesk set save coding                   what is loaded now, as a working set
  gpudesk apply coding --yes                load it again, from a script
  gpudesk editors write continue            set up an editor with what is loaded, after showing the change
  gpudesk editors check                     what is silently wrong in editors' configurations
  gpudesk fit qwen3:14b@16k bge-m3          do these fit together, before anything is loaded
  gpudesk fit model.gguf --card "RTX 4090"  on a card that need not be here
  gpudesk suggest --roles chat,embed        which installed models fit together
  gpudesk doctor                            what was found, what not, why, and what to do
"""

EXIT_CODES = """\
exit codes:
  0    everything that was asked for was done
  1    it was tried and did not work
  2    the command line or the configuration is wrong
  3    nothing could be read: no driver and no engine answered, or not the file that was named
  4    refused: not done on purpose
  130  interrupted with ctrl+c
"""

ENVIRONMENT = """\
environment:
  OLLAMA_HOST        where Ollama listens, in every form Ollama accepts (default 127.0.0.1:11434)
  OLLAMA_API_KEY     sent to that engine, and to those of --ollama, where the connection is encrypted
  NO_COLOR           any value: no color, as with --no-color
  GPUDESK_CONFIG     configuration file instead of the usual one (see: gpudesk config path)
  GPUDESK_CACHE_DIR  folder for what can be fetched again
  GPUDESK_DATA_DIR   folder for what you made
  GPUDESK_STATE_DIR  folder for what happened
"""


class _Parser(argparse.ArgumentParser):
    """argparse that raises instead of exiting, and names the nearest word."""

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong as a usage error.

        Raises:
            UsageError: always.
        """
        unknown = re.match(r"unrecognized arguments: (\S+)", message)
        choice = re.search(r"argument ([^:]+): invalid choice: '([^']*)'", message)
        if unknown:
            word = unknown[1].split("=")[0]
            kind = "option" if word.startswith("-") else "argument"
            if word in STATUS_OPTIONS:
                raise UsageError(f"{word} is an option of status", f"Write gpudesk status {word}")
            raise UsageError(f"unknown {kind} {word}", self._hint(word, (*self._option_strings(), *VERBS)))
        if choice and choice[1] == "COMMAND":
            raise UsageError(f"unknown command {choice[2]}", self._hint(choice[2], VERBS))
        if choice:
            self._wrong_choice(choice[1], choice[2], re.findall(r"[\w-]+", message.partition("choose from")[2]))
        raise UsageError(message, f"See {self.prog} --help")

    def _wrong_choice(self, what: str, word: str, known: Sequence[str]) -> NoReturn:
        """Raise what is wrong with a word that is none of a few; no list of them is in reach of who typed it."""
        from gpudesk.config.options import nearest

        close = nearest(word, tuple(known))
        meant = f"Did you mean {close}? " if close else ""
        message = f"{what} cannot be {word}" if what.startswith("-") else f"unknown command {word}"
        raise UsageError(message, f"{meant}It is one of {', '.join(known)}; see {self.prog} --help")

    def _option_strings(self) -> tuple[str, ...]:
        return tuple(sorted(ALL_OPTIONS))

    def _hint(self, word: str, known: Sequence[str]) -> str:
        from gpudesk.config.options import nearest

        if word in known:
            return f"{word} is an option of other commands; see {self.prog} --help"
        close = nearest(word, tuple(known))
        return f"Did you mean {close}? See gpudesk --help" if close else "See gpudesk --help"

    def format_help(self) -> str:
        """Add examples, keys, environment and exit codes below the options of the main help."""
        text = super().format_help()
        if self.prog != "gpudesk":
            return text
        return (
            "\n".join((text, EXAMPLES, _key_table(), ENVIRONMENT, EXIT_CODES)).replace("\n\n\n", "\n\n").rstrip() + "\n"
        )


ALL_OPTIONS = {
    "--help", "--version", "--ollama", "--demo", "--config", "--theme", "--no-color", "--ansi", "--reduced-motion",
    "--reserve", "--interval", "--timeout", "--insecure", "--ca-file", "--json", "--watch", "--ctx", "--parallel",
    "--kv", "--flash-attention", "--card", "--vram", "--others", "--engine-version", "--explain", "--roles",
    "--simple", "--read-only", "--dry-run", "--yes", "--keep-alive", "--pin", "--restore", "--no-restore",
    "--unfinished", "--as", "--limit", "--follow", "--chat", "--autocomplete", "--embed", "--set", "--suggest",
    "--block", "--merge", "--path", "--fix", "--migrate",
}  # fmt: skip


STATUS_OPTIONS = frozenset({"--json", "--watch", "--timeout"})


def _key_table() -> str:
    from gpudesk.keymap import BINDINGS, display_key

    rows = [(", ".join(display_key(key) for key in action.keys), action.help, action.id) for action in BINDINGS]
    widest = max(len(keys) for keys, _, _ in rows)
    names = max(len(name) for _, _, name in rows)
    lines = [f"  {keys:<{widest}}  {name:<{names}}  {text}" for keys, text, name in rows]
    return "\n".join(
        ("keys of the screen (the second column is the name for [keys] in the configuration):", *lines, "")
    )


def _checked(check: Callable[[object], T]) -> Callable[[str], T]:
    """Make a check of the configuration one of the command line."""

    def convert(text: str) -> T:
        from gpudesk.config.options import UnusableError

        try:
            return check(text)
        except UnusableError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is not {error}") from error

    return convert


def _reserve(value: object) -> int:
    from gpudesk.config.options import reserve_value

    return reserve_value(value)


def _seconds(value: object) -> float:
    from gpudesk.config.options import interval_value

    return interval_value(value)


def _theme(value: object) -> str:
    from gpudesk.config.options import theme_value

    return theme_value(value)


def _add_options(parser: argparse.ArgumentParser, prefix: str) -> None:
    """Add what may stand before and after the verb; `prefix` keeps the two lists of engines apart."""
    group = parser.add_argument_group("options for every command")
    add, absent = group.add_argument, argparse.SUPPRESS
    add(
        "--ollama",
        metavar="URL",
        action="append",
        dest=f"{prefix}ollama",
        default=absent,
        help="an Ollama server; repeat for several",
    )
    add(
        "--demo",
        metavar="SCENARIO",
        nargs="?",
        const="",
        default=absent,
        help="a simulated workstation instead of this computer, gone when the command ends; a SCENARIO nobody knows "
        "lists them",
    )
    add("--demo-if-empty", action="store_true", default=absent, help=argparse.SUPPRESS)
    add("--config", metavar="FILE", default=absent, help="configuration file")
    add(
        "--theme",
        metavar="NAME",
        type=_checked(_theme),
        default=absent,
        help="colors of the screen, e.g. gpudesk-light, nord",
    )
    add("--no-color", action="store_true", default=absent, help="no color anywhere; the same as NO_COLOR=1")
    add("--ansi", action="store_true", default=absent, help="only the terminal's own sixteen colors")
    add("--reduced-motion", action="store_true", default=absent, help="no animation")
    add(
        "--reserve",
        metavar="SIZE",
        type=_checked(_reserve),
        default=absent,
        help="memory to keep free on each card, e.g. 1GiB",
    )
    add("--interval", metavar="SECONDS", type=_checked(_seconds), default=absent, help="how often to look (default 1)")
    add("--read-only", action="store_true", default=absent, help="change nothing anywhere: no action is offered")
    add("--insecure", action="store_true", default=absent, help="accept any certificate of an https engine")
    add("--ca-file", metavar="FILE", default=absent, help="trust the certificates in this file too")  # fmt: skip


def build_parser(typed: Set[str] = frozenset()) -> argparse.ArgumentParser:
    """Return the whole command line, also for completions and the manual page.

    Args:
        typed: words that were typed. With one of the verbs among them, groups of verbs without any of them are left
            out: each costs a millisecond of the start.
    """
    form = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog="gpudesk", description=DESCRIPTION, allow_abbrev=False, formatter_class=form)
    parser.add_argument("-V", "--version", action="store_true", help="print the version")
    _add_options(parser, "")
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND", title="commands; without one, the screen")
    status = verbs.add_parser("status", help="one look, as text or JSON", allow_abbrev=False, formatter_class=form,
                              description="Print what is in video memory.")  # fmt: skip
    status.add_argument("--json", action="store_true", help="one JSON document; its keys are a contract")
    status.add_argument("--watch", action="store_true", help="go on: one line, or one JSON line, per interval")
    status.add_argument("--timeout", metavar="SECONDS", type=_checked(_seconds), default=argparse.SUPPRESS,
                        help="how long one look may take (default 5)")  # fmt: skip
    _add_options(status, "verb_")
    is_whole = typed.isdisjoint(VERBS)
    if is_whole or not typed.isdisjoint(ACTING_VERBS):
        from gpudesk.arguments.acting import add_acting_verbs

        add_acting_verbs(verbs, _checked, lambda verb: _add_options(verb, "verb_"))
    if is_whole or "editors" in typed:
        from gpudesk.arguments.editors import add_editor_verbs

        add_editor_verbs(verbs, _checked, lambda verb: _add_options(verb, "verb_"))
    doctor = verbs.add_parser("doctor", help="what was found, what not, why, what to do", allow_abbrev=False,
                              formatter_class=form, description="Check everything gpudesk depends on. The output "
                              "holds no secrets and can be pasted into a bug report.")  # fmt: skip
    doctor.add_argument("--json", action="store_true", help="as one JSON document")
    doctor.add_argument("--timeout", metavar="SECONDS", type=_checked(_seconds), default=argparse.SUPPRESS,
                        help="how long one look may take (default 5)")  # fmt: skip
    _add_options(doctor, "verb_")
    if is_whole or not typed.isdisjoint(FIT_VERBS):
        from gpudesk.arguments.budget import add_budget_verbs
        from gpudesk.arguments.planner import add_planner_verbs

        add_planner_verbs(verbs, _checked, lambda verb: _add_options(verb, "verb_"))
        add_budget_verbs(verbs, _checked, lambda verb: _add_options(verb, "verb_"))
    config = verbs.add_parser("config", help="show, find or check the configuration", allow_abbrev=False,
                              formatter_class=form, description="The configuration in force, its file, its "
                              "mistakes.")  # fmt: skip
    config.add_argument("what", metavar="WHAT", choices=("show", "path", "check"),
                        help="show: every setting and where it comes from; path: the file; check: exit 2 if it is "
                             "wrong")  # fmt: skip
    _add_options(config, "verb_")
    return parser


def _with_scenario(arguments: Sequence[str]) -> list[str]:
    """Keep `--demo status` from taking the verb for a scenario."""
    result = []
    for number, word in enumerate(arguments):
        following = arguments[number + 1] if number + 1 < len(arguments) else "-"
        result.append("--demo=" if word == "--demo" and (following.startswith("-") or following in VERBS) else word)
    return result


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse one command line.

    Models may stand behind options, too (`fit A --card X B`), where argparse by itself takes them for unknown words.

    Raises:
        UsageError: it cannot be understood.
    """
    parser = build_parser(frozenset() if {"-h", "--help"} & set(arguments) else frozenset(arguments))
    given, rest = parser.parse_known_args(_with_scenario(arguments))
    models = getattr(given, "models", None)
    if rest and (models is None or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {next((word for word in rest if word.startswith('-')), rest[0])}")
    if rest:
        from gpudesk.arguments.planner_values import model_value

        check = _checked(model_value)
        try:
            given.models = [*(models or ()), *(check(word) for word in rest)]
        except argparse.ArgumentTypeError as error:
            parser.error(f"argument MODEL[@CTX]: {error}")
    return given
