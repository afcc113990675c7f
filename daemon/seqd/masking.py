"""Keeps passwords of Redis out of messages, logs and screens.

An address may be wrong, and its password may hold any character. So nothing of an address is shown
but what can only be a scheme, a user, a host, a port, a database or a path.
"""

import re
from functools import lru_cache
from urllib.parse import unquote

from seqd.escaping import one_line

#: Stands in the place of a secret.
MASK = "***"

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}")
_USER = re.compile(r"[A-Za-z0-9_.-]*")
#: Host, port and database; or the path of a socket. A port that is no number is shown, too: it is
#: what the operator has to mend.
_HOST = r"(?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_.-]*)(?::[A-Za-z0-9_.-]*)?"
_PLACE = re.compile(rf"{_HOST}(?:/[\w./-]*)?")
#: The same of Sentinels, of which there are several. A comma may else be one of a password.
_PLACES = re.compile(rf"{_HOST}(?:,{_HOST}){{0,31}}(?:/[\w./-]*)?")

#: The same where no @ stands before it: what looks like a port may be the password of an address
#: whose host is missing.
_SURE_HOST = r"(?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_.-]+)(?::[0-9]{0,5})?"
_SURE_PLACE = re.compile(rf"(?:{_SURE_HOST})?(?:/[\w./-]*)?")
_SURE_PLACES = re.compile(rf"{_SURE_HOST}(?:,{_SURE_HOST}){{0,31}}/[\w./-]+")
_OPTION = re.compile(
    r"(?:db|virtual_host|protocol|health_check_interval|max_connections|retry_on_timeout"
    r"|socket_timeout|socket_connect_timeout|socket_keepalive|ssl_cert_reqs|ssl_check_hostname"
    r"|ssl_min_version|ssl_ca_certs|ssl_ca_path|ssl_certfile|ssl_keyfile)=[\w./-]*"
)
_NAMED = re.compile(r"(?:username|password|sentinel_username|sentinel_password)(?==)")

#: An address within a text: up to a blank, a quote or a bracket. A scheme alone, with which a part
#: of a sentence ends, is none.
_ADDRESS = re.compile(
    r"(?:redis|rediss|unix|valkey|valkeys|sentinel)(?:\+\w+)?://(?![),.;]*(?:\s|$))[^\s'\"<>]+"
)

#: Shorter secrets are not looked for in texts: they would be found in every other word.
_LEAST_SECRET_CHARS = 6

#: Addresses that this process uses or was given. A worker has one.
_MOST_ADDRESSES = 4
_addresses: tuple[str, ...] = ()

#: Passwords that stand in no address, such as that of the Sentinels.
_passwords: tuple[str, ...] = ()


def without_password(url: str) -> str:
    """Return an address for people: its password, and what may be one, shows as `***`."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return _without_scheme(url)
    shown = scheme if _SCHEME.fullmatch(scheme) else MASK
    if "sentinel" in shown:
        return f"{shown}://{_masked_rest(rest, _PLACES, _SURE_PLACES)}"
    return f"{shown}://{_masked_rest(rest, _PLACE, _SURE_PLACE)}"


def remember_address(url: str) -> None:
    """Have `mask_passwords` mask the password of this address, unless that is very short.

    The last few addresses are remembered.
    """
    global _addresses
    if url not in _addresses:
        _addresses = (*_addresses, url)[-_MOST_ADDRESSES:]


def remember_password(password: str) -> None:
    """Have `mask_passwords` mask this password, unless it is very short.

    The last few are remembered.
    """
    global _passwords
    if password not in _passwords and len(password) >= _LEAST_SECRET_CHARS:
        _passwords = (*_passwords, password)[-_MOST_ADDRESSES:]


def mask_passwords(text: str) -> str:
    """Return a text with the passwords of the addresses in it masked.

    So are those that were given to `remember_address` and `remember_password`, wherever they stand.
    """
    for password in _passwords:
        for form in _forms(password):
            text = text.replace(form, MASK)
    for url in _addresses:
        for secret, shown in _replacements(url):
            text = text.replace(secret, shown)
    if "://" in text:
        text = _ADDRESS.sub(lambda match: without_password(match[0]), text)
    return text


@lru_cache(maxsize=8)
def _replacements(url: str) -> tuple[tuple[str, str], ...]:
    """Return the address and its passwords as a text may quote them, with what stands for each."""
    is_long = len(url) >= _LEAST_SECRET_CHARS
    whole = [(form, without_password(url)) for form in _forms(url)] if is_long else []
    parts = {form for secret in _secrets_of(url) for form in _forms(secret)}
    long = {secret for secret in parts if len(secret) >= _LEAST_SECRET_CHARS}
    return (*whole, *((secret, MASK) for secret in sorted(long, key=len, reverse=True)))


def _secrets_of(url: str) -> set[str]:
    """Return what may be the password of an address."""
    rest = url.partition("://")[2] or url
    found = {rest.partition("password=")[2]}  # to the end: an & in it may not be encoded
    found |= {pair.partition("=")[2] for pair in rest.split("&") if "password=" in pair}
    if "@" in rest:
        account = rest.rpartition("@")[0]
        found.add(account.partition(":")[2] or account)
    elif not (_SURE_PLACES if "sentinel" in url.partition("://")[0] else _SURE_PLACE).fullmatch(
        rest.partition("?")[0]
    ):
        found.add(rest.partition(":")[2])
    return found


def _forms(secret: str) -> tuple[str, ...]:
    """Return a text as it is written in an address, as it is meant, and as Python and logs show it.

    The longest comes first, since one may be a part of another.
    """
    forms = {secret, unquote(secret)}
    forms |= {shown for form in forms for shown in (repr(form)[1:-1], one_line(form))}
    return tuple(sorted(forms, key=len, reverse=True))


def _without_scheme(url: str) -> str:
    account, at, place = url.rpartition("@")
    if at:
        return f"{MASK}@{_place(place)}" if "?" not in account else MASK
    # Such as `localhost:6379`, whose scheme is missing.
    return _place(url, _SURE_PLACE)


def _masked_rest(rest: str, form: re.Pattern[str], sure: re.Pattern[str]) -> str:
    account, at, place = rest.rpartition("@")
    if not at:
        return _place(rest, sure)
    if "?" in account:
        return MASK  # What stands behind the @ may be the end of `?password=…@…`.
    user, colon, _ = account.partition(":")
    if not colon:
        # Of `redis://secret@host` Redis takes the secret for a user; whoever wrote it did not.
        return f"{MASK}@{_place(place, form)}"
    shown = user if _USER.fullmatch(user) else MASK
    return f"{shown}:{MASK}@{_place(place, form)}"


def _place(place: str, form: re.Pattern[str] = _PLACE) -> str:
    """Return host, port and database, with the options behind them that hold no secret."""
    where, question, options = place.partition("?")
    shown = where if form.fullmatch(where) else MASK
    return f"{shown}?{'&'.join(map(_option, options.split('&')))}" if question else shown


def _option(pair: str) -> str:
    if _OPTION.fullmatch(pair):
        return pair
    named = _NAMED.match(pair)
    return f"{named[0]}={MASK}" if named else MASK
