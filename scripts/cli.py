"""The command line: one parser, one error boundary. Each verb's module is imported when it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from handlers.errors import Refusal
from scripts.places import Places

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--models", type=FOLDER, envvar="PTHSERVE_MODELS", help="Recipes. [default: models/]")
@click.option("--store", type=FOLDER, envvar="PTHSERVE_STORE", help="Archives. [default: model_store/]")
@click.option("--config", type=FILE, envvar="PTHSERVE_CONFIG", help="[default: config.properties]")
@click.option("--state", type=FOLDER, envvar="PTHSERVE_STATE", help="Logs. [default: .pthserve/]")
@click.version_option("0.1.0", prog_name="pthserve")
@click.pass_context
def main(
    context: click.Context, models: Path | None, store: Path | None, config: Path | None, state: Path | None
) -> None:
    """Turn PyTorch checkpoints into endpoints on TorchServe, proven to answer like the trained models."""
    default = Places()
    context.obj = Places(
        models=models or default.models,
        store=store or default.store,
        config=config or default.config,
        state=state or default.state,
    )


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--host", help="Address that callers reach; everything else stays on loopback.")
@click.option("--keys", type=FILE, help="Who may call, and how often. [default: whoever reaches the address]")
@click.option("--insecure", is_flag=True, help="Another address than loopback without keys.")
@click.option("--tls-certificate", type=FILE, help="PEM, with its chain: callers come by TLS.")
@click.option("--tls-key", type=FILE, help="Its key.")
@click.option("--tls-client-ca", type=FILE, help="PEM: callers need a certificate that one of these signed.")
@click.option("--trace", metavar="URL", help="OpenTelemetry, OTLP over HTTP: http://HOST:4318.")
@click.option("--gateway/--no-gateway", default=True, help="Without: TorchServe alone, for your own gateway.")
@click.option(
    "--optimise/--no-optimise",
    default=True,
    envvar="PTHSERVE_OPTIMISE",
    help="Without: what isn't decided yet is served by eager, and nothing measured.",
)
@click.pass_obj
def up(
    places: Places,
    /,
    names: tuple[str, ...],
    host: str | None,
    gateway: bool,
    optimise: bool,
    insecure: bool,
    **given: Any,
) -> None:
    """Serve what is wanted and the models of models/ (or those named) until Ctrl-C."""
    from scripts.config import GIVEN
    from scripts.up import up

    told = {GIVEN[key]: value for key, value in given.items()}
    sys.exit(up(places, names, host, gateway, Console(), optimise=optimise, given=told, insecure=insecure))


@main.command()
@click.argument("source", metavar="NAME|FILE.mar")
@click.pass_obj
def register(places: Places, source: str) -> None:
    """Bring a model of models/, or an archive, to READY beside what serves."""
    from scripts.register import register

    sys.exit(register(places, source, Console()))


@main.command()
@click.argument("name")
@click.argument("version", required=False)
@click.option("--canary", metavar="SHARE", help="Only this share of those who name no version: 5%.")
@click.pass_obj
def promote(places: Places, name: str, version: str | None, canary: str | None) -> None:
    """Lead callers to the recipe's version (or VERSION); the old one answers what it has accepted.

    With --canary the old one stays the default; again with another SHARE changes that, rollback ends it,
    and promote without it makes the canary the default.
    """
    from scripts.canary import promote_canary
    from scripts.promote import promote
    from scripts.shares import percent

    if canary is not None:
        share = percent(canary, "--canary", whole=False)
        sys.exit(promote_canary(places, name, version, share, Console()))
    sys.exit(promote(places, name, version, Console()))


@main.command()
@click.argument("name")
@click.pass_obj
def rollback(places: Places, name: str) -> None:
    """Lead callers back to the version before; or away from the canary, where there is one."""
    from scripts.promote import rollback

    sys.exit(rollback(places, name, Console()))


@main.command()
@click.argument("name")
@click.argument("version")
@click.option("--share", default="100%", show_default=True, help="Of the default's requests.")
@click.option("--for", "length", metavar="TIME", help="How long: 30s, 10m, 1h. [default: until Ctrl-C]")
@click.option("--requests", type=click.IntRange(1), help="How many to look at. [default: until Ctrl-C]")
@click.option("--report", type=FILE, metavar="FILE.json", help="[default: below .pthserve/shadows/]")
@click.option("--keep", type=click.IntRange(0, 1000), default=20, show_default=True, help="Of the worst.")
@click.pass_obj
def shadow(places: Places, /, name: str, version: str, share: str, length: str | None, **asked: Any) -> None:
    """Compare VERSION's answers with the default's, on copies of what callers ask the default.

    Callers never wait for it, and get the default's answers alone. Each request that is looked at costs one
    more pass on each of the two versions; what comes faster than these isn't looked at. VERSION comes up for
    it, and leaves at the end unless it was there before.
    """
    from scripts.shadow import Asked, shadow
    from scripts.shares import percent, seconds

    limit = seconds(length, "--for") if length is not None else None
    given = Asked(share=percent(share, "--share", whole=True), seconds=limit, **asked)
    sys.exit(shadow(places, name, version, given, Console()))


@main.command()
@click.argument("name")
@click.argument("workers", type=click.IntRange(1, 256))
@click.option("--deadline", type=click.FloatRange(0), default=60.0, show_default=True, help="s, when fewer.")
@click.pass_obj
def scale(places: Places, name: str, workers: int, deadline: float) -> None:
    """Give an endpoint another number of workers; fewer as soon as it is idle."""
    from scripts.scale import scale

    sys.exit(scale(places, name, workers, deadline, Console()))


@main.command()
@click.argument("name")
@click.argument("version", required=False)
@click.option("--deadline", type=click.FloatRange(0), default=60.0, show_default=True, help="s, to drain.")
@click.pass_obj
def unregister(places: Places, name: str, version: str | None, deadline: float) -> None:
    """Take a model (or one version) away, once what it has accepted is answered."""
    from scripts.unregister import unregister

    sys.exit(unregister(places, name, version, deadline, Console()))


@main.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def list_command(places: Places, as_json: bool) -> None:
    """Every version here: state, workers READY of wanted, device, queue, active, memory, samples, assumed."""
    from scripts.listing import list_models

    sys.exit(list_models(places, as_json, Console()))


@main.command()
@click.option("--ready", is_flag=True, help="Say only what can't answer; exit status 1 if anything can't.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.pass_obj
def status(places: Places, ready: bool, names: tuple[str, ...]) -> None:
    """How this node is; exit status 1 unless all that is wanted answers."""
    from scripts.status import status

    sys.exit(status(places, ready, names, Console()))


@main.command()
@click.argument("path", metavar="FILE|DIR", type=click.Path(path_type=Path))
@click.option("--key", help="Which weights, where there are several. [default: the likeliest]")
@click.option("--all", "every", is_flag=True, help="Every tensor on a line of its own.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one object.")
@click.option("--architecture/--no-architecture", default=True, help="Without: quicker.")
@click.pass_obj
def inspect(places: Places, /, path: Path, **asked: Any) -> None:
    """Tell what a checkpoint is and holds, without executing anything that it carries.

    Whether it is safe and well, its tensors, and which published architecture fits. Exit status 1 if
    it is no checkpoint.
    """
    from scripts.inspect import Asked, inspect

    sys.exit(inspect(places, path, Asked(**asked), Console()))


@main.command()
@click.argument("weights", metavar="FILE|DIR", type=click.Path(path_type=Path))
@click.option("--name", default="", help="The model's name. [default: the file's]")
@click.option("--labels", type=FILE, help="A label a line, in the order of training.")
@click.option("--sample", "samples", multiple=True, type=FILE, help="An input; may be given more than once.")
@click.option("--expect", multiple=True, help="Of each sample: a label, or an .npy that your own code wrote.")
@click.option("--task", default="", help="classify, regress or tensor. [default: from labels and outputs]")
@click.option("--input", default="", help="handler.input, as YAML: '{kind: image, resize: 256, crop: 224}'.")
@click.option("--architecture", default="", metavar="BUILDER", help="Decides a tie: resnet18, ...")
@click.option("--key", help="Which weights, where there are several.")
@click.option(
    "--from-model", "own_code", default="", metavar="MODULE:NAME", help="Your own class or function."
)
@click.option("--arg", "args", multiple=True, metavar="KEY=VALUE", help="An argument of --from-model.")
@click.option("--link", is_flag=True, help="Link the weights instead of copying them.")
@click.pass_obj
def init(places: Places, /, weights: Path, args: tuple[str, ...], **asked: Any) -> None:
    """Make models/NAME of a checkpoint: recipe, weights, labels, samples, model.py if need be.

    What shapes can't tell is drafted, marked as assumed, and listed. Nothing is overwritten. Exit status 1
    if it can't be served as it is.
    """
    from scripts.init import init
    from scripts.recipes.asked import Asked, arguments

    sys.exit(init(places, Asked(weights, args=arguments(args), **asked), Console()))


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def check(places: Places, names: tuple[str, ...], as_json: bool) -> None:
    """Tell all that archive would check, and mistakes that serve without complaint; nothing is packed.

    Exit status 1 if archive would refuse any of them.
    """
    from scripts.check import check_all

    sys.exit(check_all(places, names, as_json, Console()))


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--seconds", type=click.FloatRange(10), default=900.0, show_default=True, help="For each model, about."
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def optimise(places: Places, names: tuple[str, ...], seconds: float, as_json: bool) -> None:
    """Find the fastest runtime whose answers equal eager float32's, and keep it beside the recipe.

    Exit status 1 if the runtime or the precision that a recipe asks for didn't pass.
    """
    from scripts.optimise import optimise_all

    sys.exit(optimise_all(places, names, seconds, as_json, Console()))


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.pass_obj
def archive(places: Places, names: tuple[str, ...]) -> None:
    """Check models as a worker would, and pack them into model_store/NAME-VERSION.mar."""
    from scripts.archive import archive_all

    sys.exit(archive_all(places, names, Console()))


@main.command()
@click.argument("name")
@click.argument("source", metavar="FILE|DIR|-")
@click.option("--local", "way", flag_value="local", help="The recipe folder, here; no server is needed.")
@click.option("--rest", "way", flag_value="rest", default="rest", help="The endpoint by REST, the default.")
@click.option("--grpc", "way", flag_value="grpc", help="The endpoint by gRPC.")
@click.option("--version", help="[default: the one that serves]")
@click.option("--csv", "table", is_flag=True, help="A table in place of JSON.")
@click.option("--url", help="[default: where `up` serves]")
@click.option("--jobs", type=click.IntRange(1, 256), default=16, show_default=True, help="In flight at once.")
@click.pass_obj
def predict(places: Places, /, name: str, source: str, **asked: Any) -> None:
    """Print a model's answer to a file, or a line for each file of a folder.

    Exit status 1 if any failed; those are listed at the end.
    """
    from scripts.predict import Asked, predict

    sys.exit(predict(places, name, source, Asked(**asked)))


@main.command()
@click.argument("name")
@click.argument("files", nargs=-1, type=FILE, metavar="[FILE]...")
@click.option("--version", help="[default: the one that serves]")
@click.option("--url", help="[default: where `up` serves]")
@click.option("--grpc-url", help="Where gRPC has another address than --url.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON in place of the table.")
@click.pass_obj
def verify(places: Places, /, as_json: bool, **asked: Any) -> None:
    """Compare a model's answers by recipe folder, archive, REST and gRPC, on its samples and on FILEs.

    Exit status 1 beyond the samples' tolerance, or when a way can't answer.
    """
    from scripts.verify import Asked, verify

    sys.exit(verify(places, Asked(**asked), Console(), as_json=as_json))


@main.command()
@click.argument("name")
@click.option("--to", required=True, metavar="TARGET", help="torchscript, onnx, openvino or executorch.")
@click.option("--out", type=FOLDER, help="The folder to write. [default: exports/NAME-VERSION-TARGET]")
@click.option("--force", is_flag=True, help="Replace an export that is there.")
@click.pass_obj
def export(places: Places, /, **asked: Any) -> None:
    """Write a model as one portable file, for a phone, browser or C++ service without a server.

    Beside it: its preprocessing as JSON, a report that its answers equal eager float32's, and an example
    that runs. Exit status 1, and nothing is left, if they don't.
    """
    from scripts.export import Asked, export

    sys.exit(export(places, Asked(**asked), Console()))


@main.command()
@click.argument("name")
@click.option("--connections", default="1,8,32", show_default=True, help="At once, a round for each number.")
@click.option("--seconds", type=click.FloatRange(0.1), default=4.0, show_default=True, help="Of each round.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Of all, turn by turn.")
@click.option("--input", type=FILE, help="The request's body. [default: the first sample's]")
@click.option("--url", default="", help="[default: where `up` serves, else one started for this]")
@click.option("--direct", is_flag=True, help="TorchServe without the gateway, too.")
@click.option("--baselines/--no-baselines", default=True, help="Without: the endpoint alone.")
@click.option("--memory", is_flag=True, help="Instead: what 4 workers hold beyond 4 that do nothing.")
@click.option("--cold-start", is_flag=True, help="Instead: register to READY, beside the stock handler.")
@click.option("--report", type=FILE, metavar="FILE.html", help="Plots and all figures in one file.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one object.")
@click.pass_obj
def benchmark(
    places: Places, /, name: str, connections: str, report: Path | None, as_json: bool, **asked: Any
) -> None:
    """Measure an endpoint under load, turn by turn with what else could serve the same weights.

    Beside it: a bare loop without a server, and services as tutorials write them. Exit status 1 if the
    endpoint answered anything badly.
    """
    from scripts.benchmark import Asked, benchmark, counts

    sys.exit(benchmark(places, name, Asked(connections=counts(connections), **asked), report, as_json))


@main.command()
@click.argument("name")
@click.option("--latency", metavar="TIME", help="The most items/s with a p99 of at most this: 50ms, 0.05s.")
@click.option("--throughput", is_flag=True, help="The most items/s, the default.")
@click.option("--minutes", type=click.FloatRange(0.1), default=10.0, show_default=True, help="About.")
@click.option("--connections", default="1,8,32", show_default=True, help="At once, in turn.")
@click.option("--input", type=FILE, help="The request's body. [default: the first sample's]")
@click.option("--write", is_flag=True, help="Change models/NAME/recipe.yaml.")
@click.option("--report", type=FILE, metavar="FILE", help="The frontier as a plot: .html, .png or .svg.")
@click.pass_obj
def tune(places: Places, /, connections: str, **asked: Any) -> None:
    """Find the workers, threads, batches and runtime that serve a model fastest here, under load.

    Each is tried on an `up` of its own beside the recipe's present ones; a tie leaves those. Prints the
    recipe's diff. Exit status 1 if nothing keeps --latency.
    """
    from scripts.benchmark import counts
    from scripts.tune import Asked, tune

    sys.exit(tune(places, Asked(connections=counts(connections), **asked), Console()))


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def train(places: Places, name: str, options: tuple[str, ...]) -> None:
    """Run models/NAME/train.py, which writes its weights and samples."""
    from scripts.train import train

    sys.exit(train(places, name, options))


@main.command(context_settings={"ignore_unknown_options": True})
@click.option("--all", "everything", is_flag=True, help="Everything, not only what takes seconds.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def test(everything: bool, options: tuple[str, ...]) -> None:
    """Run linter, type check and the fast tests; further OPTIONS go to pytest."""
    from scripts.test import test

    sys.exit(test(everything, options))


@main.command()
def schema() -> None:
    """Print the JSON schema of recipe.yaml, for editors."""
    from scripts.schema import schema

    click.echo(schema(), nl=False)


def run() -> None:
    """The error boundary: what is expected is one line with its remedy, and exit status 1."""
    try:
        main(prog_name="scripts/pthserve", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (Refusal, OSError) as error:  # OSError: a full disk, a folder that can't be written
        sys.exit(f"pthserve: {error}")


if __name__ == "__main__":
    run()
