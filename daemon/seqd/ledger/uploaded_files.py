"""Files that callers of the gateway upload: their records, and the batches made of them.

A record is written before the first byte of its file and forgotten after the last, so whatever lies
in the folder has one: who looks for what is due finds all that can go. Names sort by time.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, cast

from seqd.errors import QuotaExceeded
from seqd.ledger.exchange import (
    Command,
    Exchange,
    Part,
    command,
    exchange,
    pipeline,
    script,
    server_ms,
)
from seqd.ledger.fleet import readable
from seqd.ledger.scripts import as_int, as_list
from seqd_schemas import FilePurpose, UploadedFile, to_stored

#: Files that a tenant may keep, and batches of it that are listed.
MAX_FILES: Final = 10_000
MAX_LISTED_BATCHES: Final = 10_000


class Place(NamedTuple):
    """Which part of a list is asked for."""

    limit: int
    #: The last of the part in front; None for the first part.
    after: str | None = None
    newest_first: bool = True


class UploadedFiles(Part):
    """The records on one server under one key prefix."""

    @exchange
    def keep(self, file: UploadedFile) -> Exchange[None]:
        """Write a file's record, in the place of the one before.

        Raises QuotaExceeded where its tenant would keep more bytes or files than it may.
        """
        most_bytes = self._ledger.settings.gateway_tenant_file_bytes
        bounds = (most_bytes, MAX_FILES)
        called = yield from script("keep_file", file.file_id, to_stored(file), *bounds)
        is_kept, *kept = map(as_int, as_list(called))
        if not is_kept:
            raise QuotaExceeded(
                f"Tenant {file.tenant!r} keeps {kept[0]:,} bytes of files, and {file.bytes:,} are "
                f"to come; allowed: {most_bytes:,} bytes, in {MAX_FILES:,} files. Delete those "
                "that are not needed any more.",
                retry_after_s=60.0,
            )

    @exchange
    def get(self, file_id: str) -> Exchange[UploadedFile | None]:
        """Return a file's record; None where there is none, or it is not whole, or due."""
        found = yield from self._whole([file_id])
        return found[0] if found else None

    @exchange
    def page(
        self, tenant: str, place: Place, purpose: FilePurpose | None = None
    ) -> Exchange[list[UploadedFile]]:
        """Return the next files of a tenant, of one purpose or any; fewer at the list's end."""
        found: list[UploadedFile] = []
        names = yield from _names(self._keys.tenant_files(tenant), place)
        while names:
            whole = yield from self._whole(names)
            found += [one for one in whole if purpose in (None, one.purpose)]
            if len(found) >= place.limit or len(names) < place.limit:
                break
            on = place._replace(after=names[-1])
            names = yield from _names(self._keys.tenant_files(tenant), on)
        return found[: place.limit]

    def _whole(self, names: Sequence[str]) -> Exchange[list[UploadedFile]]:
        now_ms = yield from server_ms()
        rows = cast(list[bytes | None], (yield from command("HMGET", self._keys.files(), *names)))
        files = readable(UploadedFile, [row for row in rows if row is not None])
        return [one for one in files if one.sha256 is not None and one.expires_at_ms > now_ms]

    @exchange
    def due(self, most: int) -> Exchange[list[str]]:
        """Return files that are to be removed, or whose upload was broken off."""
        span = ("-inf", (yield from server_ms()), "LIMIT", 0, most)
        reply = yield from command("ZRANGEBYSCORE", self._keys.files_due(), *span)
        return [name.decode() for name in cast(list[bytes], reply)]

    @exchange
    def drop(self, names: Sequence[str]) -> Exchange[int]:
        """Forget those of some files that are due; return how many."""
        return as_int((yield from script("drop_files", *names)))

    @exchange
    def note_batch(self, tenant: str, job_id: str) -> Exchange[None]:
        """Put a job into the list of its tenant's batches, whose oldest go."""
        key = self._keys.tenant_batches(tenant)
        added = Command(("ZADD", key, 0, job_id))
        yield from pipeline([added, Command(("ZREMRANGEBYRANK", key, 0, -1 - MAX_LISTED_BATCHES))])

    @exchange
    def batches(self, tenant: str, place: Place) -> Exchange[list[str]]:
        """Return the next jobs in the list of a tenant's batches; some may not be kept any more."""
        return (yield from _names(self._keys.tenant_batches(tenant), place))


def _names(key: str, place: Place) -> Exchange[list[str]]:
    """Return the next names of a list, all of which have one score."""
    words, first, last = ("ZRANGEBYLEX", "-", "+")
    if place.newest_first:
        words, first, last = ("ZREVRANGEBYLEX", last, first)
    start = first if place.after is None else f"({place.after}"
    reply = yield from command(words, key, start, last, "LIMIT", 0, place.limit)
    return [name.decode() for name in cast(list[bytes], reply)]
