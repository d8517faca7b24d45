"""What a gateway that asks wants of our own commands, from the environment: a key, and whom to trust.

PTHSERVE_KEY    goes along as x-api-key
PTHSERVE_CA     a PEM file: who signed the gateway's certificate, where it isn't one of the usual authorities
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from scripts.errors import CommandError

KEY, AUTHORITIES = "PTHSERVE_KEY", "PTHSERVE_CA"


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


def environment() -> dict[str, str]:
    """For a child that calls the gateway, wherever it runs."""
    path = authorities()
    key = headers().get("x-api-key")
    return ({KEY: key} if key else {}) | ({AUTHORITIES: str(path.resolve())} if path else {})


def context(secure: bool) -> ssl.SSLContext | None:
    """For a connection of one's own."""
    return ssl.create_default_context(cafile=authorities()) if secure else None
