"""Who is measured, and a process of each on a core of its own."""

import os
import select
import subprocess
from dataclasses import dataclass

from .build import HERE

ECHO, HANDSHAKE, IDLE = ["echo"], ["handshake"], ["idle"]
ALL = ECHO + HANDSHAKE + IDLE
DEFLATE = ["deflate"]  # and nothing else: a server of its own
RELAY, RELAY_DEFLATE = ["relay"], ["relay-deflate"]


@dataclass(frozen=True)
class Server:
    name: str
    scenarios: list  # that it takes part in
    kind: str = "rust"  # or `framecast`, `hub`, `node`, `bun`, `python`: what starts it

    @property
    def is_floor(self):
        return self.name.startswith("floor-")

    @property
    def compresses(self):
        return self.name.endswith("-deflate")

    @property
    def relays(self):
        return "-relay" in self.name

    @property
    def is_script(self):
        return self.kind in ("node", "bun")

    def command(self, paths):
        match self.kind:
            case "framecast":
                deflate = ["--deflate"] if self.compresses else []
                engine = "reactor" if "-reactor" in self.name else "tokio"
                what = "relay" if self.relays else "echo"
                return [paths.framecast, what, "--engine", engine, "--listen", "127.0.0.1:0", "--origin", "any", *deflate]
            case "node" | "bun":
                program = "node" if self.kind == "node" else paths.bun()
                script = self.name.removesuffix("-deflate") + ".mjs"
                return [program, paths.node / script, *(["deflate"] if self.compresses else [])]
            case "hub":
                return [paths.framecast, "serve", "--listen", "127.0.0.1:0"]
            case "python":
                return [paths.venv / "bin" / "python", HERE / "python" / f"{self.name.replace('-', '_')}.py"]
            case _:
                return [paths.peers, self.name]


# In this order, and in the reverse of it from round to round. A library's ways to echo share its handshake and its memory.
SERVERS = [
    Server("floor-tokio", ECHO),
    Server("floor-handshake", HANDSHAKE),
    Server("floor-lent", IDLE),
    Server("framecast-run", ALL, "framecast"),
    Server("framecast-accept", ALL),
    Server("floor-mio", ECHO),
    Server("floor-mio-handshake", HANDSHAKE),
    Server("framecast-reactor", ALL, "framecast"),
    Server("tungstenite-forward", ECHO),
    Server("tungstenite-send", ALL),
    Server("tungstenite-batched", ECHO),
    Server("fastwebsockets-example", ALL),
    Server("fastwebsockets-batched", ECHO),
    Server("tokio-websockets-example", ALL),
    Server("tokio-websockets-batched", ECHO),
    Server("sockudo-example", ALL),
    Server("sockudo-batched", ECHO),
    Server("node-ws", ALL, "node"),
    Server("bun", ALL, "bun"),
    Server("framecast-deflate", DEFLATE, "framecast"),
    Server("bun-deflate", DEFLATE, "bun"),
    Server("sockudo-deflate", DEFLATE),
    Server("node-ws-deflate", DEFLATE, "node"),
    Server("floor-relay", RELAY + RELAY_DEFLATE),
    Server("framecast-relay-reactor", RELAY, "framecast"),
    Server("framecast-relay-tokio", RELAY, "framecast"),
    Server("tokio-websockets-relay", RELAY),
    Server("sockudo-relay", RELAY),
    Server("sockudo-relay-batched", RELAY),
    Server("ws-relay", RELAY, "node"),
    Server("bun-relay", RELAY, "bun"),
    Server("framecast-relay-reactor-deflate", RELAY_DEFLATE, "framecast"),
    Server("framecast-relay-tokio-deflate", RELAY_DEFLATE, "framecast"),
    Server("sockudo-relay-deflate", RELAY_DEFLATE),
    Server("ws-relay-deflate", RELAY_DEFLATE, "node"),
    Server("bun-relay-deflate", RELAY_DEFLATE, "bun"),
]

# Who has rooms, and how the load speaks to it: see measure/rooms.py.
ROOMS = [
    Server("framecast-serve", ["hub", "ws"], "hub"),
    Server("socketio-rooms", ["socketio", "socket.io/?EIO=4&transport=websocket"], "node"),
    Server("fastapi-rooms", ["plain", "ws/{room}"], "python"),
]


class Failed(Exception):
    """A turn that came to nothing, and why."""


class Running:
    """A server that listens, until the end of the `with`."""

    def __init__(self, server, paths, core):
        self.name = server.name
        self.log = paths.logs / f"{server.name}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                server.command(paths), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                preexec_fn=lambda: os.sched_setaffinity(0, {core}))
        try:
            self.port = self._port()
        except BaseException:
            self.__exit__()
            raise

    def _port(self):
        # The line is written at once, so that what is readable is all of it.
        ready, _, _ = select.select([self.process.stdout], [], [], 20)
        line = self.process.stdout.readline().decode().strip() if ready else ""
        if not line.startswith(("listening on ws://127.0.0.1:", "listening on http://127.0.0.1:")):
            raise Failed(f"{self.name} did not say where it listens; its words are in {self.log}")
        return int(line.rsplit(":", 1)[1].rstrip("/"))

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}/"

    def must_live(self):
        if self.process.poll() is not None:
            raise Failed(f"{self.name} ended with {self.process.returncode}; its words are in {self.log}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
