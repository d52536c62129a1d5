"""The presets have the reference's sizes (model.md; counted on the meta device, so nothing is allocated)."""

import pytest
import torch
from torch import nn

from insightedit.core.errors import ConfigError, UnknownName
from insightedit.model.assembly import Parts, assemble
from insightedit.model.config import (
    BimConfig,
    IaaConfig,
    InsightEditConfig,
    LanguageConfig,
    QFormerConfig,
    VisionConfig,
)
from insightedit.model.presets import PRESETS, preset


def on_meta(name: str) -> Parts:
    with torch.device("meta"):
        return assemble(preset(name))


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def lora(parts: Parts) -> int:
    return sum(p.numel() for name, p in parts.comprehension.named_parameters() if "lora_" in name)


@pytest.mark.parametrize("name, qformer, adapters", [
    ("insightedit-7b", 64_955_904, 4_194_304),
    ("smartedit-7b", 64_955_904, 4_194_304),
    ("insightedit-13b", 69_674_496, 6_553_600),
    ("smartedit-13b", 69_674_496, 6_553_600),
])  # fmt: skip
def test_the_parts_have_the_reference_s_numbers_of_parameters(name, qformer, adapters):
    parts = on_meta(name)
    assert count(parts.bridge.qformer.transformer) == qformer
    assert parts.bridge.qformer.query_tokens.numel() == 77 * 768 == 59_136
    assert count(parts.bridge.bim) == 29_211_200
    assert parts.bridge.bim.positions.numel() == 1024
    assert count(parts.unet) == 859_532_484
    assert len(parts.unet.attn_processors) == 32
    assert lora(parts) == adapters
    assert parts.comprehension.vocabulary == 32_035
    assert parts.comprehension.new_input.shape[0] == 35


@pytest.mark.parametrize("name", ["insightedit-7b", "insightedit-13b"])
def test_the_image_branch_has_ip_adapters_sizes(name):
    parts = on_meta(name)
    assert count(parts.image_attention) == 19_169_280
    assert len(parts.image_attention.layers) == 16
    assert count(parts.bridge.iaa.projection) == 3_150_336
    assert 29e6 < count(parts.bridge.iaa.mapper) < 32e6


def test_the_reported_form_of_iaa_is_a_configuration():
    from dataclasses import replace

    config = replace(preset("insightedit-7b"), iaa=IaaConfig(mapper="mlp", dim=768, loss="squared"))
    with torch.device("meta"):
        iaa = assemble(config).bridge.iaa
    assert iaa.projection.image_embeds.in_features == 768 and iaa.loss == "squared"


def test_smartedit_has_no_image_branch():
    parts = on_meta("smartedit-7b")
    assert parts.image_attention is None and parts.bridge.iaa is None


def test_both_llava_generations_are_configurations():
    old, new = on_meta("smartedit-7b").comprehension, on_meta("insightedit-7b").comprehension
    assert (old.eye.size, old.eye.grid, len(list(old.projector.parameters()))) == (224, 16, 2)
    assert (new.eye.size, new.eye.grid, len(list(new.projector.parameters()))) == (336, 24, 4)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_builds(name):
    assert count(on_meta(name).unet)


def test_an_unknown_preset_is_refused_with_a_suggestion():
    with pytest.raises(UnknownName, match="Did you mean 'insightedit-7b'"):
        preset("insightedit-7B")


@pytest.mark.parametrize("make", [
    lambda: LanguageConfig(width=100, heads=3),
    lambda: VisionConfig(size=225),
    lambda: QFormerConfig(width=100),
    lambda: BimConfig(depth=0),
    lambda: IaaConfig(mapper="magic"),
    lambda: IaaConfig(loss="cosine"),
    lambda: InsightEditConfig(qformer=QFormerConfig(width=384, heads=12)),
    lambda: InsightEditConfig(language=LanguageConfig(max_positions=300)),
    lambda: InsightEditConfig(bim=BimConfig(heads=7)),
])  # fmt: skip
def test_numbers_that_cannot_work_are_refused(make):
    with pytest.raises(ConfigError):
        make()
