"""A run starts from trained parts: what they say is kept, what is missing is fresh and silent."""

import pytest
import torch
from train_toys import Toys, goals, settings

from insightedit.core.errors import ConfigError, InputError
from insightedit.model.pipeline import from_preset
from insightedit.train.loop import Run
from insightedit.train.start import start


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """As `insightedit convert llava` and `convert instruct-pix2pix` leave them."""
    folder, pipeline = tmp_path_factory.mktemp("parts"), from_preset("tiny", seed=7)
    pipeline.comprehension.save_pretrained(folder / "llava" / "comprehension")
    pipeline.tokenizer.save_pretrained(folder / "llava" / "tokenizer")
    for name in ("unet", "vae"):
        getattr(pipeline, name).save_pretrained(folder / "ip2p" / name)
    return {"language": str(folder / "llava"), "diffusion": str(folder / "ip2p")}, pipeline


def test_trained_parts_are_kept_and_the_rest_is_fresh_and_silent(parts, tmp_path):
    folders, theirs = parts
    ours = start(settings(parts=folders, seed=1))
    for name in ("comprehension", "unet", "vae"):
        before, after = (getattr(one, name).state_dict() for one in (theirs, ours))
        assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)
    keys = list(ours.image_attention.projections())
    assert all(not v.weight.any() for _, v in keys) and all(k.weight.any() for k, _ in keys)
    assert ours.tokenizer("make it red").input_ids == theirs.tokenizer("make it red").input_ids
    bridges = [start(settings(parts=folders, seed=seed)).bridge.qformer.query_tokens for seed in (1, 1, 2)]
    assert torch.equal(bridges[0], bridges[1]) and not torch.equal(bridges[0], bridges[2])
    Run(settings(parts=folders, updates=1), Toys(), tmp_path, goals=goals).train()


def test_parts_that_are_not_there_or_do_not_fit_are_refused(parts, tmp_path):
    folders, theirs = parts
    with pytest.raises(InputError, match="there is no unet/"):
        start(settings(parts=folders | {"diffusion": str(tmp_path)}))
    with pytest.raises(InputError, match="there is no comprehension/"):
        start(settings(parts={"diffusion": folders["diffusion"]}))
    theirs.save_pretrained(tmp_path / "whole")
    with pytest.raises(ConfigError, match="do not belong"):
        start(settings(start=str(tmp_path / "whole"), parts=folders))
    with pytest.raises(ConfigError, match="random weights"):
        start(settings(start="insightedit-7b"))
    with pytest.raises(InputError, match="no preset and no pipeline"):
        start(settings(start="nowhere"))
