"""What every painter promises, shown on painters without networks; and the table of the real ones."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from fake_painters import Noise

from insightedit.backends.paint.painter import Canvas
from insightedit.backends.paint.table import PAINTERS, make
from insightedit.core.errors import BackendError, ConfigError, UnknownName


def canvas(height: int = 64, width: int = 64, seed: int = 0, task="remove") -> Canvas:
    hole = np.zeros((height, width), bool)
    hole[8:24, 8:24] = True
    return Canvas(np.full((height, width, 3), 90, np.uint8), hole, "", "", task, seed)


def test_canvases_of_all_sizes_come_back_in_order():
    canvases = [canvas(64, 64, 1), canvas(64, 128, 2), canvas(64, 64, 3), canvas(128, 64, 4), canvas(64, 64, 5, "add")]
    painted = Noise(batch_size=8).paint(canvases)
    for one, image in zip(canvases, painted, strict=True):
        assert np.array_equal(image, Noise().paint([one])[0])


def test_only_canvases_of_one_size_and_task_share_a_batch():
    seen = []

    class Watching(Noise):
        def _paint(self, canvases):
            seen.append([(one.image.shape, one.task) for one in canvases])
            return super()._paint(canvases)

    Watching(batch_size=8).paint([canvas(), canvas(64, 128), canvas(), canvas(task="add"), canvas()])
    assert sorted(len(batch) for batch in seen) == [1, 1, 3]
    assert all(len(set(batch)) == 1 for batch in seen)


def test_out_of_memory_halves_the_batch_and_goes_on():
    sizes = []

    class Small(Noise):
        def _paint(self, canvases):
            sizes.append(len(canvases))
            if len(canvases) > 2:
                raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")
            return super()._paint(canvases)

    canvases = [canvas(seed=seed) for seed in range(8)]
    painter = Small(batch_size=8)
    painted = painter.paint(canvases)
    assert sizes[:3] == [8, 4, 2]
    assert all(np.array_equal(a, b) for a, b in zip(painted, Noise().paint(canvases), strict=True))
    sizes.clear()
    painter.paint(canvases)
    assert max(sizes) == 2  # it remembers what fitted


def test_one_canvas_that_never_fits_is_that_canvass_result():
    class Full(Noise):
        def _paint(self, canvases):
            if any(one.seed == 1 for one in canvases):
                raise MemoryError("not here")
            return super()._paint(canvases)

    first, second, third = Full(batch_size=4).attempts([canvas(seed=seed) for seed in range(3)])
    assert isinstance(first, np.ndarray)
    assert isinstance(third, np.ndarray)
    assert isinstance(second, BackendError)
    assert "offload=model" in str(second)
    with pytest.raises(BackendError, match="not here"):
        Full().paint([canvas(seed=1)])


def test_weights_are_loaded_once_and_again_after_release():
    painter = Noise()
    assert painter.loads == 0
    painter.paint([canvas()])
    painter.paint([canvas()])
    assert painter.loads == 1
    painter.release()
    painter.release()
    painter.paint([canvas()])
    assert painter.loads == 2


def test_a_canvas_that_does_not_fit_is_refused_before_anything_is_loaded():
    painter = Noise(multiple=16)
    with pytest.raises(BackendError, match="multiples of 16"):
        painter.paint([canvas(64, 72)])
    assert painter.loads == 0


def test_what_a_painter_returns_is_checked():
    class Wrong(Noise):
        def _paint(self, canvases):
            return [one.image[:8] for one in canvases]

    with pytest.raises(BackendError, match="broke its contract"):
        Wrong().paint([canvas()])


@pytest.mark.parametrize("name", sorted(set(PAINTERS) - {"powerpaint_v1", "powerpaint_v2", "brushnet"}))
def test_painters_of_the_table_are_cheap_to_make_and_pickle(name):
    painter = make(name)
    assert painter.name == name
    again = pickle.loads(pickle.dumps(painter))  # noqa: S301 - our own bytes: workers get painters so
    assert again.settings == painter.settings


def test_unknown_names_and_settings_are_told():
    with pytest.raises(UnknownName, match="Did you mean 'sd_inpaint'"):
        make("sd_inpant")
    with pytest.raises(ConfigError, match="guidance"):
        make("sd_inpaint", guidence=3)
    with pytest.raises(ConfigError, match="wrong value for 'dtype'"):
        make("sd_inpaint", dtype="half")
