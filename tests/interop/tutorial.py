"""docs/tutorial.md, typed: each command in its terminal, and what it answers to the letter, but for `…`.

In a block `$` is typed to the shell and `>` to the program that it started, `^C` interrupts that, and all else is what comes. The
port is a free one, and what a server makes up (MADE_UP) is what it said first.
"""

import contextlib
import os
import pathlib
import re
import signal
import socket
import tempfile

from harness import ENVIRONMENT, INSTALLED, ROOT, SERVE, Failure, expect, last_line, process

TUTORIAL = ROOT / "docs/tutorial.md"
PORT = "8000"
MADE_UP = ["4817263549102", "RESUME-OF-ADA"]


def tutorial_commands():
    blocks = re.findall(r"^```console\n# (terminal \d)\n(.*?)^```$", TUTORIAL.read_text(encoding="utf-8"), re.M | re.S)
    with contextlib.ExitStack() as stack, open(INSTALLED / "tutorial.log", "w", encoding="utf-8") as log:
        bin_ = stack.enter_context(tempfile.TemporaryDirectory())
        os.symlink(pathlib.Path(SERVE[0]).resolve(), f"{bin_}/framecast")
        typist = Typist(stack, log, dict(ENVIRONMENT, PATH=f"{bin_}:{os.environ['PATH']}"))
        for terminal, text in blocks:
            for line in text.splitlines():
                try:
                    typist.types(terminal, line)
                except Failure as why:
                    raise Failure(f"{terminal}: {line[:60]}: {why}; see {log.name}") from why
        for terminal in list(typist.running):
            typist.ends(terminal)
        expect(len(blocks) > 5 and typist.commands > 10, True, "that there are commands")


def tutorial_program():
    """What is shown is what is built."""
    shown = re.findall(r"^```rust\n(.*?)^```$", TUTORIAL.read_text(encoding="utf-8"), re.M | re.S)
    expect(shown, [(ROOT / "hub/examples/poll.rs").read_text(encoding="utf-8")], "the program")


class Typist:
    def __init__(self, stack, log, environment):
        self.stack, self.log, self.environment = stack, log, environment
        self.running, self.known, self.commands = {}, {}, 0
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = str(free.getsockname()[1])

    def types(self, terminal, line):
        if line.startswith("$ "):
            self.ends(terminal)
            self.commands += 1
            # A `publish` has to be told where the server is, if that is not at home.
            environment = self.environment | {"FRAMECAST_SERVER": f"http://127.0.0.1:{self.port}"}
            command = ["bash", "-c", self.meant(line[2:])]
            started = process(command, env=environment, cwd=ROOT, stderr=self.log)
            self.running[terminal] = self.stack.enter_context(started)
        elif line.startswith("> "):
            self.program(terminal).stdin.write(self.meant(line[2:]) + "\n")
            self.program(terminal).stdin.flush()
        elif line == "^C":
            os.killpg(self.program(terminal).pid, signal.SIGINT)
            program = self.running.pop(terminal)
            # What it still says is nobody's business; how it ends neither.
            program.communicate()
        else:
            self.hears(self.program(terminal).stdout.readline(), line)

    def program(self, terminal):
        if terminal not in self.running:
            raise Failure("nothing runs here")
        return self.running[terminal]

    def ends(self, terminal):
        """What was typed last must end by itself, and well."""
        if program := self.running.pop(terminal, None):
            output, _ = program.communicate()
            expect((program.returncode, output), (0, ""), "status and output at its end")

    def meant(self, text):
        for name, value in self.known.items():
            text = text.replace(name, value)
        return text.replace(f"127.0.0.1:{PORT}", f"127.0.0.1:{self.port}")

    def hears(self, heard, shown):
        pattern = re.escape(self.meant(shown)).replace("…", ".*")
        new = [name for name in MADE_UP if name in self.meant(shown)]
        for name in new:
            pattern = pattern.replace(re.escape(name), "([0-9a-f]+)", 1)
        if not (match := re.fullmatch(pattern, heard.rstrip("\n"))):
            raise Failure(f"heard {last_line(heard)}")
        self.known.update(zip(new, match.groups()))


TUTORIAL_CHECKS = [tutorial_program, tutorial_commands]
