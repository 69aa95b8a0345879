"""What the checks of tests/interop/run stand on: our servers as processes, peers as processes, a deadline each.

A check is a function; it fails by raising. Its name is its function's, with dashes. Deadlines are an alarm in the one
thread there is, so whatever a check waits for, it waits no longer than that.
"""

import contextlib
import os
import pathlib
import re
import shlex
import signal
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
INSTALLED = TARGET / "interop"
PYTHON = [str(INSTALLED / "venv/bin/python"), "-B"]
NODE_MODULES = INSTALLED / "node/node_modules"
WSCAT = ["node", str(NODE_MODULES / "wscat/bin/wscat")]
WEBSOCAT = [str(INSTALLED / "bin/websocat")]
BROWSER = ["node", str(HERE / "peers/browser.js")]
# Stand-ins for trying the checks themselves; they take the same options as what they stand for.
ECHO = shlex.split(os.environ.get("FRAMECAST_ECHO", "")) or [str(TARGET / "release/framecast"), "echo"]
SERVE = shlex.split(os.environ.get("FRAMECAST_SERVE", "")) or [str(TARGET / "release/framecast"), "serve"]
CONNECT = shlex.split(os.environ.get("FRAMECAST_CONNECT", "")) or [str(TARGET / "release/framecast"), "connect"]
ECHO_CLIENT = shlex.split(os.environ.get("FRAMECAST_ECHO_CLIENT", "")) or [str(TARGET / "release/examples/echo_client")]

ENVIRONMENT = dict(os.environ, NODE_PATH=str(NODE_MODULES))
SECONDS_PER_CHECK = 90


class Failure(Exception):
    """Why a check failed, in one line."""


def expect(found, wanted, what):
    if found != wanted:
        raise Failure(f"{what}: expected {wanted!r}, found {found!r}")


@contextlib.contextmanager
def process(command, **options):
    """A child with pipes and in its own session; what is left of it at the end is killed, its own children too."""
    child = subprocess.Popen(command, text=True, start_new_session=True,
                             **{"env": ENVIRONMENT, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **options})
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        for pipe in (child.stdin, child.stdout):
            with contextlib.suppress(OSError):
                pipe and pipe.close()


def peer(*command):
    """Runs a peer to its end. Exit status 0 is a pass; otherwise the last line it printed says why."""
    with process(list(command), stdin=subprocess.DEVNULL) as child:
        output, _ = child.communicate()
        if child.returncode != 0:
            raise Failure(f"exit status {child.returncode}: {last_line(output)}")
        return output


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"


def read_until(child, pattern):
    """Reads lines until one matches; the end of the output is a failure."""
    seen = ""
    while line := child.stdout.readline():
        if match := re.search(pattern, line):
            return match
        seen += line
    raise Failure(f"ended without {pattern!r}: {last_line(seen)}")


@contextlib.contextmanager
def listening(command, scheme="ws"):
    """A server that prints `listening on ws://HOST:PORT/` first. Yields the process, with `url` and `port` on it."""
    with open(INSTALLED / "server.log", "a", encoding="utf-8") as log:
        print(f"$ {shlex.join(command)}", file=log, flush=True)
        with process(command, stdin=subprocess.DEVNULL, stderr=log) as server:
            first = server.stdout.readline()
            match = re.fullmatch(rf"listening on ({scheme}://127\.0\.0\.1:(\d+)/)\n", first)
            if not match:
                raise Failure(f"not a listening line: {first!r}; see {log.name}")
            server.url, server.port = match[1], int(match[2])
            yield server


# What moves our server's bytes: each check of the server runs on both.
ENGINES = ["tokio", "reactor"]
_engine = ENGINES[0]


def echo_command(listen, *options):
    return [*ECHO, "--engine", _engine, "--listen", listen, *options]


def echo_server(*options):
    return listening(echo_command("127.0.0.1:0", *options))


def end(server, signal_number):
    """Sends the signal; the server must end by itself, with status 0."""
    server.send_signal(signal_number)
    expect(server.wait(), 0, f"exit status after signal {signal_number}")


def on_alarm(*_):
    raise Failure(f"not done within {SECONDS_PER_CHECK} s")


def run_check(check, engine):
    """Runs one check, of our server on this engine if there is one; prints its line, tells whether it passed."""
    global _engine
    _engine = engine or ENGINES[0]
    name = check.__name__.replace("_", "-") + (f" on {engine}" if engine else "")
    start = time.monotonic()
    signal.alarm(SECONDS_PER_CHECK)
    try:
        check()
    except (Failure, OSError, LookupError, ValueError) as why:
        print(f"FAIL {name}: {shortened(str(why))}", flush=True)
        return False
    finally:
        signal.alarm(0)
    print(f"ok {name} ({time.monotonic() - start:.1f} s)", flush=True)
    return True


def shortened(why):
    """Peers quote messages, which may be of a megabyte."""
    return why if len(why) <= 500 else f"{why[:400]} … {why[-90:]}"


def run_checks(checks):
    """Runs them all, pairs of a check and an engine; the exit status."""
    signal.signal(signal.SIGALRM, on_alarm)
    signal.signal(signal.SIGTERM, lambda *_: exit(143))  # so that `finally` ends what we started
    (INSTALLED / "server.log").unlink(missing_ok=True)
    passed = sum(run_check(*check) for check in checks)
    print(f"{passed} passed, {len(checks) - passed} failed")
    return 0 if passed == len(checks) else 1
