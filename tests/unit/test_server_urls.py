"""Which Redis addresses are taken, and that no message shows a password."""

import pytest

from seqd.errors import InvalidSettings
from seqd.local.redis_address import check_redis_url
from seqd.masking import without_password


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/0",
        "redis://:secret@host/3",
        "rediss://user:secret@host:6380/0?ssl_cert_reqs=required",
        "unix:///run/redis.sock",
    ],
)
def test_an_address_that_celery_can_use_is_returned_unchanged(url: str) -> None:
    assert check_redis_url(url) == url


def test_redis_cluster_is_refused_with_what_to_use_instead() -> None:
    with pytest.raises(InvalidSettings) as refusal:
        check_redis_url("redis+cluster://:secret@host:7000/0")

    assert str(refusal.value) == (
        "SEQD_REDIS_URL is 'redis+cluster://:***@host:7000/0': Redis Cluster cannot carry Celery's "
        "queues. Use a single server (redis:// or rediss://), or one with replicas and Sentinels "
        "(redis+sentinel://)."
    )


@pytest.mark.parametrize("url", ["", "localhost:6379", "http://host", "REDIS//host", "amqp://host"])
def test_another_scheme_is_refused_with_those_that_are_allowed(url: str) -> None:
    with pytest.raises(InvalidSettings) as refusal:
        check_redis_url(url)

    assert str(refusal.value) == (
        f"SEQD_REDIS_URL is {url!r}: it must begin with redis://, rediss:// (TLS), "
        "redis+sentinel://, rediss+sentinel:// (TLS) or unix://, such as redis://:password@host:6379/0."
    )


def test_a_port_that_is_no_number_is_refused() -> None:
    with pytest.raises(InvalidSettings, match=r"redis://:\*\*\*@host:many/0"):
        check_redis_url("redis://:secret@host:many/0")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:secret@host/0", "redis://:***@host/0"),
        ("redis://user:se:cr@t@host/0", "redis://user:***@host/0"),
        ("redis://:se/cr;et@host/0", "redis://:***@host/0"),
        ("redis://host:6379/0", "redis://host:6379/0"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown
