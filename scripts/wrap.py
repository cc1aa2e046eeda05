#!/usr/bin/env python3
"""Wraps lines of prose that are too long: paragraphs of pages (.md), comments of sources (.rs, .c, .h).

Only paragraphs with a line of more than 120 characters change. Tables, headings and code stay as they are.

    scripts/wrap.py FILE...            wraps
    scripts/wrap.py --check FILE...    names what is too long, and fails
"""
import re
import sys
import textwrap

WIDTH = 120
ITEM = re.compile(r"^(\s*)([-*]|\d+\.)\s+")
COMMENT = re.compile(r"^(\s*)(//[/!]?)(?: (.*))?$")


def wrapped(lines, prefix):
    """One paragraph (without `prefix`) as lines of at most WIDTH characters."""
    if all(len(prefix + line) <= WIDTH for line in lines):
        return lines
    first = ITEM.match(lines[0])
    start = first.group(0) if first else re.match(r"\s*", lines[0]).group(0)
    rest = " " * len(start)
    text = " ".join(line.strip() for line in lines)
    text = text[len(start.strip()):].strip() if first else text
    return textwrap.wrap(text, WIDTH - len(prefix), initial_indent=start, subsequent_indent=rest,
                         break_long_words=False, break_on_hyphens=False)


def stays(line):
    """A line that is no prose: a table's, a heading's, a drawing's."""
    text = line.strip()
    return not text or text[0] in "|#<>├└│┌" or text.startswith("```") or text.startswith("    ")


def wrap_prose(lines, prefix=""):
    out, paragraph, fenced = [], [], False

    def flush():
        if paragraph:
            out.extend(wrapped(paragraph, prefix))
            paragraph.clear()

    for line in lines:
        if line.strip().startswith("```"):
            flush()
            fenced = not fenced
            out.append(line)
        elif fenced or stays(line) or (line.startswith("    ") and not paragraph):
            flush()
            out.append(line)
        else:
            if ITEM.match(line):
                flush()
            paragraph.append(line)
    flush()
    return out


def wrap_comments(lines):
    out, block, kind = [], [], None

    def flush():
        if block:
            prefix = f"{kind[0]}{kind[1]} "
            out.extend(f"{prefix}{line}".rstrip() for line in wrap_prose(block, prefix))
            block.clear()

    for line in lines:
        found = COMMENT.match(line)
        here = found and (found.group(1), found.group(2))
        if here != kind:
            flush()
        if found and not (found.group(3) or "").startswith("@"):
            kind = here
            block.append(found.group(3) or "")
        else:
            flush()
            kind = None
            out.append(line)
    flush()
    return out


def main(words):
    check = words[:1] == ["--check"]
    too_long = 0
    for name in words[check:]:
        with open(name, encoding="utf-8") as file:
            before = file.read()
        lines = before.split("\n")
        after = "\n".join(wrap_prose(lines) if name.endswith(".md") else wrap_comments(lines))
        if after == before:
            continue
        too_long += 1
        if check:
            print(name)
        else:
            with open(name, "w", encoding="utf-8") as file:
                file.write(after)
    return 1 if check and too_long else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
