"""What is installed, which endpoints answer, and whether presets can run; `needs` says what they ask for.

The network is used for one thing, asking endpoints for their models; torch is imported only to ask for devices.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from insightedit import __version__
from insightedit.app.needs import Disk, Lack, Needs, Presets, Weights
from insightedit.backends.chat.settings import (
    BASE_URL_ENV,
    KEY_ENV,
    MODEL_ENV,
    OPENAI_KEY_ENV,
    ChatKnobs,
    need_chat,
    resolve,
)
from insightedit.core.errors import ConfigError, InputError, InsightEditError, one_line
from insightedit.core.files import shipped

if TYPE_CHECKING:
    from packaging.requirements import Requirement

EXTRAS = ("models", "chat", "train", "export", "ray", "web")
VARIABLES = (BASE_URL_ENV, MODEL_ENV, KEY_ENV, OPENAI_KEY_ENV)  # whether they are set is told, never what they hold
ASK_S = 4.0  # for an endpoint to list its models
ANY = "any model"  # stands for the model where only an address or a key is named


@dataclass(frozen=True)
class Package:
    """A distribution that is wanted: `version` is "" where it is absent; `fits` the wanted range."""

    name: str
    wanted: str
    version: str
    fits: bool


@dataclass(frozen=True)
class Endpoint:
    """A chat endpoint; `answers` is None where it was not asked. The key is never part of it."""

    address: str
    model: str
    key_env: str
    key_set: bool
    answers: bool | None
    detail: str
    mend: str = ""


# What is installed


def requirements() -> dict[str, list[Requirement]]:
    """Extra ("" for the base) -> what it wants, from the checkout's pyproject.toml, else from the installation."""
    from packaging.requirements import Requirement

    try:
        project = tomllib.loads(shipped("pyproject.toml").read_text(encoding="utf-8"))["project"]
        lines = {"": project["dependencies"], **project["optional-dependencies"]}
        return {extra: [Requirement(line) for line in wanted] for extra, wanted in lines.items()}
    except InputError:
        found: dict[str, list[Requirement]] = {}
        for one in map(Requirement, importlib.metadata.requires("insightedit") or ()):
            for extra in ("", *EXTRAS):
                if (extra == "" and one.marker is None) or (one.marker and f'extra == "{extra}"' in str(one.marker)):
                    found.setdefault(extra, []).append(one)
        return found


def packages(extra: str, wanted: Mapping[str, Sequence[Requirement]]) -> list[Package]:
    """The packages of an extra, those of extras within it included."""
    found = []
    for one in wanted.get(extra, ()):
        if one.name == "insightedit":
            found += [package for inner in sorted(one.extras) for package in packages(inner, wanted)]
            continue
        try:
            version = importlib.metadata.version(one.name)
        except importlib.metadata.PackageNotFoundError:
            version = ""
        fits = bool(version) and one.specifier.contains(version, prereleases=True)
        found.append(Package(one.name, str(one.specifier), version, fits))
    return found


def devices() -> tuple[list[dict[str, Any]], str]:
    """The devices that torch sees with their memory, and why torch cannot be asked, or ""."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    found: list[dict[str, Any]] = [{"name": "cpu", "what": platform.machine(), "memory_bytes": memory}]
    if importlib.util.find_spec("torch") is None:
        return found, "torch is not installed"
    if why := broken("torch"):
        return found, why
    import torch

    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        found.append({"name": f"cuda:{index}", "what": about.name, "memory_bytes": about.total_memory})
    if torch.backends.mps.is_available():
        found.append({"name": "mps", "what": "Apple", "memory_bytes": memory})
    return found, ""


def broken(library: str) -> str:
    """Why an installed library cannot be imported, or "". Wrong builds raise RuntimeError or OSError at import."""
    try:
        importlib.import_module(library)
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        return f"{library} cannot be imported: {one_line(error)}"
    return ""


def torchvision(torch_works: bool) -> str:
    """Its state. "absent" is fine; "broken: why" breaks every network, since others only look whether it is there."""
    if importlib.util.find_spec("torchvision") is None:
        return "absent"
    if not torch_works:
        return "not tried: torch does not work"
    why = broken("torchvision")
    return f"broken: {why}" if why else "ok"


# Endpoints


ChatKnobsKey = tuple[str, str, str]  # address, model, variable of the key


def ask_all(chats: Iterable[ChatKnobs], asked: bool) -> dict[ChatKnobsKey, Endpoint]:
    """Ask each endpoint once for its models, all at the same time.

    Args:
        chats: where; equal ones are asked once.
        asked: ask also where the environment names neither key nor address.
    """
    different = {key_of(chat): chat for chat in chats}

    async def every() -> list[Endpoint]:
        return await asyncio.gather(*(_ask(chat, asked) for chat in different.values()))

    return dict(zip(different, asyncio.run(every()), strict=True)) if different else {}


def key_of(chat: ChatKnobs) -> ChatKnobsKey:
    """What tells endpoints apart here."""
    return chat.base_url, chat.model, chat.key_env


async def _ask(chat: ChatKnobs, asked: bool) -> Endpoint:
    try:
        target = resolve(chat)
    except ConfigError as error:
        return Endpoint(chat.base_url, chat.model, chat.key_env, False, False, f"{error.what}: {error.why}", error.mend)
    about = Endpoint(target.shown, target.model, target.key_env, bool(target.key.get_secret_value()), None, "not asked")
    if not (asked or endpoint_named() or about.key_set):
        return about
    try:
        need_chat()
        from insightedit.backends.chat.client import Chat

        async with Chat(chat.model_copy(update={"connect_s": ASK_S})) as client:
            offered = await asyncio.wait_for(client.models(), ASK_S)
    except InsightEditError as error:
        return replace(about, answers=False, detail=f"{error.what}: {error.why}", mend=error.mend)
    except TimeoutError:
        return replace(about, answers=False, detail=f"no answer within {ASK_S:g} s", mend="See that it runs")
    lacking = offered and target.model not in (ANY, *offered)
    detail = f"does not list {target.model}; it lists {', '.join(offered[:5])}" if lacking else "answers"
    return replace(about, answers=True, detail=detail)


def endpoint_named() -> bool:
    """Whether the environment names a key or an address."""
    return any(os.environ.get(name, "").strip() for name in (BASE_URL_ENV, KEY_ENV, OPENAI_KEY_ENV))


# All of it


def examine(names: Sequence[str] = (), ask: bool = False) -> dict[str, Any]:
    """The whole report, as JSON knows it; `ready` is whether the presets that were asked for can run.

    Args:
        names: build presets, files of them, editors, "demo"; none: all are shown, and `demo` decides.
        ask: ask endpoints of presets that were not named, too, where the environment names neither key nor address.

    Raises:
        ConfigError: no such preset; the nearest is suggested.
    """
    disk = Disk()
    presets = Presets(disk)
    needs = {name: presets.needs(name) for name in names or presets.listed}
    chats = [chat for one in needs.values() for chat in one.chats]
    if ask or endpoint_named():
        chats += [] if chats else [ChatKnobs(model=os.environ.get(MODEL_ENV, "") or ANY)]
    endpoints = ask_all(chats, ask or bool(names))
    wanted = requirements()
    extras = {extra: packages(extra, wanted) for extra in ("", *EXTRAS)}
    found, why = devices()
    vision = torchvision(not why)
    free = shutil.disk_usage(disk.place).free
    site = Site(extras, endpoints, [one["name"] for one in found], why, vision, free)
    told = [{"name": name, **site.judge(one)} for name, one in needs.items()]
    decide = names or ("demo",)
    return {
        "ready": all(one["ready"] for one in told if one["name"] in decide),
        "insightedit": __version__,
        "python": platform.python_version(),
        "packages": [asdict(one) for one in extras[""]],
        "extras": [_extra(extra, extras[extra]) for extra in EXTRAS],
        "torchvision": vision,
        "devices": found,
        "torch": why or "ok",
        "disk": {"folder": str(disk.place), "free_bytes": free},
        "weights": [asdict(one) for one in _weights(disk if not names else None, needs.values())],
        "environment": {name: bool(os.environ.get(name, "").strip()) for name in VARIABLES},
        "chat": [asdict(one) for one in endpoints.values()],
        "presets": told,
    }


@dataclass(frozen=True)
class Site:
    """This installation, to be held against what presets need."""

    extras: Mapping[str, Sequence[Package]]
    endpoints: Mapping[ChatKnobsKey, Endpoint]
    devices: Sequence[str]
    torch: str  # why it cannot be asked, or ""
    torchvision: str
    free_bytes: int

    def judge(self, needs: Needs) -> dict[str, Any]:
        """Whether it can run, what it lacks, and what remains to be downloaded."""
        lacks = [*needs.lacks, *self._packages(""), *(self._packages("chat") if needs.chats else ())]
        if needs.weights:
            lacks += [*self._packages("models"), *self._neural()]
        missing = {one.name: one for one in needs.weights if one.state != "present"}
        lacks += [_missing(one) for one in missing.values()]
        download = sum(one.size_bytes for one in missing.values())
        if download > self.free_bytes:
            what = f"{gigabytes(download)} to download, {gigabytes(self.free_bytes)} free on the disk of the cache"
            lacks.append(Lack(what, "Set HF_HOME to a folder on a larger disk"))
        lacks += [lack for chat in needs.chats for lack in _silent(self.endpoints[key_of(chat)])]
        lacks += [
            Lack(f"device {name} is not there", f"Devices: {', '.join(self.devices)}")
            for name in sorted(needs.devices - {"auto"})
            if name not in self.devices and f"{name}:0" not in self.devices
        ]
        lacks += _small_model() if needs.scenes else []
        lacks = list(dict.fromkeys(lacks))
        return {
            "ready": not lacks,
            "lacks": [asdict(one) for one in lacks],
            "weights": list(dict.fromkeys(one.name for one in needs.weights)),
            "download_bytes": download,
        }

    def _packages(self, extra: str) -> list[Lack]:
        wrong = [one for one in self.extras[extra] if not one.fits]
        if not wrong:
            return []
        said = (
            f"{one.name} {one.version}, wanted {one.wanted}" if one.version else f"{one.name} missing" for one in wrong
        )
        return [Lack("; ".join(said), install(extra))]

    def _neural(self) -> list[Lack]:
        there = all(one.fits for one in self.extras["models"] if one.name == "torch")
        lacks = [Lack(self.torch, install("models"))] if self.torch and there else []
        if self.torchvision.startswith("broken"):
            lacks.append(Lack(f"torchvision is {self.torchvision}", "pip uninstall torchvision; nothing here needs it"))
        return lacks


def install(extra: str) -> str:
    """The command that installs an extra."""
    return f"pip install 'insightedit[{extra}]'" if extra else "pip install insightedit"


def gigabytes(size: float) -> str:
    """Bytes for people; 1 GB is 10^9."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _extra(extra: str, found: Sequence[Package]) -> dict[str, Any]:
    missing = [one.name for one in found if not one.fits]
    return {"name": extra, "missing": missing, "install": install(extra), "packages": [asdict(one) for one in found]}


def _missing(one: Weights) -> Lack:
    size = f" ({gigabytes(one.size_bytes)})" if one.size_bytes else ""
    if one.state == "by hand":
        return Lack(f"no folder or file {one.name}", f"Get it from {one.url}" if one.url else "Check the path")
    page = f"https://huggingface.co/{one.name}"
    terms = f"Accept its terms on {page} and run `hf auth login`; then the" if one.gated else "The"
    half = "only part of " if one.state == "partial" else ""
    return Lack(f"{half}{one.name}{size} is {'here' if half else 'missing'}", f"{terms} first run downloads it")


def _silent(endpoint: Endpoint) -> list[Lack]:
    if endpoint.answers is None or endpoint.answers:
        return []
    return [Lack(endpoint.detail, endpoint.mend)]


def _small_model() -> list[Lack]:
    """Load the small model, which takes a second: files that are there may not fit together."""
    from insightedit.editors.table import make

    try:
        make("scenes").setup()
    except InsightEditError as error:
        return [Lack(f"{error.what}: {error.why}", error.mend)]
    return []


def _weights(disk: Disk | None, needs: Iterable[Needs]) -> list[Weights]:
    """Those that presets need, after all of configs/models.yaml where `disk` is given; each once."""
    listed = {name: disk.find(name) for name in disk.known} if disk else {}
    return list({**listed, **{one.name: one for preset in needs for one in preset.weights}}.values())
