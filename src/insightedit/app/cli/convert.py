"""`insightedit convert`: public checkpoints of others -> folders that this package and diffusers load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from insightedit.model.convert.folder import Conversion


def convert(
    kind: Annotated[str, typer.Argument(help="smartedit, ip-adapter, instruct-pix2pix, instruct-diffusion or llava.")],
    source: Annotated[str, typer.Option("--from", help="Checkpoint file or folder; for llava also owner/name.")],
    to: Annotated[Path, typer.Option("--to", help="Folder to make; must be new or empty.")],
    llava: Annotated[str | None, typer.Option(help="smartedit: LLaVA-1.1, folder or owner/name.")] = None,
    vision: Annotated[
        str | None, typer.Option(help="smartedit, llava: CLIP ViT-L/14; default: the one LLaVA's config names.")
    ] = None,
    vae: Annotated[
        str | None, typer.Option(help="smartedit: Stable Diffusion 1.5 or InstructPix2Pix, folder or owner/name.")
    ] = None,
    text_encoder: Annotated[
        str | None, typer.Option(help="smartedit: where CLIP's text encoder is; default: as --vae.")
    ] = None,
    prompt: Annotated[
        Path | None, typer.Option(help="smartedit: YAML with the system, question and answer it was trained on.")
    ] = None,
    merge_lora: Annotated[bool, typer.Option("--merge-lora", help="smartedit: merge the adapters.")] = False,
    preset: Annotated[str | None, typer.Option(help="smartedit: sizes; default: by width, 7B or 13B.")] = None,
    into: Annotated[Path | None, typer.Option(help="ip-adapter: the pipeline folder that gets the branch.")] = None,
    seed: Annotated[int | None, typer.Option(help="ip-adapter, llava: of what starts fresh; default 0.")] = None,
    config: Annotated[
        str | None, typer.Option(help="instruct-*: diffusers folder or owner/name whose configurations are used.")
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, float16 or bfloat16; default: the file's.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
) -> None:
    """Turn a public checkpoint into a folder for `insightedit edit` or diffusers.

    Every missing, unexpected or wrongly shaped tensor is an error that names it. Leaves conversion.json in the folder.
    """
    given: dict[str, Any] = {
        "llava": llava,
        "vision": vision,
        "vae": vae,
        "text_encoder": text_encoder,
        "prompt": prompt,
    }
    given |= {"merge_lora": merge_lora or None, "preset": preset, "into": into, "seed": seed, "config": config}
    given["dtype"] = dtype
    from insightedit.app.cli.terminal import say

    done = run(kind, source, to, {name: value for name, value in given.items() if value is not None})
    say(done.as_dict(), json_output, lambda: summary(done, to))


def run(kind: str, source: str, to: Path, options: dict[str, Any]) -> Conversion:
    """Pick the kind and refuse options that it does not have, or that it lacks.

    Raises:
        ConfigError: no such kind, or options that do not belong to it.
        InputError, OutputError: as the conversion itself.
    """
    from inspect import Parameter, signature

    from insightedit.core.errors import ConfigError
    from insightedit.core.lookup import pick, suggest
    from insightedit.model.convert.folder import DTYPES
    from insightedit.model.convert.kinds import KINDS

    worker = pick(KINDS, kind, "kind of conversion")
    known = {name: own for name, own in signature(worker).parameters.items() if name not in ("source", "to")}
    if strange := [_flag(name) for name in options if name not in known]:
        raise ConfigError(f"{', '.join(strange)} does not belong to {kind}", "that conversion has no such option",
                          f"Its own: {', '.join(map(_flag, known))}")  # fmt: skip
    needed = [name for name, own in known.items() if own.default is Parameter.empty and name not in options]
    if needed:
        raise ConfigError(f"{kind} needs {', '.join(map(_flag, needed))}", "it is not given",
                          "See insightedit convert --help and docs/converting.md")  # fmt: skip
    if options.get("dtype", DTYPES[0]) not in DTYPES:  # now, not after the minutes that reading takes
        raise ConfigError(f"no dtype '{options['dtype']}'", "it is not in the table", suggest(options["dtype"], DTYPES))
    done: Conversion = worker(source if kind == "llava" else Path(source), to, **options)
    return done


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def summary(done: Conversion, to: Path) -> Any:
    """The conversion for people."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{done.kind} in {to}", title_justify="left", box=None)
    for column in ("component", "tensors", "parameters", "dtype", "from"):
        table.add_column(column, justify="right" if column in ("tensors", "parameters") else "left", overflow="fold")
    for part in done.components:
        numbers = (f"{part.tensors:,}", f"{part.parameters:,}") if part.tensors else ("", "")
        table.add_row(part.name, *numbers, part.dtype, Text(part.origin))
    lines = [f"compared: {line}" for line in done.compared]
    lines += [f"merged: LoRA into {len(done.merged)} weights"] if done.merged else []
    lines += [f"left out by rule: {len(done.dropped)} names, see conversion.json"] if done.dropped else []
    return Group(table, *(Text(line) for line in [*lines, *done.notes]))
