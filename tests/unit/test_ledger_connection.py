"""Redis's errors become ours, each with what to do."""

import pytest
from redis.exceptions import ResponseError

from seqd.errors import RedisFull
from seqd.ledger import connect, redis_errors


def test_a_server_that_cannot_write_to_its_disk_is_named_as_such():
    redis = connect("redis://127.0.0.1:6379/0")

    with pytest.raises(RedisFull) as refusal, redis_errors(redis):
        raise ResponseError("MISCONF Errors writing to the AOF file: No space left on device")

    assert str(refusal.value) == (
        "Redis at 127.0.0.1:6379 takes no writes, since it cannot write to its disk: MISCONF "
        "Errors writing to the AOF file: No space left on device. Nothing was written. Free its "
        "disk, or try again later."
    )


def test_any_other_answer_of_a_script_stays_what_it_is():
    redis = connect("redis://127.0.0.1:6379/0")

    with pytest.raises(ResponseError, match="seqd: unit 3 before 1"), redis_errors(redis):
        raise ResponseError("seqd: unit 3 before 1")
