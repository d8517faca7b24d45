"""config.properties -> the gateway's settings, and the effective configuration of one TorchServe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from scripts.errors import CommandError
from scripts.places import ROOT, shown

GATEWAY = "gateway_"
"""Begins the keys that aren't TorchServe's."""

HTTP = ("inference", "management", "metrics")
GRPC = ("inference", "management")


class Address(Struct, frozen=True):
    """Where one listener is reached."""

    key: str
    host: str
    port: int

    @property
    def url(self) -> str:
        """From this machine, whatever it listens on."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


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
        return self._http("gateway")

    @property
    def gateway_metrics(self) -> Address:
        return self._http("gateway_metrics")

    @property
    def gateway_limit(self) -> int:
        """Bytes of a body."""
        return self._number("gateway_max_request_size", "must be a whole number of bytes")

    def gateway_addresses(self) -> list[Address]:
        return [self.gateway, self.gateway_metrics]

    def addresses(self) -> list[Address]:
        """Every listener of TorchServe."""
        return [self._http(name) for name in HTTP] + [self._grpc(name) for name in GRPC]

    def _http(self, name: str) -> Address:
        key = f"{name}_address"
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

    def _wrong(self, key: str, remedy: str) -> CommandError:
        return CommandError(f"{shown(self.path)}: {key} is {self._value(key)!r}", hint=remedy)


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
    if gateway:
        properties["gateway_address"] = f"http://{host}:{config.gateway.port}"
    else:
        properties["inference_address"] = f"http://{host}:{config.inference.port}"
        properties["grpc_inference_address"] = host
    return Config(properties, config.path)


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
