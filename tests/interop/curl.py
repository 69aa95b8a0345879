"""curl as a peer: heads of requests as they are written here, and the heads of their answers."""

import re

from harness import Failure, process

# RFC 6455 §1.3: the sample nonce and what it must be answered with.
SAMPLE_KEY, SAMPLE_ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": SAMPLE_KEY}


def curl(url, fields, *options):
    """Status and fields (names in lower case) of the answer; a 101 is told at once, though nothing comes after."""
    with process(curl_command(url, fields, *options)) as child:
        return read_head(line[2:] for line in child.stdout if line.startswith("< "))


def curl_command(url, fields, *options):
    sent = [part for name, value in fields.items() for part in ("--header", f"{name}: {value}")]
    return ["curl", "--silent", "--verbose", "--http1.1", "--noproxy", "*", "--output", "/dev/null", *options, *sent, re.sub("^ws", "http", url)]


def read_head(lines):
    """Status and fields of an HTTP answer, up to its empty line."""
    lines = iter(lines)
    first = next(lines, "")
    if not (match := re.match(r"HTTP/1\.1 (\d{3}) ", first)):
        raise Failure(f"not a status line: {first!r}")
    fields = {}
    while line := next(lines, "").strip():
        name, _, value = line.partition(":")
        fields[name.lower()] = value.strip()
    return int(match[1]), fields
