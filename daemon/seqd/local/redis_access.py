"""What a connection to Redis needs beside the address.

Certificates, the Sentinels' login, and the folder of an embedded server, which may move.
"""

import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from ssl import PROTOCOL_TLS_CLIENT, SSLContext, SSLError
from typing import TYPE_CHECKING, Self

from seqd.errors import InvalidSettings
from seqd.local.certificates import check_readable, load_certificate
from seqd.local.endpoint import server_folder
from seqd.local.redis_address import is_sentinel_url, is_tls_url, options_of
from seqd.masking import without_password

if TYPE_CHECKING:
    from seqd.settings import Settings

log = logging.getLogger(__name__)

#: Options of TLS that an address may have, beside the settings.
_TLS_OPTIONS = (
    "ssl_cert_reqs",
    "ssl_check_hostname",
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_certfile",
    "ssl_ciphers",
    "ssl_keyfile",
    "ssl_min_version",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAccess:
    """Certificates for TLS, the login of Sentinels that have one of their own, and a folder."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    sentinel_user: str | None = None
    sentinel_password: str | None = None
    #: Of an embedded server, which says at each new connection where its server is; None where the
    #: address was given.
    folder: Path | None = None

    @classmethod
    def of(cls, settings: "Settings") -> Self:
        """Return what the settings say."""
        return cls(
            ca_file=settings.redis_ca_file,
            cert_file=settings.redis_cert_file,
            key_file=settings.redis_key_file,
            sentinel_user=settings.redis_sentinel_username,
            sentinel_password=settings.redis_sentinel_password,
            folder=server_folder(settings) if settings.redis_url is None else None,
        )

    def check(self, url: str) -> None:
        """Raise InvalidSettings where the files cannot be used, or the address has no use for them.

        Warns, once for each address, where the address switches the check of the server off.
        """
        if is_tls_url(url):
            _check_options(url)
            self._check_files()
            _warn_of_unchecked(url)
        elif not url.startswith("unix://"):  # that of an embedded server needs none of all this
            self._refuse_without_tls(url)
        if not is_sentinel_url(url) and not url.startswith("unix://"):
            self._refuse_without_sentinels(url)

    def tls_options(self, url: str) -> dict[str, object]:
        """Return the options of redis-py for TLS; none for an address without.

        The certificate of the server and its host name are checked, unless the address says
        `ssl_cert_reqs=none` or `ssl_check_hostname=false`.
        """
        if not is_tls_url(url):
            return {}
        said = options_of(url)
        checks = said.get("ssl_cert_reqs", "required").lower()
        is_named = said.get("ssl_check_hostname", "true").lower() not in ("false", "0", "no")
        key_file = self.key_file or self.cert_file
        least = said.get("ssl_min_version")
        return {
            **{name: said[name] for name in ("ssl_ca_path", "ssl_ciphers") if name in said},
            **({} if least is None else {"ssl_min_version": int(least)}),
            "ssl_cert_reqs": checks,
            "ssl_check_hostname": is_named and checks != "none",
            "ssl_ca_certs": _text(self.ca_file) or said.get("ssl_ca_certs"),
            "ssl_certfile": _text(self.cert_file) or said.get("ssl_certfile"),
            "ssl_keyfile": _text(key_file) or said.get("ssl_keyfile"),
        }

    def _check_files(self) -> None:
        if self.ca_file is not None:
            check_readable("SEQD_REDIS_CA_FILE", self.ca_file)
            try:
                SSLContext(PROTOCOL_TLS_CLIENT).load_verify_locations(self.ca_file)
            except SSLError:
                raise InvalidSettings(
                    f"SEQD_REDIS_CA_FILE is {self.ca_file}, which holds no certificate in PEM "
                    "form (-----BEGIN CERTIFICATE-----)."
                ) from None
        context = SSLContext(PROTOCOL_TLS_CLIENT)
        load_certificate(context, "SEQD_REDIS", self.cert_file, self.key_file)

    def _refuse_without_tls(self, url: str) -> None:
        named = {
            "SEQD_REDIS_CA_FILE": self.ca_file,
            "SEQD_REDIS_CERT_FILE": self.cert_file,
            "SEQD_REDIS_KEY_FILE": self.key_file,
        }
        given = [name for name, path in named.items() if path is not None]
        if given:
            scheme = url.partition("://")[0]
            encrypted = scheme.replace("redis", "rediss", 1)
            raise InvalidSettings(
                f"{given[0]} is set, but SEQD_REDIS_URL is {without_password(url)!r}, which is "
                f"not encrypted: begin it with {encrypted}://, or leave {given[0]} away."
            )

    def _refuse_without_sentinels(self, url: str) -> None:
        if self.sentinel_user is not None or self.sentinel_password is not None:
            raise InvalidSettings(
                "SEQD_REDIS_SENTINEL_USERNAME or SEQD_REDIS_SENTINEL_PASSWORD is set, but "
                f"SEQD_REDIS_URL is {without_password(url)!r}, which names no Sentinels: begin "
                "it with redis+sentinel://, or leave the two away."
            )


def without_tls_options(url: str) -> str:
    """Return an address without the options that `RedisAccess.tls_options` returns.

    redis-py and kombu would have them come before ours.
    """
    place, question, options = url.partition("?")
    if not is_tls_url(url) or not question:
        return url
    rest = [pair for pair in options.split("&") if not pair.startswith("ssl_")]
    return f"{place}?{'&'.join(rest)}" if rest else place


@cache
def _warn_of_unchecked(url: str) -> None:
    said = options_of(url)
    shown = without_password(url)
    if said.get("ssl_cert_reqs", "required").lower() != "required":
        log.warning(
            "%s does not check whose certificate the server has: whoever is between can read and "
            "change everything. Leave ssl_cert_reqs away, and set SEQD_REDIS_CA_FILE.",
            shown,
        )
    elif said.get("ssl_check_hostname", "true").lower() in ("false", "0", "no"):
        log.warning(
            "%s does not check the host in the server's certificate: any server of the same "
            "authority passes for it. Leave ssl_check_hostname away.",
            shown,
        )


def _check_options(url: str) -> None:
    said = options_of(url)
    unknown = sorted(name for name in said if name.startswith("ssl_") and name not in _TLS_OPTIONS)
    is_checked = said.get("ssl_cert_reqs", "required").lower() in ("required", "optional", "none")
    if unknown or not is_checked or not said.get("ssl_min_version", "0").isdigit():
        raise InvalidSettings(
            f"SEQD_REDIS_URL is {without_password(url)!r}. Of TLS there may be "
            f"{', '.join(_TLS_OPTIONS)} behind the ?, where ssl_cert_reqs is required, optional "
            "or none, and ssl_min_version a number, such as 771 for TLS 1.2."
        )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
