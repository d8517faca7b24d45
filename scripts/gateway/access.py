"""Who may call what, and how often -> what stands beside the routes for the filters of gateway/envoy.yaml:

    api_key_auth       a key -> its caller's name, in the header CALLER           else 401
    rbac               the route's model is one of this caller's                  else 403
    local_ratelimit    the caller's bucket has a token; all threads share it      else 429

All are off in the listener, and on where this says so: keys change as routes do.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence

from scripts.gateway.answering import FILTERS, OF
from scripts.gateway.replies import Document
from scripts.gateway.routing import Caller, Routing

CALLER = "x-pthserve-caller"
"""Who calls, by his key. Callers can't send it."""

HEADERS = ("x-api-key", "authorization")
"""Where a key may stand; in the second after "Bearer "."""

OPEN = ("/healthz", "/ready", "/v2/health/live", "/v2/health/ready")
"""What asks nobody for a key: probes of load balancers have none."""

NAMED = "envoy.filters.http"
ANY_NUMBER = 2**32 - 1


def guarded(host: Document, routing: Routing) -> Document:
    """The virtual host of callers, with its guards; without any where nobody is asked for a key.

    A route's model is told by the cluster that it leads to: no way to a model can be forgotten here. What
    tells of a model without leading to it is marked.
    """
    if routing.callers is None:
        return {**host, "routes": [_unmarked(route) for route in host["routes"]]}
    opened = {*OPEN, *(path for path, page in routing.pages.items() if page.open)}
    found = [_route(route, opened, routing.callers) for route in host["routes"]]
    removed = [*host.get("request_headers_to_remove", ()), *HEADERS]  # what is behind needs none
    guards = _with(host, _keys(routing.callers) | _rates(routing.callers))
    return {**host, "routes": found, "request_headers_to_remove": removed, **guards}


def _route(route: Document, opened: Collection[str], callers: Sequence[Caller]) -> Document:
    told_of, route = route.get(OF), _unmarked(route)
    if route["match"].get("path") in opened:
        return route | _with(route, {f"{NAMED}.api_key_auth": _off(), f"{NAMED}.local_ratelimit": _off()})
    names = {cluster.partition("/")[0] for cluster in _clusters(route) if "/" in cluster}
    names |= {told_of} if told_of is not None else set()
    guards: Document = {}
    for name in names:
        guards |= _models(name, callers)
    return route | _with(route, guards) if guards else route


def _unmarked(route: Document) -> Document:
    return {key: value for key, value in route.items() if key != OF}


def _clusters(route: Document) -> Iterator[str]:
    action = route.get("route", {})
    yield action.get("cluster", "")
    for one in action.get("weighted_clusters", {}).get("clusters", ()):
        yield one["name"]


def _keys(callers: Sequence[Caller]) -> Document:
    return {
        f"{NAMED}.api_key_auth": {
            "@type": f"{FILTERS}.api_key_auth.v3.ApiKeyAuthPerRoute",
            "credentials": [{"key": key, "client": caller.name} for caller in callers for key in caller.keys],
            "key_sources": [{"header": name} for name in HEADERS],
            "forwarding": {"header": CALLER, "hide_credentials": True},
        }
    }


def _models(name: str, callers: Sequence[Caller]) -> Document:
    """Nothing where every caller may call this model."""
    allowed = [caller.name for caller in callers if not caller.models or name in caller.models]
    if len(allowed) == len(callers):
        return {}
    principals = [{"header": {"name": CALLER, "string_match": {"exact": one}}} for one in allowed]
    policies = {"callers": {"permissions": [{"any": True}], "principals": principals}} if allowed else {}
    return {
        f"{NAMED}.rbac": {
            "@type": f"{FILTERS}.rbac.v3.RBACPerRoute",
            "rbac": {"rules": {"action": "ALLOW", "policies": policies}},
        }
    }


def _rates(callers: Sequence[Caller]) -> Document:
    """A bucket for each caller who has a rate; the others take from one that is never empty."""
    limited = [caller for caller in callers if caller.rate]
    if not limited:
        return {}
    return {
        f"{NAMED}.local_ratelimit": {
            "@type": f"{FILTERS}.local_ratelimit.v3.LocalRateLimit",
            "stat_prefix": "callers",
            "filter_enabled": _always("enabled"),
            "filter_enforced": _always("enforced"),
            "token_bucket": _bucket(ANY_NUMBER, ANY_NUMBER, 1),
            "always_consume_default_token_bucket": False,
            "rate_limits": [
                {"actions": [{"request_headers": {"header_name": CALLER, "descriptor_key": "caller"}}]}
            ],
            "descriptors": [
                {"entries": [{"key": "caller", "value": one.name}], "token_bucket": _of(one)}
                for one in limited
            ],
        }
    }


def _of(caller: Caller) -> Document:
    """Whole tokens over whole seconds and a fraction: 1.5 a second are 2 in 1.333 s."""
    tokens = math.ceil(caller.rate)
    return _bucket(caller.burst, tokens, tokens / caller.rate)


def _bucket(most: int, tokens: int, seconds: float) -> Document:
    return {"max_tokens": most, "tokens_per_fill": tokens, "fill_interval": f"{seconds:.6f}s"}


def _always(what: str) -> Document:
    return {"runtime_key": f"callers.{what}", "default_value": {"numerator": 100, "denominator": "HUNDRED"}}


def _off() -> Document:
    return {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}


def _with(of: Document, more: Document) -> Document:
    return {"typed_per_filter_config": {**of.get("typed_per_filter_config", {}), **more}}
