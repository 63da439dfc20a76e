"""Configurations with something wrong in them, made of good ones by a chance that is always the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

VALUES = (
    *("5", "true", "~", '""', "'x'", "[]", "{}", "[a, b]", "{a: b}", "x", "1.5", "yes", "&a x", "*a", "!!str 5", "|"),
    *(">-", "# c", "- x", '"\\u00e9"', "-1", "30m", "x: y", "[", "}", '"', "@a", "`", "%", "? a", "<<: *base", "0o17"),
    *(".inf", "1_000", "2024-01-01", "!custom x", "a #b", "a\tb", "é"),
)
CHARACTERS = "\t :#-[]{},\"'&*|>%@é\N{NO-BREAK SPACE}"
_REFUSED_BY_CONTINUE = r"^[ \t-]*:|:[,}\]]|[{,][ ]*!|^[ ]*\t[ \t]*\Z"
"""What npm `yaml` refuses and ruamel does not, rare as it is: empty keys, a colon before a comma in `{}`, a tag without
a value there, a tab that is the last line behind a comment in a list. `?` is left out for the same reason. No check is
made for them: nobody writes them by accident, but for the tab, and that only where the comment is indented as well."""
_REFUSED_BY_US = r"^%(?!YAML 1\.1$)|^%.*\n%|\A[ ]*\t|[{,].*: :|\][ ]*:|[,\"'\]}]\u00a0|(?<=-) *\t[ \t]*[\[{]"
"""What ruamel refuses and npm `yaml` takes: directives that are wrong or there twice, a tab before the first word or
between a dash and a collection, a text in `{}` that begins with a colon, a list as a key, a no-break space behind a
quote or a comma. The check says that it cannot read such a file, and nothing is written to it."""
_READ_OTHERWISE = re.compile(f"(?m){_REFUSED_BY_CONTINUE}|{_REFUSED_BY_US}")


def mangled(texts: Sequence[str], count: int, seed: int = 5) -> list[str]:
    """Return texts with one or two lines of each changed."""
    chance = Random(seed)
    made: list[str] = []
    while len(made) < count:
        text = _mangled(chance.choice(texts), chance)
        if not _READ_OTHERWISE.search(text):
            made.append(text)
    return made


def _mangled(text: str, chance: Random) -> str:
    lines = text.split("\n")
    for _ in range(chance.randint(1, 2)):
        index = chance.randrange(len(lines))
        lines[index : index + 1] = _changed(lines[index], chance)
        lines = lines or [""]
    return "\n".join(lines)


def _changed(line: str, chance: Random) -> list[str]:
    """Drop a line, double it, shift it, give it another value, or put a character in."""
    match chance.randrange(6):
        case 0:
            return []
        case 1:
            return [line, line]
        case 2:
            return [" " * chance.randint(1, 2) + line]
        case 3:
            return [line.removeprefix(" ")]
        case 4 if ":" in line:
            return [f"{line.split(':', 1)[0]}: {chance.choice(VALUES)}"]
        case _:
            place = chance.randint(0, len(line))
            return [line[:place] + chance.choice(CHARACTERS) + line[place:]]
