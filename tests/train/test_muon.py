"""Muon moves matrices by half-orthogonal steps, and all else exactly as AdamW would."""

import pytest
import torch
from torch import nn

from insightedit.train.muon import MATCH, MuonAdamW, is_inner, orthogonalised


def test_orthogonalised_matrices_keep_their_singular_vectors_and_level_their_values():
    torch.manual_seed(0)
    for shape in ((3, 24, 40), (2, 40, 24)):
        given = torch.randn(shape)
        u, _, v = torch.linalg.svd(given, full_matrices=False)
        inside = u.mT @ orthogonalised(given) @ v.mT  # diagonal, if the vectors are the same
        values = torch.diagonal(inside, dim1=1, dim2=2)
        assert values.min() > 0.6 and values.max() < 1.3
        assert (inside - torch.diag_embed(values)).abs().max() < 1e-3


def test_tables_queries_and_the_ends_of_the_unet_are_left_to_adamw():
    wide = nn.Parameter(torch.zeros(32, 16, 3, 3))
    assert is_inner("unet.mid_block.conv.weight", wide)
    for name in ("unet.conv_in.weight", "x.embed_tokens.weight", "new_input", "bridge.qformer.query_tokens"):
        assert not is_inner(name, wide), name
    assert not is_inner("norm.weight", nn.Parameter(torch.zeros(32)))
    assert not is_inner("heads.0.weight", nn.Parameter(torch.zeros(4, 32)))


def two(kind) -> tuple[nn.Parameter, nn.Parameter, torch.optim.Optimizer]:
    torch.manual_seed(0)
    matrix, vector = nn.Parameter(torch.randn(16, 12, 3, 3)), nn.Parameter(torch.randn(9))
    groups = [{"params": [matrix, vector], "lr": 0.01}]
    inner = {id(matrix)} if kind is MuonAdamW else None
    optimiser = kind(groups, inner, weight_decay=0.1) if inner else kind(groups, weight_decay=0.1)
    return matrix, vector, optimiser


def test_vectors_move_bit_for_bit_as_under_adamw_and_matrices_by_steps_of_its_size():
    matrix, vector, ours = two(MuonAdamW)
    _, plain, theirs = two(torch.optim.AdamW)
    before = matrix.detach().clone()
    for seed in range(3):
        torch.manual_seed(seed)
        vector.grad = plain.grad = torch.randn(9)
        matrix.grad = torch.randn(16, 12, 3, 3)
        ours.step()
        theirs.step()
    assert torch.equal(vector, plain)
    torch.manual_seed(0)
    matrix, _, ours = two(MuonAdamW)
    matrix.grad = torch.randn(16, 12, 3, 3)
    ours.step()
    step = (matrix - before * (1 - 0.01 * 0.1)).detach()
    assert float(step.square().mean().sqrt()) == pytest.approx(0.01 * MATCH, rel=0.15)


def test_the_size_of_a_gradient_does_not_matter_and_a_missing_one_moves_nothing():
    moved = []
    for size in (1.0, 1000.0):
        matrix, vector, ours = two(MuonAdamW)
        torch.manual_seed(1)
        matrix.grad = size * torch.randn(16, 12, 3, 3)
        still = vector.detach().clone()
        ours.step()
        moved.append(matrix.detach().clone())
        assert torch.equal(vector, still)
    assert torch.allclose(*moved, atol=1e-6)


def test_every_parameter_is_in_its_group_again_after_a_step_and_the_state_can_be_read_by_parameter():
    matrix, vector, ours = two(MuonAdamW)
    matrix.grad, vector.grad = torch.ones_like(matrix), torch.ones_like(vector)
    ours.step()
    assert [id(p) for p in ours.param_groups[0]["params"]] == [id(matrix), id(vector)]
    assert set(ours.state[matrix]) == {"momentum"} and set(ours.state[vector]) == {"step", "exp_avg", "exp_avg_sq"}
