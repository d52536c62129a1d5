"""Configuration: presets, settings, and mistakes that name themselves."""

from __future__ import annotations

import pytest
import yaml
from pydantic import ValidationError

from insightedit.core.config import Knobs, load, parse, preset_path, validate, write
from insightedit.core.errors import ConfigError
from insightedit.core.files import shipped


class Inner(Knobs):
    min_quality: float = 0.5
    names: tuple[str, ...] = ()


class Outer(Knobs):
    preset: str = ""
    seed: int = 0
    maybe: int | None = 3
    judge: Inner = Inner()


@pytest.fixture
def file(tmp_path):
    def written(text: str):
        path = tmp_path / "recipe.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return written


def refusal(path, *settings) -> str:
    with pytest.raises(ConfigError) as caught:
        load(Outer, path, settings)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_file_says_what_differs_from_the_defaults(file):
    assert load(Outer, file("seed: 4\njudge: {min_quality: 0.7}")) == Outer(seed=4, judge=Inner(min_quality=0.7))


def test_an_empty_file_means_all_defaults(file):
    assert load(Outer, file("")) == load(Outer, file("# nothing but a remark\n")) == Outer()


def test_settings_are_yaml_and_the_last_one_holds(file):
    settings = ["seed=1", "judge.names=[a, b]", "judge.min_quality=.25", "maybe=null", "preset='x=y'", "seed=2"]
    wanted = Outer(preset="x=y", seed=2, maybe=None, judge=Inner(min_quality=0.25, names=("a", "b")))
    assert load(Outer, file("seed: 9"), settings) == wanted


def test_an_unknown_key_is_refused_with_a_suggestion(file):
    assert "unknown key 'sed'" in refusal(file("sed: 4")) and "Did you mean 'seed'?" in refusal(file("sed: 4"))
    inner = refusal(file(""), "judge.min_qualty=1")
    assert (
        "unknown key 'judge.min_qualty'" in inner and "Did you mean 'min_quality'? Known: min_quality, names" in inner
    )


@pytest.mark.parametrize(
    ("text", "setting", "key"),
    [
        ("seed: many", None, "seed"),
        ("judge: 5", None, "judge"),
        ("", "judge.min_quality=high", "judge.min_quality"),
        ("", "judge.names=a", "judge.names"),
        ("judge: {names: [a, {b: c}]}", None, "judge.names.1"),
        ("1: 2", None, "1"),
    ],
)
def test_a_wrong_value_is_refused_by_its_full_name(file, text, setting, key):
    assert f"wrong value for '{key}'" in refusal(file(text), *([setting] if setting else []))


@pytest.mark.parametrize("text", ["[]", "- a\n- b", "false", "just words", "7"])
def test_a_file_that_is_no_mapping_is_refused(file, text):
    assert "its top level is not a mapping" in refusal(file(text))


@pytest.mark.parametrize("text", ["a: [", "a:\n\t- b", "a: !!python/object/apply:os.system [true]", "a: \x00"])
def test_what_is_not_plain_yaml_is_refused(file, text):
    assert "cannot read" in refusal(file(text))


def test_a_file_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    assert "cannot read" in refusal(path)
    assert "cannot read" in refusal(tmp_path)


@pytest.mark.parametrize("setting", ["seed", "=4", "  =4"])
def test_a_setting_without_key_or_value_is_refused(file, setting):
    assert "it is not key=value" in refusal(file(""), setting)


def test_a_setting_below_a_value_is_refused(file):
    assert "'seed' is a value, not a section" in refusal(file("seed: 3"), "seed.x=1")
    assert "its value is not YAML" in refusal(file(""), "seed=[1")


def test_the_effective_configuration_reads_back_as_itself(tmp_path):
    config = Outer(preset="ö", seed=3, maybe=None, judge=Inner(names=("a: b", "#c")))
    write(config, tmp_path / "config.yaml", "a remark")
    assert (tmp_path / "config.yaml").read_text(encoding="utf-8").startswith("# a remark\n")
    assert load(Outer, tmp_path / "config.yaml") == config


def test_presets_go_by_name_or_by_file(file):
    assert preset_path("build", "offline") == shipped("configs/build") / "offline.yaml"
    path = file("seed: 1")
    assert preset_path("build", str(path)) == path
    with pytest.raises(ConfigError, match=r"no build preset 'ofline'.*Did you mean 'offline'"):
        preset_path("build", "ofline")
    with pytest.raises(ConfigError, match="no configuration file"):
        preset_path("build", str(path.with_name("other.yaml")))
    with pytest.raises(ConfigError):
        preset_path("build", "../build/offline")


def test_every_shipped_preset_is_a_mapping_that_names_itself():
    for path in shipped("configs/build").glob("*.yaml"):
        assert yaml.safe_load(path.read_text())["preset"] == path.stem


def test_knobs_cannot_be_changed():
    with pytest.raises(ValidationError):
        Outer().seed = 4


def test_settings_alone_become_values_read_as_yaml():
    assert parse(["a.b=1", "a.c=[x, y]", "d=", "a.b=2"]) == {"a": {"b": 2, "c": ["x", "y"]}, "d": None}
    for wrong in ("seed", "=3", "a={"):
        with pytest.raises(ConfigError, match="--set"):
            parse([wrong])


def test_a_typo_inside_a_named_section_gets_a_suggestion_from_that_section():
    class Inner(Knobs):
        share: float = 0.5

    class Outer(Knobs):
        parts: dict[str, Inner] = {}

    with pytest.raises(ConfigError, match=r"unknown key 'parts\.mine\.shar'.*Did you mean 'share'"):
        validate(Outer, {"parts": {"mine": {"shar": 1}}}, "here")
