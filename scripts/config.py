"""config.properties -> the gateway's settings, and the effective configuration of one TorchServe."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from scripts.errors import CommandError
from scripts.places import ROOT, shown

GATEWAY = "gateway_"
"""Begins the keys that aren't TorchServe's."""

GIVEN = {
    "keys": "gateway_keys",
    "tls_certificate": "gateway_tls_certificate",
    "tls_key": "gateway_tls_key",
    "tls_client_ca": "gateway_tls_client_ca",
    "trace": "gateway_tracing",
}
"""Options of `up`, and the lines of config.properties that they stand for."""

LARGEST_LIMIT = 2**32 - 1
"""Bytes of a body: Envoy counts them in so many bits."""

HTTP = ("inference", "management", "metrics")
GRPC = ("inference", "management")


class Address(Struct, frozen=True):
    """Where one listener is reached."""

    key: str
    host: str
    port: int
    secure: bool = False
    """Whether it speaks TLS."""

    @property
    def url(self) -> str:
        """From this machine, whatever it listens on."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        scheme = "https" if self.secure else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"


class Config(Struct, frozen=True):
    """TorchServe's properties, and the addresses among them."""

    properties: Mapping[str, str]
    path: Path

    @property
    def inference(self) -> Address:
        return self._http("inference")

    @property
    def management(self) -> Address:
        return self._http("management")

    @property
    def grpc_inference(self) -> Address:
        return self._grpc("inference")

    @property
    def metrics(self) -> Address:
        return self._http("metrics")

    @property
    def gateway(self) -> Address:
        address = self._http("gateway")
        return Address(address.key, address.host, address.port, self.gateway_certificate is not None)

    @property
    def gateway_metrics(self) -> Address:
        return self._http("gateway_metrics")

    @property
    def gateway_limit(self) -> int:
        """Bytes of a body."""
        key = "gateway_max_request_size"
        number = self._number(key, "must be a whole number of bytes")
        if not 0 < number <= LARGEST_LIMIT:
            raise self._wrong(key, f"must be from 1 to {LARGEST_LIMIT}")
        return number

    @property
    def gateway_keys(self) -> Path | None:
        """The file of who may call; None: whoever reaches it."""
        return self._file("gateway_keys")

    @property
    def gateway_certificate(self) -> Path | None:
        """With it callers come by TLS; raises CommandError where the key is missing."""
        certificate, key = self._file("gateway_tls_certificate"), self._file("gateway_tls_key")
        for path, lacking in ((certificate, "gateway_tls_key"), (key, "gateway_tls_certificate")):
            if path is not None and not self.properties.get(lacking):
                raise self._wrong(lacking, "give both certificate and key, or neither", value="")
        if certificate is None and self._file("gateway_tls_client_ca") is not None:
            raise self._wrong(
                "gateway_tls_certificate", "gateway_tls_client_ca needs a certificate", value=""
            )
        return certificate

    @property
    def gateway_certificate_key(self) -> Path | None:
        return self._file("gateway_tls_key")

    @property
    def gateway_client_authorities(self) -> Path | None:
        """Who signs the certificates that callers must have; None: they need none."""
        return self._file("gateway_tls_client_ca")

    @property
    def gateway_tracing(self) -> Address | None:
        """Who takes spans."""
        key = "gateway_tracing"
        if not self.properties.get(key):
            return None
        if not re.fullmatch(r"http://[^/?#@]+/?", self.properties[key]):
            raise self._wrong(key, "must be like http://127.0.0.1:4318")
        return self._url(key)

    @property
    def gateway_wait(self) -> float:
        """Seconds that a request may wait for those before it; 0: however long."""
        return self._number("gateway_wait", "must be a whole number of ms") / 1000

    @property
    def queue(self) -> int:
        """Requests that wait for a worker of one model; what waits beyond it TorchServe refuses itself."""
        return self._number("job_queue_size", "must be a whole number of requests")

    def gateway_addresses(self) -> list[Address]:
        return [self.gateway, self.gateway_metrics]

    def addresses(self) -> list[Address]:
        """Every listener of TorchServe."""
        return [self._http(name) for name in HTTP] + [self._grpc(name) for name in GRPC]

    def _http(self, name: str) -> Address:
        return self._url(f"{name}_address")

    def _url(self, key: str) -> Address:
        parts = urlsplit(self._value(key))
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if host is None or port is None:
            raise self._wrong(key, "must be like http://127.0.0.1:8000")
        return Address(key, host, port)

    def _grpc(self, name: str) -> Address:
        key = f"grpc_{name}_port"
        port = self._number(key, "must be a port number")
        if port > 65535:
            raise self._wrong(key, "must be a port number")
        return Address(key, self._value(f"grpc_{name}_address"), port)

    def _file(self, key: str) -> Path | None:
        """From the configuration's own folder, unless it is absolute; None where none is named."""
        value = self.properties.get(key)
        return self.path.absolute().parent / Path(value).expanduser() if value else None

    def _number(self, key: str, remedy: str) -> int:
        if not self._value(key).isdecimal():
            raise self._wrong(key, remedy)
        return int(self._value(key))

    def _value(self, key: str) -> str:
        if key not in self.properties:
            raise CommandError(
                f"{shown(self.path)} lacks {key}", hint="copy the line from the repository's file"
            )
        return self.properties[key]

    def _wrong(self, key: str, remedy: str, value: str | None = None) -> CommandError:
        given = self._value(key) if value is None else value
        return CommandError(f"{shown(self.path)}: {key} is {given!r}", hint=remedy)


def load(path: Path) -> Config:
    """The configuration as written; raises CommandError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path}: can't be read ({error})", hint="give --config FILE") from None
    properties: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        key, equals, value = text.partition("=")
        if not equals:
            raise CommandError(f"{shown(path)}: line {number} is {text!r}", hint="must be KEY=VALUE")
        properties[key.strip()] = value.strip()
    return Config(properties, path)


def opened(config: Config, host: str, *, gateway: bool) -> Config:
    """With `host` as the address that callers reach: the gateway's, else TorchServe's inference API."""
    properties = dict(config.properties)
    literal = f"[{host}]" if ":" in host else host  # an IPv6 address
    if gateway:
        properties["gateway_address"] = f"http://{literal}:{config.gateway.port}"
    else:
        properties["inference_address"] = f"http://{literal}:{config.inference.port}"
        properties["grpc_inference_address"] = host
    return Config(properties, config.path)


def given(config: Config, values: Mapping[str, str | Path | None]) -> Config:
    """With what was given on the command line in place of the file's; a path is from where we are."""
    told = {
        key: str(value.absolute() if isinstance(value, Path) else value)
        for key, value in values.items()
        if value
    }
    return Config({**config.properties, **told}, config.path)


def effective(config: Config, store: Path) -> Config:
    """What TorchServe is started with: its own lines, the store's place, and which metrics it shows."""
    own = {key: value for key, value in config.properties.items() if not key.startswith(GATEWAY)}
    metrics = ROOT / "monitoring" / "torchserve-metrics.yaml"
    return Config({"metrics_config": str(metrics), **own, "model_store": str(store.resolve())}, config.path)


def write(config: Config, path: Path) -> None:
    """As the Java properties file that TorchServe reads: in ASCII, with Java's escapes."""
    lines = [f"{key}={_escaped(value)}\n" for key, value in config.properties.items()]
    path.write_text("".join(lines), encoding="ascii")


def _escaped(value: str) -> str:
    """A backslash doubled, anything beyond ASCII as UTF-16 units."""
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    pairs = [int.from_bytes(units[index : index + 2], "big") for index in range(0, len(units), 2)]
    return "".join(chr(unit) if unit < 128 else f"\\u{unit:04x}" for unit in pairs)
