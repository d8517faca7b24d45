"""What kserve's own clients are told by an endpoint, as JSON on standard output.

    kserve_clients.py TASK (JSON: {"url", "grpc", "name", "version", "inputs", "instances", "some", "absent"})

Runs in an environment of its own (see requirements.in), where nothing of this repository can be imported. An
input is {"name", "datatype", "values"}: numbers nested as the model takes them, or base64 of a picture each.
"""

import asyncio
import importlib.metadata
import json
import sys

import grpc
import kserve
from values import array, plain


def kserve_inputs(task):
    values = array(task["inputs"], task["binary"])
    given = kserve.InferInput(task["inputs"]["name"], list(values.shape), task["inputs"]["datatype"])
    given.set_data_from_numpy(values, binary_data=task["binary"])
    return kserve.InferRequest(model_name=task["name"], infer_inputs=[given], request_id="asked")


def kserve_outputs(response):
    return {
        "id": response.id,
        "outputs": {one.name: plain(one.as_numpy()) for one in response.outputs},
    }


async def kserve_rest(task):
    found = {}
    async with kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v2", retries=0)) as client:
        found["live"] = await client.is_server_live(task["url"])
        found["ready"] = await client.is_server_ready(task["url"])
        found["model ready"] = await client.is_model_ready(task["url"], task["name"])
        found["absent ready"] = await client.is_model_ready(task["url"], task["absent"])
        for binary in (False, True):
            answer = await client.infer(
                task["url"], kserve_inputs({**task, "binary": binary}), model_name=task["name"]
            )
            found["binary" if binary else "infer"] = kserve_outputs(answer)
    async with kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v1", retries=0)) as client:
        found["v1 model ready"] = await client.is_model_ready(task["url"], task["name"])
        found["v1"] = await client.infer(
            task["url"], {"instances": task["instances"]}, model_name=task["name"]
        )
        try:
            await client.infer(task["url"], {"instances": [[[]]]}, model_name=task["name"])
        except Exception as error:
            found["v1 wrong"] = str(error)
    return found


async def kserve_grpc(task):
    client = kserve.InferenceGRPCClient(task["grpc"], retries=0)
    found = {
        "live": await client.is_server_live(),
        "ready": await client.is_server_ready(),
        "model ready": await client.is_model_ready(task["name"]),
        "absent ready": await client.is_model_ready(task["absent"]),
        "infer": kserve_outputs(await client.infer(kserve_inputs({**task, "binary": True}))),
    }
    if task["inputs"]["datatype"] != "BYTES":  # which this client would have to be text
        found["typed"] = kserve_outputs(await client.infer(kserve_inputs({**task, "binary": False})))
    try:
        await client.infer(kserve_inputs({**task, "name": task["absent"], "binary": True}))
    except grpc.aio.AioRpcError as error:
        found["absent"] = error.code().name
    await client.close()
    return found


def main():
    task = json.loads(sys.argv[1])
    found = {
        "version": importlib.metadata.version("kserve"),
        "kserve rest": asyncio.run(kserve_rest(task)),
        "kserve grpc": asyncio.run(kserve_grpc(task)),
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
