"""Which Redis addresses are taken, and that no message shows a password."""

import pytest

from seqd.errors import InvalidSettings
from seqd.local.redis_address import SentinelAddress, check_redis_url, read_sentinel_url


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/0",
        "redis://:secret@host/3",
        "rediss://user:secret@host:6380/0?ssl_cert_reqs=required",
        "unix:///run/redis.sock",
        "redis+sentinel://host/mymaster",
        "redis+sentinel://user:secret@host:26379,host2/mymaster/3",
        "rediss+sentinel://:secret@[::1]:26380,10.0.0.2/my-master.1/0?ssl_check_hostname=false",
    ],
)
def test_an_address_that_celery_can_use_is_returned_unchanged(url):
    assert check_redis_url(url) == url


FORM = (
    ", which cannot be read. Form: redis+sentinel://user:password@host:26379,host2:26379/NAME/0"
    ", where NAME is what `sentinel monitor NAME …` calls the primary. In a password each of "
    "/ ? # @ % stands as %2F %3F %23 %40 %25."
)
SCHEMES = (
    ": it must begin with redis://, rediss:// (TLS), redis+sentinel://, rediss+sentinel:// (TLS) "
    "or unix://, such as redis://:password@host:6379/0."
)


@pytest.mark.parametrize(
    ("url", "shown", "said"),
    [
        (
            "redis+cluster://:secret@host:7000/0",
            "redis+cluster://:***@host:7000/0",
            ": Redis Cluster cannot carry Celery's queues. Use a single server (redis:// or "
            "rediss://), or one with replicas and Sentinels (redis+sentinel://).",
        ),
        *(
            (url, url, SCHEMES)
            for url in ("", "localhost:6379", "http://host", "REDIS//host", "amqp://host")
        ),
        ("redis://:secret@host:many/0", "redis://:***@host:many/0", ""),
        ("redis://:secret@host:6379/first", "redis://:***@host:6379/first", ""),
        (
            "redis+sentinel://:secret@host/mymaster/0?socket_timeout=1",
            "redis+sentinel://:***@host/mymaster/0?socket_timeout=1",
            ": behind the ? of an address with Sentinels there may be ssl_cert_reqs and "
            "ssl_check_hostname alone.",
        ),
        *(
            (url, "", FORM)
            for url in (
                "redis+sentinel://host:26379",
                "redis+sentinel://host:26379/",
                "redis+sentinel:///mymaster/0",
                "redis+sentinel://host,/mymaster/0",
                "redis+sentinel://host:port/mymaster/0",
                "redis+sentinel://host:70000/mymaster/0",
                "redis+sentinel://host/mymaster/many",
                "redis+sentinel://secret@host/mymaster/0",
                "redis+sentinel://:se/cret@host/mymaster/0",
                "redis+sentinel://:se#cret@host/mymaster/0",
            )
        ),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_with_what_is_allowed(url, shown, said):
    with pytest.raises(InvalidSettings) as refusal:
        check_redis_url(url)

    assert str(refusal.value).endswith(said)
    assert str(refusal.value).startswith(f"SEQD_REDIS_URL is '{shown}")
    assert "cret" not in str(refusal.value)


def test_an_address_with_sentinels_says_who_they_are_and_what_they_watch():
    address = read_sentinel_url("rediss+sentinel://u%40x:a%2Fb@host:1234,[::1]/mymaster/3")

    assert address == SentinelAddress(
        hosts=(("host", 1234), ("::1", 26379)),
        master_name="mymaster",
        database=3,
        user="u@x",
        password="a/b",
        is_tls=True,
    )
    assert str(address) == "mymaster (Sentinels host:1234, [::1]:26379)"
