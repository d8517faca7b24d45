"""The JSON of an inference request of the Open Inference Protocol, typed; what isn't known is ignored."""

from __future__ import annotations

from msgspec import Raw, Struct


class InputParameters(Struct, frozen=True):
    """Those that are known here; others are ignored, as the protocol has it."""

    binary_data_size: int | None = None


class OutputParameters(Struct, frozen=True):
    """The same of an output."""

    binary_data: bool | None = None


class RequestParameters(Struct, frozen=True):
    """The same of the whole request."""

    binary_data_output: bool = False


class Input(Struct, frozen=True):
    """A tensor: its data are here, or behind the JSON."""

    name: str
    datatype: str
    shape: Raw
    """Decoded where its length was looked at."""
    parameters: InputParameters | None = None
    data: Raw = Raw()


class RequestedOutput(Struct, frozen=True):
    """An output that is to come."""

    name: str
    parameters: OutputParameters | None = None


class InferenceRequest(Struct, frozen=True):
    """The JSON of a request."""

    inputs: list[Input]
    id: str | None = None
    outputs: list[RequestedOutput] | None = None
    parameters: RequestParameters | None = None
