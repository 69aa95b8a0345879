#!/usr/bin/env python3
"""Judges the reports that Autobahn|Testsuite wrote: counts by group, and every case that is not OK in the suite's words.

    summarize.py --expect-cases 301 target/autobahn/reports/server-tokio target/autobahn/reports/client-tokio

Each argument is an index.json, or a folder that holds one; each is expected to report one agent.

Exit status: 0 if every case is OK; 1 if one is not, if fewer ran than --expect-cases, or if there is nothing to read;
2 for a wrong command line. Standard library only.
"""

import argparse
import collections
import json
import os
import sys

# The RFC leaves these open, so the suite gives this word whatever we do: a close frame right behind 256 KiB of message
# (7.1.6), close codes outside the ranges that the RFC gives a meaning (7.13.1, 7.13.2). Anywhere else it is a failure.
INFORMATIONAL = {"7.1.6", "7.13.1", "7.13.2"}


def passes(case_id, case):
    # Both count: what was echoed, and how the connection ended. NON-STRICT (right, but later than it could be) fails.
    allowed = {"OK", "INFORMATIONAL"} if case_id in INFORMATIONAL else {"OK"}
    return {case["behavior"], case["behaviorClose"]} <= allowed


def case_key(case_id):
    return [int(part) for part in case_id.split(".")]


def why(index_path, case):
    """The suite's own words on one case, from the case's report beside index.json; empty if it was not kept."""
    try:
        with open(os.path.join(os.path.dirname(index_path), case["reportfile"]), encoding="utf-8") as f:
            report = json.load(f)
    except (OSError, ValueError):
        return ""
    return " / ".join(text for text in (report.get("result"), report.get("resultClose")) if text)


def print_groups(cases):
    groups = collections.defaultdict(list)
    for case_id in cases:
        groups[case_id.split(".")[0]].append(case_id)
    for group in sorted(groups, key=int):
        ids = groups[group]
        failed = sum(not passes(i, cases[i]) for i in ids)
        print(f"  {group + '.*':5} {len(ids) - failed:4} passed, {failed} failed")


def summarize(index_path, agent, cases, expect, slowest):
    ids = sorted(cases, key=case_key)
    print(f"{agent}: {len(ids)} cases ({index_path})")
    print_groups(cases)
    failed = [i for i in ids if not passes(i, cases[i])]
    for i in ids:
        case = cases[i]
        if {case["behavior"], case["behaviorClose"]} != {"OK"}:
            word = "failed" if i in failed else "allowed"
            print(f"  {word} {i}: {case['behavior']}, close {case['behaviorClose']}: {why(index_path, case)}")
    for i in sorted(ids, key=lambda i: -cases[i]["duration"])[:slowest]:
        print(f"  slow {i}: {cases[i]['duration'] / 1000:.1f} s")
    missing = max(0, expect - len(ids))
    if missing:
        print(f"  {missing} of {expect} expected cases did not run")
    return len(ids) - len(failed), len(failed) + missing


def judge(path, expect, slowest):
    """Passed and failed of one index.json; one that is missing or empty fails as often as cases were expected."""
    try:
        with open(path, encoding="utf-8") as f:
            index = json.load(f)
    except (OSError, ValueError) as error:
        print(f"cannot read {path}: {error}")
        return 0, max(expect, 1)
    if not index:
        print(f"no case ran: {path} is empty")
        return 0, max(expect, 1)
    results = [summarize(path, agent, cases, expect, slowest) for agent, cases in sorted(index.items())]
    return tuple(map(sum, zip(*results)))


def main():
    parser = argparse.ArgumentParser(description="Counts and judges Autobahn|Testsuite reports, strictly.")
    parser.add_argument("reports", nargs="+", help="index.json files, or folders that hold one")
    parser.add_argument("--expect-cases", type=int, default=0, metavar="N", help="fail if an agent ran fewer than N cases")
    parser.add_argument("--slowest", type=int, default=0, metavar="N", help="also print the N slowest cases of each agent")
    args = parser.parse_args()

    paths = [os.path.join(p, "index.json") if os.path.isdir(p) else p for p in args.reports]
    results = [judge(path, args.expect_cases, args.slowest) for path in paths]
    passed, failed = map(sum, zip(*results))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
