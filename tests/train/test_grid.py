"""Grids show fixed examples with the averaged weights, and training goes on as if nobody had looked."""

import numpy as np
import pytest
import torch
from PIL import Image
from train_toys import Toys, goals, settings

from insightedit.core.errors import ConfigError, InputError
from insightedit.model.pipeline import from_preset
from insightedit.train import checkpoint
from insightedit.train.grid import GAP, LEAST, averaged, draw_grid, fixed_examples, render
from insightedit.train.loop import Run


def run(out, grid_every, stage="joint", source=None):
    config = settings(stage, updates=3, ema=0.9, grid_every=grid_every, grid_count=2, grid_steps=1, save_every=3)
    one = Run(config, source or Toys(talks=5), out, goals=goals)
    one.train()
    return one


def test_a_run_with_grids_is_bit_equal_to_one_without(tmp_path):
    with_, without = run(tmp_path / "with", 2), run(tmp_path / "without", 0)
    assert sorted(path.name for path in (tmp_path / "with" / "grids").iterdir()) == ["update-00000002.png"]
    assert not (tmp_path / "without" / "grids").exists()
    assert with_.position.mean_loss == without.position.mean_loss
    ours, theirs = (checkpoint.load(checkpoint.found(tmp_path / n / "checkpoints")[-1]) for n in ("with", "without"))
    for mine, other in zip(ours[1:], theirs[1:], strict=True):
        assert mine and all(torch.equal(value, other[name]) for name, value in mine.items())


def test_looking_leaves_generators_modes_and_progress_bar(monkeypatch):
    pipeline = from_preset("tiny")
    decode = pipeline.vae.decode
    monkeypatch.setattr(pipeline.vae, "decode", lambda *given, **more: torch.randn(1) is None or decode(*given, **more))
    pipeline.unet.train()
    pipeline.vae.eval()
    examples, config = fixed_examples(Toys(), 2), settings(grid_steps=1)
    state = torch.get_rng_state()
    first = draw_grid(pipeline, examples, config)
    assert torch.equal(torch.get_rng_state(), state)
    assert pipeline.unet.training and not pipeline.vae.training
    assert "disable" not in pipeline._progress_bar_config
    torch.randn(3)
    assert draw_grid(pipeline, examples, config).tobytes() == first.tobytes()


def test_the_averaged_weights_are_shown_and_taken_out_again():
    layer = torch.nn.Linear(2, 2)
    named = dict(layer.named_parameters())
    before = {name: p.detach().clone() for name, p in named.items()}
    with pytest.raises(KeyboardInterrupt), averaged(named, {name: p + 1 for name, p in before.items()}):
        assert torch.equal(layer.weight, before["weight"] + 1)
        raise KeyboardInterrupt
    assert all(torch.equal(p, before[name]) for name, p in named.items())
    with averaged(named, None):
        assert torch.equal(layer.weight, before["weight"])


def test_the_same_first_edits_are_taken_and_talks_passed_over():
    taken = [one.id for one in fixed_examples(Toys(talks=2), 3)]
    assert taken == ["edit-1", "edit-3", "edit-5"]
    with pytest.raises(InputError, match="no edits"):
        fixed_examples(Toys(captions=True), 1)


def test_a_row_is_source_edit_target_with_its_words_below():
    examples = fixed_examples(Toys(), 2)
    plain = [Image.new("RGB", (64, 64), "red")] * 2
    page = np.asarray(render(examples, plain))
    cells = [page[GAP : GAP + LEAST, GAP + place * (LEAST + GAP) :][:, :LEAST] for place in range(3)]
    assert (cells[1] == (255, 0, 0)).all()
    for cell, wanted in ((cells[0], examples[0].source), (cells[2], examples[0].target)):
        assert np.abs(np.asarray(Image.fromarray(wanted).resize((LEAST, LEAST))).astype(int) - cell).max() == 0
    below = page[2 * GAP + LEAST :][:16]
    assert (below < 128).any(), "no words"


def test_grids_of_a_stage_that_paints_nothing_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no grids in stage align"):
        run(tmp_path, 2, "align", Toys(captions=True))
