"""What `up` begins with: what was wanted before comes back as it was, what is new is packed and asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

import msgspec
from msgspec import Struct

from handlers.cores import cores
from handlers.errors import Refusal, listed
from scripts import catalog
from scripts.archive import Outcome, archive
from scripts.catalog import Entry
from scripts.errors import CommandError
from scripts.optimising import first
from scripts.packing import mar
from scripts.places import Places, shown
from scripts.processes.children import Children
from scripts.state import mirrors, wanted
from scripts.state.wanted import Wanted, WantedModel, WantedVersion


class Plan(Struct, frozen=True):
    """Which models come up, and how."""

    kept: dict[str, list[str]]
    """Wanted before, with what there is to say about each."""
    new: list[Entry]
    """To be packed, where they aren't yet, and asked for."""
    refused: dict[str, Refusal]
    untrained: list[str]
    """Of those refused, the ones that only need training."""
    unregistered: list[str]
    """Left out, because somebody unregistered them."""

    @property
    def names(self) -> set[str]:
        return {*self.kept, *(entry.name for entry in self.new)}


def plan(places: Places, before: Wanted, names: Sequence[str]) -> Plan:
    """For the named models, or for all that were wanted or lie in models/."""
    kept, fresh, unregistered = {}, [], []
    before = settled(before)
    for name in dict.fromkeys(names or [*before.models, *catalog.names(places)]):
        model = before.model(name)
        if _at_hand(places, name, model):
            kept[name] = _notes(places, name, model)
        elif not names and name in before.models and not model.versions:
            unregistered.append(name)
        else:
            fresh.append(name)
    new, refused = catalog.chosen(places, fresh) if fresh else ([], {})
    untrained = catalog.untrained(refused, names)
    return Plan(kept, new, refused, untrained, unregistered)


def _at_hand(places: Places, name: str, model: WantedModel) -> bool:
    """Whether its default version can be served from its archive."""
    return bool(model.versions) and mar.path_in(places, name, model.default).is_file()


def _notes(places: Places, name: str, model: WantedModel) -> list[str]:
    """Where the recipe folder has moved on from what is served."""
    try:
        entry = catalog.find(places, name)
        catalog.require_files(entry)
        if entry.version != model.default:
            return [
                f"NOTE: serving {model.default}; scripts/pthserve promote {name} moves to {entry.version}"
            ]
        changed = mar.differences(entry, mar.path_of(entry, places)) if entry.weights.exists() else []
    except (Refusal, OSError):
        return []  # its archive is whole, and that is what is served
    if not changed:
        return []
    return [
        f"NOTE: serving it as it was packed, before {listed(changed, 3)} changed: "
        f"raise handler.version in {shown(entry.folder / 'recipe.yaml')}, then promote"
    ]


def settled(before: Wanted) -> Wanted:
    """The state without what was leaving when the last `up` ended: nothing is in flight any more.

    And without mirrors: a `shadow` ends with the supervisor that it was begun under.
    """
    models = {}
    for name, model in before.models.items():
        model = mirrors.ended(model)
        staying = {number: one for number, one in model.versions.items() if not one.leaving}
        models[name] = msgspec.structs.replace(model, versions=staying)
    return msgspec.structs.replace(before, models=models)


def select(before: Wanted, chosen: Plan) -> Wanted:
    """The state with everything paused that isn't chosen, or is yet to be packed."""
    models = {
        name: msgspec.structs.replace(model, paused=bool(model.versions) and name not in chosen.kept)
        for name, model in settled(before).models.items()
    }
    return msgspec.structs.replace(before, models=models)


def asked(before: Wanted, entry: Entry) -> Wanted:
    """The state with this recipe's version as the model's only one."""
    versions = {entry.version: WantedVersion(entry.recipe.workers, asked=before.revision)}
    model = msgspec.structs.replace(
        before.model(entry.name), default=entry.version, versions=versions, paused=False
    )
    return before.having(entry.name, model)


def pack(
    entries: Sequence[Entry],
    places: Places,
    children: Children,
    say: Callable[[str], None],
    *,
    optimise: bool = True,
) -> Iterator[tuple[Entry, Outcome | Refusal | OSError]]:
    """Pack as many at a time as there are cores, and ask for each; the outcomes as they come.

    Before, what may execute them is measured, one at a time: packing and starting would disturb it. `say`
    hears of that, because it may take minutes.
    """
    if not entries:
        return
    waiting = [entry for entry in entries if optimise and first.undecided(entry, places)]
    if waiting:
        names = listed((entry.name for entry in waiting), 5)
        say(f"measuring what executes {names} fastest (--no-optimise leaves that out)")
    told = {entry.name: first.decide(entry, places, children) for entry in waiting}
    with ThreadPoolExecutor(min(len(entries), cores())) as pool:
        futures: dict[Future[Outcome], Entry] = {
            pool.submit(_pack_one, entry, told.get(entry.name, []), places, children): entry
            for entry in entries
        }
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except (Refusal, OSError) as error:
                yield futures[future], error


def _pack_one(entry: Entry, told: list[str], places: Places, children: Children) -> Outcome:
    packed = archive(entry, places, children)
    wanted.change(places, lambda before: asked(before, entry))
    return msgspec.structs.replace(packed, notes=[*told, *packed.notes])


def none_to_serve() -> CommandError:
    return CommandError("no model can be served", hint="see above, and README.md for how to add one")
