"""What is measured: the load of each case, and the mark that we set ourselves for it."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    scenario: str  # of `framecast bench`
    connections: int
    floor: str  # the server that ratios are told to
    mark: float | None  # our own: of the ratio, or in KiB a connection
    depth: int = 1
    size: int = 20
    text: bool = False
    deflate: bool = False  # offered by the load, without context takeover
    mark_accept: float | None = None  # where `accept` has another mark than `run`
    mark_reactor: float | None = None  # to a floor of its own, over mio

    @property
    def is_memory(self):
        return self.scenario == "idle"

    @property
    def group(self):
        """Who takes part: servers that compress are servers of their own."""
        if self.deflate:
            return "relay-deflate" if self.scenario == "relay" else "deflate"
        return self.scenario

    def is_raw(self, server):
        """Whether the load is plain TCP: a floor speaks no WebSocket, but for the relay's, where nobody could tell messages apart."""
        return server.is_floor and self.scenario != "relay"

    @property
    def unit(self):
        return {"echo": "µs a message", "handshake": "µs a handshake", "idle": "KiB a connection",
                "relay": "µs a delivery"}[self.scenario]

    def options(self):
        """What `framecast bench` is told."""
        options = ["--connections", str(self.connections)]
        if self.scenario in ("echo", "relay"):
            options += ["--depth", str(self.depth), "--size", str(self.size), "--text" if self.text else "--binary"]
        return options + (["--deflate"] if self.deflate else [])

    def figure(self, result):
        """The number of interest in what `framecast bench --json` printed."""
        server = result["server"]
        if self.is_memory:
            return server["rss_bytes_per_connection"] / 1024
        return server[{"echo": "cpu_us_per_message", "handshake": "cpu_us_per_handshake",
                       "relay": "cpu_us_per_delivery"}[self.scenario]]

    def mark_of(self, server):
        """Ours alone have one."""
        return {"framecast-run": self.mark, "framecast-deflate": self.mark, "framecast-accept": self.mark_accept,
                "framecast-reactor": self.mark_reactor, "framecast-relay-tokio": self.mark,
                "framecast-relay-reactor": self.mark_reactor}.get(server)

    def floor_of(self, server):
        """What a server's ratio is told to: the reactor's to what mio itself takes."""
        on_mio = {"floor-tokio": "floor-mio", "floor-handshake": "floor-mio-handshake"}
        return on_mio.get(self.floor, self.floor) if server == "framecast-reactor" else self.floor


CASES = [
    Case("p32-20b", "100 connections, 32 binary messages of 20 B in flight on each", "echo",
         connections=100, depth=32, size=20, floor="floor-tokio", mark=1.25, mark_reactor=1.2),
    Case("p1-125b", "100 connections, 1 binary message of 125 B in flight on each", "echo",
         connections=100, depth=1, size=125, floor="floor-tokio", mark=1.15, mark_reactor=1.03),
    Case("p8-1k", "100 connections, 8 text messages of 1 KiB in flight on each", "echo",
         connections=100, depth=8, size=1 << 10, text=True, floor="floor-tokio", mark=1.35, mark_reactor=1.25),
    Case("p4-16k", "10 connections, 4 binary messages of 16 KiB in flight on each", "echo",
         connections=10, depth=4, size=16 << 10, floor="floor-tokio", mark=0.95, mark_reactor=1.15),
    Case("p2-1m", "2 connections, 2 binary messages of 1 MiB in flight on each", "echo",
         connections=2, depth=2, size=1 << 20, floor="floor-tokio", mark=0.9, mark_reactor=1.4),
    Case("p1-1k-deflate", "100 connections, 1 text message of 1 KiB in flight on each, compressed both ways", "echo",
         connections=100, depth=1, size=1 << 10, text=True, deflate=True, floor="bun-deflate", mark=0.7),
    Case("handshake", "32 clients that connect, are answered, and leave", "handshake",
         connections=32, floor="floor-handshake", mark=1.1, mark_reactor=1.05),
    Case("idle", "5,000 connections, after one message each way on each", "idle",
         connections=5000, floor="floor-lent", mark=1.2, mark_accept=1.7, mark_reactor=0.25),
    Case("relay-p1", "1,000 subscribers, one of which publishes 1 binary message of 128 B at a time", "relay",
         connections=1000, depth=1, size=128, floor="floor-relay", mark=1.15, mark_reactor=1.08),
    Case("relay-p8", "1,000 subscribers, one of which publishes 8 binary messages of 128 B at a time", "relay",
         connections=1000, depth=8, size=128, floor="floor-relay", mark=1.2, mark_reactor=1.08),
    Case("relay-1k-deflate", "1,000 subscribers, one of which publishes 1 text message of 1 KiB at a time, compressed both ways",
         "relay", connections=1000, depth=1, size=1 << 10, text=True, deflate=True, floor="floor-relay", mark=None),
]


def quick(case):
    """The same case, small enough for a test."""
    match case.scenario:
        case "idle":
            return replace(case, connections=500, title=case.title.replace("5,000", "500"))
        case "relay":
            return replace(case, connections=100, title=case.title.replace("1,000", "100"))
        case _:
            return case
