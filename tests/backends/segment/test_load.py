"""Weights are loaded whole or not at all, from the layouts that they are published in."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from insightedit.backends.segment.detect import Detector, DetectorKnobs
from insightedit.backends.segment.sam import Sam, SamKnobs
from insightedit.backends.segment.sam3 import Sam3, Sam3Knobs
from insightedit.core.errors import ConfigError, InputError


def ready(kind: str, folder):
    """The back end of a kind, set up from a folder."""
    if kind in ("sam", "sam2"):
        made = Sam(SamKnobs(model=str(folder)), "cpu")
    elif kind == "sam3":
        made = Sam3(Sam3Knobs(model=str(folder), device="cpu"))
    else:
        made = Detector(DetectorKnobs(model=str(folder)), "cpu")
    made.setup()
    return made


@pytest.fixture
def copy(weights, tmp_path):
    return lambda kind: shutil.copytree(weights[kind], tmp_path / kind)


@pytest.mark.parametrize("kind", ["grounding-dino", "mm-grounding-dino", "2023", "sam", "sam2", "sam3"])
def test_partial_weights_are_refused_and_the_missing_one_is_named(copy, kind):
    folder = copy(kind)
    tensors = load_file(folder / "model.safetensors")
    gone = max(tensors, key=lambda name: tensors[name].size)
    save_file(
        {name: one for name, one in tensors.items() if name != gone}, folder / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(InputError, match="partial") as error:
        ready(kind, folder)
    assert gone.split(".")[-1] in error.value.why


def test_weights_cut_short_are_refused(copy):
    folder = copy("sam")
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="cannot load"):
        ready("sam", folder)


def test_another_kind_of_network_is_refused_with_what_it_is(weights):
    with pytest.raises(InputError, match="holds a 'grounding-dino'"):
        ready("sam", weights["grounding-dino"])
    with pytest.raises(InputError, match="holds a 'sam'"):
        ready("grounding-dino", weights["sam"])


def test_folders_that_are_none_are_refused(tmp_path, weights):
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError):
            ready("sam", folder)
    (tmp_path / "config.json").write_text("{ not json")
    with pytest.raises(InputError):
        ready("sam", tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError):
        ready("sam", tmp_path)


def test_a_detector_without_its_tokenizer_is_refused(copy):
    folder = copy("2023")
    for name in ("vocab.txt", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(InputError):
        ready("2023", folder)


def test_a_device_that_is_not_there_is_refused_before_weights_are_read(tmp_path):
    with pytest.raises(ConfigError, match="device"):
        Detector(DetectorKnobs(model=str(tmp_path)), "cuda:99").setup()


def test_the_layout_of_2023_gives_the_same_boxes(loaded, photo):
    old, new = loaded("2023"), loaded("grounding-dino")
    told = [one.scored([photo], [[one.read("red car"), one.read("dog")]])[0] for one in (old, new)]
    assert np.array_equal(told[0].boxes, told[1].boxes) and np.array_equal(told[0].best, told[1].best)


def test_the_picture_half_of_a_video_checkpoint_is_the_picture_network(copy, loaded, photo):
    folder = copy("sam2")
    tensors = load_file(folder / "model.safetensors")
    extra = {**tensors, "memory_encoder.projection.weight": np.ones((2, 2), np.float32)}
    save_file(extra, folder / "model.safetensors", {"format": "pt"})
    boxes = [[(5, 5, 40, 40)]]
    (with_extra,), (without,) = (one.masks([photo], boxes)[0] for one in (ready("sam2", folder), loaded("sam2")))
    assert np.array_equal(with_extra[0].full(), without[0].full()) and with_extra[1] == without[1]


def test_sam3_loads_from_the_layout_of_its_video_model(copy, weights, photo):
    folder = copy("sam3")
    tensors = {f"detector_model.{name}": one for name, one in load_file(folder / "model.safetensors").items()}
    tensors["tracker_model.no_memory_embedding"] = np.ones((1, 1, 4), np.float32)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    inner = json.loads((folder / "config.json").read_text())
    outer = {"model_type": "sam3_video", "architectures": ["Sam3VideoModel"], "detector_config": inner}
    (folder / "config.json").write_text(json.dumps(outer))
    told = [
        one._ask(one._see(photo), one._read("dog"), photo)
        for one in (ready("sam3", folder), ready("sam3", weights["sam3"]))
    ]
    assert np.array_equal(told[0].scores, told[1].scores)
