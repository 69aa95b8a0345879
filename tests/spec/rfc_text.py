"""Compares the clauses with their RFC's text: each of its key words stands in exactly one clause of that section."""

import collections
import re

# In the order in which they must be tried. MAY and OPTIONAL ask for nothing, so they are not clauses.
KEYWORD = re.compile(r"\b(MUST NOT|MUST|SHALL NOT|SHALL|SHOULD NOT|SHOULD|NOT RECOMMENDED|RECOMMENDED|REQUIRED)\b")
PAGE_EDGE = re.compile(r"^(\S.* \[Page \d+\]|RFC \d+ .* (19|20)\d\d)\s*$")
# A heading stands at the margin; those of the table of contents have dots.
HEADING = re.compile(r"^(\d+(?:\.\d+)*)\.  ?\S")


def title(path):
    """Which RFC it is, as the report calls it."""
    with open(path, encoding="utf-8-sig") as f:
        found = re.search(r"^Request for Comments: (\d+)", f.read(), re.M)
    return f"RFC {found[1]}" if found else f"{path}, which is no RFC"


def sections(path):
    """{number: text}, without page breaks."""
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
    return {number: unwrapped(" ".join(lines)) for number, lines in found.items()}


def unwrapped(text):
    """White space put to one space, and to none where a line was broken behind a hyphen."""
    return re.sub(r"(?<=\w)- (?=\w)", "-", " ".join(text.split()))


def compare(path, clauses):
    """What is wrong, a line each."""
    faults, spans = [], collections.defaultdict(list)
    texts = sections(path)
    for clause in clauses:
        section, words = clause["section"], unwrapped(clause["text"])
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
