"""A receiver of webhooks on loopback, which answers as it is told and keeps what it was sent."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any, NamedTuple

#: Longest that anything is waited for.
LIMIT_S = 120.0

#: What a receiver does with a message, beside the status that it answers with.
HANG, REDIRECT = "hang", "redirect"


class Message(NamedTuple):
    """What a receiver was sent."""

    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """A receiver on loopback, which answers as it is told, and 200 behind that."""

    def __init__(self, server: ThreadingHTTPServer, scheme: str) -> None:
        self.address = "{}:{}".format(*server.server_address[:2])
        self.url = f"{scheme}://{self.address}/hook"
        self.messages: Queue[Message] = Queue()
        self.answers: Queue[int | str] = Queue()
        self.lets_go = threading.Event()

    def next(self) -> Message:
        return self.messages.get(timeout=LIMIT_S)

    def will(self, *answers: int | str) -> None:
        for answer in answers:
            self.answers.put(answer)


class _Server(ThreadingHTTPServer):
    #: Of 5 connections at once, as it is by default, others would wait for a second.
    request_queue_size = 128


@contextmanager
def a_receiver(
    host: str = "127.0.0.1", context: ssl.SSLContext | None = None, port: int = 0
) -> Iterator[Receiver]:
    """Run a receiver in a thread of this process."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            length = int(headers["content-length"])
            body = self.rfile.read(length)
            if len(body) < length:  # its gateway has died as it sent it
                return
            answer = 200 if receiver.answers.empty() else receiver.answers.get()
            receiver.messages.put(Message(headers, body))
            if answer == HANG:
                receiver.lets_go.wait(LIMIT_S)
                return
            self.send_response(302 if answer == REDIRECT else int(answer))
            if answer == REDIRECT:
                self.send_header("location", "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            receiver.messages.put(Message({}, b"a redirect was followed"))

        def log_message(self, *_: object) -> None:
            pass

    with _Server((host, port), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        receiver = Receiver(server, "http" if context is None else "https")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.lets_go.set()
            server.shutdown()
            thread.join()
