"""Benchmarks by name: a versioned YAML that says who reads which layout, what is scored, and what to know about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, cast

from pydantic import Field

from insightedit.core.config import Knobs, load, parse, preset_path, validate
from insightedit.core.errors import ConfigError, InputError
from insightedit.core.files import shipped
from insightedit.core.lookup import pick
from insightedit.evaluate.readers.read import Read
from insightedit.evaluate.sample import Benchmark, Fault, Group, Sample
from insightedit.metrics.profile import get

DESCRIPTION = "benchmark.yaml"  # in the folder of a benchmark of one's own
READERS = {
    "editbench": "insightedit.evaluate.readers.editbench:EditBench",
    "gedit": "insightedit.evaluate.readers.gedit:GEdit",
    "imgedit": "insightedit.evaluate.readers.imgedit:ImgEdit",
    "magicbrush": "insightedit.evaluate.readers.magicbrush:MagicBrush",
    "pairs": "insightedit.evaluate.readers.pairs:Pairs",
    "reason_edit": "insightedit.evaluate.readers.reason_edit:ReasonEdit",
    "scenes": "insightedit.evaluate.readers.rendered:RenderedScenes",
}


class Reader(Protocol):
    """A layout; its fields are its knobs, `path` among them unless it needs no files."""

    def read(self, benchmark: str) -> Read:
        """All samples; nothing but small files is opened.

        Raises:
            InputError: the layout is another one as a whole.
        """


class GroupKnobs(Knobs):
    """See `sample.Group`."""

    categories: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    weight_by_size: bool = True


class Description(Knobs):
    """A benchmark's YAML."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    version: int = Field(ge=1)  # raise it whenever a number could change
    title: str = ""
    reader: str = "pairs"
    knobs: dict[str, Any] = {}  # of the reader: facts of the layout
    expected: tuple[int, ...] = ()  # counts of samples that are known to circulate; () = any
    profiles: tuple[str, ...] = Field(("background_strict",), min_length=1)  # the default first
    groups: dict[str, GroupKnobs] = {}
    homepage: str = ""
    licence: str = ""
    citation: str = ""
    remarks: tuple[str, ...] = ()


def names() -> list[str]:
    """The benchmarks that are described here."""
    return sorted(path.stem for path in shipped("configs/benchmarks").glob("*.yaml"))


def describe(name: str) -> Description:
    """The description of a benchmark by name, by the path of its YAML, or by the folder of one's own.

    Raises:
        ConfigError: no such benchmark (the nearest is suggested), or its YAML is wrong.
    """
    folder = Path(name)
    if not folder.is_dir():
        return load(Description, preset_path("benchmarks", name))
    if not (folder / DESCRIPTION).is_file():
        return Description(name=_word(folder.resolve().name), version=1, title=f"the pairs in {folder}")
    found = load(Description, folder / DESCRIPTION)
    if found.reader != "pairs" or found.knobs:  # a folder from somebody else names no place outside itself
        why = "a folder's own description may use the reader 'pairs' without knobs only"
        raise ConfigError(f"cannot use {folder / DESCRIPTION}", why, "Leave out `reader` and `knobs`, or use --set")
    return found


def open_benchmark(
    name: str, path: Path | None = None, settings: Sequence[str] = (), partial: bool = False
) -> Benchmark:
    """A benchmark, read and counted; no picture is opened.

    Args:
        name: of `names()`; or a YAML like those; or a folder of one's own, see `readers.pairs`.
        path: where its files are; not needed for rendered scenes and for a folder of one's own.
        settings: "key=value" over the reader's knobs.
        partial: what is missing is a remark instead of an error.

    Raises:
        ConfigError: no such benchmark or profile; a wrong knob.
        InputError: its files are missing, of another layout, or not as many as published.
    """
    about = describe(name)
    for profile in about.profiles:
        get(profile)
    place = Path(name) if Path(name).is_dir() else path
    reader = _reader(about, place, settings)
    found = reader.read(about.name)
    samples = tuple(_distinct(found.samples))
    if not samples:
        raise InputError(f"benchmark '{about.name}' has no samples", f"{place} holds none", "Check the path")
    missing = [*found.missing, *_miscount(about, len(samples))]
    if missing and not partial:
        why = "; ".join(missing)
        raise InputError(f"benchmark '{about.name}' is not complete", why, "Fetch what is missing, or --allow-partial")
    return Benchmark(
        name=about.name,
        version=about.version,
        title=about.title,
        samples=samples,
        profiles=about.profiles,
        groups=_groups(about, samples),
        missing=tuple(missing),
        remarks=(*about.remarks, *found.remarks),
        licence=about.licence,
        citation=about.citation,
        settings={**about.knobs, **parse(settings)},
    )


def _reader(about: Description, path: Path | None, settings: Sequence[str]) -> Reader:
    kind = pick(READERS, about.reader, "reader of benchmarks")
    needs_path = "path" in kind.model_fields
    values = {**about.knobs, **parse(settings)}
    if path is not None:
        if not needs_path:
            raise ConfigError(f"benchmark '{about.name}' has no files", f"{path} was given", "Leave the path out")
        values["path"] = path
    if needs_path and "path" not in values:
        from_where = f"Fetch it from {about.homepage} and say" if about.homepage else "Say"
        mend = f"{from_where} where it is. Expected layout: {kind.layout()}"
        raise InputError(f"benchmark '{about.name}' needs its files", "they do not come with insightedit", mend)
    return cast(Reader, validate(kind, values, f"the knobs of benchmark '{about.name}'"))


def _distinct(samples: Sequence[Sample]) -> list[Sample]:
    """Samples with ids of their own: a repeated one gets a number, and the fault that it is repeated."""
    seen: dict[str, int] = {}
    taken = {sample.id for sample in samples}
    found = []
    for sample in samples:
        if sample.id in seen:
            times = seen[sample.id] = seen[sample.id] + 1
            while (name := f"{sample.id}#{times}") in taken:
                times += 1
            taken.add(name)
            fault = Fault("duplicate_id", f"sample '{sample.id}' comes {seen[sample.id]} times")
            sample = replace(sample, id=name, fault=fault)
        else:
            seen[sample.id] = 1
        found.append(sample)
    return found


def _miscount(about: Description, count: int) -> list[str]:
    if not about.expected or count in about.expected:
        return []
    return [f"{count} samples are there, {' or '.join(map(str, about.expected))} were published"]


def _groups(about: Description, samples: Sequence[Sample]) -> tuple[Group, ...]:
    """The groups that are described; one of all samples, if none is. Those that no sample is in are left out."""
    groups = [Group(name, **knobs.model_dump()) for name, knobs in about.groups.items()] or [Group("all")]
    return tuple(group for group in groups if any(map(group.takes, samples)))


def _word(name: str) -> str:
    plain = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-" for letter in name)
    return plain.lstrip("._-") or "own"
