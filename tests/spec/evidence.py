"""Which tests there are, by the sources; and which of them passed, by what the last run of their stage left behind."""

import json
import os
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
sys.path.append(str(ROOT / "autobahn"))
import summarize

TEST = re.compile(r"^\s*#\[(?:tokio::)?test\b[^\n]*\n(?:\s*(?:#\[|///)[^\n]*\n)*\s*(?:async )?fn (\w+)", re.M)
INTEROP = re.compile(r"^def (\w+)\(\):", re.M)
BROWSER = re.compile(r'^  async "([a-z0-9-]+)"\(\)', re.M)


def sources():
    """Names as the tables have them: `tests/proto frames::name`, `src proto::close::tests::name`."""
    for path in sorted(path for place in ("tests", "src", "cli", "hub") for path in ROOT.glob(f"{place}/**/*.rs")):
        place = path.relative_to(ROOT).with_suffix("").parts
        if place[0] == "tests":
            binary, module = f"tests/{place[1]}", [part for part in place[2:] if part != "main"]
        elif place[1] == "tests" and place[0] != "src":
            binary, module = f"tests/{place[2]}", [part for part in place[3:] if part != "main"]
        else:
            # Tests that have a file, or files, of their own have `tests` in their path.
            module = [part for part in place[1:] if part not in ("src", "mod", "lib", "main")]
            module += [] if "tests" in module else ["tests"]
            binary = place[0]
        for name in TEST.findall(path.read_text(encoding="utf-8")):
            yield f"{binary} {'::'.join([*module, name])}"


def log(stage):
    path = TARGET / "stages" / f"{stage}.log"
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def cargo_results(text):
    """{name: passed}, from what `cargo test` printed."""
    binary, results = None, {}
    for line in text.splitlines():
        if found := re.match(r"\s*Running (?:unittests )?(\S+)\.rs \((?:.*/)?(\w+)-", line):
            parts, library = found[1].split("/"), {"framecast_hub": "hub"}.get(found[2], "src")
            binary = f"tests/{parts[1]}" if parts[0] == "tests" else {"src/lib": library, "src/main": "cli"}.get(found[1])
        elif re.match(r"\s*Doc-tests ", line):
            binary = None
        elif binary and (found := re.match(r"test (\S+) (?:- should panic )?\.\.\. (.*)", line)):
            # A test that prints may have its verdict on a later line; then the failures at the end name it.
            # The engines' suite runs once for each engine, under one name.
            passed = "FAILED" not in found[2] and "ignored" not in found[2]
            results[f"{binary} {found[1]}"] = passed and results.get(f"{binary} {found[1]}", True)
    return results


def interop_results(text):
    results = {}
    # Those of our server come once for each engine.
    for word, name in re.findall(r"^(ok|FAIL) ([a-z0-9-]+)\b", text, re.M):
        results[name] = word == "ok" and results.get(name, True)
    return results


def fuzz_results(text):
    """{target: passed}: a target that got through prints how many runs it had."""
    pieces = re.split(r"^fuzz: (\w+), \d+ s$", text, flags=re.M)
    return {name: re.search(r"^Done \d+ runs", piece, re.M) is not None
            and "fuzz target exited" not in piece for name, piece in zip(pieces[1::2], pieces[2::2])}


def autobahn_results():
    """{(role, case): passed}, or None if there is no report of either role."""
    results = {}
    for index in sorted((TARGET / "autobahn/reports").glob("*/index.json")):
        role = index.parent.name.split("-")[0]
        for cases in json.loads(index.read_text(encoding="utf-8")).values():
            # A role may have been tested on several engines.
            for case, result in cases.items():
                results[role, case] = summarize.passes(case, result) and results.get((role, case), True)
    return results or None


class Evidence:
    def __init__(self):
        self.tests = set(sources())
        interop = "".join((ROOT / "tests/interop" / file).read_text() for file in ("run", "hub.py", "proxy.py"))
        self.interop = {name.replace("_", "-") for name in INTEROP.findall(interop)}
        self.browser = {name for path in (ROOT / "tests/browser").glob("*.mjs") for name in BROWSER.findall(path.read_text())}
        self.fuzz = {path.stem for path in (ROOT / "fuzz/fuzz_targets").glob("*.rs")}
        texts = {stage: log(stage) for stage in ("tests", "interop", "browser", "fuzz")}
        readers = {"tests": cargo_results, "interop": interop_results, "browser": interop_results, "fuzz": fuzz_results}
        self.ran = {stage: readers[stage](text) if text is not None else None for stage, text in texts.items()}
        self.autobahn = autobahn_results()

    def missing(self):
        for stage, results in [*self.ran.items(), ("autobahn", self.autobahn)]:
            if results is None:
                yield f"not at hand: results of {stage} (tests/run {stage}); its tests are only known to exist"

    def fault(self, test):
        """Why this test does not hold anything; None if it does."""
        kind, _, name = test.partition(" ")
        if kind == "autobahn":
            return self.autobahn_fault(name)
        known = {"interop": self.interop, "browser": self.browser, "fuzz": self.fuzz}.get(kind, self.tests)
        if kind not in ("interop", "browser", "fuzz"):
            kind, name = "tests", test
        if name not in known:
            return f"there is no test {test}"
        return self.run_fault(test, name, kind)

    def run_fault(self, test, name, stage):
        results = self.ran[stage]
        if results is None or results.get(name):
            return None
        word = "failed" if name in results else "did not run"
        return f"{test} {word} in the last `tests/run {stage}`"

    def autobahn_fault(self, pattern):
        if not re.fullmatch(r"\d+(\.\d+)*(\.\*)?", pattern):
            return f"autobahn {pattern}: not a case such as 7.9.1, nor a group such as 7.9.*"
        if self.autobahn is None:
            return None
        prefix = pattern.removesuffix("*")
        for role in ("server", "client"):
            cases = {case: passed for (r, case), passed in self.autobahn.items()
                     if r == role and (case.startswith(prefix) if pattern.endswith("*") else case == pattern)}
            if not cases:
                return f"autobahn {pattern} did not run as {role} in the last run"
            if not all(cases.values()):
                return f"autobahn {pattern} failed as {role} in the last run"
        return None
