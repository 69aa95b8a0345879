"""The sports server of hub/examples/sports, as somebody sees it who watches its page."""

import os
import shlex
import signal
import tempfile

from harness import HERE, TARGET, end, expect, listening, process, read_until

SPORTS = shlex.split(os.environ.get("FRAMECAST_SPORTS", "")) or [str(TARGET / "release/framecast-sports")]


def sports_page():
    with tempfile.TemporaryDirectory() as folder, sports(folder, 0) as server:
        with process(["node", str(HERE / "peers/sports.js"), server.url]) as browser:
            read_until(browser, "^seen$")
            end(server, signal.SIGINT)
            with sports(folder, server.port):
                read_until(browser, "^again$")
                expect(browser.wait(), 0, "the browser's exit status")


def sports(folder, port):
    return listening(["env", f"SPORTS_LISTEN=127.0.0.1:{port}", f"SPORTS_DATABASE={folder}/sports.db", *SPORTS], "http")


SPORTS_CHECKS = [sports_page]
