"""A user's own program as an editor: picture file in, picture file out."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from insightedit.core.config import Knobs
from insightedit.core.errors import BackendError, ConfigError, Unfit
from insightedit.core.fingerprint import of_files
from insightedit.core.image import Limits, decode, encode
from insightedit.core.lookup import suggest
from insightedit.editors import sizes
from insightedit.editors.editor import Editor

PLACES = ("source", "instruction", "seed", "output")
PLACE = re.compile(r"\{\{(\w+)\}\}|\{(\w+)\}")  # {{word}} stands for {word} itself
TAIL = 600  # characters of the program's stderr in an error
OUTPUT = Limits(max_bytes=1_000_000_000, min_side=1)


class CommandSettings(Knobs):
    """`command` is a line, split as a shell would, or a list of arguments.

    {source}, {instruction}, {seed} and {output} are filled in after splitting, each within its own argument. No shell
    runs, so no instruction can become a command.
    """

    command: str | list[str] | None = None
    timeout_s: Annotated[float, Field(gt=0)] = 600.0


class Command(Editor):
    """Runs a program once per edit: it reads the PNG {source} and must write a picture of the same size to {output}."""

    name = "command"
    size_rule = "the program's"
    Settings = CommandSettings
    settings: CommandSettings

    def _setup(self) -> None:
        program = self._template()[0]
        if shutil.which(program) is None:
            raise ConfigError(
                f"no program '{program}'", "it is not on PATH and not an executable file", "Check its path"
            )

    def _template(self) -> list[str]:
        """The arguments before filling in.

        Raises:
            ConfigError: no command, an open quote, an unknown placeholder, or one that is missing.
        """
        said = self.settings.command
        mend = "Write --set 'command=python my_editor.py {source} {instruction} {seed} {output}'"
        try:
            template = shlex.split(said) if isinstance(said, str) else list(said or ())
        except ValueError as error:
            raise ConfigError(f"cannot split the command {said!r}", str(error), "Close the quote") from error
        if not template:
            raise ConfigError("editor 'command' has no command", "none was set", mend)
        found = {match[2] for part in template for match in PLACE.finditer(part) if match[2]}
        for name in sorted(found - set(PLACES)):
            raise ConfigError(
                f"unknown placeholder {{{name}}}", "nothing fills it in", f"{suggest(name, PLACES)}. {mend}"
            )
        for name in ("source", "instruction", "output"):
            if name not in found:
                raise ConfigError(f"the command has no {{{name}}}", "the program could not know it", mend)
        return template

    def _weights(self) -> str:
        """The program and every argument that names a file: `python my_editor.py` changes when my_editor.py does."""
        program, *rest = self._template()
        named = [Path(shutil.which(program) or program), *(Path(part) for part in rest if not PLACE.search(part))]
        return of_files(path for path in named if path.is_file())

    def _edit(self, image: np.ndarray, instruction: str, seed: int) -> np.ndarray:
        with tempfile.TemporaryDirectory(prefix="insightedit-") as folder:
            source, output = Path(folder) / "source.png", Path(folder) / "output.png"
            source.write_bytes(encode(image, ".png"))
            values = {"source": str(source), "instruction": instruction, "seed": str(seed), "output": str(output)}
            self._run([fill(part, values) for part in self._template()], Path(folder) / "stderr")
            return self._result(output, image)

    def _run(self, arguments: list[str], stderr: Path) -> None:
        """Run it in a process group of its own, so that a timeout or Ctrl-C ends its children too."""
        with stderr.open("wb") as said:
            process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True
            )
            try:
                code = process.wait(self.settings.timeout_s)
            except subprocess.TimeoutExpired as error:
                why = f"it ran longer than {self.settings.timeout_s:g} s; it last said: {_tail(stderr)}"
                raise BackendError("the command did not end", why, "Raise timeout_s or mend the program") from error
            finally:
                if process.poll() is None:
                    with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                        os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        if code != 0:
            why = f"exit code {code}; it last said: {_tail(stderr)}"
            raise BackendError("the command failed", why, f"Mend the program; it was: {shlex.join(arguments)[:300]}")

    def _result(self, output: Path, image: np.ndarray) -> np.ndarray:
        mend = "The program must write the edited picture to {output}, of the size of {source}"
        if not output.is_file():
            raise BackendError("the command wrote no picture", "it ended well, but {output} is not there", mend)
        try:
            edited = decode(output.read_bytes(), OUTPUT)[0]
        except Unfit as error:
            raise BackendError("the command wrote no usable picture", str(error), mend) from error
        if edited.shape != image.shape:
            (width, height), (wide, high) = sizes.size_of(edited), sizes.size_of(image)
            seen = f"{width} x {height} for a source of {wide} x {high}"
            raise BackendError("the command wrote a picture of another size", seen, mend)
        return edited


def fill(part: str, values: Mapping[str, str]) -> str:
    """One argument with its placeholders filled in, in one pass: what is filled in is not looked at again."""
    return PLACE.sub(lambda match: f"{{{match[1]}}}" if match[1] else values[match[2]], part)


def _tail(path: Path) -> str:
    text = " ".join(path.read_bytes()[-4 * TAIL :].decode("utf-8", "replace").split())
    return text[-TAIL:] or "nothing"
