"""What people write on a command line -> contenders, profiles, samples."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from insightedit.core.config import parse
from insightedit.core.errors import ConfigError, InputError
from insightedit.core.files import read_json
from insightedit.core.lookup import suggest
from insightedit.editors.table import EDITORS
from insightedit.evaluate.contenders import Contender, EditorContender, FolderContender, ReferenceContender
from insightedit.metrics.profile import Profile, get
from insightedit.metrics.score import reading

LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
SECTIONS = ("networks", "judge")  # of `run.EvaluateKnobs`, so no labels
EXAMPLE = "Write NAME, NAME,knob=value,label=ROW, folder=PATH or reference"


@dataclass
class Settings:
    """`--set` taken apart.

    Attributes:
        editors: label -> knobs of that editor.
        sections: "networks" and "judge" -> their knobs.
        benchmark: "key=value" of its reader.
    """

    editors: dict[str, dict[str, Any]] = field(default_factory=dict)
    sections: dict[str, dict[str, Any]] = field(default_factory=dict)
    benchmark: list[str] = field(default_factory=list)


def contenders(specs: Sequence[str], values: Mapping[str, Mapping[str, Any]] | None = None) -> list[Contender]:
    """The contenders of `--editor`.

    Args:
        specs: "NAME", "NAME,knob=value,..", "folder=PATH" (several: the first that has it counts), "reference"; each
            with "label=ROW" if its row is to be called otherwise.
        values: further knobs, by label.

    Raises:
        ConfigError: no such editor or knob, a label that is no file name, or knobs for a label that nobody has.
    """
    values = values or {}
    found = [_contender(spec, values) for spec in specs]
    labels = [one.label for one in found]
    for label in values:
        if label not in labels:
            raise ConfigError(f"--set names an editor '{label}'", "no row is called so", suggest(label, labels))
    for one in found:
        if isinstance(one, EditorContender):
            one.made  # noqa: B018 - a wrong knob is told before anything is done
    return found


def settings(given: Sequence[str], labels: Sequence[str]) -> Settings:
    """`--set`: "LABEL.knob=value" of an editor, "networks.." and "judge.." of scoring, "knob=value" of the benchmark.

    Raises:
        ConfigError: one of none of these.
    """
    found = Settings()
    for one in given:
        key, _, _ = one.partition("=")
        head = next((name for name in (*labels, *SECTIONS) if key.strip().startswith(f"{name}.")), None)
        if head is None and "." in key:
            wrong = key.partition(".")[0].strip()
            raise ConfigError(f"cannot use --set {one!r}", f"no editor '{wrong}'", suggest(wrong, [*labels, *SECTIONS]))
        if head is None:
            found.benchmark.append(one)
            continue
        where = found.sections if head in SECTIONS else found.editors
        _merge(where.setdefault(head, {}), parse([one.strip()[len(head) + 1 :]]))
    return found


def label_of(spec: str) -> str:
    """What the row of a `--editor` is called.

    Raises:
        ConfigError: it is not written as it should be, or the label is no file name.
    """
    return _taken(spec)[0]


def profiles(names: Sequence[str]) -> list[Profile]:
    """The profiles of `--profile`: "NAME", or "NAME+FILTER" to read a judge's replies by another filter.

    Raises:
        UnknownName: no such profile or filter.
        ConfigError: one is named twice, or its filter has no judge.
    """
    found = []
    for name in dict.fromkeys(names):
        plain, _, filtered = name.partition("+")
        found.append(reading(get(plain), filtered) if filtered else get(plain))
    return found


def ids(text: str) -> list[str]:
    """Samples of `--samples`: a file with an id per line, or ids with commas between them.

    Raises:
        InputError: the file cannot be read.
    """
    path, lines = Path(text), text.split(",")
    with suppress(OSError):  # too long for a name, so they are ids
        if path.is_file():
            lines = _lines(path)
    return [line.strip() for line in lines if line.strip()]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}", str(error)[:200], "Give a text file with an id per line") from error


def replies(given: Sequence[str], asked: Sequence[Profile]) -> dict[str, dict[str, dict[str, str]]]:
    """A judge's replies made elsewhere, of `--replies LABEL=FILE`: JSON {ID: {QUESTION: text}}, or {ID: text} for one.

    Raises:
        ConfigError: not LABEL=FILE.
        InputError: the file is not as said.
    """
    questions = {question for profile in asked if profile.judge for question in profile.judge.questions}
    found: dict[str, dict[str, dict[str, str]]] = {}
    for one in given:
        label, _, file = one.partition("=")
        if not label or not file:
            raise ConfigError(f"cannot use --replies {one!r}", "it is not LABEL=FILE", "Name the editor's row")
        found[label] = _replies(Path(file), sorted(questions))
    return found


def _replies(path: Path, questions: Sequence[str]) -> dict[str, dict[str, str]]:
    values = read_json(path)
    only = questions[0] if len(questions) == 1 else None
    found = {}
    for sample, said in values.items() if isinstance(values, dict) else ():
        said = {only: said} if only and isinstance(said, str) else said
        if not isinstance(said, dict) or not all(isinstance(text, str) for text in said.values()):
            why = f"of '{str(sample)[:60]}' it has no texts by question ({', '.join(questions)})"
            raise InputError(f"cannot use the replies in {path}", why, 'Write {"ID": {"QUESTION": "reply"}}')
        found[str(sample)] = said
    if not found:
        raise InputError(f"cannot use the replies in {path}", "there are none", 'Write {"ID": {"QUESTION": "reply"}}')
    return found


def _contender(spec: str, values: Mapping[str, Mapping[str, Any]]) -> Contender:
    label, name, knobs, folders = _taken(spec)
    given = {**parse(knobs), **values.get(label, {})}
    if name in ("folder", "reference"):
        if given:
            raise ConfigError(f"'{name}' takes no '{next(iter(given))}'", "it is no editor", EXAMPLE)
        return FolderContender(label, tuple(folders)) if folders else ReferenceContender(label)
    return EditorContender(label, name, given)


def _taken(spec: str) -> tuple[str, str, list[str], list[Path]]:
    """Label, name of the editor, its knobs as written, and folders."""
    head, *rest = (part.strip() for part in spec.split(","))
    label = next((part[6:] for part in rest if part.startswith("label=")), "")
    rest = [part for part in rest if part and not part.startswith("label=")]
    if head.startswith("folder="):
        folders = [Path(part[7:]).expanduser() for part in (head, *rest) if part.startswith("folder=")]
        knobs = [part for part in rest if not part.startswith("folder=")]
        return _label(label or _word(folders[0].resolve().name)), "folder", knobs, folders
    if head not in (*EDITORS, "reference"):
        raise ConfigError(
            f"no editor '{head}'", "it is not in the table", suggest(head, [*EDITORS, "folder", "reference"])
        )
    return _label(label or head), head, rest, []


def _label(label: str) -> str:
    if not LABEL.fullmatch(label) or len(label) > 80:
        raise ConfigError(f"cannot call a row {label!r}", "it names a folder too", "Use letters, digits and . _ + -")
    if label in SECTIONS:
        raise ConfigError(f"cannot call a row '{label}'", "--set means something else by it", "Use another label")
    return label


def _word(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]", "-", name).lstrip("._+-") or "folder"


def _merge(into: dict[str, Any], other: Mapping[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
