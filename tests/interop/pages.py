"""Web pages of another origin than what is tested."""

import contextlib
import http.server
import threading


@contextlib.contextmanager
def page_server():
    """An empty page on a port of its own; yields its origin."""
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            page = b"<!doctype html><title>interop</title>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_):
            pass

    class Pages(http.server.ThreadingHTTPServer):
        def handle_error(self, *_):
            """A browser that leaves before it has all of the page."""

    with Pages(("127.0.0.1", 0), Page) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{pages.server_port}"
        finally:
            pages.shutdown()
