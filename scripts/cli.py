"""The command line: one parser, one error boundary. Each verb's module is imported when it runs."""

from __future__ import annotations

import sys
from pathlib import Path

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
@click.option("--host", help="Address that callers reach; the management API stays on loopback.")
@click.pass_obj
def up(places: Places, names: tuple[str, ...], host: str | None) -> None:
    """Serve the models of models/ (or those named) until Ctrl-C."""
    from scripts.up import up

    sys.exit(up(places, names, host, Console()))


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.pass_obj
def archive(places: Places, names: tuple[str, ...]) -> None:
    """Check models as a worker would, and pack them into model_store/NAME-VERSION.mar."""
    from scripts.archive import archive_all

    sys.exit(archive_all(places, names, Console()))


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
