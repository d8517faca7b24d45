"""ONNX Runtime: the network exported by torch's dynamo exporter, and optimised for this kind of processor."""

from __future__ import annotations

import tempfile
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from handlers.recipe import Model
from handlers.runtimes.exported import exported, in_a_line
from handlers.runtimes.quiet import quiet
from handlers.runtimes.setting import CantBuild, Material, Runtime, Setting

LIBRARIES = ("onnxruntime",)
FILE_NAME = "model.onnx"

SILENT = 4  # log_severity_level; errors are raised, too


def build(material: Material, setting: Setting, folder: Path) -> None:
    setting.only("float32")
    program = exported(material)
    try:
        with quiet():
            converted = torch.onnx.export(program, dynamo=True, verbose=False)
            assert converted is not None
            _forget_the_source(converted.model)
            with tempfile.TemporaryDirectory() as scratch:
                exchanged = Path(scratch) / FILE_NAME
                converted.save(str(exchanged), external_data=True)
                _optimise(exchanged, folder)
    except Exception as error:
        raise CantBuild(f"torch.onnx: {in_a_line(error)}") from error


def _forget_the_source(model: Any) -> None:
    """Without the paths and lines of the code that each node comes from."""
    graph = model.graph
    for holder in (model, graph, *graph.all_nodes(), *graph.inputs, *graph.initializers.values()):
        holder.metadata_props.clear()
    for value in chain.from_iterable(node.outputs for node in graph.all_nodes()):
        value.metadata_props.clear()


def _optimise(exchanged: Path, folder: Path) -> None:
    """Save what a session makes of the file, weights laid out anew beside it.

    They are mapped then, and shared by the workers; else each would keep a copy as its session has it,
    and another as it was.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = SILENT  # it warns that the file is for this kind of processor
    options.optimized_model_filepath = str(folder / FILE_NAME)
    for key, value in (("file_name", f"{FILE_NAME}.data"), ("min_size_in_bytes", "1024")):
        options.add_session_config_entry(f"session.optimized_model_external_initializers_{key}", value)
    onnxruntime.InferenceSession(str(exchanged), options, providers=["CPUExecutionProvider"])


def open_runtime(model: Model, folder: Path, setting: Setting, artifacts: Path) -> Runtime:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = setting.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = SILENT
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # it is optimised
    # threads that wait for work by spinning would take it from the other workers
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        str(artifacts / FILE_NAME), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name

    def run(batch: torch.Tensor) -> torch.Tensor:
        output = session.run(None, {name: batch.contiguous().numpy()})[0]
        return torch.from_numpy(output).to(torch.float32)

    return run
