"""What a result depends on. Results of different setups are never in one table."""

import hashlib
import json
import os
import platform
import re
import subprocess

from .build import HERE, ROOT

CRATES = ["fastwebsockets", "mio", "sockudo-ws", "tokio", "tokio-tungstenite", "tokio-websockets"]


def describe(seconds, warmup, quick, load, cores):
    """A dictionary that says it all, under an id of its own."""
    setup = {
        "commit": _commit(),
        "versions": _versions(),
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "system": f"{platform.system()} {platform.release()}"},
        "server_core": cores[0], "load_core": cores[1],
        "seconds": seconds, "warmup": warmup, "quick": quick,
    }
    if load:
        setup["load"] = hashlib.sha256(load.read_bytes()).hexdigest()[:12]
    setup["id"] = hashlib.sha256(json.dumps(setup, sort_keys=True).encode()).hexdigest()[:12]
    return setup


def _commit():
    """With a hash of what is not committed, if there is any: two states of the tree are two setups."""
    if not (ROOT / ".git").exists():
        return "unknown"
    commit = _said("git", "rev-parse", "--short=12", "HEAD")
    new = _said("git", "ls-files", "--others", "--exclude-standard").splitlines()
    changes = _said("git", "diff", "HEAD").encode() + b"".join((ROOT / name).read_bytes() for name in new)
    return f"{commit}+{hashlib.sha256(changes).hexdigest()[:8]}" if changes else commit


def _versions():
    # Read by eye: Python has a parser of TOML from 3.11 on only.
    locked = re.findall(r'^name = "(.*)"\nversion = "(.*)"$', (HERE / "Cargo.lock").read_text(), re.MULTILINE)
    versions = {name: version for name, version in locked if name in CRATES}
    versions |= json.loads((HERE / "package.json").read_text())["dependencies"]
    versions |= dict(re.findall(r"^(fastapi|uvicorn|uvloop|websockets)==(.*)$", (HERE / "requirements.txt").read_text(), re.MULTILINE))
    versions["python"] = platform.python_version()
    versions["rustc"] = _said("rustc", "--version").split()[1]
    versions["node"] = _said("node", "--version").lstrip("v")
    return versions


def _cpu():
    found = re.search(r"^model name\s*: (.*)$", open("/proc/cpuinfo").read(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _said(*command):
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown unknown"
