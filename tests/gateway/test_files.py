"""Files over HTTP: uploaded, listed, read and removed, by the stock client and by HTTP."""

import gzip
import hashlib
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import openai as stock
import pytest
from openai import OpenAI

from seqd.gateway.app import gateway_app
from seqd.ledger import Ledger, connect
from seqd.testing import RunningServices
from seqd_schemas import FilePurpose, UploadedFile
from service_guide import serving
from worker_fixtures import wait_until

pytestmark = pytest.mark.processes

LINE = {"custom_id": "a", "method": "POST", "url": "/v1/classify", "body": {"input": "fine"}}

#: The head of a form whose boundary is `x`, and the begin of its body.
FORM_HEAD = {"content-type": "multipart/form-data; boundary=x"}
FILE_HEAD = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'

Folder = Callable[[], list[str]]


def lines(*values: object) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


@pytest.fixture
def folder(services: RunningServices) -> Folder:
    """Return what lists the folder of files."""

    def listed() -> list[str]:
        path = Path(services.settings.files_root)
        return sorted(one.name for one in path.iterdir()) if path.exists() else []

    return listed


@pytest.fixture(autouse=True)
def _no_files(openai: OpenAI) -> Iterator[None]:
    yield
    for file in openai.files.list():
        openai.files.delete(file.id)


def test_a_file_is_kept_with_its_digest_and_its_lines(openai: OpenAI, folder: Folder) -> None:
    content = lines(LINE, {**LINE, "custom_id": "b"})

    file = openai.files.create(file=("reviews.jsonl", content), purpose="batch")

    assert file.id.startswith("file-")
    assert (file.bytes, file.filename, file.purpose) == (len(content), "reviews.jsonl", "batch")
    assert (file.status, file.status_details) == ("processed", None)
    more = file.model_dump()
    assert (more["lines"], more["sha256"]) == (2, hashlib.sha256(content).hexdigest())
    assert openai.files.retrieve(file.id) == file
    assert openai.files.content(file.id).content == content
    assert folder() == [f"{file.id}.jsonl"]


@pytest.mark.parametrize(
    ("headers", "status", "content", "told"),
    [
        ({"range": "bytes=2-5"}, 206, b"2345", "bytes 2-5/10"),
        ({"range": "bytes=7-"}, 206, b"789", "bytes 7-9/10"),
        ({"range": "bytes=-4"}, 206, b"6789", "bytes 6-9/10"),
        ({"range": "bytes=8-99"}, 206, b"89", "bytes 8-9/10"),
        ({"range": "bytes=10-"}, 416, None, "bytes */10"),
        ({"range": "bytes=5-2"}, 416, None, "bytes */10"),
        ({"range": "bytes=0-1,4-5"}, 200, b"0123456789", None),
        ({"range": "bytes=-"}, 200, b"0123456789", None),
        ({"range": "bytes=2-5", "if-range": '"another"'}, 200, b"0123456789", None),
    ],
)
def test_a_part_of_a_file_is_read_by_range(
    openai: OpenAI,
    web: httpx.Client,
    headers: dict[str, str],
    status: int,
    content: bytes | None,
    told: str | None,
) -> None:
    file = openai.files.create(file=("a.txt", b"0123456789"), purpose="fine-tune")

    part = web.get(f"/v1/files/{file.id}/content", headers=headers)

    assert (part.status_code, part.headers.get("content-range")) == (status, told), part.text
    assert content is None or part.content == content
    assert (
        content is None or part.headers["etag"] == f'"{hashlib.sha256(b"0123456789").hexdigest()}"'
    )


def test_a_file_of_which_no_line_can_be_read_is_refused_without_a_word_of_where_it_lies(
    openai: OpenAI, folder: Folder
) -> None:
    told = []
    for name, content in (
        ("reviews.jsonl", gzip.compress(lines(LINE))),
        ("reviews.jsonl.gz", lines(LINE)),
        ("reviews.jsonl", b"\x00\xff" * 64),
        ("reviews.jsonl", b""),
    ):
        with pytest.raises(stock.BadRequestError) as refused:
            openai.files.create(file=(name, content), purpose="batch")
        told.append(refused.value.body["message"])  # type: ignore[index]

    assert told[:2] == ["The file is compressed by gzip, or named so. Upload it uncompressed"] * 2
    assert told[2].startswith("The file is not UTF-8 text: of its first 128 bytes, ")
    assert told[3] == "The file is empty; at least one line is due."
    assert folder() == []


def test_a_large_file_is_whole(openai: OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    row = b'1,"a fine film, dear --\r\n--boundary"\r\n'
    path.write_bytes(b"label,text\r\n" + row * 100_000)

    file = openai.files.create(file=path, purpose="fine-tune")

    assert file.bytes == path.stat().st_size
    assert openai.files.content(file.id).content == path.read_bytes()


def test_files_are_listed_in_pages_by_purpose_and_age(openai: OpenAI, web: httpx.Client) -> None:
    made = [openai.files.create(file=(f"{n}.csv", b"x"), purpose="fine-tune") for n in range(3)]
    batch = openai.files.create(file=("b.jsonl", lines(LINE)), purpose="batch")

    newest = openai.files.list(limit=2)

    assert [file.id for file in newest] == [batch.id, *(file.id for file in reversed(made))]
    assert [file.id for file in openai.files.list(order="asc", purpose="fine-tune")] == [
        file.id for file in made
    ]
    page = web.get("/v1/files", params={"limit": 1, "after": made[1].id}).json()
    assert ([one["id"] for one in page["data"]], page["has_more"]) == ([made[0].id], False)


def test_a_page_begins_behind_a_file_that_is_gone(openai: OpenAI) -> None:
    made = [openai.files.create(file=(f"{n}.csv", b"x"), purpose="fine-tune") for n in range(3)]

    for file in openai.files.list(limit=1):
        openai.files.delete(file.id)

    assert list(openai.files.list()) == []
    with pytest.raises(stock.NotFoundError):
        openai.files.retrieve(made[0].id)


def test_a_removed_file_is_gone_from_the_disk_at_once(openai: OpenAI, folder: Folder) -> None:
    file = openai.files.create(file=("a.csv.gz", b"x"), purpose="fine-tune")
    assert folder() == [f"{file.id}.csv.gz"]

    assert openai.files.delete(file.id).deleted

    assert folder() == []
    for again in (openai.files.retrieve, openai.files.content, openai.files.delete):
        with pytest.raises(stock.NotFoundError) as raised:
            again(file.id)
        assert raised.value.code == "unknown_file"


def test_a_file_goes_when_the_caller_says(openai: OpenAI) -> None:
    file = openai.files.create(
        file=("a.csv", b"x"),
        purpose="fine-tune",
        expires_after={"anchor": "created_at", "seconds": 3_600},
    )

    assert file.expires_at is not None
    assert 3_600 <= file.expires_at - file.created_at <= 3_660


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"no JSON", "line 2: it is not JSON (Expecting value, at column 1)."),
        (b'"a text"', "line 2: it is a text; allowed: {"),
        (b"\xff", "line 2: byte 0xff at byte 0 is not UTF-8."),
        (
            lines({**LINE, "url": "/v1/chat"}),
            "line 2: its url is '/v1/chat'; allowed: /v1/classify",
        ),
        (lines({**LINE, "method": "GET"}), "line 2: its method is 'GET'; allowed: 'POST'."),
        (lines({**LINE, "body": {"input": ["a"]}}), "line 2: its body's input is a list; allowed:"),
        (lines({**LINE, "body": {"prompt": "a"}}), "line 2: its body has no field 'input'."),
        (lines({**LINE, "body": "a"}), "line 2: it has no body and no text; allowed:"),
        (
            lines({**LINE, "body": {"input": "a", "model": "m"}}),
            "line 2: its model is 'm', that of line 1 is not there; allowed: the same in all lines",
        ),
        (lines({"custom_id": "b", "text": "a"}), "line 2: its url is None, that of line 1 is"),
    ],
)
def test_a_file_of_lines_that_are_no_batch_is_kept_with_the_first_of_them(
    openai: OpenAI, line: bytes, fault: str
) -> None:
    content = lines(LINE) + line

    file = openai.files.create(file=("b.jsonl", content), purpose="batch")

    assert (file.status, file.bytes) == ("error", len(content))
    assert file.status_details is not None
    assert file.status_details.startswith(fault), file.status_details


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"files": {"other": b"x"}, "data": {"purpose": "batch"}}, "has a file 'other'; allowed"),
        ({"files": {"purpose": (None, "batch")}}, "no part `file` with a file"),
        ({"files": {"file": b"x"}}, "purpose is None; allowed: batch, fine-tune."),
        ({"files": {"file": b"x"}, "data": {"purpose": "vision"}}, "purpose is 'vision'; allowed"),
        ({"files": {"file": b""}, "data": {"purpose": "batch"}}, "The file is empty"),
        ({"files": {"file": (None, b"x" * 5_000)}}, "more than 4,096 bytes. Is it a file without"),
        (
            {
                "files": {"file": b"x"},
                "data": {"purpose": "batch", "expires_after[seconds]": "5"},
            },
            "expires_after is '5' seconds from None; allowed: 60 to 2592000 seconds",
        ),
        ({"json": {"purpose": "batch"}}, "content type is 'application/json'; allowed: multipart"),
        (
            {
                "content": b"nonsense",
                "headers": FORM_HEAD,
            },
            "The body is no multipart form",
        ),
        (
            {
                "content": FILE_HEAD + b"x",
                "headers": FORM_HEAD,
            },
            "ends in the middle of a part",
        ),
    ],
)
def test_a_bad_form_is_refused_and_leaves_nothing(
    web: httpx.Client, folder: Folder, form: dict[str, object], message: str
) -> None:
    reply = web.post("/v1/files", **form)  # type: ignore[arg-type]

    assert reply.status_code == 400, reply.text
    error = reply.json()["error"]
    assert error["code"] == "invalid_request"
    assert message in error["message"]
    assert folder() == []
    assert web.get("/v1/files").json()["data"] == []


def test_a_file_or_a_tenant_with_too_many_bytes_is_refused(
    services: RunningServices, folder: Folder
) -> None:
    bounds = {"gateway_max_file_bytes": 2_000_000, "gateway_tenant_file_bytes": 3_000_000}
    settings = services.settings.model_copy(update=bounds)

    def chunks(size_bytes: int) -> Iterator[bytes]:
        yield FILE_HEAD
        for _ in range(0, size_bytes, 100_000):
            yield b"x" * 100_000
        yield b'\r\n--x\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n--x--'

    with serving(gateway_app(settings)) as address, httpx.Client(base_url=address) as web:
        told = web.post("/v1/files", files={"file": b"x" * 3_000_000}, data={"purpose": "batch"})
        untold = web.post("/v1/files", content=chunks(2_100_000), headers=FORM_HEAD)
        first = web.post("/v1/files", content=chunks(1_900_000), headers=FORM_HEAD)
        beyond = web.post("/v1/files", content=chunks(1_900_000), headers=FORM_HEAD)
        left = folder()
        web.delete(f"/v1/files/{first.json()['id']}")
        after = web.post("/v1/files", content=chunks(1_900_000), headers=FORM_HEAD)

    assert [one.status_code for one in (told, untold, first, beyond, after)] == [
        *(413, 413, 200, 429, 200)
    ]
    assert told.json()["error"]["code"] == untold.json()["error"]["code"] == "file_too_large"
    message = beyond.json()["error"]["message"]
    assert message.startswith("Tenant 'default' keeps 1,900,000 bytes of files, and 1,")
    assert message.endswith(
        " are to come; allowed: 3,000,000 bytes, in 10,000 files. Delete those that are not needed "
        "any more."
    )
    assert len(left) == 1


def test_any_gateway_removes_what_is_due_and_what_a_dead_one_has_left(
    services: RunningServices, openai: OpenAI, folder: Folder
) -> None:
    kept = openai.files.create(file=("kept.csv", b"x"), purpose="fine-tune")
    records = Ledger(connect(services.settings.redis_url or ""), services.settings).uploaded_files
    left = UploadedFile(
        file_id="file-0123",
        tenant="default",
        filename="reviews.jsonl",
        purpose=FilePurpose.BATCH,
        bytes=1_000_000,
        created_at_ms=1,
        expires_at_ms=2,
    )
    # One that died in mid-upload, one that is over.
    for number, end in enumerate((".jsonl", ".csv.zst")):
        name = f"{left.file_id}{number}"
        sha256 = "0" * 64 if number else None
        records.keep(left.model_copy(update={"file_id": name, "sha256": sha256}))
        (Path(services.settings.files_root) / f"{name}{end}").write_bytes(b"x")
    assert len(folder()) == 3
    assert [file.id for file in openai.files.list()] == [kept.id]

    with serving(gateway_app(services.settings)):
        wait_until(lambda: folder() == [f"{kept.id}.csv"], "they are swept")

    wait_until(lambda: records.due(10) == [], "they are forgotten")


def test_an_upload_that_breaks_off_leaves_nothing(gateway: str, folder: Folder) -> None:
    address = urlsplit(gateway)
    head = (
        b"POST /v1/files HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2000000\r\n"
        b"content-type: multipart/form-data; boundary=x\r\n\r\n"
    )

    with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
        connection.sendall(head + FILE_HEAD + b"x" * 1_000_000)
        wait_until(lambda: len(folder()) == 1, "the upload has begun")

    wait_until(lambda: folder() == [], "what came of it is gone")
