"""Configurations of Continue as people write them: comments, anchors, odd indentation, every line end."""

from __future__ import annotations

from hypothesis import strategies as st

COMMENTS = (
    "# none yet",
    "#",
    "#\ttabs\tin\ta comment",
    "# größer, 模型, ελ 🚀",
    "# models: [] - not this one: {",
    "#- name: old",
    "# \"quoted\" 'text' | > & *",
)
SCALARS = (
    "llama3.1:8b",
    '"quoted # not a comment"',
    "'it''s'",
    "http://localhost:11434/v1",
    "-1",
    "0.2",
    "true",
    "~",
    "日本語 モデル",
    "${{ secrets.KEY }}",
    "a b  c",
    "yes",
    '"\\u00e9 \\n"',
    "x#y",
    "[]",
    "{}",
    "[chat, edit]",
    "{temperature: 0.1, stop: [a, 'b']}",
    '{"json": "style", "n": 1}',
)
TEXTS = ("Be brief.", "Use tabs:\tnever", "# not a comment", "- no list", "key: no key", "größer 🚀")


@st.composite
def configurations(draw: st.DrawFn, *, valid_for_merge: bool = True) -> str:
    """A whole file; with what no entry can be added to, unless it shall be."""
    return draw(_Writer.strategy(valid_for_merge))


class _Writer:
    """Writes one file in one style, with an exception here and there."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.column = draw(st.sampled_from((0, 2, 2, 2, 4, 3)))
        self.dash = "-" + " " * draw(st.sampled_from((1, 1, 1, 3)))
        self.step = draw(st.sampled_from((2, 2, 4)))
        self.lines: list[str] = []
        self.anchors = 0

    @staticmethod
    @st.composite
    def strategy(draw: st.DrawFn, valid_for_merge: bool) -> str:
        writer = _Writer(draw)
        writer.file()
        end = draw(st.sampled_from(("\n", "\n", "\r\n")))
        text = end.join(writer.lines)
        if end == "\r\n" and draw(st.integers(0, 4)) == 0:  # one line of somebody else's
            text = text.replace("\r\n", "\n", 1)
        closing = draw(
            st.sampled_from((end, end, end, "", end * 3, f"{end}# the end", f"{end}  {end}", f"{end}...{end}"))
        )
        return text + closing

    def add(self, indent: int, text: str) -> None:
        gap = self.draw(st.integers(0, 11))
        if gap == 0:
            self.lines.append("")
        elif gap == 1:
            self.lines.append(" " * self.draw(st.sampled_from((0, indent, indent + 2))) + self.comment())
        tail = self.draw(st.integers(0, 7))
        self.lines.append(" " * indent + text + ("  " + self.comment() if tail == 0 else " " if tail == 1 else ""))

    def comment(self) -> str:
        return self.draw(st.sampled_from(COMMENTS))

    def file(self) -> None:
        if self.draw(st.integers(0, 5)) == 0:
            self.lines += ["%YAML 1.1", "---"]
        elif self.draw(st.integers(0, 9)) == 0:
            self.lines.append("---")
        sections = self.draw(
            st.permutations(("name", "version", "schema", "models", "rules", "context", "requestOptions"))
        )
        for section in sections[: self.draw(st.integers(1, 7))]:
            if section == "models":
                self.models()
            elif section in {"rules", "context"}:
                self.others(section)
            elif section == "requestOptions":
                self.add(0, "requestOptions:")
                self.mapping(self.step, self.draw(st.integers(1, 3)))
            else:
                self.add(0, f"{section}: {self.draw(st.sampled_from(SCALARS))}")

    def models(self) -> None:
        shape = self.draw(st.sampled_from(("block", "block", "block", "block", "empty", "null", "flow", "long")))
        if shape == "empty":
            self.add(0, self.draw(st.sampled_from(("models: []", "models:  [ ]", '"models": []', "models: []   "))))
        elif shape == "null":
            self.add(0, self.draw(st.sampled_from(("models:", "models: ~", "models: null"))))
        elif shape == "flow":
            self.add(0, "models: [{name: a, provider: ollama}, {name: b}]")
        elif shape == "long":
            self.add(0, "models: [")
            self.lines += ["    {name: a},  # first", "", "    {name: b, roles: [chat]}", "  ]"]
        else:
            self.add(0, "models:")
            for number in range(self.draw(st.integers(1, 4))):
                self.model(number)

    def model(self, number: int) -> None:
        inner = self.column + len(self.dash)
        kind = self.draw(st.integers(0, 9))
        if kind == 0:
            self.add(self.column, f"{self.dash}{{name: flow {number}, provider: ollama}}")
            return
        if kind == 1 and self.anchors:
            self.add(self.column, f"{self.dash}*a{self.draw(st.integers(1, self.anchors))}")
            return
        if kind == 2:
            self.anchors += 1
            self.add(self.column, f"{self.dash}&a{self.anchors}")
            self.add(inner, f"name: anchored {number}")
        else:
            self.add(self.column, f"{self.dash}name: model {number}")
        self.add(inner, f"provider: {self.draw(st.sampled_from(SCALARS))}")
        self.add(inner, "defaultCompletionOptions:")
        self.mapping(inner + self.step, self.draw(st.integers(1, 3)))
        if self.draw(st.booleans()):
            self.add(inner, "roles:")
            for role in ("chat", "edit")[: self.draw(st.integers(1, 2))]:
                self.add(
                    inner + self.draw(st.sampled_from((0, 2))) if role == "chat" else self.last_dash(), f"- {role}"
                )
        if self.draw(st.integers(0, 3)) == 0:
            self.block(inner, "system")

    def last_dash(self) -> int:
        line = next(line for line in reversed(self.lines) if line.lstrip().startswith("- chat"))
        return len(line) - len(line.lstrip())

    def mapping(self, indent: int, count: int) -> None:
        for number in range(count):
            self.add(indent, f"key{number}: {self.draw(st.sampled_from(SCALARS))}")

    def block(self, indent: int, key: str) -> None:
        self.lines.append(" " * indent + f"{key}: {self.draw(st.sampled_from(('|', '|-', '|+', '>', '>-')))}")
        for text in self.draw(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=4)):
            self.lines.append(" " * (indent + 2) + text)
            self.lines += [""] * self.draw(st.sampled_from((0, 0, 0, 1, 2)))

    def others(self, section: str) -> None:
        self.add(0, f"{section}:")
        for number in range(self.draw(st.integers(1, 3))):
            if self.draw(st.booleans()):
                self.add(self.column, f"{self.dash}provider: p{number}")
            else:
                self.lines.append(" " * self.column + f"{self.dash}|")
                self.lines.append(" " * (self.column + len(self.dash) + 1) + self.draw(st.sampled_from(TEXTS)))
