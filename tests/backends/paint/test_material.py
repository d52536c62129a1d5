"""Properties of remaking in another material, on a drawn shaded ball."""

import cv2
import numpy as np
import pytest
from scipy.stats import spearmanr

from insightedit.backends.paint.material import MATERIALS, METALS, TEXTURES, remake, suitable_materials


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray]:
    """A photograph uint8 (180, 240, 3) of a matt red ball on gray and its mask bool (180, 240)."""
    y, x = np.mgrid[:180, :240].astype(np.float32)
    mask = np.hypot(y - 90, x - 120) <= 60
    light = 1.15 - 0.75 * np.hypot(y - 62, x - 92) / 120
    image = np.where(mask[..., None], np.array((205, 60, 50)) * light[..., None], (120, 120, 118))
    noise = np.random.default_rng(0).normal(0, 2, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8), mask


@pytest.mark.parametrize("material", MATERIALS)
def test_only_the_object_changes_and_it_does(scene, material):
    image, mask = scene
    painted = remake(image, mask, material)
    assert (painted.image[~painted.support] == image[~painted.support]).all()
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    assert away[painted.support].max() <= 6
    assert np.abs(painted.image[mask].astype(int) - image[mask]).mean() > 15


@pytest.mark.parametrize("material", METALS)
def test_a_metal_keeps_the_order_of_light_and_gains_contrast(scene, material):
    image, mask = scene
    before, after = (
        cv2.cvtColor(cv2.GaussianBlur(x, (0, 0), 2), cv2.COLOR_RGB2LAB)[..., 0][mask].astype(float)
        for x in (image, remake(image, mask, material).image)
    )
    assert spearmanr(before, after).statistic > 0.9
    assert after.std() > before.std()


@pytest.mark.parametrize("material", TEXTURES)
def test_a_texture_is_lit_like_the_object(scene, material):
    image, mask = scene
    light = cv2.cvtColor(remake(image, mask, material).image, cv2.COLOR_RGB2LAB)[..., 0].astype(float)
    assert light[50:75, 80:110].mean() > light[110:135, 135:160].mean() + 10


@pytest.mark.parametrize("material", MATERIALS)
def test_equal_input_gives_equal_output(scene, material):
    image, mask = scene
    assert (remake(image, mask, material).image == remake(image.copy(), mask.copy(), material).image).all()


@pytest.mark.parametrize("material", MATERIALS)
def test_tiny_border_touching_and_empty_masks_work(scene, material):
    image, mask = scene
    for window in (np.s_[0:1, 0:1], np.s_[:, 236:], np.s_[90:93, 100:140], np.s_[0:0, 0:0]):
        small = np.zeros_like(mask)
        small[window] = True
        painted = remake(image, small, material)
        assert (painted.image[~painted.support] == image[~painted.support]).all()
        assert isinstance(suitable_materials(image, small), list)


def test_a_smooth_shaded_ball_takes_everything_and_a_flat_patch_no_metal(scene):
    image, mask = scene
    assert set(suitable_materials(image, mask)) <= set(MATERIALS)
    assert set(METALS) <= set(suitable_materials(image, mask))
    flat = np.where(mask[..., None], np.uint8([150, 60, 50]), image)
    assert not set(METALS) & set(suitable_materials(flat, mask))


def test_an_unknown_material_is_refused_with_the_known_ones(scene):
    with pytest.raises(ValueError, match="golden"):
        remake(*scene, "velvet")
