"""Hostile requests to a gateway, by kind, as the bytes of raw connections; drawn by a seed.

`KINDS` has them. Pure; what is sent to whom, and what must come of it, a test says.
"""

import json
import random
import struct
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_from_bytes, urlencode

#: What a request may be that is well-formed; `{…}` is what another tenant has of that kind.
ROUTES = [
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{model}"),
    ("GET", "/v1/files"),
    ("GET", "/v1/files/{file}"),
    ("GET", "/v1/files/{file}/content"),
    ("GET", "/v1/files/file-{job}-output"),
    ("GET", "/v1/files/file-{batch}-output/content"),
    ("GET", "/v1/files/file-{batch}-errors/content"),
    ("DELETE", "/v1/files/{file}"),
    ("DELETE", "/v1/files/file-{batch}-output"),
    ("GET", "/v1/batches"),
    ("GET", "/v1/batches/batch_{batch}"),
    ("GET", "/v1/batches/batch_{job}"),
    ("POST", "/v1/batches/batch_{batch}/cancel"),
    ("GET", "/v1/fine_tuning/jobs"),
    ("GET", "/v1/fine_tuning/jobs/ftjob-{training}"),
    ("GET", "/v1/fine_tuning/jobs/ftjob-{job}"),
    ("GET", "/v1/fine_tuning/jobs/ftjob-{training}/events"),
    ("GET", "/v1/fine_tuning/jobs/ftjob-{training}/checkpoints"),
    ("POST", "/v1/fine_tuning/jobs/ftjob-{training}/cancel"),
    ("POST", "/v1/fine_tuning/jobs/ftjob-{training}/pause"),
    ("POST", "/v1/fine_tuning/jobs/ftjob-{training}/resume"),
    ("GET", "/v1/jobs"),
    ("GET", "/v1/jobs/{job}"),
    ("GET", "/v1/jobs/{training}"),
    ("GET", "/v1/jobs/{batch}/results"),
    ("GET", "/v1/jobs/{job}/results?wait=true"),
    ("GET", "/v1/jobs/{job}/events"),
    ("POST", "/v1/jobs/{job}/cancel"),
    ("POST", "/v1/jobs/{job}/pause"),
    ("POST", "/v1/jobs/{job}/resume"),
    ("POST", "/v1/jobs/{job}/retry"),
    ("DELETE", "/v1/jobs/{job}"),
    ("GET", "/v1/webhook_endpoints"),
    ("GET", "/v1/webhook_endpoints/{webhook}"),
    ("DELETE", "/v1/webhook_endpoints/{webhook}"),
]
BODIES: Sequence[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/v1/classify", {"input": "a fine film", "model": "imdb_lstm"}),
    ("POST", "/v1/classify", {"input": ["fine", ""], "top_k": 2, "min_score": 0.5}),
    ("POST", "/v1/classify", {"input": "fine", "model": "{model}"}),
    ("POST", "/v1/completions", {"prompt": "one", "n": 2, "max_tokens": 5, "stop": ["x"]}),
    ("POST", "/v1/completions", {"prompt": "one", "model": "{model}@1", "stream": True}),
    (
        "POST",
        "/v1/batches",
        {
            "input_file_id": "{file}",
            "endpoint": "/v1/classify",
            "completion_window": "24h",
            "metadata": {"a": "b"},
        },
    ),
    ("POST", "/v1/batches", {"input_file_id": "file-{batch}-output", "endpoint": "/v1/classify"}),
    (
        "POST",
        "/v1/fine_tuning/jobs",
        {
            "model": "imdb_lstm",
            "training_file": "{file}",
            "validation_file": "{file}",
            "suffix": "own",
            "hyperparameters": {"n_epochs": 1},
        },
    ),
    ("POST", "/v1/fine_tuning/jobs", {"model": "{model}", "training_file": "{file}"}),
    (
        "PUT",
        "/v1/jobs/{job}",
        {
            "kind": "classify",
            "model": "imdb_lstm",
            "source": {"type": "inline", "items": [{"custom_id": "a", "text": "fine"}]},
            "metadata": {"a": "b"},
        },
    ),
    (
        "PUT",
        "/v1/jobs/own-{number}",
        {
            "kind": "classify",
            "model": "imdb_lstm",
            "tenant": "{tenant}",
            "continues": "{job}",
            "idempotency_key": "{tenant}",
            "source": {"type": "inline", "items": [{"custom_id": "a", "text": "fine"}]},
        },
    ),
    (
        "PUT",
        "/v1/jobs/own-{number}",
        {
            "kind": "train",
            "model": "{model}",
            "plugin": "imdb_lstm",
            "source": {"type": "file", "path": "{path}"},
        },
    ),
    ("POST", "/v1/webhook_endpoints", {"url": "https://shop.example/{number}", "name": "x"}),
    ("POST", "/v1/webhook_endpoints/{webhook}/replay", {"since": "2026-01-01T00:00:00Z"}),
]

_VALUES: Sequence[object] = [
    None, True, 0, -1, 2**63, 10**400, 1e308, float("nan"), float("inf"), "", "\0", "\ud800",
    "x" * 20_000, "../../etc/passwd", [], [[]], {}, {"a": {}}, ["\ud800"], [1, "a", None],
    {"\ud800": 1}, {"": ""}, "2026-13-45", "https://[::1", "http://127.0.0.1:6379/", "e\u0301" * 99,
]  # fmt: skip
_JUNK = [
    b"", b"\0", b"\xff\xfe", b"\xc0\xaf", b"%00", b"%ff", b"a\tb", b"-1", b"\x7f", b"9" * 400,
    b"{}", "ü👩\u202e".encode(), b"'\"<script>", b"${jndi:ldap://x}", b"x" * 8_000, b"a,b;c=d",
    b"=", b"\x1b[31m",
]  # fmt: skip
_HEADERS = [
    b"authorization", b"range", b"if-range", b"last-event-id", b"idempotency-key", b"x-request-id",
    b"host", b"content-type", b"content-encoding", b"accept", b"expect", b"upgrade", b"cookie",
    b"transfer-encoding", b"connection", b"forwarded", b"x-forwarded-for", b"sec-fetch-site",
    b"te", b"x-\xff", b"", b"a b", b"content-length",
]  # fmt: skip
_SPECIAL = {
    b"range": [b"bytes=9-1", b"bytes=-", b"bytes=0-0,2-3", b"bytes=99999-", b"lines=1", b"bytes=a"],
    b"last-event-id": [b"0-0", b"99999999999999999999-99999999999999999999", b"-1", b"$", b"a-b"],
    b"upgrade": [b"websocket", b"h2c"],
    b"connection": [b"upgrade", b"keep-alive, close", b"x"],
    b"expect": [b"100-continue", b"200-ok"],
    b"content-type": [b"text/plain", b"application/json; charset=utf-16", b"multipart/form-data"],
    b"content-encoding": [b"gzip", b"br, gzip"],
    b"transfer-encoding": [b"gzip", b"chunked, gzip", b"identity", b"chunked"],
}  # fmt: skip
_QUERIES = [
    "limit",
    "after",
    "order",
    "purpose",
    "state",
    "kind",
    "model",
    "offset",
    "wait",
    "events",
]


@dataclass(frozen=True, slots=True)
class Hostile:
    """A request, as what is sent piece by piece, with a while between them."""

    kind: str
    pieces: tuple[bytes, ...]
    #: Whether an answer is due, and the connection's end behind it: it is whole, and asks for it.
    is_whole: bool = False
    #: Whether the sender breaks the connection off, in place of closing it.
    breaks_off: bool = False


class Drawing:
    """Draws hostile requests; `theirs` names what another tenant has, by the names in ROUTES."""

    def __init__(self, seed: int, keys: Sequence[str], theirs: Mapping[str, str]) -> None:
        self._random = random.Random(seed)
        self._keys = keys
        self._theirs = theirs
        self._number = 0

    def one(self) -> Hostile:
        """Draw a request of any kind."""
        kinds, weights = zip(*((kind, weight) for kind, weight in KINDS.values()), strict=True)
        (kind,) = self._random.choices(kinds, weights)
        self._number += 1
        return kind(self)

    def body(self) -> Hostile:
        """A sound body with faults in its values, or in its bytes."""
        method, path, body = self._asked()
        faults = self._random.randint(1, 3)
        for _ in range(faults):
            self._spoil(body)
        raw = json.dumps(body).encode()
        how = self._random.choice(["", "", "cut", "byte", "deep", "tail", "twice"])
        at = self._random.randrange(len(raw))
        if how == "cut":
            raw = raw[:at]
        elif how == "byte":
            raw = raw[:at] + self._random.randbytes(1) + raw[at + 1 :]
        elif how == "deep":
            raw = b'{"input": ' + b"[" * self._random.choice([100, 50_000])
        elif how == "tail":
            raw += self._random.choice(_JUNK)
        elif how == "twice":
            raw = raw[:-1] + b', "input": 7, "model": null}'
        return self._whole("body", method, path, raw)

    def encoding(self) -> Hostile:
        """A sound body in bytes of another encoding than it says."""
        method, path, body = self._asked()
        body["input"] = "ein schöner Film 👩"
        text = json.dumps(body, ensure_ascii=False)
        coded = self._random.choice(
            [
                text.encode("utf-16"),
                text.encode("utf-32"),
                text.encode("cp1252", "replace"),
                b"\xef\xbb\xbf" + text.encode(),
                b"\x1f\x8b\x08" + text.encode(),
                text.encode()[:-4] + b'\xed\xa0\x80"}',
                self._random.randbytes(200),
            ]
        )
        kinds = [
            "application/json",
            "application/json; charset=latin-1",
            "text/plain",
            "a/b;;=",
            "",
        ]
        kind = self._random.choice(kinds)
        extra = self._random.choice([b"", b"content-encoding: gzip\r\n"])
        return self._whole("encoding", method, path, coded, kind.encode(), extra)

    def header(self) -> Hostile:
        """Headers with anything in them, which the server may refuse in any way."""
        method, path = self._route()
        lines = []
        for _ in range(self._random.randint(1, 6)):
            name = self._random.choice(_HEADERS)
            value = self._random.choice([*_JUNK, *_SPECIAL.get(name, [])])
            lines.append(name + self._random.choice([b": ", b":", b" : ", b""]) + value + b"\r\n")
        end = self._random.choice([b"\r\n", b"\r\n", b"\n", b" folded\r\n\r\n", b"\r\n\0"])
        return Hostile("header", (self._head(method, path.encode(), b"".join(lines)) + end,))

    def path(self) -> Hostile:
        """A path or a query with anything in it."""
        method, path = self._route()
        how = self._random.randrange(6)
        junk = self._random.choice(_JUNK)
        raw = path.encode()
        if how == 0:
            raw = raw.rpartition(b"/")[0] + b"/" + quote_from_bytes(junk).encode()
        elif how == 1:
            raw = raw.replace(
                b"/", self._random.choice([b"//", b"/../", b"/%2e%2e/", b"/%2F", b"\\"])
            )
        elif how == 2:
            raw = self._random.choice([b"*", b"http://elsewhere.example" + raw, b"", b"/" * 3_000])
        elif how == 3:
            raw += b"?" + junk
        elif how == 4:
            values = {
                name: self._random.choice(
                    ["", "-1", "0", "9" * 30, "a", "\0", "ä", "file-0", "0-0"]
                )
                for name in self._random.sample(_QUERIES, 3)
            }
            raw += b"?" + urlencode(values).encode()
        else:
            raw = b"/v1/" + quote_from_bytes(self._random.randbytes(40)).encode()
        if self._random.random() < 0.1:
            method = self._random.choice(
                ["HEAD", "OPTIONS", "TRACE", "PATCH", "CONNECT", "GE T", "x"]
            )
        return Hostile("path", (self._head(method, raw) + b"\r\n",))

    def form(self) -> Hostile:
        """A form that is cut off, or is another one than it says."""
        edge = self._random.choice([b"x", b"x" * 70, b"x" * 500, b"", b"--", b'"a b"'])
        said = edge if self._random.random() < 0.8 else b"y"
        parts = []
        for _ in range(self._random.choice([1, 1, 2, 3, 40])):
            name = self._random.choice(
                [b"file", b"file", b"purpose", b"", b"expires_after[seconds]"]
            )
            file = self._random.choice(
                [b"", b'; filename="a.jsonl"', b"; filename=../../x", b"; filename*=a'b"]
            )
            value = self._random.choice(
                [*_JUNK, b"batch", b"fine-tune", b'{"text": "a"}\n' * 9, b"--x"]
            )
            head = self._random.choice(
                [b"", b"content-type: x/y\r\n", b"a" * 9_000 + b": b\r\n", b":\r\n"]
            )
            disposition = b'content-disposition: form-data; name="' + name + b'"' + file
            if self._random.random() < 0.1:
                disposition = self._random.choice(_JUNK)
            parts.append(
                b"--" + edge + b"\r\n" + disposition + b"\r\n" + head + b"\r\n" + value + b"\r\n"
            )
        raw = b"".join(parts) + self._random.choice([b"--" + edge + b"--\r\n", b"", b"--"])
        raw = raw[: self._random.randrange(len(raw))] if self._random.random() < 0.3 else raw
        return self._whole(
            "form", "POST", "/v1/files", raw, b"multipart/form-data; boundary=" + said
        )

    def length(self) -> Hostile:
        """A body that is longer or shorter than it is told to be."""
        method, path, body = self._asked()
        raw = json.dumps(body).encode()
        told = self._random.choice(
            [
                b"%d" % (len(raw) + 1_000), b"%d" % (len(raw) // 2), b"-1", b"+5", b"0x10", b"1e3",
                b"", b"9" * 18, b"9" * 30, b"5\r\ncontent-length: 7",
                b"%d, %d" % (len(raw), len(raw)),
            ]
        )  # fmt: skip
        head = self._head(method, path.encode(), b"content-length: " + told + b"\r\n")
        return Hostile("length", (head + b"content-type: application/json\r\n\r\n" + raw,))

    def chunks(self) -> Hostile:
        """A body in chunks that are none."""
        method, path, body = self._asked()
        raw = json.dumps(body).encode()
        size = self._random.choice(
            [
                b"%x" % len(raw), b"%x" % (len(raw) + 9), b"F" * 16, b"F" * 40, b"-1", b"0x5", b"g",
                b"", b"%x;a=b" % len(raw), b"%x;" % len(raw) + b"a" * 9_000, b" 5",
            ]
        )  # fmt: skip
        end = self._random.choice(
            [b"\r\n0\r\n\r\n", b"\r\n0\r\nx: y\r\n\r\n", b"\r\n", b"0\r\n\r\n", b""]
        )
        more = self._random.choice(
            [b"", b"content-length: 3\r\n", b"transfer-encoding: chunked\r\n"]
        )
        head = self._head(method, path.encode(), b"transfer-encoding: chunked\r\n" + more)
        head += b"content-type: application/json\r\n\r\n"
        return Hostile("chunks", (head, size + b"\r\n" + raw + end))

    def huge(self) -> Hostile:
        """A body or a head beyond what there may be, told or not."""
        method, path, _ = self._asked()
        block = b"x" * 2**16
        kind = b"content-type: application/json\r\n"
        how = self._random.randrange(5)
        if how == 0:
            head = self._head(method, path.encode(), b"x-long: ")
            return Hostile("huge", (head, *[block] * 4))
        if how == 1:
            head = self._head(
                method, path.encode(), b"".join(b"x%d: y\r\n" % n for n in range(20_000))
            )
            return Hostile("huge", (head + b"\r\n",))
        if how == 2:
            whole = kind + b"transfer-encoding: chunked\r\n\r\n"
            chunks = [b"10000\r\n" + block + b"\r\n"] * 24
            return Hostile("huge", (self._head(method, path.encode(), whole), *chunks))
        if how == 3:
            path, kind = "/v1/files", b"content-type: multipart/form-data; boundary=x\r\n"
            block = (
                b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n' + block
            )
        whole = kind + b"content-length: %d\r\n\r\n" % (len(block) * 24)
        return Hostile("huge", (self._head(method, path.encode(), whole), *[block] * 24))

    def slow(self) -> Hostile:
        """A request that comes in small pieces, and is given up before its end."""
        method, path, body = self._asked()
        raw = json.dumps(body).encode()
        whole = (
            self._head(method, path.encode(), b"content-length: %d\r\n" % len(raw)) + b"\r\n" + raw
        )
        whole = whole[: self._random.randrange(len(whole))]
        step = max(1, len(whole) // self._random.randint(1, 12))
        pieces = tuple(whole[at : at + step] for at in range(0, len(whole), step))
        return Hostile("slow", pieces, breaks_off=self._random.random() < 0.5)

    def half_open(self) -> Hostile:
        """A connection on which nothing comes, or whose sender does not wait for the answer."""
        method, path = self._route()
        whole = self._head(method, path.encode()) + b"\r\n"
        pieces = self._random.choice([(), (whole,), (whole, whole), (whole[:20],)])
        return Hostile("half open", pieces, breaks_off=True)

    def theirs(self) -> Hostile:
        """A sound request with the names of what another tenant has, or names like them."""
        if self._random.random() < 0.3:
            method, path, body = self._asked()
            return self._whole("theirs", method, path, json.dumps(body).encode())
        method, path = self._route()
        how = self._random.randrange(8)
        if how == 0:
            path = path[:10] + path[10:].upper()
        elif how == 1:
            path = path[:4] + quote(path[4:].replace("f", "%66").replace("-", "%2d"), safe="/%?=&")
        elif how == 2:
            after = self._theirs[self._random.choice(list(self._theirs))]
            path = f"{path.partition('?')[0]}?" + urlencode({"after": after, "model": after})
        is_endless = "/events" in path and "fine" not in path
        extra = self._random.choice([b"", b"", b"last-event-id: 0-0\r\n", b"range: bytes=0-\r\n"])
        head = self._head(method, path.encode("ascii", "replace"), extra + b"connection: close\r\n")
        return Hostile("theirs", (head + b"\r\n",), is_whole=not is_endless)

    def stream(self) -> Hostile:
        """A stream whose reader goes away in the middle."""
        body = {"prompt": ["one", "two"], "model": "char_lstm", "stream": True}
        if self._random.random() < 0.5:
            head = self._head("GET", b"/v1/events", b"last-event-id: 0-0\r\n")
            return Hostile("stream", (head + b"\r\n",), breaks_off=self._random.random() < 0.5)
        raw = json.dumps(body).encode()
        head = self._head("POST", b"/v1/completions", b"content-length: %d\r\n" % len(raw))
        head += b"content-type: application/json\r\n\r\n"
        return Hostile("stream", (head + raw,), breaks_off=self._random.random() < 0.5)

    def many(self) -> Hostile:
        """Requests behind each other on one connection, none of which waits for an answer."""
        pieces = [
            self._random.choice([self.path, self.header, self.theirs, self.length])().pieces[0]
            for _ in range(self._random.randint(2, 8))
        ]
        return Hostile("many", (b"".join(pieces),))

    def noise(self) -> Hostile:
        """Bytes that are no HTTP: another protocol, or none."""
        tls = b"\x16\x03\x01" + struct.pack(">H", 200) + self._random.randbytes(200)
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self._random.randbytes(40)
        said = [
            tls,
            preface,
            self._random.randbytes(300),
            b"*1\r\n$4\r\nPING\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
        ]
        return Hostile("noise", (self._random.choice(said),))

    def _asked(self) -> tuple[str, str, dict[str, Any]]:
        method, path, body = self._random.choice(BODIES)
        return method, self._filled(path), json.loads(self._filled(json.dumps(body)))

    def _route(self) -> tuple[str, str]:
        method, path = self._random.choice(ROUTES)
        return method, self._filled(path)

    def _filled(self, text: str) -> str:
        for name, value in {**self._theirs, "number": str(self._number)}.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def _spoil(self, body: dict[str, Any]) -> None:
        place: Any = body
        while self._random.random() < 0.5:
            inner = [one for one in place.values() if isinstance(one, dict) and one]
            if not inner:
                break
            place = self._random.choice(inner)
        how = self._random.random()
        name = self._random.choice(list(place)) if place else ""
        if how < 0.2:
            place[self._random.choice(["", "x", "\ud800", "__proto__", "a" * 300])] = 1
        elif how < 0.4:
            place.pop(name, None)
        else:
            place[name] = deepcopy(self._random.choice(_VALUES))

    def _head(self, method: str, path: bytes, lines: bytes = b"") -> bytes:
        key = self._random.choice([*self._keys] * 9 + ["seqd-none", ""])
        bearer = f"authorization: Bearer {key}\r\n" if key else ""
        return method.encode() + b" " + path + f" HTTP/1.1\r\nhost: x\r\n{bearer}".encode() + lines

    def _whole(
        self,
        kind: str,
        method: str,
        path: str,
        body: bytes,
        media_type: bytes = b"application/json",
        lines: bytes = b"",
    ) -> Hostile:
        lines += b"content-type: " + media_type + b"\r\ncontent-length: %d\r\n" % len(body)
        head = self._head(method, path.encode(), lines + b"connection: close\r\n\r\n")
        return Hostile(kind, (head, body), is_whole=True)


#: What draws each kind of request, and how often beside the others.
KINDS: Mapping[str, tuple[Callable[[Drawing], Hostile], int]] = {
    "body": (Drawing.body, 20),
    "encoding": (Drawing.encoding, 6),
    "header": (Drawing.header, 12),
    "path": (Drawing.path, 12),
    "form": (Drawing.form, 12),
    "length": (Drawing.length, 5),
    "chunks": (Drawing.chunks, 5),
    "huge": (Drawing.huge, 2),
    "slow": (Drawing.slow, 4),
    "half open": (Drawing.half_open, 4),
    "theirs": (Drawing.theirs, 20),
    "stream": (Drawing.stream, 3),
    "many": (Drawing.many, 3),
    "noise": (Drawing.noise, 2),
}
