"""Redis's errors become ours, each with what to do."""

import pytest
from redis.exceptions import MasterDownError, ResponseError, TryAgainError

from seqd.errors import RedisFull, RedisUnreachable
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


@pytest.mark.parametrize(
    "answer",
    [
        ResponseError("BUSY Redis is busy running a script. You can only call SCRIPT KILL"),
        ResponseError("UNBLOCKED force unblock from blocking operation, instance state changed"),
        ResponseError(
            "Error running script (call to f_0): @user_script:1: Script killed by user wi"
        ),
        ResponseError("Script killed by user with SCRIPT KILL. script: on @user_script:1"),
        ResponseError("Command # 2 (SET a 1) of pipeline caused error: BUSY Redis is busy"),
        MasterDownError("Link with MASTER is down and replica-serve-stale-data is set to 'no'"),
        TryAgainError("Multiple keys request during rehashing of slot"),
    ],
    ids=str,
)
def test_what_a_server_cannot_do_just_now_is_worth_another_try(answer):
    redis = connect("redis://127.0.0.1:6379/0")

    with pytest.raises(RedisUnreachable) as refusal, redis_errors(redis):
        raise answer

    assert str(refusal.value) == (
        f"Redis at 127.0.0.1:6379 cannot do this just now: {answer}. Try again later."
    )


@pytest.mark.parametrize(
    "answer",
    [
        "seqd: unit 3 before 1",
        "seqd: 3 results for unit 0: -READONLY , which has OOM items",
        "BUSYGROUP Consumer Group name already exists",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "Command # 1 (SET a: BUSY b) of pipeline caused error: WRONGTYPE Operation",
    ],
)
def test_any_other_answer_stays_what_it_is(answer):
    redis = connect("redis://127.0.0.1:6379/0")

    with pytest.raises(ResponseError) as raised, redis_errors(redis):
        raise ResponseError(answer)

    assert str(raised.value) == answer
