"""`insightedit train`: a stage of training, begun or continued, on one GPU or under `accelerate launch`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from insightedit.train.config import TrainConfig
    from insightedit.train.loop import Run

LINES_S = 10.0  # between two lines of progress where there is no terminal


def train(
    config: Annotated[str, typer.Argument(help="Preset of configs/train, or a YAML file.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value over it, e.g. data.datasets.scenes.knobs.size=128. Repeatable."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder of the run; an unfinished one is continued. Default: runs/CONFIG."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and train nothing.")] = False,
    processes: Annotated[
        int | None, typer.Option(min=1, help="--dry-run: as if on so many GPUs. Default: those launched.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print plan or result as JSON.")] = False,
) -> None:
    """Train one stage: align, image_align, joint.

    On several GPUs: accelerate launch --config_file configs/accelerate/ddp8.yaml -m insightedit train joint ...
    Paths in the configuration start where the command runs. Leaves OUT/pipeline, OUT/checkpoints and OUT/log.jsonl.
    See docs/training.md.
    """
    from insightedit.app.cli.terminal import say
    from insightedit.core.config import load, preset_path
    from insightedit.core.errors import ConfigError
    from insightedit.train.config import TrainConfig

    wanted = load(TrainConfig, preset_path("train", config), settings or [])
    if dry_run:
        from insightedit.app.cli import train_plan

        launched = processes or int(os.environ.get("WORLD_SIZE", "1"))
        if os.environ.get("RANK", "0") == "0":
            report = train_plan.report(wanted, launched)
            say(report, json_output, lambda: train_plan.tables(report))
        return
    if processes is not None:
        raise ConfigError("--processes belongs to --dry-run", "how many train is the launcher's affair",
                          "Use accelerate launch --num_processes")  # fmt: skip
    run = begin(wanted, out or Path("runs") / Path(config).stem)
    with _progress(run) as advance:
        run.train(advance)
    if run.accelerator.is_main_process:
        say(_report(run), json_output, lambda: _told(run))
    run.accelerator.end_training()


def begin(config: TrainConfig, out: Path) -> Run:
    """Model, mixture and loop of a run, at the place where it stands.

    Raises:
        ConfigError: the settings do not work, name no data, or `out` holds another run.
        InputError: the model or a dataset is not there, or not as expected.
    """
    from insightedit.core.errors import ConfigError

    if not config.data.datasets:
        raise ConfigError("there is nothing to train from", "data.datasets is empty",
                          "Name datasets in the configuration, see docs/datasets.md")  # fmt: skip
    from insightedit.datasets.mixture import mixture
    from insightedit.train.batch import Batcher, Layout
    from insightedit.train.data import Fits
    from insightedit.train.loop import Run
    from insightedit.train.start import start

    source = mixture(config.data, config.seed)  # its faults show before minutes of reading weights
    pipeline = start(config)
    layout = Layout.of(pipeline.comprehension, config.resolution)
    source.check = Fits(Batcher(pipeline.tokenizer, layout, config.seed))
    return Run(config, source, out, pipeline)


@contextmanager
def _progress(run: Run) -> Iterator[Callable[[], None]]:
    """A bar with ETA on the first rank's terminal; a line now and then where there is none; nothing elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    if not run.accelerator.is_main_process:
        yield lambda: None
    elif console.is_terminal:
        with _bar(run, console) as advance:
            yield advance
    else:
        yield _lines(run)


@contextmanager
def _bar(run: Run, console: Any) -> Iterator[Callable[[], None]]:
    from rich.progress import Progress, TextColumn

    from insightedit.app.cli.terminal import columns

    shown = columns(run.config.stage, "updates", TextColumn("{task.fields[now]}"))
    began, before = time.monotonic(), run.position.updates
    with Progress(*shown, console=console) as progress:
        task = progress.add_task("train", total=run.config.updates, completed=before, now="")

        def advance() -> None:
            done = run.position.updates
            rate = (done - before) * run.samples / max(1e-9, time.monotonic() - began)
            progress.update(task, completed=done, now=f"loss {run.losses['total']:.4g}  {rate:.3g} samples/s")

        yield advance


def _lines(run: Run) -> Callable[[], None]:
    """For logs of clusters."""
    began, before, said = time.monotonic(), run.position.updates, [0.0]

    def advance() -> None:
        done, now = run.position.updates, time.monotonic()
        if now - said[0] < LINES_S and done < run.config.updates:
            return
        said[0] = now
        rate = (done - before) / max(1e-9, now - began)
        left = int((run.config.updates - done) / max(1e-9, rate))
        numbers = f"loss {run.losses['total']:.4g}, {rate * run.samples:.3g} samples/s"
        eta = f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02}"
        typer.echo(f"{run.config.stage} {done}/{run.config.updates}: {numbers}, ETA {eta}", err=True)

    return advance


def _report(run: Run) -> dict[str, Any]:
    return {
        "stage": run.config.stage,
        "updates": run.position.updates,
        "samples": run.position.updates * run.samples,
        "loss": run.losses.get("total"),  # of the last update; null where nothing was left to do
        "pipeline": str(run.out / "pipeline"),
        "checkpoints": str(run.out / "checkpoints"),
        "log": str(run.out / "log.jsonl"),
        "skipped": run.skipped.lines(),
    }


def _told(run: Run) -> Any:
    from rich.text import Text

    told = _report(run)
    loss = "nothing was left to do" if told["loss"] is None else f"last loss {told['loss']:.4g}"
    lines = [f"{told['stage']}: {told['updates']} updates, {told['samples']} samples, {loss}"]
    lines += [f"{name + ':':<12} {told[name]}" for name in ("pipeline", "checkpoints", "log")]
    lines += [f"skipped:     {line}" for line in told["skipped"]]
    return Text("\n".join(lines))
