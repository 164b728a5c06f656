# SPDX-License-Identifier: AGPL-3.0-or-later
"""The layout of .nix files, as far as it can be held without nixfmt, which Debian does not have: steps of two spaces,
what is in a bracket deeper than the line that opened it and the end of it not, no tab, nothing at the end of a line, at
most one empty line, 120 columns of code. Then spoils each file in each of these ways and expects to see it.

usage: layout.py FILE...
"""

import sys

OPENING, CLOSING = "([{", ")]}"


def brackets(text):
    """(offset, character) of each bracket that is one, outside of comments and strings, and (offset, "") of each line
    that begins within a string."""
    inside, at = [], 0  # brackets and quotes that are open
    while at < len(text):
        quote = inside[-1] if inside and inside[-1] not in OPENING else None
        step = 1
        if quote and text.startswith("${", at):
            inside.append("{")
            yield at + 1, "{"
            step = 2
        elif quote == '"' and text[at] == "\\":
            step = 2
        elif quote == "''" and text[at : at + 3] in ("''$", "'''", "''\\"):
            step = 3
        elif quote:
            if text.startswith(quote, at):
                inside.pop()
                step = len(quote)
            elif text[at] == "\n":
                yield at + 1, ""
        elif text[at] == "#":
            step = text.index("\n", at) - at
        elif text.startswith("''", at) or text[at] == '"':
            inside.append('"' if text[at] == '"' else "''")
            step = len(inside[-1])
        elif text[at] in OPENING:
            inside.append(text[at])
            yield at, text[at]
        elif text[at] in CLOSING:
            inside.pop()
            yield at, text[at]
        at += step


def faults(text):
    """What is not laid out, by line."""
    found = []
    lines = text.split("\n")
    if not text.endswith("\n") or text.endswith("\n\n"):
        found.append((len(lines), "one newline at the end"))
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    marks = list(brackets(text))
    quoted = {at for at, bracket in marks if not bracket}
    depth = []  # the indentation of the line that opened each open bracket
    for number, line in enumerate(lines[:-1], 1):
        start = starts[number - 1]
        code = line.lstrip(" ")
        indent = len(line) - len(code)
        if "\t" in line:
            found.append((number, "a tab"))
        if line != line.rstrip():
            found.append((number, "something at the end"))
        if not line and number > 1 and not lines[number - 2]:
            found.append((number, "two empty lines"))
        if code and start not in quoted:
            # A long message or pattern is one string, and stays one.
            if len(line) > 120 and '"' not in code:
                found.append((number, "more than 120 columns"))
            if indent % 2:
                found.append((number, "an odd indentation"))
            if code[0] in CLOSING and depth and indent != depth[-1]:
                found.append((number, "does not close at the depth of what it closes"))
            if code[0] not in CLOSING and indent <= (depth[-1] if depth else -1):
                found.append((number, "not deeper than what it is in"))
        for at, bracket in marks:
            if start <= at < starts[number] and bracket:
                if bracket in OPENING:
                    depth.append(indent)
                else:
                    depth.pop()
    return found


def spoiled(text):
    """The text with one fault each."""
    lines = text.split("\n")
    quoted = {text.count("\n", 0, at) for at, bracket in brackets(text) if not bracket}
    code = [number for number in range(len(lines)) if number not in quoted]
    last = max(number for number in code if lines[number].strip() in ("}", "};"))
    within = max(number for number in code if lines[number].startswith("  ") and lines[number].endswith(";"))

    def with_line(number, line):
        return "\n".join([*lines[:number], line, *lines[number + 1 :]])

    yield text + "\n"
    yield text.rstrip("\n")
    yield with_line(within, lines[within] + " ")
    yield with_line(within, "\t" + lines[within].lstrip())
    yield with_line(within, " " + lines[within])
    yield with_line(within, lines[within].lstrip())
    yield with_line(within, "\n\n" + lines[within])
    yield with_line(within, "  " + "x" * 120)
    yield with_line(last, "  " + lines[last])


failed = 0
for name in sys.argv[1:]:
    text = open(name, encoding="utf-8").read()
    for number, fault in faults(text):
        failed += 1
        print(f"{name}:{number}: {fault}")
    for number, other in enumerate(spoiled(text)):
        if not faults(other):
            failed += 1
            print(f"{name}: spoiled in way {number}, and it was not seen")
sys.exit(failed != 0)
