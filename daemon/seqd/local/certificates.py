"""Certificates that a program shows, with their keys, from files that settings name."""

import os
from pathlib import Path
from ssl import SSLContext, SSLError
from typing import Final

from seqd.errors import InvalidSettings

#: OpenSSL's word for a certificate and a key that do not belong together.
_MISMATCH: Final = "KEY_VALUES_MISMATCH"


def load_certificate(
    context: SSLContext, settings: str, cert_file: Path | None, key_file: Path | None
) -> None:
    """Have a context show a certificate, if any; without a `key_file` its key is in the same file.

    `settings` is what the names of the two settings begin with, such as `SEQD_REDIS`. Raises
    InvalidSettings.
    """
    cert, key = f"{settings}_CERT_FILE", f"{settings}_KEY_FILE"
    if cert_file is None:
        if key_file is not None:
            raise InvalidSettings(
                f"{key} is {key_file}, but there is no {cert}: set the certificate that belongs to "
                "the key, too."
            )
        return
    check_readable(cert, cert_file)
    if key_file is not None:
        check_readable(key, key_file)
    key_file = key_file or cert_file
    try:
        # Else OpenSSL would ask for the passphrase of a key on the terminal.
        context.load_cert_chain(cert_file, key_file, _no_passphrase)
    except _EncryptedKey:
        raise InvalidSettings(
            f"The key in {key_file} has a passphrase, and seqd takes none: set {key} to a key "
            "without one, which its user alone may read."
        ) from None
    except SSLError as error:
        if error.reason == _MISMATCH:
            raise InvalidSettings(
                f"The key in {key_file} ({key}) is not that of the certificate in {cert_file} "
                f"({cert}). Set the two that belong together."
            ) from None
        raise InvalidSettings(
            f"{cert_file} ({cert}) and {key_file} ({key}) must hold a certificate and its key in "
            "PEM form (-----BEGIN …-----); one of them does not."
        ) from None


def check_readable(setting: str, path: Path) -> None:
    """Raise InvalidSettings for a file that cannot be read."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise InvalidSettings(
            f"{setting} is {path}, which cannot be read ({error.strerror}): it must be a file "
            f"that the user with the id {os.geteuid()} may read."
        ) from None


class _EncryptedKey(Exception):
    """OpenSSL has asked for a passphrase."""


def _no_passphrase() -> str:
    raise _EncryptedKey
