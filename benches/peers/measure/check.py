"""One message there and back, or from one to another, before anything is measured, by a client that shares no code with the load or the servers."""

import base64
import hashlib
import os
import socket
import struct

from .servers import Failed


def check(port, case, raw):
    """Raises `Failed` unless the server at `port` does what the case needs of it."""
    size = 20 if case.is_memory else case.size
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as stream:
            if raw and case.scenario != "handshake":
                sent = os.urandom(size)
                _exchange(stream, sent, sent)
                return
            _upgrade(stream, port, raw)
            if case.scenario != "handshake":
                payload = bytes(ord("a") + at % 26 for at in range(size))
                head = _head(case.text, size)
                if case.scenario == "relay":
                    _relay(stream, port, head, payload)
                else:
                    _exchange(stream, _masked(head, payload), head + payload)
    except OSError as error:
        raise Failed(f"the check before the measurement: {error}") from error


def _upgrade(stream, port, raw):
    key = base64.b64encode(os.urandom(16)).decode()
    stream.sendall((f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n").encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        byte = stream.recv(1)
        if not byte:
            raise Failed(f"the check before the measurement: no answer to the handshake but {answer!r}")
        answer += byte
    lines = answer.decode("latin-1").split("\r\n")
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    if not lines[0].startswith("HTTP/1.1 101 ") or not raw and fields.get("sec-websocket-accept") != accept:
        raise Failed(f"the check before the measurement: the handshake was answered with {answer!r}")
    if "sec-websocket-extensions" in fields:
        raise Failed("the server uses an extension that nobody offered")


def _head(text, size):
    head = bytes([0x81 if text else 0x82])
    if size < 126:
        return head + bytes([size])
    return head + (struct.pack(">BH", 126, size) if size < 1 << 16 else struct.pack(">BQ", 127, size))


def _masked(head, payload):
    key = os.urandom(4)
    stretched = int.from_bytes((key * (len(payload) // 4 + 1))[:len(payload)], "big")
    masked = (int.from_bytes(payload, "big") ^ stretched).to_bytes(len(payload), "big")
    return bytes([head[0], head[1] | 0x80]) + head[2:] + key + masked


def _relay(stream, port, head, payload):
    """From each of two connections to both."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as other:
        _upgrade(other, port, raw=False)
        for sender, receiver in ((stream, other), (other, stream)):
            _exchange(sender, _masked(head, payload), head + payload)
            _exchange(receiver, b"", head + payload)


def _exchange(stream, sent, expected):
    """Sends `sent`; what comes must be `expected`, byte for byte."""
    stream.sendall(sent)
    received = bytearray()
    while len(received) < len(expected):
        part = stream.recv(1 << 20)
        if not part:
            break
        received += part
    if received != expected:
        raise Failed(f"the check before the measurement: of {len(expected)} bytes expected, {len(received)} came, "
                     "and they are not what was sent")
