"""Agreement of weights up to bfloat16."""

from __future__ import annotations

import torch

from insightedit.model.convert.compare import Comparison


def test_a_rounding_to_bfloat16_or_float16_agrees():
    weight = torch.randn(200, 200, generator=torch.Generator().manual_seed(0)) * 0.02
    seen = Comparison("x")
    seen.add("a", weight.bfloat16(), weight)
    seen.add("b", weight.half(), weight.bfloat16())
    assert (seen.agreeing, seen.differing) == (2, [])


def test_one_value_that_is_off_by_two_percent_is_named():
    weight = torch.ones(100)
    off = weight.clone()
    off[37] = 1.02
    seen = Comparison("language model")
    seen.add("a", weight, off)
    assert seen.differing == ["a"] and "0 of 1" in str(seen) and "a" in str(seen)
