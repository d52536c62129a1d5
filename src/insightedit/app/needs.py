"""Which public weights are on this disk, and what the settings of a preset ask for. Asks no network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import yaml

from insightedit.backends.chat.settings import ChatKnobs
from insightedit.backends.paint.table import make as make_painter
from insightedit.backends.segment.table import SEGMENTERS
from insightedit.core.config import Knobs, load, preset_path
from insightedit.core.errors import ConfigError, InsightEditError
from insightedit.core.files import read_json, shipped
from insightedit.core.lookup import pick, suggest
from insightedit.core.weights import HUB_ID
from insightedit.editors.table import EDITORS
from insightedit.editors.table import make as make_editor

if TYPE_CHECKING:
    from huggingface_hub import HFCacheInfo

WEIGHTS = {
    "model": "revision",
    "base": "base_revision",
    "vae": "vae_revision",
    "vision": "vision_revision",
}  # fields of settings
OF_BASE = ("vae/*.safetensors",)  # what every user of a base reads of it
DEMO = ("offline", "scenes")  # what `demo` is made of


@dataclass(frozen=True)
class Lack:
    """What a preset still needs, and what to do about it."""

    what: str
    mend: str


@dataclass(frozen=True)
class Weights:
    """An entry of configs/models.yaml, `state` and `folder` as found on this disk; `size_bytes` 0: unknown."""

    name: str  # hub id, or file
    component: str = ""
    used_by: tuple[str, ...] = ()
    files: tuple[str, ...] = ("*.safetensors",)
    size_bytes: int = 0
    size_from: str = ""
    licence: str = "see its card"
    licence_from: str = ""
    gated: str = ""
    url: str = ""
    state: Literal["present", "partial", "missing", "by hand"] = "missing"
    folder: str = ""


@dataclass
class Needs:
    """What a preset's settings ask for."""

    weights: list[Weights] = field(default_factory=list)
    chats: list[ChatKnobs] = field(default_factory=list)
    devices: set[str] = field(default_factory=set)
    lacks: list[Lack] = field(default_factory=list)
    scenes: bool = False


# Weights on this disk


class Disk:
    """What of public weights is on this disk: folders, and the cache of huggingface_hub. Asks no network."""

    def __init__(self) -> None:
        listed = yaml.safe_load(shipped("configs/models.yaml").read_text(encoding="utf-8"))
        self.known = {entry.name: entry for entry in map(_entry, listed)}

    @cached_property
    def _cached(self) -> HFCacheInfo | None:
        from huggingface_hub import CacheNotFound, scan_cache_dir

        try:
            return scan_cache_dir()
        except (CacheNotFound, ValueError):  # there is none yet; something else lies there
            return None

    @cached_property
    def place(self) -> Path:
        """The folder of the cache, or the nearest above it that exists."""
        from huggingface_hub.constants import HF_HUB_CACHE

        here = Path(HF_HUB_CACHE).expanduser().absolute()
        return next(folder for folder in (here, *here.parents) if folder.is_dir())

    def find(self, name: str, revision: str | None = None, files: Sequence[str] = ()) -> Weights:
        """The weights of that name as they are here.

        Args:
            name: a folder, a file, or a hub id.
            revision: branch, tag or commit; None for main.
            files: patterns of what must be there; by default what configs/models.yaml says.
        """
        about = self.known.get(name, Weights(name))
        about = replace(about, files=tuple(files) or about.files)
        here = Path(name).expanduser()
        if here.exists():
            return replace(about, state="present", folder=str(here))
        if not HUB_ID.fullmatch(name):
            return replace(about, state="by hand")
        snapshot = self._snapshot(name, revision or "main")
        if snapshot is None:
            return about
        return replace(about, state="present" if _whole(snapshot, about.files) else "partial", folder=str(snapshot))

    def _snapshot(self, name: str, revision: str) -> Path | None:
        repos = self._cached.repos if self._cached else ()
        for repo in repos:
            if repo.repo_id == name and repo.repo_type == "model":
                fits = (one for one in repo.revisions if revision in one.refs or one.commit_hash == revision)
                return next((Path(one.snapshot_path) for one in fits), None)
        return None


def _entry(values: dict[str, Any]) -> Weights:
    given: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in values.items()}
    return Weights(given.pop("id", "") or given.pop("file"), size_bytes=given.pop("bytes"), **given)


def _whole(folder: Path, patterns: Sequence[str]) -> bool:
    """Every pattern has a file with something in it, and every list of shards all of them."""
    there = {str(file.relative_to(folder).as_posix()) for file in folder.rglob("*") if _filled(file)}
    if not all(any(fnmatch(name, pattern) for name in there) for pattern in patterns):
        return False
    lists = [folder / name for name in there if name.endswith(".index.json")]
    shards = (one.parent / name for one in lists for name in set(read_json(one)["weight_map"].values()))
    return all(_filled(shard) for shard in shards if _wanted(shard.relative_to(folder).as_posix(), patterns))


def _filled(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0


def _wanted(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


# What a preset asks for


class Presets:
    """What can be asked about: build presets and their files, editors, `imagine`, `scenes`, `demo`."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.builds = sorted(path.stem for path in shipped("configs/build").glob("*.yaml"))

    @property
    def listed(self) -> list[str]:
        """Those that are shown where none is asked for."""
        return [*self.builds, "imagine", "scenes", "demo"]

    def needs(self, name: str) -> Needs:
        """What it asks for.

        Raises:
            ConfigError: no such preset; the nearest is suggested.
        """
        found = Needs()
        for part in DEMO if name == "demo" else (name,):
            try:
                self._add(part, found)
            except InsightEditError as error:
                if part not in (*self.builds, *EDITORS):
                    raise
                found.lacks.append(Lack(f"{error.what}: {error.why}", error.mend))
        return found

    def of(self, knobs: Knobs) -> Needs:
        """What any settings ask for."""
        found = Needs()
        self._walk(knobs, found)
        return found

    def _add(self, name: str, found: Needs) -> None:
        if name == "scenes":
            found.scenes = True
        elif name == "imagine":
            from insightedit.construct.imagine.recipe import ImagineRecipe

            self._walk(load(ImagineRecipe, preset_path("imagine", "instruct_pix2pix")), found)
        elif name in EDITORS:
            editor = make_editor(name)
            self._walk(editor.settings, found)
            if getattr(editor.settings, "model", "") is None and not found.weights:
                found.lacks.append(Lack(f"editor '{name}' has no weights of its own", "Give --model FOLDER"))
        elif name in self.builds or Path(name).suffix in (".yaml", ".yml"):
            from insightedit.construct.recipe import Recipe  # which takes seconds: it knows every step

            recipe = load(Recipe, preset_path("build", name))
            self._walk(recipe, found)
            recipe.check()
        else:
            known = {*self.listed, *EDITORS}
            raise ConfigError(f"no preset '{name}'", "no build preset and no editor has that name",
                              suggest(name, known))  # fmt: skip

    def _walk(self, knobs: Knobs, found: Needs, files: Mapping[str, Sequence[str]] | None = None) -> None:
        """Settings -> what they ask for. Sections of ways of working that are not chosen are left out."""
        if isinstance(knobs, ChatKnobs):
            found.chats.append(knobs)
            return
        for name, revision in WEIGHTS.items():
            value = getattr(knobs, name, None)
            if isinstance(value, str) and value:
                wanted = (files or {}).get(name) or (OF_BASE if name == "base" else ())
                found.weights.append(
                    self.disk.find(value, getattr(knobs, revision, None) if revision else None, wanted)
                )
        device = getattr(knobs, "device", "auto")
        found.devices |= {device} if isinstance(device, str) else set()
        self._painter(knobs, found)
        if (segmenter := getattr(knobs, "segmenter", None)) is not None:
            self._walk(pick(SEGMENTERS, segmenter, "segmenter").Settings(**_settings(knobs)), found)
        for inner in chosen(knobs):
            self._walk(inner, found)

    def _painter(self, knobs: Knobs, found: Needs) -> None:
        """A field `painter` names one; its settings are in a mapping beside it."""
        name = getattr(knobs, "painter", None)
        if name is None or getattr(knobs, "per_object", 1) == 0:
            return
        painter = make_painter(name, **_settings(knobs))
        settings: Any = painter.settings
        reads = [file for file in getattr(painter, "base_files", ()) if file.endswith(".safetensors")]
        self._walk(settings, found, {"base": reads})
        if settings.model is None:
            about = next(
                (one for one in self.disk.known.values() if f"painter/{name}" in one.used_by and one.url), None
            )
            where = f"Get {about.name} from {about.url} and name it" if about else "Name a folder or a hub id"
            found.lacks.append(Lack(f"painter '{name}' has no default weights", f"{where} as its `model`"))


def _settings(knobs: Knobs) -> dict[str, Any]:
    return dict(getattr(knobs, "settings", {}))


def chosen(knobs: Knobs) -> Iterator[Knobs]:
    """The sections within a section that a run reads.

    Where there is a `backend`, a section called like another one of its choices is not, nor those that the knobs list
    beside it in `ways`; with the default choice, which asks no network, only sections that the preset writes out are.
    CLIP beside painters is read if it chooses attempts.
    """
    backend = type(knobs).model_fields.get("backend")
    at = getattr(knobs, "backend", None)
    others = set(get_args(backend.annotation)) - {at} if backend else set()
    ways: Mapping[str, Sequence[str]] = getattr(knobs, "ways", {})
    others |= {section for way in others for section in ways.get(way, ())}
    plain = backend is not None and at == backend.default
    choosers = [by for _, value in knobs if (by := getattr(value, "best_by", None)) is not None]
    for name, value in knobs:
        if name in others or (plain and name not in knobs.model_fields_set):
            continue
        if name == "clip" and choosers and "clip" not in choosers:
            continue
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else (value,)
        yield from (one for one in inner if isinstance(one, Knobs))
