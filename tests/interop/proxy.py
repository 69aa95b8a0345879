"""`framecast serve` behind nginx and Caddy, which run on the files of hub/examples/proxy."""

import contextlib
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time

from curl import UPGRADE, curl
from harness import BROWSER, INSTALLED, ROOT, Failure, end, expect, last_line, peer, process, read_until
from hub import ADA, ADMIN, ADMIN_ENDPOINTS, CROWD, PYTHON_HUB, anonymous_hub, hub, sends, tells_no_secret

EXAMPLES = ROOT / "hub/examples/proxy"
NGINX, CADDY = (str(INSTALLED / "bin" / name) for name in ("nginx", "caddy"))


class Front:
    """A hub's public side. Its certificate is for example.com, which is found on this machine."""

    def __init__(self, server, port, place):
        self.server, self.port, self.place = server, port, place
        self.origin = f"https://example.com:{port}"
        self.ws = f"wss://example.com:{port}/ws"
        self.ca = place / "ca.crt"
        self.written = [place / "access.log", place / "error.log"]

    def curl(self, path, fields=None, *options):
        """The status alone."""
        here = ["--cacert", str(self.ca), "--connect-to", f"::127.0.0.1:{self.port}"]
        return curl(f"{self.origin}/{path}", fields or {}, *here, *options)[0]

    def python(self, what, *rest):
        """The command of a client."""
        return [*PYTHON_HUB, what, self.ws, *rest, "--ca", str(self.ca), "--to", f"127.0.0.1:{self.port}"]


@contextlib.contextmanager
def behind(proxy, *options, server=hub):
    """A hub behind this proxy, as the README of the examples has it."""
    with tempfile.TemporaryDirectory(prefix="framecast-proxy-") as place:
        port = free_port()
        with server("--trusted-proxy", "127.0.0.1", "--public-url", f"https://example.com:{port}", *options) as running:
            front = Front(running, port, pathlib.Path(place))
            with proxy(front):
                yield front


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


# The proxies


def nginx(front):
    return run_nginx(front, {})


def usual_nginx(front):
    """As most snippets have it: the port is lost on the way, and a client's own `Forwarded` is not."""
    return run_nginx(front, {"$http_host": "$host", 'proxy_set_header Forwarded "";': ""})


def bare_nginx(front):
    """As somebody leaves it who was content when it worked."""
    left_out = ("X-Forwarded-For $proxy_add_x_forwarded_for", "X-Forwarded-Proto $scheme", 'Forwarded ""')
    return run_nginx(front, {f"proxy_set_header {line};": "" for line in left_out})


def run_nginx(front, changes):
    place, key = front.place, front.place / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=example.com", "-addext", "subjectAltName=DNS:example.com", "-keyout", key, "-out", front.ca],
                   check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    write(front, "nginx.conf", {
        "listen 443 ssl;": f"listen 127.0.0.1:{front.port} ssl;",
        "/etc/letsencrypt/live/example.com/fullchain.pem": str(front.ca),
        "/etc/letsencrypt/live/example.com/privkey.pem": str(key),
        "/var/log/nginx/framecast.log": f"{place}/access.log",
        "http://127.0.0.1:8000": f"http://127.0.0.1:{front.server.port}",
        **changes,
    })
    # What is around the file on a machine of nginx's own.
    main = place / "main.conf"
    places = "".join(f"{name}_temp_path {place}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    main.write_text(f"daemon off; master_process off; pid {place}/pid; error_log stderr;\nevents {{}}\nhttp {{\n{places}include nginx.conf;\n}}\n",
                    encoding="utf-8")
    return running(front, [NGINX, "-p", str(place), "-e", "stderr", "-c", str(main)])


def caddy(front):
    write(front, "Caddyfile", {
        "skip_install_trust\n": "skip_install_trust\n\tadmin off\n\tauto_https disable_redirects\n",
        "example.com {": f"https://example.com:{front.port} {{\n\tbind 127.0.0.1",
        "reverse_proxy 127.0.0.1:8000": f"reverse_proxy 127.0.0.1:{front.server.port}",
    })
    front.ca = front.place / "caddy/pki/authorities/local/root.crt"
    # Where Caddy keeps what it makes.
    homes = [f"{name}={front.place}" for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")]
    return running(front, ["env", *homes, CADDY, "run", "--adapter", "caddyfile", "--config", str(front.place / "Caddyfile")])


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
    complaints = front.place / "error.log"
    with open(complaints, "w", encoding="utf-8") as log, process(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as child:
        while not reached(front):
            if child.poll() is not None:
                raise Failure(f"the proxy ended: {last_line(complaints.read_text(encoding='utf-8'))}")
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
    for path in front.written:
        if path.exists() and (found := re.search(".*-secret.*", path.read_text(encoding="utf-8"))):
            raise Failure(f"a token is in what the proxy wrote: {found[0]}")


def nginx_restart():
    # Its errors quote the request whatever the access log is told to leave out: only the header keeps a token from there.
    restart(nginx, front_path="ws")


def caddy_restart():
    restart(caddy, front_path=f"ws?token={ADA}")


def restart(proxy, front_path):
    """The close code of a restart, and its reason, come through; then there is nothing behind the proxy."""
    with behind(proxy) as front, process(front.python("tell", ADA, "--by=header")) as client:
        read_until(client, '"type":"connection_established"')
        end(front.server, signal.SIGTERM)
        read_until(client, r"^closed 1012 retry_after_ms=\d+$")
        headers = {"Authorization": f"Bearer {ADA}", "Sec-WebSocket-Protocol": f"framecast, bearer.{ADA}"}
        expect(front.curl(front_path, headers), 502, "status without a hub")
        proxy_tells_no_secret(front)


# Who is let in


def nginx_origin():
    origin(nginx)


def usual_nginx_origin():
    origin(usual_nginx)


def caddy_origin():
    origin(caddy)


def origin(proxy):
    with behind(proxy) as front:
        expect(front.curl("ws", UPGRADE), 101, "no Origin")
        for page, wanted in [(front.origin, 101), (front.origin.replace("https", "http"), 403), ("https://example.com", 403),
                             (f"https://elsewhere.example:{front.port}", 403), (f"http://127.0.0.1:{front.server.port}", 403), ("null", 403)]:
            expect(front.curl("ws", UPGRADE | {"Origin": page}), wanted, f"a page of {page}")
            posted = front.curl("broadcast", {"Origin": page, "Authorization": f"Bearer {ADMIN}"}, *sends("POST"))
            expect(posted, 200 if wanted == 101 else 403, f"a broadcast by a page of {page}")


def chromium_behind_caddy():
    with behind(caddy, "--allow-anonymous", server=anonymous_hub) as front:
        # Also a page cannot do what only the administrator may.
        peer(*BROWSER, "own", f"{front.origin}/", front.ws, f"{front.origin}/broadcast", "403")


def nginx_admin():
    admin(nginx)


def bare_nginx_admin():
    admin(bare_nginx)


def caddy_admin():
    admin(caddy)


# What a client may say so as to be taken for somebody of this machine.
LIES = [{"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"}, {"Connection": "X-Forwarded-For, X-Forwarded-Proto"}, {"Host": "localhost"}]


def admin(proxy):
    """A proxy on this machine makes nobody an administrator."""
    # First without any admin token, where it would be enough to be of this machine.
    for server, wanted in [(anonymous_hub, 403), (hub, 401)]:
        with behind(proxy, "--allow-anonymous", server=server) as front:
            for method, path in ADMIN_ENDPOINTS:
                expect(front.curl(path, {}, *sends(method)), wanted, f"{method} /{path}")
                expect(front.curl(path, {"Authorization": "Bearer wrong"}, *sends(method)), wanted, f"{method} /{path} with a wrong token")
                if server is hub:
                    expect(front.curl(path, {"Authorization": f"Bearer {ADMIN}"}, *sends(method)), 200, f"{method} /{path} with the token")
            # Caddy has nothing for other names than its own.
            for lie in LIES[:-1] if proxy is caddy else LIES:
                expect(front.curl("stats", lie), wanted, f"GET /stats with {lie}")
    tells_no_secret()


def nginx_addresses():
    addresses(nginx, 0)


def usual_nginx_addresses():
    # Whose `Forwarded` says something else than the proxy is anybody: all of these are counted together.
    addresses(usual_nginx, 3)


def caddy_addresses():
    addresses(caddy, 0)


def addresses(proxy, more):
    """Limits go by the client's address, which is the one that the proxy sees."""
    with behind(proxy, "--connections-per-address", "3") as front:
        peer(*front.python("addresses", ADA, "127.0.0.2", "127.0.0.3", "3", str(more)))


PROXY_CHECKS = [
    nginx_conversation, caddy_conversation, nginx_restart, caddy_restart,
    nginx_origin, usual_nginx_origin, caddy_origin, chromium_behind_caddy,
    nginx_admin, bare_nginx_admin, caddy_admin, nginx_addresses, usual_nginx_addresses, caddy_addresses,
]
