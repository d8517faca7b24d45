"""What tritonclient's own clients are told by an endpoint, as JSON on standard output.

    triton.py TASK (JSON: {"url", "grpc", "name", "version", "inputs", "instances", "some", "absent"})

Runs in an environment of its own (see requirements.in), where nothing of this repository can be imported. An
input is {"name", "datatype", "values"}: numbers nested as the model takes them, or base64 of a picture each.
"""

import importlib.metadata
import json
import sys

import numpy as np
import tritonclient.grpc
import tritonclient.http
from google.protobuf.json_format import MessageToDict
from tritonclient.utils import InferenceServerException
from values import array, plain


def triton(module, url, task, **options):
    """By one of tritonclient's two modules; `options` are those of an input's data."""
    client = module.InferenceServerClient(url)
    name, version = task["name"], task["version"]

    def infer(**more):
        values = array(task["inputs"], options.get("binary_data", True))
        given = module.InferInput(task["inputs"]["name"], values.shape, task["inputs"]["datatype"])
        given.set_data_from_numpy(values, **options)
        answer = client.infer(name, [given], request_id="asked", **more)
        response = answer.get_response()
        outputs = response["outputs"] if isinstance(response, dict) else response.outputs
        names = [one["name"] if isinstance(one, dict) else one.name for one in outputs]
        id_ = response["id"] if isinstance(response, dict) else response.id
        return {"id": id_, "outputs": {one: plain(answer.as_numpy(one)) for one in names}}

    def metadata(of):
        if isinstance(of, dict):
            return of
        return MessageToDict(of, preserving_proto_field_name=True)

    def refusal(call):
        try:
            call()
        except InferenceServerException as error:
            return [str(error.status()), error.message()]
        return None

    wrong = module.InferInput("nonsense", [1], "FP32")
    wrong.set_data_from_numpy(np.zeros(1, np.float32))
    found = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model ready": client.is_model_ready(name),
        "version ready": client.is_model_ready(name, version),
        "absent ready": client.is_model_ready(task["absent"]),
        "server": metadata(client.get_server_metadata()),
        "metadata": metadata(client.get_model_metadata(name)),
        "metadata of a version": metadata(client.get_model_metadata(name, version)),
        "infer": infer(),
        "infer of a version": infer(model_version=version),
        "some outputs": infer(outputs=[module.InferRequestedOutput(one) for one in task["some"]]),
        "absent": refusal(lambda: client.infer(task["absent"], [wrong])),
        "wrong input": refusal(lambda: client.infer(name, [wrong])),
        "absent metadata": refusal(lambda: client.get_model_metadata(task["absent"])),
    }
    client.close()
    return found


def main():
    task = json.loads(sys.argv[1])
    host = task["url"].partition("//")[2]
    found = {
        "version": importlib.metadata.version("tritonclient"),
        "triton http": triton(tritonclient.http, host, task, binary_data=True),
        "triton http json": triton(tritonclient.http, host, task, binary_data=False),
        "triton grpc": triton(tritonclient.grpc, task["grpc"], task),
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
