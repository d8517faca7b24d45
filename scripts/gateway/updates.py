"""The files that one Envoy watches, and whether it has taken them: its main thread, and each worker thread.

A file counts when it is renamed into its folder. Clusters go first, then the routes that lead to them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from scripts.config import Config
from scripts.gateway import questions, xds
from scripts.gateway.admin import Admin, Connection
from scripts.gateway.replies import Document
from scripts.gateway.routing import Page, Routing
from scripts.gateway.xds import Upstreams
from scripts.processes import ports
from scripts.state import durable

CDS, RDS = r"cluster_manager\.cds", r"http\.gateway\.rds\.routes"


class Updates:
    """Each update has a number, its revision; one connection to each thread asks which it has."""

    def __init__(self, config: Config, scratch: Path, threads: int) -> None:
        self._config = config
        self._script = scratch / "torchserve.lua"
        self._clusters_file = scratch / "clusters" / "clusters.json"
        self._routes_file = scratch / "routes" / "routes.json"
        self._files = scratch / "files"
        for folder in (self._clusters_file.parent, self._routes_file.parent, self._files):
            folder.mkdir(mode=0o700, exist_ok=True)
        self._admin = Admin(scratch / "admin.sock")
        self._probes = [Connection(scratch / "probe.sock") for _ in range(threads)]
        self._clusters: list[Document] | None = None
        self._clusters_revision = 0
        self._routes_revision = 0
        self._rejections = 0
        self._filed: set[Path] = set()  # the files of the last routes

    def write_clusters(self, routing: Routing) -> None:
        """Nothing when they are as they were, because Envoy would take no notice of the new revision."""
        upstreams = Upstreams(
            rest=ports.reached(self._config.inference),
            grpc=ports.reached(self._config.grpc_inference),
            script=self._script,
        )
        resources = xds.clusters(routing, upstreams)
        if resources != self._clusters:
            self._clusters = resources
            self._clusters_revision += 1
            write(self._clusters_file, _named(self._clusters_revision, resources))

    def write_routes(self, routing: Routing) -> None:
        """And the files that they lead to, which are there before the routes and while others follow."""
        self._routes_revision += 1
        revision = str(self._routes_revision)
        files = {path: (page, self._file(page)) for path, page in questions.files(routing)}
        for page, file in files.values():
            if not file.exists():
                durable.replace(file, page.body, sync=False)
        resources = [xds.route_configuration(routing, revision, self._config.gateway_limit, files)]
        write(self._routes_file, _named(self._routes_revision, resources))
        now = {file for _, file in files.values()}
        for file in set(self._files.iterdir()) - self._filed - now:
            file.unlink()
        self._filed = now

    def _file(self, page: Page) -> Path:
        """One that never changes."""
        return self._files / hashlib.sha256(page.body).hexdigest()

    def has_clusters(self) -> bool:
        """On the main thread, which is enough: it hands them to each worker before any later routes."""
        found = self._admin.stats(rf"{CDS}\.version_text")
        return str(self._clusters_revision) in found.values()

    def has_routes(self) -> bool:
        """On every worker thread: whoever asks from now on is treated by them."""
        wanted = str(self._routes_revision).encode()
        return all(probe.ask("GET", "/") == wanted for probe in self._probes)

    def rejected(self) -> bool:
        """Whether Envoy has refused a file since this was asked last; its log says why."""
        found = self._admin.stats(rf"(?:{CDS}|{RDS})\.update_rejected")
        before, self._rejections = self._rejections, sum(map(int, found.values()))
        if self._rejections > before:
            self._clusters = None  # so that the next ones are written, whatever they are
        return self._rejections > before

    def close(self) -> None:
        for probe in self._probes:
            probe.close()


def write(path: Path, document: Document) -> None:
    """In one step: Envoy never reads half of it."""
    durable.replace(path, json.dumps(document).encode(), sync=False)


def _named(revision: int, resources: list[Document]) -> Document:
    """A DiscoveryResponse, as Envoy calls it."""
    return {"version_info": str(revision), "resources": resources}
