"""A small web server on loopback with pictures, and with everything that goes wrong on the web."""

from __future__ import annotations

import contextlib
import io
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from PIL import Image


def picture(number: int) -> bytes:
    """Draw a picture of its own for each number."""
    encoded = io.BytesIO()
    Image.new("RGB", (20 + number, 16), (number % 256, 10, 10)).save(encoded, "PNG")
    return encoded.getvalue()


class PictureServer:
    """Pictures at `/<number>.png`; `asked` counts the requests by path."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.hold = threading.Event()  # `/held` waits for it, and so do pictures when `hold_from` is reached
        self.hold_from: int | None = None
        self.lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                with server.lock:
                    server.asked[self.path] += 1
                    held = server.hold_from is not None and server.asked.total() > server.hold_from
                if held:
                    server.hold.wait(30)
                with contextlib.suppress(OSError):  # whoever asked may hang up
                    server.answer(self)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)

    @property
    def port(self) -> int:
        return self.http.server_address[1]

    def url(self, path: str, scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def __enter__(self) -> PictureServer:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hold.set()
        self.http.shutdown()
        self.http.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        what, query = unquote(parts.path).strip("/"), parse_qs(parts.query)
        if what == "go":
            self.reply(request, 302, b"", {"Location": query["to"][0]})
        elif what == "nowhere":
            self.reply(request, 302, b"", {})
        elif what == "status":
            code = int(query["code"][0])
            first = self.asked[request.path] == 1
            self.reply(request, code if first or "always" in query else 200, picture(1), {})
        elif what == "short":
            self.reply(request, 200, picture(1)[:-20], {"Content-Length": str(len(picture(1)))})
        elif what == "packed":
            self.reply(request, 200, b"", {"Content-Encoding": "gzip"})
        elif what == "page":
            self.reply(request, 200, b"<html>gone</html>", {})
        elif what == "torn":
            self.reply(request, 200, picture(1)[:-40], {})
        elif what == "eps":
            self.reply(request, 200, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 2 2\n%%EndComments\n", {})
        elif what == "endless":
            self.drip(request, b"x" * 4096, 0.0, 10_000)
        elif what == "drip":
            self.drip(request, b"x", 0.05, 400)
        elif what == "slow-headers":
            request.wfile.write(b"HTTP/1.0 200 OK\r\n")
            self.drip_raw(request, b"X-A: b\r\n", 0.05, 400)
        else:
            self.reply(request, 200, picture(int(what.removesuffix(".png"))), {})

    def reply(self, request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]) -> None:
        request.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    def drip(self, request: BaseHTTPRequestHandler, piece: bytes, pause: float, times: int) -> None:
        """Send a body of unknown length piece by piece."""
        request.send_response(200)
        request.end_headers()
        self.drip_raw(request, piece, pause, times)

    def drip_raw(self, request: BaseHTTPRequestHandler, piece: bytes, pause: float, times: int) -> None:
        for _ in range(times):
            request.wfile.write(piece)
            request.wfile.flush()
            time.sleep(pause)
