"""An HTTP server on loopback that misbehaves on request, for the download tests."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STALL_LIMIT_S = 30


class Mirror:
    """Serves `data` at every path, one planned behaviour for each request.

    Behaviours: "whole" (obeys Range), "drop" (half of it, then the connection ends),
    "stall" (half of it, the rest after `go_on` is set), "404", "wrong" (as many other
    bytes), "short" (an HTML page), "no range" (all of it whatever is asked for),
    "endless" (no length, too much, no end). When the plan is used up: "whole".
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.plan: list[str] = []
        self.ranges: list[str | None] = []  # the Range header of each request
        self.go_on = threading.Event()
        self.url = ""


def _handler(mirror: Mirror) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            mirror.ranges.append(asked)
            behaviour = mirror.plan.pop(0) if mirror.plan else "whole"
            with contextlib.suppress(ConnectionError):
                self.answer(behaviour, asked)
            self.close_connection = True

        def answer(self, behaviour: str, asked: str | None) -> None:
            data = mirror.data
            if behaviour == "404":
                self.send_error(404)
                return
            if behaviour == "endless":
                self.send_response(200)
                self.end_headers()
                self.wfile.write(bytes(3 * len(data)))
                mirror.go_on.wait(STALL_LIMIT_S)
                return
            if behaviour == "wrong":
                data = bytes(255 - value for value in data)
            if behaviour == "short":
                data = b"<html>please log in</html>"
            start = 0
            if asked and behaviour != "no range":
                start = int(asked.removeprefix("bytes=").split("-")[0])
            if asked and start >= len(data):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                total = len(data)
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            body = data[start:]
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            half = len(body) // 2
            self.wfile.write(body[:half])
            self.wfile.flush()
            if behaviour == "stall":
                mirror.go_on.wait(STALL_LIMIT_S)
            if behaviour != "drop":
                self.wfile.write(body[half:])

    return Handler


@contextlib.contextmanager
def serve(data: bytes) -> Iterator[Mirror]:
    """Yield a running mirror; its address is `mirror.url`."""
    mirror = Mirror(data)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(mirror))
    server.daemon_threads = True
    mirror.url = f"http://127.0.0.1:{server.server_address[1]}/voc.tar"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield mirror
    finally:
        mirror.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()
