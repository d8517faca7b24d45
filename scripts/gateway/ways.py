"""The ways to a model's answers: the paths of each protocol, and the word by which its workers know it."""

from __future__ import annotations

from msgspec import Struct

PREDICTIONS = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"
"""TorchServe's own gRPC method, from inference.proto inside its jar: it goes there as it is."""

OIP = "/inference.GRPCInferenceService"
"""The Open Inference Protocol's service: its messages become bodies of HTTP (see gateway/grpc.lua)."""

INFER = f"{OIP}/ModelInfer"


class Way(Struct, frozen=True):
    """One protocol over REST."""

    path: str
    """Of those who name no version, with {name}."""
    versioned: str
    """With {name} and {version}; "" where the protocol has no versions."""
    methods: str
    """As a regular expression."""
    protocol: str
    """handlers.wire's word for it; "" for TorchServe's own, which needs none."""

    def to(self, name: str, version: str = "") -> str:
        """The path to a model, or to one version of it."""
        form = self.versioned if version else self.path
        return form.format(name=name, version=version)


WAYS = (
    Way("/predictions/{name}", "/predictions/{name}/{version}", "POST|PUT", ""),
    Way("/v1/models/{name}:predict", "", "POST", "kserve_v1"),
    Way("/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer", "POST", "oip"),
)

OIP_GRPC = "oip_grpc"
"""The same word, of what comes over gRPC."""

BODIES = r"/(?:predictions|v1/models|v2/models)/.*"
"""A pattern of all of them."""

PLAIN = r"/v[12](?:/.*)?"
"""Paths of protocols whose errors are texts, and not objects as ours."""
