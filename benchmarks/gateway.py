"""What the gateway adds: the same request to it and to TorchServe behind it, turn by turn, in one run.

    scripts/pthserve up                                # in another terminal
    .venv/bin/python -m benchmarks.gateway digits_mlp models/digits_mlp/samples/seven.png

Prints p50 and p99 in milliseconds of both ways at 1 and at 8 connections, and their ratio.
"""

from __future__ import annotations

import argparse
import http.client
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from scripts import config
from scripts.places import Places
from scripts.state import asking

WARM_UP = 200  # requests each way, not counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("file", type=Path)
    parser.add_argument("--requests", type=int, default=4000, help="each way and number of connections")
    asked = parser.parse_args()
    places = Places()
    through = asking.running(places).url
    direct = config.load(places.config).inference.url
    body = asked.file.read_bytes()
    for connections in (1, 8):
        took = measure(through, direct, asked.name, body, connections, asked.requests)
        lines = {way: np.percentile(np.array(one) * 1e3, [50, 99]) for way, one in took.items()}
        for way, (p50, p99) in lines.items():
            print(f"{connections} connections, {way:8} p50 {p50:.2f} ms, p99 {p99:.2f} ms")
        added = lines["gateway"] - lines["direct"]
        ratio = lines["gateway"] / lines["direct"]
        print(
            f"{connections} connections, the gateway adds {added[0]:.2f} ms at p50 (x {ratio[0]:.2f}), "
            f"{added[1]:.2f} ms at p99 (x {ratio[1]:.2f})"
        )


def measure(
    through: str, direct: str, name: str, body: bytes, connections: int, requests: int
) -> dict[str, list[float]]:
    """Seconds of each request, by way; each client asks one way, then the other."""
    took: dict[str, list[float]] = {"direct": [], "gateway": []}

    def ask() -> None:
        ways = {"direct": connect(direct), "gateway": connect(through)}
        for turn in range(WARM_UP + requests // connections):
            for way, connection in ways.items():
                began = time.perf_counter()
                connection.request("POST", f"/predictions/{name}", body)
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    raise SystemExit(f"{way}: {answer.status}")
                if turn >= WARM_UP:
                    took[way].append(time.perf_counter() - began)

    threads = [threading.Thread(target=ask) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


def connect(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    return http.client.HTTPConnection(parts.hostname or "", parts.port)


if __name__ == "__main__":
    main()
