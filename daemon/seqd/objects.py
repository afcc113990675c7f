"""Objects of an S3 bucket below a URL: listed, read, moved, and put under a condition, by s3fs.

Credentials, region and endpoint are found as every program of S3 finds them: in the environment, a
profile, or the machine's role. What is said of an error is its code alone: the text that comes with
it may hold an address with a password.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from seqd.errors import DISK_ERRNOS, InvalidSettings, StoreUnreachable, StoreUnwritable

if TYPE_CHECKING:
    from fsspec import Callback
    from s3fs import S3FileSystem

#: What a URL begins with. Other stores have no put on condition of an ETag that s3fs could ask for.
SCHEME: Final = "s3://"

#: A bucket, an object or a folder: without steps that a server may take upwards, as `..`.
_PLACE: Final = re.compile(
    r"(?!.*\?versionId=)"  # by which s3fs would take another object
    r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/(?!\.{1,2}(?:/|\Z))[^/\x00-\x1f\x7f]+)*/?"
)

#: Seconds for a connection, and without a byte; and how often a request is sent.
_CONNECT_S: Final = 5
_SILENCE_S: Final = 15
_TRIES: Final = 3

#: Bytes of a part of what is written bit by bit, the fewest that S3 takes; and it takes 10,000.
_PART_BYTES: Final = 5 * 1024**2

#: A put on condition is refused: another object is there, none is, or another put is under way.
_REFUSED: Final = frozenset({"PreconditionFailed", "NoSuchKey", "ConditionalRequestConflict"})

#: What no other credentials of the same user would be answered either.
NO_RIGHT: Final = frozenset({"AccessDenied", "AllAccessDisabled"})

#: Of a refused HEAD, whose answer has no body, and so no reason: of a right, credentials, a clock.
_NO_REASON: Final = frozenset({"400", "403"})

#: Errors of botocore that tell of credentials, beside the answers of a server that s3fs knows.
_NO_CREDENTIALS: Final = frozenset(
    {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound"}
)


def is_url(path: str) -> bool:
    """Return True for what names a place by a scheme, of whatever kind."""
    scheme, separator, _ = path.partition("://")
    return bool(separator) and scheme.isalnum()


def is_place(url: str) -> bool:
    """Return True for the URL of a bucket, or of what may be in one."""
    return _PLACE.fullmatch(url) is not None


class Wording(NamedTuple):
    """What is said of objects that cannot be used, by what they are for."""

    #: What they are called, with a space behind, in front of their URL.
    called: str
    #: What to do where there is no bucket, but to make it.
    bucket: str
    #: Who needs the rights to write.
    writers: str
    #: What follows while there is no answer.
    meanwhile: str


_STORE: Final = Wording(
    called="the model store ",
    bucket="set SEQD_STORE_URL to s3://BUCKET/FOLDER of one that is there",
    writers="serving needs no more. What trains or changes models needs",
    meanwhile="What is in memory or in this host's cache is served; all else is tried again",
)


class Stat(NamedTuple):
    """What is known of an object without its content."""

    etag: str
    size_bytes: int


class Objects:
    """All objects below one URL. Raises StoreUnreachable, and where it writes StoreUnwritable."""

    def __init__(self, url: str, wording: Wording = _STORE) -> None:
        """Connects on first use. Raises InvalidSettings where s3fs is not installed."""
        self.url = url.rstrip("/")
        self._called = f"{wording.called}{self.url}"
        self._wording = wording
        self._place = self.url.removeprefix(SCHEME)
        self._opened: tuple[int, S3FileSystem] | None = None
        #: Called as bytes come and go, maybe in another thread: a long transfer is no silence.
        self.hear: Callable[[], None] = lambda: None
        if find_spec("s3fs") is None:
            raise InvalidSettings(
                f"{self._called} needs s3fs, which is not installed here: pip install 'seqd[s3]'"
            )

    @property
    def _s3(self) -> "S3FileSystem":
        """The library's connections, which no copy of the process may share."""
        if self._opened is None or self._opened[0] != os.getpid():
            import s3fs
            from aiobotocore.session import AioSession
            from botocore.handlers import add_expect_header

            session = AioSession()
            # Nothing ends the wait of a put for "100 Continue", where a server says nothing.
            session.unregister("before-call.s3", add_expect_header)
            config = {
                "connect_timeout": _CONNECT_S,
                "read_timeout": _SILENCE_S,
                "retries": {"max_attempts": _TRIES - 1},
            }
            opened = s3fs.S3FileSystem(
                session=session,
                use_listings_cache=False,
                skip_instance_cache=True,
                config_kwargs=config,
            )
            opened.retries = 1  # botocore has tried by then
            self._opened = os.getpid(), opened
        return self._opened[1]

    def etags(self, folder: str) -> dict[str, str]:
        """Return the objects below a folder, by their whole name, each with its ETag."""
        found: dict[str, dict[str, Any]] = {}
        with self._asking(), _perhaps():
            found = self._s3.find(f"{self._place}/{folder}/", detail=True)
        prefix = f"{self._place}/"
        # A folder that came to be while it was asked for is given itself, without a tag.
        files = {name: one["ETag"] for name, one in found.items() if "ETag" in one}
        return {name.removeprefix(prefix): str(etag) for name, etag in files.items()}

    def files(self, folder: str, begins: str = "") -> dict[str, Stat]:
        """Return the objects of a folder, and of none in it, by their names there.

        Of those whose name `begins` so. A folder above many others may have a few of its own.
        """
        found, more = dict[str, Stat](), dict[str, str]()
        bucket, _, key = f"{self._place}/{folder}".strip("/").partition("/")
        before = f"{key}/" if key else ""
        asked = {"Bucket": bucket, "Prefix": f"{before}{begins}", "Delimiter": "/"}
        with self._asking(), _perhaps():
            while True:
                page = self._s3.call_s3("list_objects_v2", **asked, **more)
                for one in page.get("Contents", ()):
                    name = str(one["Key"]).removeprefix(before)
                    found[name] = Stat(str(one["ETag"]), int(one["Size"]))
                if not page.get("IsTruncated"):
                    break
                more = {"ContinuationToken": page["NextContinuationToken"]}
        found.pop("", None)  # by which consoles show an empty folder
        return found

    def stat(self, name: str) -> Stat | None:
        """Return what is known of an object; None where there is none."""
        with self._asking(), _perhaps():
            try:
                answer = self._s3.call_s3("head_object", **self._named(name))
            except OSError as error:
                if code_of(error) not in _NO_REASON:
                    raise
                answer = self._s3.call_s3("get_object", **self._named(name))  # which says it
                answer["Body"].close()
            return Stat(str(answer["ETag"]), int(answer["ContentLength"]))
        return None

    def read(self, name: str) -> tuple[bytes, str] | None:
        """Return a small object's content and ETag; None where there is none."""
        with self._asking(), _perhaps():
            return self._read(name)
        return None

    def read_range(self, name: str, begin: int, end: int, etag: str) -> bytes | None:
        """Return the bytes between two places of the object with this ETag; None where it is gone.

        Or where another is in its place.
        """
        with self._asking(), _perhaps():
            try:
                return self._read(name, Range=f"bytes={begin}-{end - 1}", IfMatch=etag)[0]
            except OSError as error:
                if code_of(error) not in _REFUSED:
                    raise
        return None

    def _read(self, name: str, **more: str) -> tuple[bytes, str]:
        from fsspec.asyn import sync

        answer = self._s3.call_s3("get_object", **self._named(name), **more)
        content: bytes = sync(self._s3.loop, answer["Body"].read)
        return content, str(answer["ETag"])

    def put(self, name: str, content: bytes, etag: str | None = "") -> str | None:
        """Put a small object in the place of the one with this ETag; "": where there is none.

        None: whatever is there. Return its ETag, or None where another one is there now.
        """
        condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        if etag is None:
            condition = {}
        with self._asking(writes=True):
            try:
                put = self._s3.call_s3("put_object", **self._named(name), Body=content, **condition)
                return str(put["ETag"])
            except OSError as error:
                if code_of(error) not in _REFUSED:
                    raise
        return None

    def writer(self, name: str) -> "ObjectWriter":
        """Begin an object that is written bit by bit."""
        return ObjectWriter(self, name)

    def upload(self, path: Path, name: str) -> None:
        """Put a file, whatever its size."""
        with self._asking(writes=True):
            self._s3.put_file(str(path), f"{self._place}/{name}", callback=self._progress())

    def download(self, name: str, path: Path) -> bool:
        """Write an object into a file; False where there is none."""
        with self._asking(), _perhaps():
            self._s3.get_file(f"{self._place}/{name}", str(path), callback=self._progress())
            return True
        return False

    def remove(self, name: str) -> None:
        """Remove an object; nothing happens where there is none."""
        with self._asking(writes=True):
            self._s3.rm_file(f"{self._place}/{name}")

    def remove_begun(self, begins: str) -> None:
        """Remove the parts of objects that were begun and not finished, whose name `begins` so."""
        named = self._named(begins)
        with self._asking(writes=True):
            answer = self._s3.call_s3(
                "list_multipart_uploads", Bucket=named["Bucket"], Prefix=named["Key"]
            )
            for one in answer.get("Uploads", ()):
                begun = {**named, "Key": one["Key"], "UploadId": one["UploadId"]}
                with _perhaps():
                    self._s3.call_s3("abort_multipart_upload", **begun)

    def _progress(self) -> "Callback":
        from fsspec.callbacks import Callback

        return Callback(hooks={"hear": lambda *_, **__: self.hear()})

    def _named(self, name: str) -> dict[str, str]:
        bucket, _, key = f"{self._place}/{name}".partition("/")
        return {"Bucket": bucket, "Key": key}

    @contextmanager
    def _asking(self, *, writes: bool = False) -> Iterator[None]:
        """Tell what the libraries raise as one of our errors, but for a full disk here."""
        try:
            yield
        except Exception as error:  # botocore, aiohttp and asyncio raise their own
            if isinstance(error, OSError) and error.errno in DISK_ERRNOS:
                raise
            if isinstance(error, PermissionError) and code_of(error) not in NO_RIGHT:
                self._opened = None  # the next one reads its credentials anew
            raise self._told(error, writes=writes) from error

    def _told(self, error: Exception, *, writes: bool) -> StoreUnwritable:
        code, called, wording = code_of(error), self._called, self._wording
        check = "Check also that they have not expired, and this host's clock"
        check = "" if code in NO_RIGHT | _NO_CREDENTIALS else f". {check}"
        if code == "NoSuchBucket":
            return StoreUnreachable(f"{called} has no bucket: make it, or {wording.bucket}")
        if writes and isinstance(error, PermissionError):
            return StoreUnwritable(
                f"{called} may not be written with the credentials of this host ({code}): "
                f"{wording.writers} s3:PutObject and s3:DeleteObject{check}"
            )
        if isinstance(error, PermissionError) or code in _NO_CREDENTIALS:
            return StoreUnreachable(
                f"{called} may not be read with the credentials of this host "
                f"({code}): it needs s3:ListBucket and s3:GetObject, by AWS_ACCESS_KEY_ID, "
                f"AWS_PROFILE or the machine's role{check}"
            )
        return StoreUnreachable(f"{called} does not answer ({code}). {wording.meanwhile}")


class ObjectWriter:
    """An object that is written bit by bit: memory holds a part of it, and nobody sees it before.

    Raises StoreUnreachable and StoreUnwritable.
    """

    def __init__(self, objects: Objects, name: str) -> None:
        """Send nothing yet."""
        self._objects = objects
        with objects._asking(writes=True):
            self._file = objects._s3.open(f"{objects._place}/{name}", "wb", block_size=_PART_BYTES)

    def write(self, data: bytes) -> None:
        """Add to its content; sends it once there is enough of it for a part."""
        with self._objects._asking(writes=True):
            self._file.write(data)

    def finish(self) -> None:
        """Put all of it in the place of what is under its name."""
        with self._objects._asking(writes=True):
            self._file.close()

    def close(self) -> None:
        """Send nothing more; the parts of what is not finished are for `remove_begun`."""
        self._file.closed = True  # else it would be finished once nobody holds it


@contextmanager
def _perhaps() -> Iterator[None]:
    """End the block where there is no such object."""
    try:
        yield
    except FileNotFoundError as error:
        if code_of(error) == "NoSuchBucket":
            raise


def code_of(error: BaseException) -> str:
    """Return what S3 calls an error, or the name of what a library has raised."""
    cause = error.__cause__ or error
    response = getattr(cause, "response", None)
    found = response.get("Error", {}) if isinstance(response, dict) else {}
    return str(found.get("Code") or type(cause).__name__)
