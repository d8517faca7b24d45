"""gateway/ -> the files of one Envoy: each ${NAME} in envoy.yaml becomes a value, in a script a reply."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from string import Template

import yaml

from scripts.config import Config
from scripts.gateway import mappers, replies, tls, tracing, xds
from scripts.gateway.replies import Document, Reply, first
from scripts.places import ROOT
from scripts.processes import ports

FOLDER = ROOT / "gateway"

SCRIPTS = ("grpc.lua", "torchserve.lua", "unbridge.lua")

HEAP = 2**31
"""Bytes of memory: what is above nine tenths is taken back from those who hold the most."""

LONGEST_PATH = 256
"""Characters of a path in the log."""

SANE = (
    "request.headers[request.headers['x-request-id'].matches('^[A-Za-z0-9_.:-]+$')"
    " && size(request.headers['x-request-id']) <= 128 ? 'x-request-id' : 'none']"
)
"""CEL for the caller's id; nothing where it isn't sane, or there is none."""


def scripts(limit: int) -> dict[str, str]:
    """The Lua scripts by their names, with the replies that they speak as tables."""
    told = {name: value for name, value in vars(replies).items() if isinstance(value, Reply)}
    told["TOO_LARGE"] = replies.too_large(limit)
    return {
        name: re.sub(
            r"\$\{(\w+)\}", lambda one: _table(told[one[1]]), (FOLDER / name).read_text(encoding="utf-8")
        )
        for name in SCRIPTS
    }


def _table(told: Reply) -> str:
    retry_after = f'"{told.retry_after}"' if told.retry_after else "nil"
    return (
        f'{{ status = "{told.status}", grpc = "{told.grpc}", retry_after = {retry_after}, '
        f"error = [==[{told.text}]==], plain = [==[{told.plain}]==] }}"
    )


def document(config: Config, scratch: Path, log: Path) -> Document:
    """What `gateway/envoy.yaml` comes to; the scripts lie in `scratch`."""
    host, port = ports.numeric(config.gateway)
    metrics_host, metrics_port = ports.numeric(config.gateway_metrics)
    limit = config.gateway_limit
    sane, fresh = {"command": "CEL", "param": SANE}, "UNIQUE_ID"
    path = {"command": "PATH", "param": "NQ", "max_length": LONGEST_PATH}
    request_id = first(sane, fresh)
    values: dict[str, object] = {
        "scratch": str(scratch),
        "log": str(log.resolve()),
        "host": host,
        "port": port,
        "metrics_host": metrics_host,
        "metrics_port": metrics_port,
        "limit": limit,
        "heap": HEAP,
        "connections": xds.CONNECTIONS,
        "tls": tls.transport_socket(config, scratch),
        "tracing": tracing.spans(config),
        "arrives_in": replies.ARRIVES_IN,
        "request_id": request_id,
        "logged_id": first({"command": "RESP", "param": "x-request-id"}, sane),
        "path": first(path),
        "logged_path": first({"command": "REQ", "param": "x-pthserve-path"}, path),
        "mappers": mappers.mappers(limit, request_id),
    }
    text = (FOLDER / "envoy.yaml").read_text(encoding="utf-8")
    filled = _filled(yaml.safe_load(text), values)
    if not isinstance(filled, dict):
        raise TypeError("gateway/envoy.yaml isn't a mapping")
    filled["static_resources"]["clusters"] += tracing.clusters(config)
    return filled


def _filled(node: object, values: Mapping[str, object]) -> object:
    """A text that is one name becomes its value, of whatever type; within a text, names become text."""
    if isinstance(node, dict):
        return {key: _filled(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, values) for value in node]
    if not isinstance(node, str):
        return node
    alone = re.fullmatch(r"\$\{(\w+)\}", node)
    return values[alone[1]] if alone else Template(node).substitute(values) if "${" in node else node
