"""Python's `websockets` as a client.   client.py messages|fragments|ping|close|goodbye URL [EXTENSIONS]

It offers compression. EXTENSIONS is what the server must answer to that, nothing by default.

Exit status 0 if the server did as it should; otherwise the last line printed says what was wrong.
"""

import asyncio
import random
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

# Every length encoding at both of its ends (RFC 6455 §5.2), nothing at all, and more than the 16 bits.
EDGES = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000]
COUNT = 1_000


def samples():
    """The messages, text and binary in turn; the seed makes a failure repeatable."""
    rng = random.Random(6455)
    for i in range(COUNT):
        size = EDGES[i // 2] if i < 2 * len(EDGES) else rng.randint(0, 70_000)
        # Characters of one to four bytes, cut to size and then back to a whole character.
        yield ("aé€😀"[i // 2 % 4] * size).encode()[:size].decode(errors="ignore") if i % 2 else rng.randbytes(size)


async def messages(ws):
    sent = list(samples())

    async def send_all():
        for message in sent:
            await ws.send(message)

    sending = asyncio.create_task(send_all())
    for i, message in enumerate(sent):
        assert await ws.recv() == message, f"message {i} of {len(message)} came back different"
    await sending


async def fragments(ws):
    """Sixty-four fragments with a ping between them, an empty first and an empty last one."""
    for pieces in (["", *("é€" * 9,) * 62, ""], [b"", *(bytes(range(256)),) * 62, b""]):
        async def one_by_one():
            for i, piece in enumerate(pieces):
                if i == 31:
                    await asyncio.wait_for(await ws.ping(b"between"), 10)
                yield piece

        await ws.send(one_by_one())
        assert await ws.recv() == pieces[0].join(pieces), "the fragments came back different"


async def ping(ws):
    for payload in (b"", b"x" * 125, bytes(range(125))):
        await asyncio.wait_for(await ws.ping(payload), 10)


async def close(ws):
    await ws.send("last words")
    await ws.close(1000, "enough")  # the echo of what was sent before stays unread
    received = ws.protocol.close_rcvd
    assert received is not None, "the server sent no close frame"
    assert received.code == 1000, f"the server closed with {received.code}"
    assert ws.close_code == 1000, f"closed with {ws.close_code}"


async def goodbye(ws):
    print("connected", flush=True)
    try:
        await ws.recv()
    except ConnectionClosed as end:
        print("closed", end.rcvd.code if end.rcvd else "without a close frame")
        return
    raise AssertionError("a message came")


async def main(what, url, extensions=""):
    async with connect(url, proxy=None, max_queue=None) as ws:
        agreed = ws.response.headers.get("Sec-WebSocket-Extensions", "")
        assert agreed == extensions, f"the server answered {agreed!r} to the offer of compression"
        await {f.__name__: f for f in (messages, fragments, ping, close, goodbye)}[what](ws)
    assert what == "goodbye" or ws.close_code == 1000, f"closed with {ws.close_code}"


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except AssertionError as why:
        sys.exit(str(why))
