"""Properties of masks from boxes, and equality with the published processing."""

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate
from transformers import SamProcessor

from insightedit.backends.segment.sam import MEAN, STD, Sam, SamKnobs
from insightedit.core.errors import BackendError, InputError

BOXES = [(5, 5, 40, 40), (30, 10, 90, 60), (0, 0, 96, 64), (88, 50, 96, 64)]


def made(folder, **knobs) -> Sam:
    one = Sam(SamKnobs(model=str(folder), **knobs), "cpu")
    one.setup()
    return one


@pytest.fixture(scope="module", params=["sam", "sam2"])
def sam(request, loaded) -> Sam:
    return loaded(request.param)


@pytest.mark.parametrize("turned", [False, True])
def test_sam_is_read_as_its_own_processor_reads_it(weights, loaded, photo, turned):
    image = np.ascontiguousarray(photo.transpose(1, 0, 2)) if turned else photo
    boxes = [(y0, x0, y1, x1) if turned else (x0, y0, x1, y1) for x0, y0, x1, y1 in BOXES]
    processor, sam = SamProcessor.from_pretrained(weights["sam"]), loaded("sam")
    given = processor(images=image, input_boxes=[[list(map(float, box)) for box in boxes]], return_tensors="pt")
    assert np.allclose(sam._sheet(image), given["pixel_values"][0].numpy(), atol=1e-5)
    with torch.inference_mode():
        out = sam._net.model(given["pixel_values"], input_boxes=given["input_boxes"].float(), multimask_output=False)
    sizes = given["original_sizes"], given["reshaped_input_sizes"]
    (theirs,) = processor.image_processor.post_process_masks(out.pred_masks, *sizes)
    for (mask, score), full, quality in zip(sam.masks([image], [boxes])[0], theirs, out.iou_scores[0], strict=True):
        assert (mask.full() != full[0].numpy()).mean() < 0.002  # logits next to 0 may fall to the other side
        assert score == pytest.approx(min(1.0, max(0.0, float(quality))), abs=1e-4)


def test_sam2_squashes_the_picture_and_stretches_its_masks_back(loaded, photo):
    sam = loaded("sam2")
    pixels = torch.from_numpy(photo).permute(2, 0, 1)[None].float()  # (1, 3, H, W)
    sheet = interpolate(pixels, (128, 128), mode="bilinear", align_corners=False)  # it only enlarges here
    sheet = (sheet / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    assert np.abs(sam._sheet(photo) - sheet[0].numpy()).max() < 1 / 255 / STD.min()  # one grey level: Pillow rounds
    boxes = torch.tensor([BOXES]).float() * torch.tensor([128 / 96, 2, 128 / 96, 2])
    with torch.inference_mode():
        out = sam._net.model(torch.from_numpy(sam._sheet(photo)[None]), input_boxes=boxes, multimask_output=False)
    theirs = interpolate(out.pred_masks[0], photo.shape[:2], mode="bilinear", align_corners=False) > 0
    for (mask, _), full in zip(sam.masks([photo], [BOXES])[0], theirs, strict=True):
        assert (mask.full() != full[0].numpy()).mean() < 0.002


def test_one_mask_of_the_pictures_size_for_each_box(sam, photo):
    drawn = sam.masks([photo], [BOXES])[0]
    assert len(drawn) == len(BOXES)
    for mask, score in drawn:
        assert mask.full().shape == photo.shape[:2] and mask.full().dtype == bool and 0 <= score <= 1
    fulls = [mask.full() for mask, _ in drawn]
    assert (fulls[0] != fulls[1]).mean() > 0.01  # the box matters
    other = sam.masks([255 - photo], [BOXES[:1]])[0][0][0].full()
    assert (other != fulls[0]).mean() > 0.01  # and the picture


def test_pictures_of_all_sizes_go_together_and_those_without_boxes_stay_out(sam, photo):
    images = [photo, photo[:30, :40], photo[:, :20], 255 - photo]
    boxes = [BOXES[:2], [], [(0, 0, 10, 10)], BOXES[2:]]
    for image, given, drawn in zip(images, boxes, sam.masks(images, boxes), strict=True):
        alone = sam.masks([image], [given])[0]
        assert len(drawn) == len(given) == len(alone)
        for (mask, score), (same, again) in zip(drawn, alone, strict=True):
            assert (mask.full() != same.full()).mean() < 0.002 and score == pytest.approx(again, abs=1e-4)


def test_no_boxes_are_no_masks(sam, photo):
    assert sam.masks([photo, photo], [[], []]) == [[], []] and sam.masks([], []) == []


def test_how_many_boxes_go_at_once_does_not_matter(weights, loaded, photo):
    for one, two in zip(
        loaded("sam2").masks([photo], [BOXES])[0],
        made(weights["sam2"], boxes_at_once=1).masks([photo], [BOXES])[0],
        strict=True,
    ):
        assert (one[0].full() != two[0].full()).mean() < 0.002 and one[1] == pytest.approx(two[1], abs=1e-4)


def test_arrays_that_are_no_pictures_are_refused(sam, photo):
    with pytest.raises(InputError, match="uint8"):
        sam.masks([photo[..., 0]], [BOXES[:1]])


@pytest.mark.parametrize("kind", ["sam", "sam2"])
def test_half_precision_draws_nearly_the_same_and_overflow_is_an_error(weights, loaded, photo, kind):
    half, full = made(weights[kind], dtype="bfloat16"), loaded(kind)
    drawn, same = (one.masks([photo], [BOXES[:2]])[0] for one in (half, full))
    assert all((a[0].full() != b[0].full()).mean() < 0.2 for a, b in zip(drawn, same, strict=True))
    with torch.no_grad():
        next(half._net.model.mask_decoder.parameters()).fill_(torch.nan)
    with pytest.raises(BackendError, match="no numbers"):
        half.masks([photo], [BOXES[:1]])
