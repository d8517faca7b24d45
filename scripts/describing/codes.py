"""Every error code that a caller can meet, by the status that it comes with, and what it means."""

from __future__ import annotations

from collections.abc import Mapping

CODES: Mapping[int, Mapping[str, str]] = {
    400: {
        "ambiguous_form": "the form has more than one field",
        "bad_base64": "a text is no valid base64",
        "bad_image": "the picture can't be decoded",
        "bad_input": "the input can't be used, for a reason that the message tells",
        "bad_items": "some items of a longer request can't be used; each one's own error is in `items`",
        "bad_json": "the body is no valid JSON",
        "bad_npy": "the body is no valid .npy array",
        "bad_request": "the request isn't valid HTTP",
        "bad_tensor": "a tensor's bytes don't fit what is said of them",
        "empty_body": "nothing was sent",
        "not_finite": "a value is NaN, infinite, or too large",
        "out_of_range": "a value is beyond the model's range",
        "wrong_field": "the JSON object has other fields",
        "wrong_kind": "the model takes pictures, or numbers, and this is the other",
        "wrong_shape": "the array has another shape",
        "wrong_type": "the values have another type",
    },
    401: {"unauthorized": "a key is needed, and none that is known was sent"},
    403: {"forbidden": "the key doesn't lead to this model"},
    404: {
        "not_found": "nothing is at this path",
        "unknown_model": "no model has this name",
        "unknown_version": "the model has no such version",
    },
    405: {"wrong_method": "the path takes other methods, which the header Allow names"},
    408: {"request_timeout": "the request didn't arrive in time"},
    413: {
        "image_too_large": "the picture has too many pixels",
        "too_large": "the body has too many bytes",
        "too_many_items": "the request has too many items",
    },
    415: {"unsupported_type": "the body is of a kind that isn't read"},
    422: {
        "forward_failed": "the network failed on this input, and not on others",
        "output_not_finite": "the network's output for this input is not finite",
    },
    429: {"rate_limited": "the key's requests come too fast"},
    431: {"bad_request": "the headers or the query are too long"},
    500: {"internal": "the model failed; the server's log has the cause under the request id"},
    501: {
        "bad_request": "this transfer encoding isn't spoken",
        "wrong_protocol": "the version was packed before this protocol was known",
    },
    503: {
        "not_ready": "the model can't answer now: it is loading, say",
        "out_of_memory": "the memory isn't enough now",
        "overloaded": "too many requests are waiting",
        "stopping": "the server is stopping",
        "unavailable": "the model couldn't answer",
        "unhealthy": "the model server doesn't run",
    },
    504: {"deadline_exceeded": "the model didn't answer in time"},
}
"""A model's own task may have more of its own."""

RETRIED = (429, 503)
"""Come with Retry-After, in seconds, where it is known."""

ASKING = (400, 401, 403, 404, 405, 408, 413, 429, 431, 501, 503, 504)
"""Those of questions that the gateway answers itself."""


def description(status: int) -> str:
    """For the API's description: "`code`: meaning" a line."""
    return "\n".join(f"- `{code}`: {meaning}" for code, meaning in CODES[status].items())
