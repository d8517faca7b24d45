"""TorchScript: the network traced, its weights frozen into it."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import torch
from torch.jit._trace import TracerWarning

from handlers.recipe import Model
from handlers.runtimes.exported import in_a_line
from handlers.runtimes.quiet import quiet
from handlers.runtimes.setting import CantBuild, Material, Runtime, Setting

LIBRARIES = ("torch",)
FILE_NAME = "traced.pt"

TORCH = Path(torch.__file__).parent
"""What the tracer warns of in here are checks of shapes."""

OF_ITS_MAKING = (".debug_pkl", ".data/serialization_id", "version", "byteorder")
"""Records with paths of the source, and those that the writer adds itself."""


def build(material: Material, setting: Setting, folder: Path) -> None:
    setting.only("float32", cuda=True)
    if isinstance(material.network, torch.jit.ScriptModule):
        raise CantBuild("the checkpoint is TorchScript already")
    function = _frozen(material)
    with tempfile.TemporaryDirectory() as scratch:
        written = Path(scratch) / FILE_NAME
        function.save(str(written), {})
        _copy(written, folder / FILE_NAME)


def _frozen(material: Material) -> torch.jit.ScriptFunction:  # type: ignore[type-arg]
    """The network as a function: a module's name would be numbered by what was traced before."""
    traced = _traced(material)
    with quiet():
        graph = torch.jit.freeze(traced).graph.copy()
    module, *_ = graph.inputs()
    if module.uses():
        raise CantBuild("torch.jit.freeze leaves something of the module")
    if not isinstance(next(graph.outputs()).type(), torch._C.TensorType):
        raise CantBuild("the network returns something else than one tensor")
    graph.eraseInput(0)
    function: torch.jit.ScriptFunction = torch._C._create_function_from_graph("forward", graph)  # type: ignore[type-arg]
    return function


def _traced(material: Material) -> torch.jit.ScriptModule:
    """Raises CantBuild, also where the network's way depends on values, which a trace can't follow."""
    try:
        with quiet(), warnings.catch_warnings(record=True) as told, torch.no_grad():
            warnings.simplefilter("always", TracerWarning)
            traced: torch.jit.ScriptModule = torch.jit.trace(  # type: ignore[no-untyped-call]
                material.network, material.example, check_trace=False
            )
    except Exception as error:
        raise CantBuild(f"torch.jit.trace: {in_a_line(error)}") from error
    for warning in told:
        if TORCH not in Path(warning.filename).parents:
            place = f"{Path(warning.filename).name}, line {warning.lineno}"
            raise CantBuild(f"torch.jit.trace: what the network does depends on values ({place})")
    return traced


def _copy(source: Path, target: Path) -> None:
    """The same without what depends on the folder it was built in."""
    reader = torch._C.PyTorchFileReader(str(source))
    writer = torch._C.PyTorchFileWriter(str(target))
    for name in sorted(reader.get_all_records()):
        if not name.endswith(OF_ITS_MAKING):
            record = reader.get_record(name)
            writer.write_record(name, record, len(record))
    writer.write_end_of_file()


def open_runtime(model: Model, folder: Path, setting: Setting, artifacts: Path) -> Runtime:
    with quiet():  # it would rather be something else
        network = torch.jit.load(str(artifacts / FILE_NAME), map_location=setting.device)  # type: ignore[no-untyped-call]

    def run(batch: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = network(batch.to(setting.device))
        return output.to("cpu", torch.float32)

    return run
