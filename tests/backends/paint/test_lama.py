"""LaMa: a TorchScript file, run only if it is the published one or the user trusts it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from insightedit.backends.paint import lama
from insightedit.backends.paint.edit import edit
from insightedit.backends.paint.painter import Canvas
from insightedit.backends.paint.table import make
from insightedit.core.errors import ConfigError, InputError


class Filler(nn.Module):
    """As big-lama.pt is called: (image in [0, 1], hole in {0, 1}) -> image in [0, 1]; takes sides of 8 only."""

    def __init__(self) -> None:
        super().__init__()
        self.blur = nn.Conv2d(4, 3, 5, padding=2)

    def forward(self, image: torch.Tensor, hole: torch.Tensor) -> torch.Tensor:
        assert image.shape[2] % 8 == 0 and image.shape[3] % 8 == 0
        made = torch.sigmoid(self.blur(torch.cat([image * (1 - hole), hole], dim=1)))
        return hole * made + (1 - hole) * image


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("lama") / "big-lama.pt"
    torch.jit.script(Filler()).save(str(path))
    return path


def canvas(height: int, width: int, task="remove") -> Canvas:
    hole = np.zeros((height, width), bool)
    hole[5:20, 10:40] = True
    return Canvas(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8), hole, "", "", task, 0)


def test_a_file_of_another_sum_is_not_run(file):
    with pytest.raises(InputError, match=r"not the published big-lama\.pt.*may run any code.*trusted=true"):
        make("lama", model=str(file), device="cpu").setup()


def test_the_published_sum_is_enough(file, monkeypatch):
    import hashlib

    monkeypatch.setattr(lama, "MD5", hashlib.md5(file.read_bytes()).hexdigest())
    make("lama", model=str(file), device="cpu").setup()


def test_any_size_is_painted_and_the_background_stays(file):
    painter = make("lama", model=str(file), device="cpu", trusted=True, multiple=1, batch_size=3)
    jobs = [canvas(64, 64), canvas(61, 83), canvas(61, 83)]
    for job, painted in zip(jobs, painter.paint(jobs), strict=True):
        assert painted.shape == job.image.shape
        assert np.array_equal(painted[~job.hole], job.image[~job.hole])
        assert np.abs(painted[job.hole].astype(int) - job.image[job.hole]).max() > 0
        assert np.array_equal(painted, painter.paint([job])[0])


def test_a_photograph_is_stitched(file):
    image = np.random.default_rng(0).integers(0, 256, (203, 301, 3), np.uint8)
    mask = np.zeros((203, 301), bool)
    mask[150:203, 0:60] = True
    painted = edit(image, mask, "", "remove", 0, make("lama", model=str(file), device="cpu", trusted=True, side=96))
    assert np.array_equal(painted.image[~painted.support], image[~painted.support])


def test_it_removes_only(file):
    with pytest.raises(ConfigError, match="cannot replace"):
        make("lama", model=str(file), trusted=True).paint([canvas(64, 64, "replace")])


def test_files_that_are_absent_or_no_torchscript_are_told(tmp_path):
    with pytest.raises(ConfigError, match=r"needs a model.*big-lama\.pt"):
        make("lama").setup()
    with pytest.raises(InputError, match="no file"):
        make("lama", model=str(tmp_path / "absent.pt")).setup()
    (tmp_path / "other.pt").write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(InputError, match="cannot load"):
        make("lama", model=str(tmp_path / "other.pt"), device="cpu", trusted=True).setup()


def test_the_engine_is_named_by_its_file(file):
    assert make("lama", model=str(file)).engine().startswith("lama@")
