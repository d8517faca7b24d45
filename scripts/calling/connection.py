"""What a client's constructor was given -> how httpx connects; what is wrong with it is told at once."""

from __future__ import annotations

import ssl
from ipaddress import ip_address
from pathlib import Path
from typing import TypeAlias

import httpx

Verify: TypeAlias = bool | str | Path | ssl.SSLContext
"""True: the usual authorities. A file or folder: these. False: nobody, for a test."""

Cert: TypeAlias = str | Path | tuple[str | Path, str | Path]
"""The client's own certificate for mutual TLS: one file with its key, or both."""


def base(url: str) -> str:
    """The URL without a slash at its end; raises ValueError."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"url is {url!r}: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query or parsed.fragment:
        raise ValueError(f"url is {url!r}; must be like 'http://127.0.0.1:8000' or 'https://host'")
    return url.rstrip("/")


def headers(key: str | None) -> dict[str, str]:
    """Raises ValueError for a key that no header can hold; its text isn't told."""
    if key is None:
        return {}
    if not key or not key.isascii() or not key.isprintable() or key != key.strip():
        raise ValueError(
            "the key is empty, or has other characters than printable ASCII; see how it was read"
        )
    return {"x-api-key": key}


def context(url: str, verify: Verify, cert: Cert | None) -> ssl.SSLContext:
    """Raises OSError for a file that can't be read or holds no certificate, ValueError for one of no use."""
    if httpx.URL(url).scheme == "http":
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used, and quick to make
    if isinstance(verify, ssl.SSLContext):
        if cert is not None:
            raise ValueError(
                "verify is an SSLContext, and cert is given too; call its load_cert_chain instead"
            )
        return verify
    if isinstance(verify, bool):
        made = httpx.create_ssl_context(verify=verify)
    else:
        place = Path(verify)
        made = ssl.create_default_context(
            cafile=None if place.is_dir() else str(place), capath=str(place) if place.is_dir() else None
        )
    if cert is not None:
        made.load_cert_chain(*(cert if isinstance(cert, tuple) else (cert,)))
    return made


def proxied(url: str) -> bool:
    """Whether the environment's proxies are asked; none of them could reach a loopback address of ours."""
    host = httpx.URL(url).host
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost" and not host.endswith(".localhost")


def seconds(name: str, value: float) -> float:
    """Raises ValueError for what is no time to wait."""
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} is {value}; must be a number of seconds above 0")
    return value
