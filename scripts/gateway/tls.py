"""Certificate, key and authorities: files that others renew -> files that Envoy watches (SDS).

What is renewed counts once it fits: a certificate and its key are two files, and for a moment they don't.
"""

from __future__ import annotations

import hashlib
import os
import re
import ssl
from pathlib import Path

from msgspec import Struct

from scripts.config import Config
from scripts.errors import CommandError
from scripts.gateway.replies import Document
from scripts.gateway.updates import write
from scripts.places import shown

SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
FOLDER = "certificates"
HOW = "give both as PEM: first the server's certificate, then those that it was signed by"

EC_KEY = bytes.fromhex("06072a8648ce3d0201")  # of ASN.1, as certificates hold it; a curve's name follows
CURVES = tuple(map(bytes.fromhex, ("06082a8648ce3d030107", "06052b81040022", "06052b81040023")))
"""P-256, P-384 and P-521: Envoy takes no other, and would go on with what it had."""


class Secrets(Struct, frozen=True):
    """What the files hold."""

    certificate: bytes
    key: bytes
    authorities: bytes


class Certificates:
    """Of one gateway: what its files say, the last time that they fitted each other."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._given: tuple[Path, bytes] | None = None  # to which folder, and what

    def refresh(self, scratch: Path) -> bool:
        """Hand over what has changed; whether it had. While wrong: CommandError, the last stays."""
        if self._config.gateway_certificate is None:
            return False
        secrets = _read(self._config)
        digest = hashlib.sha256(repr(secrets).encode()).digest()  # no key stays in memory for this
        if self._given == (scratch, digest):
            return False
        folder = scratch / FOLDER
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check(secrets, self._config, folder)
        server = {
            "certificate_chain": {"inline_string": secrets.certificate.decode()},
            "private_key": {"inline_string": secrets.key.decode()},
        }
        _hand_over(folder, "server", {"tls_certificate": server})
        if secrets.authorities:
            trusted = {"trusted_ca": {"inline_string": secrets.authorities.decode()}}
            _hand_over(folder, "callers", {"validation_context": trusted})
        self._given = scratch, digest
        return True


def transport_socket(config: Config, scratch: Path) -> Document | None:
    """For the listener; None without a certificate."""
    if config.gateway_certificate is None:
        return None
    common: Document = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificate_sds_secret_configs": [_watched(scratch, "server")],
    }
    mutual = config.gateway_client_authorities is not None
    if mutual:
        common["validation_context_sds_secret_config"] = _watched(scratch, "callers")
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{SECRET}.DownstreamTlsContext",
            "common_tls_context": common,
            "require_client_certificate": mutual,
        },
    }


def _watched(scratch: Path, name: str) -> Document:
    folder = scratch / FOLDER
    source = {"path": str(folder / f"{name}.json"), "watched_directory": {"path": str(folder)}}
    return {"name": name, "sds_config": {"resource_api_version": "V3", "path_config_source": source}}


def _hand_over(folder: Path, name: str, secret: Document) -> None:
    resource = {"@type": f"{SECRET}.Secret", "name": name, **secret}
    write(folder / f"{name}.json", {"version_info": "", "resources": [resource]})


def _read(config: Config) -> Secrets:
    paths = (config.gateway_certificate, config.gateway_certificate_key, config.gateway_client_authorities)
    found = []
    for path in paths:
        try:
            found.append(path.read_bytes() if path is not None else b"")
        except OSError as error:
            raise CommandError(
                f"{shown(path or Path())}: can't be read ({error.strerror})", hint=HOW
            ) from None
    return Secrets(*found)


def _check(secrets: Secrets, config: Config, folder: Path) -> None:
    """By OpenSSL, which takes a pair from files alone: these are as private as Envoy's."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    given = f"{config.gateway_certificate} and {config.gateway_certificate_key}"
    try:
        certificate.write_bytes(secrets.certificate)
        with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(secrets.key)
        secrets.certificate.decode("ascii"), secrets.key.decode("ascii")
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or "no PEM"
        raise CommandError(f"{given} don't fit each other, or can't be read ({reason})", hint=HOW) from None
    finally:
        certificate.unlink(missing_ok=True)
        key.unlink(missing_ok=True)
    leaf = re.search(
        b"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", secrets.certificate, re.DOTALL
    )
    der = ssl.PEM_cert_to_DER_cert(leaf[0].decode("ascii")) if leaf else b""
    if EC_KEY in der and not any(EC_KEY + curve in der for curve in CURVES):
        raise CommandError(
            f"{config.gateway_certificate}: its key is on a curve that the gateway doesn't speak",
            hint="make the key with RSA (2048 bits or more), or on P-256, P-384 or P-521",
        )
    if config.gateway_client_authorities is not None:
        try:
            context.load_verify_locations(cadata=secrets.authorities.decode("ascii"))
        except (ssl.SSLError, ValueError) as error:
            reason = getattr(error, "reason", None) or "no PEM"
            raise CommandError(
                f"{config.gateway_client_authorities}: no authority's certificate ({reason})",
                hint="give those that sign callers' certificates, as PEM",
            ) from None
