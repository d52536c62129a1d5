"""Prices and image tokens against published examples; ledgers add up."""

from __future__ import annotations

import pytest

from insightedit.backends.chat.cost import Ledger, Price, Usage, estimate, image_tokens, price_of, prices
from insightedit.core.errors import ConfigError


def test_every_price_says_where_it_is_from_and_is_complete():
    for model, price in prices().items():
        assert price.source and price.date and 0 < price.cached <= price.input <= price.output, model
        assert price.image.keys() <= {"tiles", "patches"} and price.image, model


def test_a_snapshot_has_its_familys_price_unless_it_has_its_own():
    assert price_of("gpt-4o-2024-08-06") == prices()["gpt-4o"]
    assert price_of("gpt-4o-2024-05-13").input == 5.0
    assert price_of("gpt-4o-audio-preview") is None and price_of("qwen2-vl") is None and price_of("") is None


def test_own_prices_come_first_and_come_in_pairs():
    assert price_of("gpt-4o", 1.0, 2.0).of(Usage(1_000_000, 1_000_000, 500_000)) == 3.0
    assert price_of("qwen2-vl", 0.0, 0.0).of(Usage(10, 10)) == 0.0
    with pytest.raises(ConfigError, match="half known"):
        price_of("qwen2-vl", 1.0)


def test_cached_tokens_cost_their_own_price():
    assert Price(2.0, 1.0, 10.0).of(Usage(prompt=1000, completion=100, cached=400)) == pytest.approx(0.0026)


# the examples of OpenAI's guide on images, and the shares that users were billed
EXAMPLES = [
    ("gpt-4o", 1024, 1024, "high", 765),
    ("gpt-4o", 2048, 4096, "high", 1105),
    ("gpt-4o", 4096, 8192, "low", 85),
    ("gpt-4o", 128, 64, "auto", 255),
    ("gpt-4o-mini", 128, 64, "high", 8500),
    ("gpt-4.1-mini", 1024, 1024, "high", 1659),
    ("gpt-4.1-mini", 128, 64, "high", 13),
]


@pytest.mark.parametrize(("model", "width", "height", "detail", "tokens"), EXAMPLES)
def test_an_image_costs_what_the_guide_says(model, width, height, detail, tokens):
    assert image_tokens(width, height, detail, prices()[model].image) == tokens


def test_an_open_model_counts_patches():
    assert image_tokens(280, 56, "auto", {}) == 20


def test_an_estimate_is_the_most_a_turn_can_use():
    expected = estimate(3500, [(1024, 1024, "high")], 500, prices()["gpt-4o"])
    assert expected == Usage(prompt=1765, completion=500)


def test_ledgers_merge_without_losing_anything():
    one, two = Ledger(), Ledger()
    one.of("describe").charge(Usage(10, 5), 0.1)
    one.of("describe").failed["refused"] += 1
    two.of("describe").charge(Usage(1, 2), None)
    two.of("judge").charge(None, None)
    two.of("describe").failed["refused"] += 2
    whole = one.merge(two)
    assert whole.of("describe").tokens_in == 11 and whole.of("describe").failed["refused"] == 3
    assert whole.total.unpriced == 2 and whole.total.usd == 0.1
    assert whole.as_dict()["describe"]["failed"] == {"refused": 3}
    assert any("3 refused" in line for line in whole.lines())
