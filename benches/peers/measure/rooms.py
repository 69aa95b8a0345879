"""Rooms: one turn of a server, whether it held, and the step down to what it holds."""

import json
import os
import subprocess

from .servers import Failed, Running

MEMBERS = 10  # of a room
DELIVERED_MIN, P99_MAX_US = 0.99, 1e6  # or the server has not held


def turn(server, connections, rate, paths, cores, seconds, warmup, size=128):
    """What the load tells of one server that was started for it."""
    dialect, path = server.scenarios
    with Running(server, paths, cores[0]) as running:
        command = [paths.framecast, "bench", "rooms", running.url + path, "--dialect", dialect, "--connections", str(connections),
                   "--rooms", str(max(connections // MEMBERS, 1)), "--rate", str(rate), "--size", str(size), "--seconds", str(seconds),
                   "--warmup", str(warmup), "--pid", str(running.process.pid), "--json"]
        try:
            # Besides what is measured: joining, falling quiet, and what is under way at the end.
            told = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=2 * seconds + warmup + 240, preexec_fn=lambda: os.sched_setaffinity(0, {cores[-1]}))
        except subprocess.TimeoutExpired:
            raise Failed("the load did not end") from None
        running.must_live()
        if told.returncode:
            raise Failed(" ".join(told.stderr.split())[:300])
        return json.loads(told.stdout)


def holds(said):
    return said["deliveries"] >= DELIVERED_MIN * said["expected"] and said["latency_us"]["p99"] < P99_MAX_US


def told(said):
    """A line for who watches."""
    latency, server, late = said["latency_us"], said["server"], said["open_loop"]
    return (f"{100 * said['deliveries'] / said['expected']:.2f} % delivered, p50 {latency['p50'] / 1000:.2f} ms, "
            f"p99 {latency['p99'] / 1000:.2f} ms, {100 * server['cpu_share']:.0f} % of a core, "
            f"{server['rss_bytes_per_connection'] / 1024:.2f} KiB a connection"
            + (f"; the load was late with {100 * late['late'] / late['scheduled']:.1f} %" if late["late"] else ""))


def highest(measured, connections, rates, say):
    """The first step that is held by `measured(connections, rate)`: fewer messages first, then fewer connections; `None` if none is."""
    for count in connections:
        for rate in rates:
            try:
                said = measured(count, rate)
            except Failed as error:
                say(f"{count:,} connections, {rate:,} a second: failed: {error}")
                continue
            say(f"{count:,} connections, {rate:,} a second: {told(said)}")
            if holds(said):
                return count, rate
    return None


def quick(servers, paths, cores, say):
    """Whether each still does its work, at a load that all hold; those that do, and what is wrong with the others."""
    passed, failed = 0, []
    for server in servers:
        try:
            said = turn(server, 100, 500, paths, cores, seconds=1, warmup=0.2)
            if said["deliveries"] != said["expected"]:
                raise Failed(f"{said['deliveries']} of {said['expected']} deliveries came")
            passed += 1
            line = told(said)
        except Failed as error:
            failed.append(f"rooms, {server.name}: {error}")
            line = f"failed: {error}"
        say(f"rooms  {server.name:<24} {line}")
    return passed, failed
