"""Ranks and updates share no sample, and neither chance."""

import pytest
import torch

from insightedit.core.errors import ConfigError
from insightedit.model.editor import draw
from insightedit.model.generation import DropRates
from insightedit.train.order import places


@pytest.mark.parametrize("ranks, batch", [(1, 3), (2, 4), (8, 2)])
def test_every_place_is_taken_once(ranks, batch):
    taken = [place for update in range(5) for rank in range(ranks) for place in places(update, rank, ranks, batch)]
    assert taken == list(range(5 * ranks * batch))


def test_the_global_batch_does_not_depend_on_the_number_of_ranks():
    for update in range(3):
        one = set(places(update, 0, 1, 8))
        assert {place for rank in range(4) for place in places(update, rank, 4, 2)} == one


def test_two_ranks_draw_other_samples_noise_and_timesteps():
    drawn = [draw(0, places(7, rank, 2, 16), (4, 8, 8), DropRates()) for rank in (0, 1)]
    assert not set(places(7, 0, 2, 16)) & set(places(7, 1, 2, 16))
    assert not torch.equal(drawn[0].t, drawn[1].t) and not torch.equal(drawn[0].noise, drawn[1].noise)
    rows = torch.cat([one.noise for one in drawn]).flatten(1)
    assert len({tuple(row.tolist()) for row in rows}) == 32


def test_a_rank_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="no rank 2 of 2"):
        places(0, 2, 2, 4)
