"""Python's `websockets` as a client of the hub.   hub.py talk|tell|correct|crowd|takeover|addresses URL [TOKEN…] [OPTIONS]

Exit status 0 if the server did as it should; otherwise the last line printed says what was wrong. URL is the endpoint's, without the
token; `crowd` takes a token for each of its clients, the others one or none.
"""

import argparse
import asyncio
import contextlib
import json
import ssl
import struct
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

# Not what a JSON library would make of it: it must come back as it is.
PAYLOAD = '{"b":1.0,"a":12345678901234567890,"text":"é😀"}'
# The hub's default for a payload (`payload_bytes_max`): what is sent to others is then below 1 MiB, which is what clients take.
LARGEST = (1 << 20) - (2 << 10)


class Door:
    """How a connection is made, by the options."""

    def __init__(self, options):
        self.options = options

    def __call__(self, token=None, path="", headers=None, **more):
        options, url = self.options, self.options.url + path
        fields = dict(headers or {})
        if token and options.by == "query":
            url += f"?token={token}"
        if token and options.by == "header":
            fields["Authorization"] = f"Bearer {token}"
        if token and options.by == "subprotocol":
            more["subprotocols"] = ["framecast", f"bearer.{token}"]
        if options.origin:
            more["origin"] = options.origin
        if options.ca:
            more["ssl"] = ssl.create_default_context(cafile=options.ca)
        if options.to:
            more["host"], port = options.to.rsplit(":", 1)
            more["port"] = int(port)
        return connect(url, proxy=None, additional_headers=fields, **more)


async def answers(ws, *types):
    """The next messages, which must be of these types in whatever order."""
    found = {}
    while len(found) < len(types):
        text = await ws.recv()
        kind = json.loads(text)["type"]
        assert kind in types and kind not in found, f"waiting for {types}, found {text}"
        found[kind] = text
    return [found[kind] for kind in types]


async def ask(ws, message, *types):
    await ws.send(message if isinstance(message, (str, bytes)) else json.dumps(message))
    return await answers(ws, *types)


def same(text, **wanted):
    message = json.loads(text)
    found = {name: message.get(name, "absent") for name in wanted}
    assert found == wanted, f"expected {wanted}, found {text}"
    return message


async def subscribe(ws, room):
    [subscribed] = await ask(ws, {"type": "subscribe", "id": 1, "room": room}, "subscribed")
    same(subscribed, id=1, room=room, recovered=False)


async def talk(door, token):
    """Everything that a client does on an ordinary day."""
    async with door(token) as ws:
        wanted = "framecast" if door.options.by == "subprotocol" else None
        assert ws.subprotocol == wanted, f"the server selected {ws.subprotocol}"
        await greeted(ws, "ada")
        await conversation(ws)
    assert ws.close_code == 1000, f"closed with {ws.close_code}"


async def greeted(ws, user_id):
    [welcome] = await answers(ws, "connection_established")
    same(welcome, user_id=user_id, ping_interval=20, dedupe_window=120)


async def conversation(ws):
    await subscribe(ws, "news:today")
    message, ack = await ask(ws, f'{{"type":"message","id":"m-1","room":"news:today","payload":{PAYLOAD}}}', "message", "ack")
    offset = same(ack, id="m-1")["offset"]
    same(message, room="news:today", user_id="ada", offset=offset)
    assert f'"payload":{PAYLOAD},' in message, f"the payload was changed: {message}"
    [pong] = await ask(ws, {"type": "ping", "id": "p-1"}, "pong")
    assert isinstance(same(pong, id="p-1").get("ts"), int), f"no time in {pong}"
    direct, ack = await ask(ws, {"type": "direct", "id": "d-1", "to": "ada", "payload": 1, "receipt": True}, "direct", "ack")
    same(ack, id="d-1", recipients=1)
    number = same(direct, payload=1, user_id="ada", receipt=True)["id"]
    [receipt] = await ask(ws, {"type": "ack", "id": number}, "receipt")
    same(receipt, id="d-1", acked=1, of=1)
    binary = binary_message("news:today", bytes(range(256)))
    await ws.send(binary)
    assert await ws.recv() == binary, "the binary message came back different"
    await asyncio.wait_for(await ws.ping(b"are you there"), 10)


async def tell(door, token=None):
    """Prints what comes, and how it ends; says nothing."""
    try:
        async with door(token) as ws:
            while True:
                print(await ws.recv(), flush=True)
    except ConnectionClosed as end:
        print("closed", end.rcvd.code if end.rcvd else "without a close frame", end.rcvd.reason if end.rcvd else "")
    except InvalidStatus as refused:
        print("refused", refused.response.status_code)


async def correct(door, token):
    """A bad token is told, and a good one may still be sent."""
    async with door("wrong") as ws:
        await greeted(ws, None)
        [error] = await answers(ws, "error")
        same(error, code="unauthorized", message="the token is not known")
        [error] = await ask(ws, {"type": "subscribe", "id": 1, "room": "news"}, "error")
        same(error, id=1, code="unauthorized")
        [authenticated] = await ask(ws, {"type": "auth", "id": 2, "token": token}, "authenticated")
        same(authenticated, id=2, user_id="ada", expires_at=None)
        await subscribe(ws, "news")


async def takeover(door, token):
    """The same client again: the older connection is told so."""
    async with door(token, "/phone") as older, door(token, "/phone") as newer:
        await greeted(older, "ada")
        await greeted(newer, "ada")
        try:
            await older.recv()
        except ConnectionClosed as end:
            assert end.rcvd and end.rcvd.code == 4009 and end.rcvd.reason, f"closed with {end.rcvd}"
        else:
            raise AssertionError("a message came")
        await subscribe(newer, "news")


async def crowd(door, *tokens):
    """A thousand messages in from all together, all of them out to each; then one as large as they come.

    The default rates let a connection send 200 at once: eight of them are well within that. What is sent to each is less than
    its queue in the hub takes, so that none is too slow, however late it reads.
    """
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(door(token)) for token in tokens]
        for ws in clients:
            await answers(ws, "connection_established")
            await subscribe(ws, "crowd")
        each = 1_000 // len(clients)
        sent = [[sample(who, number) for number in range(each)] for who in range(len(clients))]

        async def send(who):
            for message in sent[who]:
                await clients[who].send(message)

        async def receive(ws):
            next_of = [0] * len(clients)
            for _ in range(1_000):
                message = await ws.recv()
                who, found = heard(message)
                assert found == heard(sent[who][next_of[who]])[1], f"message {next_of[who]} of client {who} came different: {message[:200]!r}"
                next_of[who] += 1

        await asyncio.gather(*map(send, range(len(clients))), *map(receive, clients))
        await large(clients[0], clients[1])
        for ws in clients:
            await asyncio.wait_for(await ws.ping(b"still there"), 10)


async def large(sender, receiver):
    payload = json.dumps("x" * (LARGEST - 2))
    await ask(sender, f'{{"type":"message","id":"large","echo":false,"room":"crowd","payload":{payload}}}', "ack")
    message = await receiver.recv()
    assert f'"payload":{payload},' in message, f"a message of {len(message)} came instead"


def sample(who, number):
    """Text and binary in turn, of up to 1,500 bytes."""
    size = (number * 7_919 + who) % 1_500
    if number % 2:
        return json.dumps({"type": "message", "room": "crowd", "payload": [who, number, "x" * size]})
    return binary_message("crowd", struct.pack(">BH", who, number) + bytes([number % 251]) * size)


def binary_message(room, data):
    return struct.pack(">H", len(room)) + room.encode() + data


def heard(message):
    """Who sent it, and what of it must not change."""
    if isinstance(message, bytes):
        return message[2 + len("crowd")], message
    payload = json.loads(message)["payload"]
    return payload[0], payload


async def addresses(door, token, ours, theirs, limit, more):
    """`limit` connections of one address are let in, and `more` that lie about it; another one is not concerned."""
    lies = [{"X-Forwarded-For": theirs}, {"X-Forwarded-For": "127.0.0.1"}, {"X-Forwarded-For": f"{theirs}, 127.0.0.1"}, {"X-Real-IP": theirs},
            *({"Forwarded": f"for={address}"} for address in (theirs, "127.0.0.1", "198.51.100.1", "198.51.100.2", "unknown"))]
    async with contextlib.AsyncExitStack() as stack:
        async def enter(address, headers=None):
            ws = await stack.enter_async_context(door(token, headers=headers, local_addr=(address, 0)))
            await answers(ws, "connection_established")

        for _ in range(int(limit)):
            await enter(ours)
        let_in = []
        for lie in [{}, *lies]:
            try:
                await enter(ours, lie)
                let_in.append(lie)
            except InvalidStatus as refused:
                assert refused.response.status_code == 429, f"refused with {refused.response.status_code} after saying {lie}"
        assert len(let_in) == int(more), f"let in after saying {let_in}"
        for _ in range(int(limit)):
            await enter(theirs)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what")
    parser.add_argument("url")
    parser.add_argument("rest", nargs="*")
    parser.add_argument("--by", default="query", help="where the token is: query, header or subprotocol")
    parser.add_argument("--origin")
    parser.add_argument("--ca", help="a file with who is believed")
    parser.add_argument("--to", help="HOST:PORT to connect to, whatever the URL says")
    options = parser.parse_args()
    await {f.__name__: f for f in (talk, tell, correct, takeover, crowd, addresses)}[options.what](Door(options), *options.rest)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (AssertionError, ConnectionClosed, InvalidStatus) as why:
        sys.exit(str(why) or repr(why))
