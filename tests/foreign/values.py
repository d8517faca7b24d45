"""A task's inputs as arrays, and outputs as JSON has them, for both families of clients."""

import base64

import numpy as np

DTYPES = {"FP32": np.float32, "INT64": np.int64, "FP64": np.float64, "FP16": np.float16}


def array(given, binary=True):
    """`binary`: whether it travels as bytes; JSON can hold none, and a picture is base64 there."""
    if given["datatype"] == "BYTES":
        values = [base64.b64decode(value) if binary else value.encode() for value in given["values"]]
        return np.array(values, dtype=np.object_)
    return np.array(given["values"], dtype=DTYPES[given["datatype"]])


def plain(value):
    """An output as JSON has it."""
    if isinstance(value, (list, np.ndarray)):
        return [plain(one) for one in value]
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value
