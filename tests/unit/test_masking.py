"""No message shows a password, however the address is written that holds it."""

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd.errors import SeqdError
from seqd.ledger.redis import connect
from seqd.ledger.wakeup import broker_settings
from seqd.local.redis_address import check_redis_url
from seqd.masking import mask_passwords, remember_address, without_password
from seqd.settings import Settings, load_settings

#: In every password below, so that it can be looked for.
SECRET = "tOpSeCrEt"

AFFIXES = st.text("/#?@:%&=; \\'\"aZ9[]\u00e9\n", max_size=6)
PASSWORDS = st.tuples(AFFIXES, AFFIXES).map(lambda around: around[0] + SECRET + around[1])

FORMS = (
    "redis://:{}@host:6379/0",
    "redis://user:{}@host:6379/0",
    "rediss://user:{}@[::1]:6380/0?ssl_cert_reqs=none",
    "redis://{}@host",
    "redis://:{}",
    "redis://user:{}",
    "redis://host:6379/0?password={}",
    "redis://host?db=1&username=u&password={}&socket_timeout=1",
    "unix://:{}@/run/redis.sock?db=1",
    "unix:///run/redis.sock?password={}",
    "redis+socket:///run/redis.sock?password={}",
    "sentinel://:{}@a:26379;sentinel://:{}@b:26379/0",
    "redis-sentinel://a:26379/service?sentinel_password={}",
    "redis+cluster://:{}@host:7000",
    "REDIS://:{}@HOST",
    ":{}@host:6379",
    "//:{}@host",
    "redis:/:{}@host",
    "http://u:{}@host",
)

ADDRESSES = st.builds(
    lambda form, password: form.replace("{}", password), st.sampled_from(FORMS), PASSWORDS
)


@given(ADDRESSES)
def test_no_password_is_shown_of_any_address(url):
    assert SECRET not in without_password(url)


@given(ADDRESSES)
def test_no_error_over_an_address_shows_its_password(url):
    said = ""
    for use in (check_redis_url, connect, lambda one: Settings(redis_url=one)):
        try:
            use(url)
        except SeqdError as error:
            said += f"{error!r} {error}" + "".join(traceback.format_exception(error))

    assert SECRET not in said


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://default:secret@127.0.0.1:6379/0", "redis://default:***@127.0.0.1:6379/0"),
        ("redis://:se/cr#et@host:6379/0", "redis://:***@host:6379/0"),
        ("redis://host:6379/0?db=1&password=secret", "redis://host:6379/0?db=1&password=***"),
        ("redis://host?password=se@cret", "redis://***"),
        ("redis://:secret", "redis://***"),
        ("redis://user:secret", "redis://***"),
        ("redis://secret@host", "redis://***@host"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("unix:///run/redis.sock?db=2", "unix:///run/redis.sock?db=2"),
    ],
)
def test_what_is_sure_to_be_no_password_is_shown(url, shown):
    assert without_password(url) == shown


@pytest.mark.parametrize("url", ["redis://:se/cr@host/0", "redis://:12#34@host", "redis://:1?2@h"])
def test_a_password_that_is_not_encoded_is_refused_with_how_to_write_it(url):
    if "?" in url:  # which reads as options of an address without a password
        assert without_password(url) == "redis://***"
        return

    with pytest.raises(SeqdError) as refusal:
        check_redis_url(url)

    assert str(refusal.value) == (
        f"SEQD_REDIS_URL is {without_password(url)!r}, which cannot be read. Form: "
        "redis://user:password@host:6379/0 with a port from 0 to 65535. In a password each of "
        "/ ? # @ % stands as %2F %3F %23 %40 %25."
    )


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("redis://host:1/2?password=a%2Fb", "redis://:a%2Fb@host:1/2"),
        ("redis://host/0?username=u&password=p&ssl_x=1", "redis://u:p@host/0?ssl_x=1"),
        ("redis://v:q@host/0?password=p", "redis://v:q@host/0"),
        ("redis://:p@host/0", "redis://:p@host/0"),
        ("redis://:p@host?db=3", "redis://:p@host/3"),
        ("unix:///run/r.sock", "redis+socket:///run/r.sock?virtual_host=0"),
        (
            "unix:///run/r.sock?db=3&password=a%2Fb",
            "redis+socket://:a%2Fb@/run/r.sock?virtual_host=3",
        ),
    ],
)
def test_celery_gets_the_password_where_it_can_read_it(url, broker):
    assert broker_settings(url, Settings())["broker_url"] == broker


def test_passwords_are_masked_in_settings_and_lines_that_quote_them_and_nothing_else_is():
    settings = load_settings(
        redis_url=f"redis://:{SECRET}@host", redis_sentinel_password="guard/secret"
    )
    text = "Use a single server (redis:// or rediss://), or Sentinels (redis+sentinel://)."

    assert SECRET not in repr(settings) and SECRET not in str(settings)
    assert mask_passwords(text) == text
    assert mask_passwords("AUTH guard/secret failed") == "AUTH *** failed"


@given(ADDRESSES)
def test_no_line_that_quotes_an_address_shows_its_password(url):
    remember_address(url)

    assert SECRET not in mask_passwords(f"connecting to {url} failed, says {url!r}.")
