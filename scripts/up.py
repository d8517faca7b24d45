"""up: pack what is missing, start TorchServe, bring every model to READY, serve until told to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console

from handlers.cores import cores
from handlers.errors import Refusal
from handlers.recipe import Recipe
from scripts import catalog, config
from scripts.archive import archive
from scripts.catalog import Entry
from scripts.children import Children
from scripts.endpoints import Endpoint, print_endpoints, say
from scripts.errors import CommandError
from scripts.places import Places, shown
from scripts.torchserve import TorchServe

POLL = 0.5  # s

INTERRUPTED = 130  # as shells report Ctrl-C


def up(places: Places, wanted: Sequence[str], host: str | None, console: Console) -> int:
    """Serve until a signal; the exit status is 1 if any model that was wanted didn't come up.

    It is INTERRUPTED when the signal comes before anything serves.
    """
    entries, refused = catalog.chosen(places, wanted)
    untrained = catalog.untrained(refused, wanted)
    for name in refused:
        if name not in untrained:
            say(console, f"✗ {name}: {refused[name]}", "red")
    if not entries:
        raise CommandError("no model can be served", hint="see above, and README.md for how to add one")
    chosen = config.load(places.config)
    if host is not None:
        chosen = config.opened(chosen, host, gateway=False)
    effective = config.effective(chosen, places.store)
    server, children = TorchServe(effective, places.logs), Children()
    with _stop_requested() as stop:
        threading.Thread(target=_end_on, args=(stop, children, server), daemon=True).start()
        try:
            places.store.mkdir(parents=True, exist_ok=True)
            server.start()
            ready = _bring_up(entries, places, server, children, stop, console)
            failed = len(refused) - len(untrained) + len(entries) - len(ready)
            if not ready or stop.is_set():
                raise CommandError("no model is READY", hint="see above")
            print_endpoints(ready, untrained, console)
            _serve(server, stop)
            say(console, "stopping")
            return 1 if failed else 0
        except Refusal:
            if stop.is_set():  # what was under way failed because of it
                return INTERRUPTED
            raise
        finally:
            stop.set()
            server.stop()


def _bring_up(
    entries: Sequence[Entry],
    places: Places,
    server: TorchServe,
    children: Children,
    stop: threading.Event,
    console: Console,
) -> list[Endpoint]:
    """Pack and register as many at a time as there are cores; one that fails doesn't stop the others."""
    ready: list[Endpoint] = []
    with (
        console.status("") as status,
        ThreadPoolExecutor(max_workers=min(len(entries), cores())) as pool,
    ):
        futures: dict[Future[tuple[Endpoint, list[str]]], Entry] = {
            pool.submit(_bring_one_up, entry, places, server, children, stop): entry for entry in entries
        }
        waiting = {entry.name for entry in entries}
        status.update(f"packing and starting {', '.join(sorted(waiting))}")
        for future in as_completed(futures):
            entry = futures[future]
            waiting.discard(entry.name)
            status.update(f"packing and starting {', '.join(sorted(waiting))}")
            try:
                one, notes = future.result()
            except (Refusal, OSError) as error:
                if not stop.is_set():
                    say(console, f"✗ {entry.name}: {error}", "red")
                continue
            ready.append(one)
            say(console, f"✓ {entry.name}: {'; '.join([*notes, 'READY'])}")
    return sorted(ready, key=lambda one: one.entry.name)


def _bring_one_up(
    entry: Entry, places: Places, server: TorchServe, children: Children, stop: threading.Event
) -> tuple[Endpoint, list[str]]:
    packed = archive(entry, places, children)
    if stop.is_set():
        raise CommandError("stopped")
    register(server, packed.path, entry.recipe)
    url = server.inference.endpoint(entry.name)
    return Endpoint(entry, url), packed.notes


def register(server: TorchServe, path: Path, recipe: Recipe) -> None:
    """Register an archive and wait for its workers; raises CommandError with the worker's own reason."""
    name, version = recipe.handler.name, recipe.handler.version
    refusal = server.management.register(path, recipe)
    workers = server.management.workers(name, version)
    if not refusal and sum(worker["status"] == "READY" for worker in workers) >= recipe.workers:
        return
    reason = server.failure(name, version)
    server.management.unregister(name, version)
    if reason is None:
        raise CommandError(refusal or "its workers didn't become READY", hint=f"see {shown(server.log)}")
    raise CommandError(reason.splitlines()[0], hint=f"the traceback is in {shown(server.log)}")


def _serve(server: TorchServe, stop: threading.Event) -> None:
    while not stop.wait(POLL):
        if not server.alive():
            raise CommandError(
                f"TorchServe ended by itself:\n{server.tail()}", hint=f"see {shown(server.log)}"
            )


def _end_on(stop: threading.Event, children: Children, server: TorchServe) -> None:
    """Packing and registering end as soon as a signal comes, not when they are done."""
    stop.wait()
    children.stop()
    server.stop()


@contextmanager
def _stop_requested() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, as often as they come."""
    stop = threading.Event()

    def request(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {
        number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
