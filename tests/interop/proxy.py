"""`framecast serve` behind nginx and Caddy, which run on the files of hub/examples/proxy."""

import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time

from curl import UPGRADE, curl
from harness import BROWSER, ROOT, Failure, end, expect, last_line, peer, process, read_until
from hub import ADA, ADMIN, ADMIN_ENDPOINTS, CROWD, PYTHON_HUB, anonymous_hub, hub, sends, tells_no_secret
from pages import page_server

EXAMPLES = ROOT / "hub/examples/proxy"


class Front:
    """A hub's public side. Its certificate is for example.com, which is found at `address`."""

    def __init__(self, server, port, address, place, within):
        self.server, self.port, self.address, self.place, self.within = server, port, address, place, within
        self.origin = f"https://example.com:{port}"
        self.ws = f"wss://example.com:{port}/ws"
        self.ca = place / "ca.crt"
        self.log = place / "log"

    def curl(self, path="ws", fields=None, *options):
        """The status alone."""
        reached = ["--cacert", str(self.ca), "--connect-to", f"::{self.address}:{self.port}"]
        return curl(f"{self.origin}/{path}", fields or {}, *reached, *options, within=self.within)[0]

    def python(self, what, *rest):
        """The command of a client."""
        return [*self.within, *PYTHON_HUB, what, self.ws, *rest, "--ca", str(self.ca), "--to", f"{self.address}:{self.port}"]


@contextlib.contextmanager
def behind(proxy, *options, server=hub, within=(), address="127.0.0.1"):
    """A hub behind this proxy, as the README of the examples has it."""
    with tempfile.TemporaryDirectory(prefix="framecast-proxy-") as place:
        port = free_port()
        with server("--trusted-proxy", "127.0.0.1", "--public-url", f"https://example.com:{port}", *options, within=within) as running:
            front = Front(running, port, address, pathlib.Path(place), within)
            with proxy(front):
                yield front


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


# The proxies


def nginx(front):
    return nginx_with(front, "$http_host")


def nginx_with_host(front):
    """As most snippets have it: without the port."""
    return nginx_with(front, "$host")


def nginx_with(front, host):
    key = front.place / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=example.com", "-addext", "subjectAltName=DNS:example.com", "-keyout", key, "-out", front.ca],
                   check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    write(front, "nginx.conf", {
        "listen 443 ssl;": f"listen {front.address}:{front.port} ssl;",
        "/etc/letsencrypt/live/example.com/fullchain.pem": str(front.ca),
        "/etc/letsencrypt/live/example.com/privkey.pem": str(key),
        "/var/log/nginx/framecast.log": str(front.log),
        "http://127.0.0.1:8000": f"http://127.0.0.1:{front.server.port}",
        "$http_host": host,
    })
    # What is around the file on a machine of nginx's own.
    places = "".join(f"{name}_temp_path {front.place}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    main = front.place / "main.conf"
    main.write_text(f"daemon off; master_process off; pid {front.place}/pid; error_log stderr;\n"
                    f"events {{ worker_connections 1024; }}\nhttp {{\n{places}include nginx.conf;\n}}\n", encoding="utf-8")
    return running(front, ["nginx", "-p", str(front.place), "-e", "stderr", "-c", str(main)])


def caddy(front):
    write(front, "Caddyfile", {
        "skip_install_trust\n": "skip_install_trust\n\tadmin off\n\tauto_https disable_redirects\n",
        "example.com {": f"https://example.com:{front.port} {{\n\tbind {front.address}",
        "127.0.0.1:8000": f"127.0.0.1:{front.server.port}",
    })
    data = front.place / "caddy"
    front.ca = data / "pki/authorities/local/root.crt"
    # What Caddy would keep in the user's home.
    homes = [f"{name}={front.place}" for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")]
    return running(front, ["env", *homes, "caddy", "run", "--adapter", "caddyfile", "--config", str(front.place / "Caddyfile")])


def write(front, name, changes):
    """The example's file with what is a matter of the place changed; each must be there, once."""
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    for old, new in changes.items():
        expect(text.count(old), 1, f"{old!r} in {name}")
        text = text.replace(old, new)
    (front.place / name).write_text(text, encoding="utf-8")


@contextlib.contextmanager
def running(front, command):
    """Until the hub can be reached through it."""
    front.complaints = front.place / "complaints"
    with open(front.complaints, "w", encoding="utf-8") as complaints:
        with process([*front.within, *command], stdin=subprocess.DEVNULL, stdout=complaints, stderr=complaints) as child:
            while not reached(front):
                if child.poll() is not None:
                    raise Failure(f"{command[0]} ended: {last_line(front.complaints.read_text(encoding='utf-8'))}")
                time.sleep(0.02)
            yield


def reached(front):
    try:
        return front.curl("health") == 200
    except Failure:
        return False


# What a client finds behind one


def nginx_conversation():
    conversation(nginx)


def caddy_conversation():
    conversation(caddy)


def conversation(proxy):
    with behind(proxy) as front:
        peer(*front.python("talk", ADA, "--origin", front.origin))
        peer(*front.python("talk", ADA, "--by=subprotocol"))
        peer(*front.python("crowd", *CROWD))
        peer(*front.python("takeover", ADA))
        proxy_tells_no_secret(front)


def proxy_tells_no_secret(front):
    for path in (front.log, front.complaints):
        if path.exists() and (found := re.search(".*-secret.*", path.read_text(encoding="utf-8"))):
            raise Failure(f"a token is in what the proxy wrote: {found[0]}")


def nginx_restart():
    restart(nginx)


def caddy_restart():
    restart(caddy)


def restart(proxy):
    """The close code of a restart, and its reason, come through; then there is nothing behind the proxy."""
    with behind(proxy) as front, process(front.python("tell", ADA, "--by=header")) as client:
        read_until(client, '"type":"connection_established"')
        end(front.server, signal.SIGTERM)
        read_until(client, r"^closed 1012 retry_after_ms=\d+$")
        expect(front.curl(f"ws?token={ADA}"), 502, "status without a hub")
        # nginx quotes the request among its errors, whatever the access log is told: so its README says to use the header there.
        if proxy is caddy:
            proxy_tells_no_secret(front)


# Who is let in


def nginx_origin():
    origin(nginx)


def nginx_origin_without_port():
    origin(nginx_with_host)


def caddy_origin():
    origin(caddy)


def origin(proxy):
    with behind(proxy) as front:
        expect(front.curl("ws", UPGRADE), 101, "no Origin")
        for origin, wanted in [(front.origin, 101), (front.origin.upper(), 101), (front.origin.replace("https", "http"), 403), ("https://example.com", 403),
                               (f"https://elsewhere.example:{front.port}", 403), (f"http://127.0.0.1:{front.server.port}", 403), ("null", 403)]:
            expect(front.curl("ws", UPGRADE | {"Origin": origin}), wanted, f"a page of {origin}")
            posted = front.curl("broadcast", {"Origin": origin, "Authorization": f"Bearer {ADMIN}"}, *sends("POST"))
            expect(posted, 200 if wanted == 101 else 403, f"a broadcast by a page of {origin}")


def chromium_behind_caddy():
    with page_server() as foreign, behind(caddy, "--allow-anonymous", server=anonymous_hub) as front:
        peer(*BROWSER, "greeted", f"{front.origin}/", front.ws)
        peer(*BROWSER, "refused", foreign, front.ws)


def nginx_admin():
    admin(nginx)


def caddy_admin():
    admin(caddy)


def admin(proxy):
    """A proxy on this machine makes nobody an administrator, whatever a client says of itself."""
    lies = [{}, {"X-Forwarded-For": "127.0.0.1"}, {"X-Forwarded-For": ""}, {"Forwarded": "for=127.0.0.1"}, {"Host": "localhost"}, {"Host": "127.0.0.1"},
            {"Connection": "X-Forwarded-For, X-Forwarded-Proto"}]
    # The first without any admin token, where loopback alone would do.
    for server, wanted in [(anonymous_hub, 403), (hub, 401)]:
        with behind(proxy, "--allow-anonymous", server=server) as front:
            for method, path in ADMIN_ENDPOINTS:
                for lie in lies:
                    # Caddy has nothing for other names than its own.
                    if "Host" in lie and proxy is caddy:
                        continue
                    expect(front.curl(path, lie, *sends(method)), wanted, f"{method} /{path} with {lie}")
                expect(front.curl(path, {"Authorization": "Bearer wrong"}, *sends(method)), wanted, f"{method} /{path} with a wrong token")
                if server is hub:
                    expect(front.curl(path, {"Authorization": f"Bearer {ADMIN}"}, *sends(method)), 200, f"{method} /{path} with the token")
    tells_no_secret()


def nginx_addresses():
    addresses(nginx)


def caddy_addresses():
    addresses(caddy)


def addresses(proxy):
    """Limits go by the client's address, which is the one that the proxy sees.

    Loopback is exempt from them, so the clients need other addresses: they have a network of their own.
    """
    ours, theirs, proxys = "198.51.100.1", "198.51.100.2", "198.51.100.3"
    with network(ours, theirs, proxys) as within, behind(proxy, "--connections-per-address", "3", within=within, address=proxys) as front:
        peer(*front.python("addresses", ADA, ours, theirs, "3"))


@contextlib.contextmanager
def network(*addresses):
    """A network of no other machine, with these addresses beside loopback's; yields what runs a command in it."""
    root = os.geteuid() == 0
    script = "; ".join(["ip link set lo up", *(f"ip address add {address}/32 dev lo" for address in addresses), "echo ready", "exec cat"])
    with process(["unshare", "--net", *([] if root else ["--map-root-user"]), "sh", "-ec", script]) as holder:
        read_until(holder, "^ready$")
        yield ["nsenter", f"--target={holder.pid}", "--net", *([] if root else ["--user", "--preserve-credentials"])]


PROXY_CHECKS = [
    nginx_conversation, caddy_conversation, nginx_restart, caddy_restart,
    nginx_origin, nginx_origin_without_port, caddy_origin, chromium_behind_caddy,
    nginx_admin, caddy_admin, nginx_addresses, caddy_addresses,
]
