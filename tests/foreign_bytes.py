"""Bodies byte for byte as tritonclient 2.73 encodes them: the REST body with its header
Inference-Header-Content-Length, and the gRPC message.

FLOATS are [[1, 2], [3, 4.5]], NAMED its first row with two outputs asked for by name.
"""

from __future__ import annotations

PICTURES = [b"abc", b"", b"\x00\xff"]

REST_FLOATS = (
    b'{"id":"r-1","inputs":[{"name":"input","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":16}}],'
    b'"parameters":{"binary_data_output":true}}\x00\x00\x80?\x00\x00\x00@\x00\x00@@\x00\x00\x90@',
    "150",
)
REST_FLOATS_JSON = (
    b'{"id":"r-1","inputs":[{"name":"input","shape":[2,2],"datatype":"FP32","data":[1.0,2.0,3.0,4.5]}],'
    b'"parameters":{"binary_data_output":true}}',
    None,
)
REST_HALVES = (
    b'{"id":"r-1","inputs":[{"name":"input","shape":[2,2],"datatype":"FP16","parameters":{"binary_data_size":8}}],'
    b'"parameters":{"binary_data_output":true}}\x00<\x00@\x00B\x80D',
    "149",
)
REST_NAMED = (
    b'{"id":"r-1","inputs":[{"name":"input","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}}],'
    b'"outputs":[{"name":"raw","parameters":{"binary_data":true}},{"name":"output","parameters":{"binary_data":false}'
    b"}]}\x00\x00\x80?\x00\x00\x00@",
    "222",
)
REST_INT64 = (
    b'{"id":"r-1","inputs":[{"name":"input","shape":[1,2],"datatype":"INT64","parameters":{"binary_data_size":16}}],'
    b'"parameters":{"binary_data_output":true}}\x01\x00\x00\x00\x00\x00\x00\x00\xfe\xff\xff\xff\xff\xff\xff\xff',
    "151",
)
REST_PICTURES = (
    b'{"id":"r-1","inputs":[{"name":"image","shape":[3],"datatype":"BYTES","parameters":{"binary_data_size":17}}],'
    b'"parameters":{"binary_data_output":true}}\x03\x00\x00\x00abc\x00\x00\x00\x00\x02\x00\x00\x00\x00\xff',
    "149",
)

GRPC_FLOATS = (
    b"\n\x04tiny\x1a\x03r-1*\x11\n\x05input\x12\x04FP32\x1a\x02\x02\x02:\x10\x00\x00\x80?"
    b"\x00\x00\x00@\x00\x00@@\x00\x00\x90@"
)
GRPC_HALVES = b"\n\x04tiny\x1a\x03r-1*\x11\n\x05input\x12\x04FP16\x1a\x02\x02\x02:\x08\x00<\x00@\x00B\x80D"
GRPC_NAMED = (
    b"\n\x04tiny\x1a\x03r-1*\x11\n\x05input\x12\x04FP32\x1a\x02\x01\x022\x05\n\x03raw2\x08\n"
    b"\x06output:\x08\x00\x00\x80?\x00\x00\x00@"
)
GRPC_INT64 = (
    b"\n\x04tiny\x1a\x03r-1*\x12\n\x05input\x12\x05INT64\x1a\x02\x01\x02:\x10\x01\x00\x00"
    b"\x00\x00\x00\x00\x00\xfe\xff\xff\xff\xff\xff\xff\xff"
)
GRPC_PICTURES = (
    b"\n\x04tiny\x1a\x03r-1*\x11\n\x05image\x12\x05BYTES\x1a\x01\x03:\x11\x03\x00\x00\x00abc\x00"
    b"\x00\x00\x00\x02\x00\x00\x00\x00\xff"
)
