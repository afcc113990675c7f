"""The ledger reads what a chunk inflates to as the worker does, so that both bound the same."""

import sys
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_fixtures import Environment
from seqd.ledger.blobs import pack_json, stated_bytes
from seqd.ledger.scripts import _text_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytestmark = pytest.mark.processes

#: Sizes at which the header of a frame takes another form.
SIZES = (0, 1, 255, 256, 4_096, 4_097, 65_791, 65_792, 3_000_000)

SCRIPT = _text_of("shared/blobs.lua") + "return stated_bytes(ARGV[1])"

OPTION = zstd.CompressionParameter

FORMS: dict[str, Callable[[bytes], bytes]] = {
    "as seqd packs": pack_json,
    "zstd": zstd.compress,
    # A window smaller than the content moves the size in the header.
    "zstd with a small window": lambda text: zstd.compress(text, options={OPTION.window_log: 10}),
    "zstd that states no size": lambda text: zstd.compress(
        text, options={OPTION.content_size_flag: 0}
    ),
    "zlib": zlib.compress,
    "a reference": lambda text: b"@%d {}" % (24 * len(text)),
    "nothing": lambda text: text,
}


def read_by_ledger(environment: Environment, blob: bytes) -> int | None:
    return environment.redis.eval(SCRIPT, 0, blob)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_ledger_and_worker_read_the_same_of_a_chunk(
    environment: Environment, form: Callable[[bytes], bytes]
) -> None:
    for size in SIZES:
        blob = form((b'{"text": "a great film"}' * (size // 24 + 1))[:size])

        read, stated = read_by_ledger(environment, blob), stated_bytes(blob)

        assert read == (None if stated is None else max(stated, len(blob))), size


@given(content=st.binary(max_size=20_000), repeats=st.integers(1, 50))
def test_what_seqd_packs_states_all_that_it_inflates_to(content: bytes, repeats: int) -> None:
    content *= repeats

    stated = stated_bytes(pack_json(content))

    assert stated is not None
    assert len(content) <= stated <= max(len(content), 4_096)
