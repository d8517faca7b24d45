"""What a gateway that asks wants of our own commands, from the environment: who we are, and whom to trust.

PTHSERVE_KEY         goes along as x-api-key
PTHSERVE_CA          a PEM file: who signed the gateway's certificate, where none of the usual authorities did
PTHSERVE_CERT        a PEM file: our own certificate, where the gateway wants one (--tls-client-ca)
PTHSERVE_CERT_KEY    its key, where that isn't in the same file
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.errors import CommandError

if TYPE_CHECKING:
    import requests

KEY, AUTHORITIES = "PTHSERVE_KEY", "PTHSERVE_CA"
CERTIFICATE, CERTIFICATE_KEY = "PTHSERVE_CERT", "PTHSERVE_CERT_KEY"


def headers() -> dict[str, str]:
    """None where no key is given; raises CommandError, which doesn't tell it."""
    key = os.environ.get(KEY, "")
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        raise CommandError(
            f"{KEY} has a space, or a character that no header can carry", hint="give the key alone"
        )
    return {"x-api-key": key} if key else {}


def authorities() -> Path | None:
    """Raises CommandError for a file that can't be read."""
    if not os.environ.get(AUTHORITIES):
        return None
    path = Path(os.environ[AUTHORITIES])
    try:
        ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "strerror", None) or "no PEM"
        raise CommandError(
            f"{AUTHORITIES} is {path}, which can't be read ({reason})", hint="name a PEM file"
        ) from None
    return path


def certificate() -> tuple[Path, Path] | None:
    """Our own and its key; raises CommandError where they can't be read, or don't fit each other."""
    if not os.environ.get(CERTIFICATE):
        return None
    path = Path(os.environ[CERTIFICATE])
    key = Path(os.environ.get(CERTIFICATE_KEY) or path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(path, key, password=lambda: "")
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "no PEM"
        raise CommandError(
            f"{CERTIFICATE} is {path}, its key {key}: they don't fit each other, or can't be read ({reason})",
            hint=f"name PEM files: the certificate, and as {CERTIFICATE_KEY} its key without a password",
        ) from None
    return path, key


def lend(session: requests.Session) -> None:
    """All of it, to whoever calls by requests."""
    session.headers.update(headers())
    session.verify = str(authorities() or "") or True
    if (own := certificate()) is not None:
        session.cert = str(own[0]), str(own[1])


def environment() -> dict[str, str]:
    """For a child that calls the gateway, wherever it runs."""
    key, own = headers().get("x-api-key"), certificate() or (None, None)
    files = {AUTHORITIES: authorities(), CERTIFICATE: own[0], CERTIFICATE_KEY: own[1]}
    found = {name: str(path.resolve()) for name, path in files.items() if path is not None}
    return found | ({KEY: key} if key else {})


def context(secure: bool) -> ssl.SSLContext | None:
    """For a connection of one's own."""
    if not secure:
        return None
    made = ssl.create_default_context(cafile=authorities())
    if (own := certificate()) is not None:
        made.load_cert_chain(*own)
    return made
