"""Files and folders of data in buckets of S3, by URLs such as `s3://bucket/folder/part-7.jsonl`.

An object is read in blocks, each on condition that it is the one that was opened: so all that is
read of it is one state, which its size and its ETag tell.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from seqd.errors import (
    InvalidInput,
    LibraryMissing,
    StoreUnreachable,
    StoreUnwritable,
    UserError,
)
from seqd.inputs.file_state import FileState, changed
from seqd.inputs.paths import check_url, shown
from seqd.objects import NO_RIGHT, SCHEME, Objects, Stat, Wording, code_of

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Bytes that are read at once, and how many such blocks are kept: the header of a CSV file, and
#: what a unit is read from, twice.
_BLOCK_BYTES: Final = 1024 * 1024
_BLOCKS: Final = 4

#: Buckets whose connections are kept.
_BUCKETS: Final = 16

#: What no other host would be answered either.
_REFUSALS: Final = NO_RIGHT | {"NoSuchBucket"}

_DATA: Final = Wording(
    called="",
    bucket="name one that is there",
    writers="the results of a job by reference need",
    meanwhile="Workers try it again for SEQD_UNFIT_GRACE_S; then retry the job once it answers",
)


def bucket_of(url: str) -> tuple[Objects, str]:
    """Return the bucket of a URL, and what the URL names in it.

    Raises InvalidInput for another URL, and LibraryMissing.
    """
    check_url(url)
    bucket, _, name = url.removeprefix(SCHEME).partition("/")
    return _bucket(bucket), name.rstrip("/")


@lru_cache(_BUCKETS)
def _bucket(name: str) -> Objects:
    if find_spec("s3fs") is None:
        raise LibraryMissing(
            f"{SCHEME}{name} needs s3fs, which is not installed here: pip install 'seqd[s3]'"
        )
    return Objects(f"{SCHEME}{name}", _DATA)


@contextmanager
def refusals_as(kind: type[UserError]) -> Iterator[None]:
    """Raise an error of another kind where a bucket is not there, or may not be used.

    Trying it again is of no use, as it is where nothing answers, or where one host's credentials
    have run out, or may have: a refusal may come without a reason.
    """
    try:
        yield
    except StoreUnwritable as error:
        if error.__cause__ is not None and code_of(error.__cause__) in _REFUSALS:
            raise kind(str(error)) from None
        raise


def objects_below(url: str, begins: str) -> dict[str, Stat]:
    """Return the objects of a folder itself whose name `begins` so, by that name."""
    bucket, folder = bucket_of(url)
    with refusals_as(InvalidInput):
        return bucket.files(folder, begins)


def is_object(url: str) -> bool:
    """Return whether there is an object at a URL. Raises InvalidInput, and StoreUnreachable."""
    bucket, name = bucket_of(url)
    with refusals_as(InvalidInput):
        return bucket.stat(name) is not None


class ObjectContent:
    """An object that is open. Raises StoreUnreachable where its bucket does not answer."""

    def __init__(self, url: str) -> None:
        """Raise InvalidInput where there is no such object, or it may not be read."""
        self._url = url
        self._bucket, self._name = bucket_of(url)
        with refusals_as(InvalidInput):
            found = self._bucket.stat(self._name)
        if found is None:
            raise InvalidInput(f"{shown(url)} does not exist. Check the URL")
        self._stat = found
        self._blocks = OrderedDict[int, bytes]()

    def state(self) -> FileState:
        """Return the state in which it is read."""
        return state_of(self._stat)

    def read_into(self, buffer: "WriteableBuffer", offset: int) -> int:
        """Fill a buffer with what stands behind an offset; return how many bytes there were.

        Raises InvalidInput where it is not the object any more that was opened.
        """
        number, begin = divmod(offset, _BLOCK_BYTES)
        view = memoryview(buffer).cast("B")
        found = memoryview(self._block(number))[begin : begin + len(view)]
        view[: len(found)] = found
        return len(found)

    def _block(self, number: int) -> bytes:
        begin = number * _BLOCK_BYTES
        end = min(begin + _BLOCK_BYTES, self._stat.size_bytes)
        block = self._blocks.pop(number, None)
        if block is None and begin < end:
            with refusals_as(InvalidInput):
                block = self._bucket.read_range(self._name, begin, end, self._stat.etag)
            if block is None:
                raise changed(self._url, "it is another object now, or gone")
            if len(block) != end - begin:
                raise StoreUnreachable(
                    f"{shown(self._url)}: of {end - begin:,} bytes asked for came {len(block):,}"
                )
        self._blocks[number] = block or b""
        if len(self._blocks) > _BLOCKS:
            self._blocks.popitem(last=False)
        return self._blocks[number]

    def close(self) -> None:
        """Forget what was read."""
        self._blocks.clear()


def state_of(stat: Stat) -> FileState:
    """Return the state of an object: its ETag stands for the time of its last change."""
    digest = sha256(stat.etag.encode()).digest()
    return FileState(0, 1, stat.size_bytes, int.from_bytes(digest[:6]), 0)
