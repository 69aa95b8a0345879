"""Builds what is measured, and installs what is not Rust; a second time it does nothing."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
ROOT = HERE.parent.parent


class Paths:
    """Where things are. Nothing is written outside the workspace's target folder."""

    def __init__(self):
        self.target = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
        # A folder of its own: other features of shared dependencies would rebuild the workspace's, again and again.
        self.dir = self.target / "peers"
        self.framecast = self.target / "release" / "framecast"
        self.peers = self.dir / "release" / "framecast-peers"
        self.node = self.dir / "node"
        self.venv = self.dir / "venv"
        self.logs = self.dir / "logs"
        self.results = self.dir / "results.jsonl"
        self.logs.mkdir(parents=True, exist_ok=True)

    def bun(self):
        """Its binary is a package of its own for each system; the installer's script, which only links to it, is not run."""
        found = sorted((self.node / "node_modules" / "@oven").glob("bun-*/bin/bun"))
        if not found:
            raise SystemExit("npm's bun has no binary for this system; leave it out with --servers")
        return found[0]


def build(paths, scripts, python=False, peers=True):
    """`scripts`: whether Node.js and bun are needed, `python`: FastAPI, `peers`: our package of other libraries."""
    _cargo(paths.target, "-p", "framecast-cli", "--bin", "framecast")
    if peers:
        _cargo(paths.dir, "--manifest-path", HERE / "Cargo.toml")
    if scripts:
        _install_node(paths.node)
    if python:
        _install_python(paths.venv)


def _cargo(target, *what):
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target)}
    _must(["cargo", "build", "--release", "--locked", "--quiet", *what], env=environment)


def _install_node(node):
    if not shutil.which("npm"):
        raise SystemExit("Node.js and npm are missing; install them, or leave node-ws and bun out with --servers")
    files = [HERE / name for name in ("package.json", "package-lock.json", ".npmrc")]
    stamp, wanted = node / "stamp", _sum(files)
    if not _is_stamped(stamp, wanted):
        print("installing ws, socket.io and bun (100 MB, once)", file=sys.stderr)
        shutil.rmtree(node, ignore_errors=True)
        node.mkdir(parents=True)
        for file in files:
            shutil.copy(file, node)
        _must(["npm", "ci", "--prefix", node, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
        stamp.write_text(wanted)
    # Beside the modules that they import.
    for script in (HERE / "js").glob("*.mjs"):
        shutil.copy(script, node)


def _install_python(venv):
    requirements = HERE / "requirements.txt"
    stamp, wanted = venv / "stamp", _sum([requirements])
    if not _is_stamped(stamp, wanted):
        print("installing FastAPI and uvicorn (60 MB, once)", file=sys.stderr)
        shutil.rmtree(venv, ignore_errors=True)
        _must([sys.executable, "-m", "venv", venv])
        _must([venv / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r", requirements])
        stamp.write_text(wanted)


def _sum(files):
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _is_stamped(stamp, wanted):
    return stamp.exists() and stamp.read_text() == wanted


def _must(command, **options):
    # What they print is not for our tables.
    if subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=sys.stderr, **options).returncode:
        raise SystemExit(f"failed: {' '.join(map(str, command))}")
