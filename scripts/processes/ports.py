"""Whether this machine lets us listen where the configuration says, asked before anything is started."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from pathlib import Path

from scripts.config import Address
from scripts.errors import CommandError
from scripts.places import shown


def check(addresses: Iterable[Address], source: Path) -> None:
    """Raises CommandError for the first address that can't be listened on; `source` is where it stands."""
    for address in addresses:
        host, port = numeric(address)
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((host, port))
            except (OSError, OverflowError) as error:
                raise CommandError(
                    f"can't listen on {address.host}:{address.port} ({getattr(error, 'strerror', error)})",
                    hint=f"stop what uses it, or change {address.key} in {shown(source)}",
                ) from None


def numeric(address: Address) -> tuple[str, int]:
    """The host as an IP address, which is all that Envoy's listeners take; raises CommandError."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise CommandError(
            f"{address.key}: {address.host!r} is no address of this machine ({error.strerror})",
            hint="give an IP address, 127.0.0.1 for instance",
        ) from None
    return str(found[0][4][0]), address.port


def reached(address: Address) -> tuple[str, int]:
    """Where to connect from this machine, whatever it listens on."""
    host, port = numeric(address)
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port
