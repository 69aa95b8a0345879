"""Clients that others have written, against `framecast serve`; and what they find there, for proxy.py too."""

import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import shutil
import tempfile
import time

from curl import curl
from harness import (BROWSER, HERE, INSTALLED, NODE_MODULES, PYTHON, ROOT, SERVE, WSCAT, Failure, expect, listening, peer, process, read_until)
from pages import page_server

PYTHON_HUB = [*PYTHON, str(HERE / "peers/hub.py")]
NODE_HUB = ["node", str(HERE / "peers/hub.js")]

ADA, ADMIN, SECRET = "ada-secret", "admin-secret", "a secret that signs what is said in its name"
CROWD = [f"crowd-secret-{number}" for number in range(8)]
TOKENS = "".join(f"{token} {user}\n" for token, user in [(ADA, "ada"), *((token, f"user-{token[-1]}") for token in CROWD)])


@contextlib.contextmanager
def hub(*options):
    """A hub with the tokens above. On the process there are `url` and `port`, and `ws`, the endpoint's URL."""
    with tempfile.NamedTemporaryFile("w", prefix="framecast-tokens-") as tokens:
        tokens.write(TOKENS)
        tokens.flush()
        with anonymous_hub("--tokens", tokens.name, "--admin-token", ADMIN, *options) as server:
            yield server


@contextlib.contextmanager
def anonymous_hub(*options):
    """One for everybody, unless the options say otherwise."""
    with listening([*SERVE, "--listen", "127.0.0.1:0", *options], "http") as server:
        server.ws = server.url.replace("http://", "ws://") + "ws"
        yield server


def rest(server, method, path, body=None):
    """What the administrator is told."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    with contextlib.closing(connection):
        connection.request(method, path, body and body.encode(), {"Authorization": f"Bearer {ADMIN}"})
        answer = connection.getresponse()
        expect(answer.status, 200, f"{method} {path}")
        return json.load(answer)


# The clients of docs/clients, as they are


def hub_docs_python():
    client = ROOT / "docs/clients/python.py"
    docs_client(client, [*PYTHON, str(client)])


def hub_docs_node():
    client = ROOT / "docs/clients/node.mjs"
    # A module finds others beside itself, and none are in the source tree.
    copy = shutil.copy(client, NODE_MODULES.parent / client.name)
    docs_client(client, ["node", copy])


def docs_client(path, command):
    expect(len(path.read_text(encoding="utf-8").splitlines()), 10, "lines")
    with hub() as server, process([*command, server.ws, ADA, "news"]) as client:
        read_until(client, '"type":"connection_established".*"user_id":"ada"')
        read_until(client, '"type":"subscribed"')
        rest(server, "POST", "/broadcast/news", '{"headline":"é 😀"}')
        read_until(client, r'"type":"message".*"payload":\{"headline":"é 😀"\}')
        before = rest(server, "GET", "/stats")["messages_in"]
        rest(server, "POST", "/broadcast", '{"type":"ping"}')
        read_until(client, r'"type":"broadcast".*"payload":\{"type":"ping"\}')
        # A pong is answered with nothing; that it came can be seen from outside only.
        while rest(server, "GET", "/stats")["messages_in"] == before:
            time.sleep(0.01)


# Python's websockets, Node's ws and wscat


def hub_python():
    talk(PYTHON_HUB, "--by=query")


def hub_python_header():
    talk(PYTHON_HUB, "--by=header")


def hub_python_subprotocol():
    talk(PYTHON_HUB, "--by=subprotocol")


def hub_node():
    talk(NODE_HUB, "query")


def hub_node_header():
    talk(NODE_HUB, "header")


def hub_node_subprotocol():
    talk(NODE_HUB, "subprotocol")


def talk(client, by):
    with hub() as server:
        peer(*client, "talk", server.ws, ADA, by)
    tells_no_secret()


def tells_no_secret():
    """Nothing that servers have written to their logs; the lines with a `$` are the tests' own."""
    with open(INSTALLED / "server.log", encoding="utf-8") as log:
        for line in log:
            if not line.startswith("$ ") and any(secret in line for secret in (ADA, ADMIN, SECRET)):
                raise Failure(f"a secret is in the log: {line.strip()}")


def hub_python_crowd():
    with hub() as server:
        peer(*PYTHON_HUB, "crowd", server.ws, *CROWD)


def hub_wscat():
    with hub() as server:
        wscat_talks([f"{server.ws}?token={ADA}"])


def hub_wscat_header():
    with hub() as server:
        wscat_talks([server.ws, "--header", f"Authorization: Bearer {ADA}"])


def hub_wscat_subprotocol():
    with hub() as server:
        wscat_talks([server.ws, "--subprotocol", "framecast", "--subprotocol", f"bearer.{ADA}"])


def wscat_talks(options):
    with process([*WSCAT, "--connect", *options]) as wscat:
        read_until(wscat, '"type":"connection_established".*"user_id":"ada"')
        types(wscat, '{"type":"subscribe","room":"news"}', '"type":"subscribed"')
        types(wscat, '{"type":"message","id":7,"room":"news","payload":"hello","echo":false}', '"type":"ack","id":7,"offset":1')
        types(wscat, '{"type":"message","room":"news","payload":"hello"}', '"type":"message".*"payload":"hello"')
        types(wscat, '{"type":"ping"}', '"type":"pong"')
        wscat.stdin.close()
        expect(wscat.wait(), 0, "exit status")


def types(child, line, answer):
    child.stdin.write(line + "\n")
    child.stdin.flush()
    read_until(child, answer)


# Tokens that are bad, late, over or missing


def hub_python_corrects_its_token():
    with hub() as server:
        peer(*PYTHON_HUB, "correct", server.ws, ADA)


def hub_node_corrects_its_token():
    with hub() as server:
        peer(*NODE_HUB, "correct", server.ws, ADA)


def hub_expired_token():
    with hub("--jwt-secret", SECRET) as server:
        token = jwt({"sub": "ada", "exp": int(time.time()) + 3})
        with process([*PYTHON_HUB, "tell", server.ws, token]) as python, process([*NODE_HUB, "tell", server.ws, token]) as node:
            for client in (python, node):
                read_until(client, '"type":"connection_established".*"user_id":"ada"')
                read_until(client, "^closed 4001 the token has expired$")


def hub_no_token():
    """All of them at once: it takes ten seconds."""
    why = "no valid token in time"
    with hub() as server, process([*WSCAT, "--connect", server.ws]) as wscat, \
            process([*PYTHON_HUB, "tell", server.ws]) as python, process([*NODE_HUB, "tell", server.ws]) as node:
        for client in (wscat, python, node):
            read_until(client, '"type":"connection_established".*"user_id":null')
        start = time.monotonic()
        for client in (python, node):
            read_until(client, f"^closed 4001 {why}$")
        # It says why only on a terminal.
        expect(wscat.wait(), 0, "exit status of wscat")
        expect(8 < time.monotonic() - start < 15, True, "about ten seconds")


def jwt(claims):
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    signed = b".".join(part(json.dumps(what).encode()) for what in ({"alg": "HS256", "typ": "JWT"}, claims))
    return (signed + b"." + part(hmac.digest(SECRET.encode(), signed, hashlib.sha256))).decode()


# Pages


def hub_chromium_own_page():
    with anonymous_hub() as server:
        peer(*BROWSER, "own", server.url, server.ws, f"{server.url}broadcast", "200")


def hub_chromium_foreign_page():
    """What every page that is visited can try with a hub on the visitor's own machine."""
    with page_server() as foreign, anonymous_hub() as server:
        peer(*BROWSER, "foreign", foreign, server.ws, f"{server.url}broadcast")


def hub_foreign_origin():
    with hub() as server:
        for method, path in STATE_CHANGING:
            status, _ = curl(server.url + path, {"Origin": "https://elsewhere.example", "Authorization": f"Bearer {ADMIN}"}, *sends(method))
            expect(status, 403, f"{method} /{path}")
        expect(rest(server, "GET", "/stats")["messages_out"], 0, "messages out")


# PROTOCOL, "HTTP": what the admin token is for.
STATE_CHANGING = [("POST", "broadcast"), ("POST", "broadcast/news"), ("POST", "users/ada/messages"), ("DELETE", "users/ada")]
ADMIN_ENDPOINTS = [("GET", "rooms"), ("GET", "stats"), ("GET", "metrics"), *STATE_CHANGING]


def sends(method):
    return {"GET": [], "POST": ["--data", '"hello"'], "DELETE": ["--request", "DELETE"]}[method]


HUB_CHECKS = [
    hub_docs_python, hub_docs_node,
    hub_python, hub_python_header, hub_python_subprotocol, hub_python_crowd,
    hub_node, hub_node_header, hub_node_subprotocol,
    hub_wscat, hub_wscat_header, hub_wscat_subprotocol,
    hub_python_corrects_its_token, hub_node_corrects_its_token, hub_expired_token, hub_no_token,
    hub_chromium_own_page, hub_chromium_foreign_page, hub_foreign_origin,
]
