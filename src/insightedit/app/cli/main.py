"""`insightedit`: the commands and how errors reach people.

Exit codes: 0 done; 1 the work failed or a promise does not hold; 2 wrong usage, configuration or input.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from insightedit import __version__
from insightedit.app.cli.benchmarks import benchmarks
from insightedit.app.cli.build import build
from insightedit.app.cli.compare import compare
from insightedit.app.cli.convert import convert
from insightedit.app.cli.demo import demo
from insightedit.app.cli.doctor import doctor
from insightedit.app.cli.edit import edit
from insightedit.app.cli.eval_set import eval_set
from insightedit.app.cli.evaluate import evaluate
from insightedit.app.cli.imagine import imagine
from insightedit.app.cli.inspect import inspect
from insightedit.app.cli.scenes import scenes
from insightedit.app.cli.train import train
from insightedit.app.cli.train_small import train_small

EPILOG = "Exit codes: 0 done, 1 failed or a promise broken, 2 wrong usage, configuration or input."

app = typer.Typer(
    name="insightedit",
    help="Build instruction-editing datasets from photographs, and edit pictures as instructions say.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog=EPILOG)(build)
app.command(epilog=EPILOG)(imagine)
app.command(epilog=EPILOG)(inspect)
app.command(epilog=EPILOG)(train)
app.command("train-small", epilog=EPILOG)(train_small)
app.command(epilog=EPILOG)(edit)
app.command(epilog=EPILOG)(evaluate)
app.command(epilog=EPILOG)(compare)
app.command(epilog=EPILOG)(benchmarks)
app.command("eval-set", epilog=EPILOG)(eval_set)
app.command(epilog=EPILOG)(convert)
app.command(epilog=EPILOG)(scenes)
app.command(epilog=EPILOG)(demo)
app.command(epilog=EPILOG)(doctor)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"insightedit {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Build instruction-editing datasets from photographs, and edit pictures as instructions say."""


def main() -> None:
    """Entry point. Errors that say what, why and mend are printed as such; anything else is a bug: its trace shows."""
    try:
        app()
    except KeyboardInterrupt:
        typer.echo("stopped; the same command continues where it was", err=True)
        sys.exit(130)
    except Exception as error:
        from insightedit.core.errors import InsightEditError

        if not isinstance(error, InsightEditError):
            raise
        typer.echo(f"error: {error.what}\n  why:  {error.why}\n  mend: {error.mend}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
