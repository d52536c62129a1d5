"""YAML presets + `--set key=value` -> frozen models; unknown keys are refused with a suggestion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from insightedit.core.errors import ConfigError
from insightedit.core.files import shipped, write_text
from insightedit.core.lookup import suggest


class Knobs(BaseModel):
    """Base of all configuration models: frozen, strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


K = TypeVar("K", bound=Knobs)


def preset_path(kind: str, name: str) -> Path:
    """The YAML of a preset by name (configs/KIND/NAME.yaml), or the file itself if `name` is a path to one.

    Raises:
        ConfigError: no such preset; the nearest name is suggested.
    """
    given = Path(name)
    if given.suffix in (".yaml", ".yml"):
        if not given.is_file():
            raise ConfigError(f"no configuration file {given}", "it does not exist", "Check the path")
        return given
    folder = shipped(f"configs/{kind}")
    known = {path.stem: path for path in folder.glob("*.yaml")}
    if name not in known:
        raise ConfigError(f"no {kind} preset '{name}'", f"{folder} has none of that name", suggest(name, known))
    return known[name]


def load(model: type[K], path: Path, settings: Sequence[str] = ()) -> K:
    """Read a YAML file, apply `key.path=value` settings in order, validate.

    Args:
        model: the configuration class.
        path: the YAML file.
        settings: "a.b=value"; the value is read as YAML, so `[1, 2]`, `true` and `null` mean what they say.

    Raises:
        ConfigError: not YAML, an unknown key (with a suggestion), or a value of the wrong kind.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read {path}", str(error).replace("\n", " "), "Mend the file") from error
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ConfigError(f"cannot use {path}", "its top level is not a mapping", "Write `key: value` lines")
    values = {key: {} if value is None and _is_section(model, key) else value for key, value in values.items()}
    for setting in settings:
        _apply(values, setting)
    return validate(model, values, str(path))


def parse(settings: Sequence[str]) -> dict[str, Any]:
    """`["a.b=1", "c=x"]` -> {"a": {"b": 1}, "c": "x"}, to be validated; values are read as YAML.

    Raises:
        ConfigError: one is not key=value, or its value is not YAML.
    """
    values: dict[str, Any] = {}
    for setting in settings:
        _apply(values, setting)
    return values


def _apply(values: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"cannot use --set {setting!r}", "it is not key=value", "Write --set judge.min_changed=8")
    *path, last = key.strip().split(".")
    for part in path:
        inner = values.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"cannot set '{key}'", f"'{part}' is a value, not a section", "Set that value itself")
        values = inner
    try:
        values[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"cannot use --set {setting!r}", "its value is not YAML", "Quote the value") from error


def validate(model: type[K], values: dict[str, Any], origin: str) -> K:
    """A plain mapping -> the model.

    Raises:
        ConfigError: naming the first offending key and what was expected.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = _section(model, first["loc"][:-1])
            mend = suggest(str(first["loc"][-1]), known)
            raise ConfigError(f"unknown key '{key}' in {origin}", "no part of the toolkit reads it", mend) from error
        why = f"{first['msg']} (got {str(first['input'])[:80]!r})"
        raise ConfigError(f"wrong value for '{key}' in {origin}", why, "Change it or leave it out") from error


def _is_section(model: type[BaseModel], key: str) -> bool:
    """A section written without keys ("judge:") means its defaults."""
    annotation = model.model_fields[key].annotation if key in model.model_fields else None
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _section(model: type[BaseModel], path: Sequence[Any]) -> list[str]:
    """Names of the keys that the section at `path` knows."""
    at: Any = model
    for part in path:
        if isinstance(at, type) and issubclass(at, BaseModel) and str(part) in at.model_fields:
            at = at.model_fields[str(part)].annotation
        elif get_origin(at) is dict:  # a section for each name: any name leads to the same kind
            at = get_args(at)[1]
    return list(at.model_fields) if isinstance(at, type) and issubclass(at, BaseModel) else list(model.model_fields)


def write(config: Knobs, path: Path, header: str = "") -> None:
    """Write the effective configuration as YAML, so that any output says how it was made."""
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_text(path, (f"# {header}\n" if header else "") + text)
