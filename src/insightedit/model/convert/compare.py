"""Do the weights of two files agree, when one or both were rounded to bfloat16?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from insightedit.model.convert.match import SHOWN

if TYPE_CHECKING:
    import torch

# bfloat16 keeps 8 significant bits, so a rounding moves a value by 2^-9 of itself at most; float16 on the other side,
# and a second rounding, make it less than 2^-7. Below the floor float16 has no such precision either.
RELATIVE, FLOOR = 2.0**-7, 1e-7


@dataclass
class Comparison:
    """How many tensors agree, which do not, and by how much at most."""

    what: str
    agreeing: int = 0
    differing: list[str] = field(default_factory=list)
    largest: float = 0.0

    def add(self, name: str, ours: torch.Tensor, theirs: torch.Tensor) -> None:
        """Compare one tensor of each file; shapes must be equal already."""
        a, b = ours.float(), theirs.float()
        apart = (a - b).abs()
        self.largest = max(self.largest, float(apart.max()))
        if bool((apart <= RELATIVE * a.abs().maximum(b.abs()) + FLOOR).all()):
            self.agreeing += 1
        else:
            self.differing.append(name)

    def __str__(self) -> str:
        of = self.agreeing + len(self.differing)
        text = (
            f"{self.what}: {self.agreeing} of {of} tensors equal up to bfloat16, largest difference {self.largest:.2g}"
        )
        return f"{text}; differing: {', '.join(self.differing[:SHOWN])}" if self.differing else text
