"""What others are told of this node: the gateway its routes, commands the observed state."""

from __future__ import annotations

import time
from collections.abc import Mapping

from handlers.recipe import Recipe
from scripts.describing.pages import Messages, Offered, Pages, Served, described, predictions_only
from scripts.endpoints import samples
from scripts.gateway.routing import Canary, Mirror, ModelRoutes, Route, Routing
from scripts.serving import limits
from scripts.serving.life import Life
from scripts.serving.node import Node
from scripts.state.observed import Phase, SeenModel, SeenShare, SeenVersion
from scripts.state.wanted import Wanted, WantedCanary, WantedMirror, WantedModel

SHARE = 0.9
"""Of TorchServe's responseTimeout: the gateway gives up first, so a caller gets a 504 and a worker lives."""

RESTARTING = "is restarting"


def deadline(recipe: Recipe | None) -> float:
    """Seconds that the gateway gives a request."""
    return SHARE * (recipe.response_timeout if recipe is not None else 1)


def routing(node: Node, wanted: Wanted, phase: Phase, *, alive: bool, wait: float, queue: int) -> Routing:
    """The gateway's task: `alive` tells whether TorchServe can be asked at all; the others: see limits.py."""
    models = {}
    for name in _names(node):
        routes = {life.version: _route(life, node, wanted, alive, wait, queue) for life in _of(node, name)}
        canary, mirror = _beside(node, wanted, name) if alive else (None, None)
        models[name] = ModelRoutes(
            routes,
            node.defaults.get(name, ""),
            Canary(canary.version, canary.percent) if canary is not None else None,
            Mirror(mirror.socket, mirror.percent) if mirror is not None else None,
        )
    serving = wanted.serving()
    ready = alive and phase == "serving" and all(_answers(models, name) for name in serving)
    return Routing(models, healthy=alive, ready=ready, stopping=phase == "stopping")


def descriptions(node: Node, wanted: Wanted, limit: int) -> tuple[Pages, Messages]:
    """What callers can read of the models; `limit`: bytes of a body."""
    served = []
    for name in _names(node):
        lives = [life for life in _of(node, name) if _stays(life, node, wanted)]
        offered = (
            Offered(life.version, life.archive, deadline(life.recipe), life.execution(node.told))
            for life in lives
            if life.recipe is not None
        )
        served.append(Served(name, node.defaults.get(name, ""), tuple(offered)))
    return described(served, limit)


def _route(life: Life, node: Node, wanted: Wanted, alive: bool, wait: float, queue: int) -> Route:
    recipe, limit = life.recipe, 0
    if recipe is not None:
        limit = limits.requests(recipe, life.told, life.execution(node.told), wait=wait, queue=queue)
    stays = _stays(life, node, wanted)
    older = stays and recipe is not None and predictions_only(life.archive)
    return Route(deadline(recipe), life.unready if alive else RESTARTING, limit, older, leaving=not stays)


def _stays(life: Life, node: Node, wanted: Wanted) -> bool:
    model = wanted.serving().get(life.name)
    version = model.versions.get(life.version) if model is not None else None
    return (version is not None and not version.leaving) or node.defaults.get(life.name) == life.version


def _beside(node: Node, wanted: Wanted, name: str) -> tuple[WantedCanary | None, WantedMirror | None]:
    """The canary and the mirror of a model: each only while its version answers, beside the default."""
    model = wanted.serving().get(name, WantedModel())

    def there(version: str) -> bool:
        life = node.lives.get((name, version))
        answers = life is not None and life.registered and not life.unready
        return answers and model.stays(version) and version != node.defaults.get(name)

    canary, mirror = model.canary, model.mirror
    return (
        canary if canary is not None and there(canary.version) else None,
        mirror if mirror is not None and there(mirror.version) else None,
    )


def _answers(models: Mapping[str, ModelRoutes], name: str) -> bool:
    model = models.get(name)
    route = model.versions.get(model.default) if model is not None else None
    return route is not None and not route.unready


def seen(node: Node, wanted: Wanted) -> dict[str, SeenModel]:
    """Every version of every model on this node."""
    models = {}
    for name in _names(node):
        versions = {life.version: _seen(life, node, wanted) for life in _of(node, name)}
        canary, mirror = _beside(node, wanted, name)
        models[name] = SeenModel(
            node.defaults.get(name, ""),
            versions,
            SeenShare(canary.version, canary.percent) if canary is not None else None,
            SeenShare(mirror.version, mirror.percent) if mirror is not None else None,
        )
    return models


def _seen(life: Life, node: Node, wanted: Wanted) -> SeenVersion:
    version = wanted.model(life.name).versions.get(life.version)
    return SeenVersion(
        state=life.state,
        wanted=version.workers if version is not None else life.told,
        ready=life.ready,
        asked=life.asked,
        reason=life.reason,
        traceback=life.traceback,
        attempts=life.retries.tries,
        retry_in=max(0, round(life.retries.until - time.monotonic())) if life.state == "failed" else 0,
        queue=life.pending,
        active=node.active(life.name, life.version) if life.registered else None,
        memory=life.memory(),
        device=life.device(),
        runtime=life.runtime(node.told),
        samples=samples(life.recipe) if life.recipe is not None and life.registered else "",
        assumed=tuple(life.recipe.handler.assumptions) if life.recipe is not None else (),
    )


def _names(node: Node) -> list[str]:
    return sorted({life.name for life in node.lives.values()})


def _of(node: Node, name: str) -> list[Life]:
    return sorted((life for life in node.lives.values() if life.name == name), key=lambda life: life.version)
