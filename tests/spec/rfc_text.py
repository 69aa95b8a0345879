"""Compares the clauses with the RFC's text: each of its key words stands in exactly one clause of that section."""

import collections
import re

# In the order in which they must be tried. MAY and OPTIONAL ask for nothing, so they are not clauses.
KEYWORD = re.compile(r"\b(MUST NOT|MUST|SHALL NOT|SHALL|SHOULD NOT|SHOULD|NOT RECOMMENDED|RECOMMENDED|REQUIRED)\b")
PAGE_EDGE = re.compile(r"^(Fette & Melnikov .*\[Page \d+\]|RFC 6455 .*December 2011)\s*$")
# A heading stands at the margin; those of the table of contents have dots.
HEADING = re.compile(r"^(\d+(?:\.\d+)*)\.  ?\S")


def sections(path):
    """{number: text}, without page breaks, white space put to one space."""
    with open(path, encoding="utf-8-sig") as f:
        lines = f.read().replace("\f", "").splitlines()
    found, number = collections.defaultdict(list), None
    for line in lines:
        if PAGE_EDGE.match(line):
            continue
        if (heading := HEADING.match(line)) and ". . ." not in line:
            number = heading[1]
        if number:
            found[number].append(line)
    return {number: " ".join(" ".join(lines).split()) for number, lines in found.items()}


def compare(path, clauses):
    """What is wrong, a line each."""
    faults, spans = [], collections.defaultdict(list)
    texts = sections(path)
    for clause in clauses:
        section, words = clause["section"], " ".join(clause["text"].split())
        text, start = texts.get(section, ""), -1
        for _ in range(clause.get("occurrence", 1)):
            start = text.find(words, start + 1)
            if start < 0:
                break
        if start < 0:
            faults.append(f"§{section}: not the RFC's words: {words}")
            continue
        spans[section].append((start, start + len(words)))
        levels = {found[1] for found in KEYWORD.finditer(words)}
        if clause["level"] not in levels:
            faults.append(f"§{section}: {clause['level']} is not in: {words}")
    for section, text in texts.items():
        for found in KEYWORD.finditer(text):
            holders = sum(start <= found.start() and found.end() <= end for start, end in spans[section])
            if holders != 1:
                around = text[max(0, found.start() - 60):found.end() + 60]
                faults.append(f"§{section}: {found[1]} is in {holders} clauses: … {around} …")
    return faults
