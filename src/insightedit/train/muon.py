"""Muon for matrices inside the network, AdamW for all else, as one optimiser.

Jordan et al. (2024): momentum, then the nearest half-orthogonal matrix by five Newton-Schulz steps. The update is
scaled to the size of AdamW's (Liu et al. 2025, "Muon is Scalable"), so both share one learning rate. torch.optim.Muon
takes matrices only and one at a time; here convolutions are read as matrices (out, in x k x k), equal shapes together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
STEPS = 5
MATCH = 0.2  # root mean square of AdamW's updates, about
LEAST = 8  # a matrix with fewer rows or columns is rather a list of vectors
OUTSIDE = ("embed", "lm_head", "new_input", "new_output", "query", "conv_in", "conv_out", "mask_head", "positions")


def is_inner(name: str, parameter: nn.Parameter) -> bool:
    """Whether Muon takes it: a matrix or convolution that is neither first, last, a table nor a set of queries."""
    if parameter.ndim < 2 or any(mark in name for mark in OUTSIDE):
        return False
    return min(parameter.shape[0], parameter[0].numel()) > LEAST


class MuonAdamW(torch.optim.AdamW):
    """AdamW, but for the parameters in `inner` Muon.

    Args:
        groups: as AdamW's; `lr` and `weight_decay` hold for both rules.
        inner: ids of the parameters that Muon moves.
        momentum: of Muon, with Nesterov's look ahead.
    """

    def __init__(self, groups: list[dict[str, Any]], inner: set[int], momentum: float = 0.95, **adamw: Any) -> None:
        super().__init__(groups, **adamw)
        self.inner, self.momentum = inner, momentum

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update; matrices are hidden from AdamW while it moves the others."""
        everything = [group["params"] for group in self.param_groups]
        for group in self.param_groups:
            self._orthogonal(group, [p for p in group["params"] if id(p) in self.inner and p.grad is not None])
            group["params"] = [p for p in group["params"] if id(p) not in self.inner]
        try:
            return super().step(closure)
        finally:
            for group, parameters in zip(self.param_groups, everything, strict=True):
                group["params"] = parameters

    def _orthogonal(self, group: dict[str, Any], parameters: list[nn.Parameter]) -> None:
        aims = [self._aim(parameter) for parameter in parameters]
        for parameter, move in zip(parameters, moves(aims), strict=True):
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.add_(move.view_as(parameter), alpha=-group["lr"])

    def _aim(self, parameter: nn.Parameter) -> torch.Tensor:
        assert parameter.grad is not None
        state = self.state[parameter]
        moving = state.setdefault("momentum", torch.zeros_like(parameter, memory_format=torch.contiguous_format))
        moving.mul_(self.momentum).add_(parameter.grad)
        return (parameter.grad + self.momentum * moving).contiguous()


def moves(aims: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Directions, the same in every process -> Muon's steps of those shapes as matrices, of AdamW's size.

    Where several processes train, each computes its share and they exchange them.
    """
    rank, ranks = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    alike: dict[tuple[int, int], list[int]] = {}
    for place, aim in enumerate(aims):
        alike.setdefault((aim.shape[0], aim[0].numel()), []).append(place)
    found = [torch.zeros(aim.shape[0], aim[0].numel(), device=aim.device) for aim in aims]
    for shape, places in alike.items():
        if own := places[rank::ranks]:
            whole = orthogonalised(
                torch.stack([aims[place].view(shape).float() for place in own])
            )  # (n, rows, columns)
            for place, one in zip(own, whole * (MATCH * max(shape) ** 0.5), strict=True):
                found[place] = one
    if ranks > 1 and found:
        flat = torch.cat([one.flatten() for one in found])
        dist.all_reduce(flat)
        parts = flat.split([one.numel() for one in found])
        found = [part.view_as(one) for part, one in zip(parts, found, strict=True)]
    return found


def orthogonalised(matrices: torch.Tensor) -> torch.Tensor:
    """(n, rows, columns) -> the same singular vectors, with all singular values near 1 (0.7 to 1.2)."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(STEPS):
        square = x @ x.mT  # (n, rows, rows)
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x
