"""The training forward: which parameters learn in which stage, and that the loss of the UNet teaches the Mapper."""

from dataclasses import replace

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0

from insightedit.core.errors import InsightEditError
from insightedit.model.assembly import Parts, assemble
from insightedit.model.editor import (
    GROUPS,
    EditBatch,
    InsightEdit,
    draw,
    group_of,
    image_alignment,
    mask_loss,
    trainable,
)
from insightedit.model.generation import DropRates
from insightedit.model.presets import tiny
from insightedit.model.tokens import CAPTION_PROMPT, IGNORE, collate, sequence
from insightedit.model.toy_tokenizer import toy_tokenizer
from insightedit.train.stages import STAGES

CONFIG = tiny()
PAPER = [name for name in STAGES if name != "comprehend"]


@pytest.fixture
def parts() -> Parts:
    torch.manual_seed(0)
    return assemble(CONFIG)


def batch(parts: Parts, count: int = 3, editing: tuple[bool, ...] = (True, True, False)) -> EditBatch:
    torch.manual_seed(1)
    mllm, tokenizer = parts.comprehension, toy_tokenizer(CONFIG.language.vocabulary)
    words = ["remove the red cube", "paint the cone blue", "put a small sphere behind it"][:count]
    built = [sequence(tokenizer, text, mllm.special, mllm.eye.grid**2, 256, mllm.prompt) for text in words]
    edits = sum(editing)
    return EditBatch(
        tokens=collate(built),
        vision=torch.randn(count, 3, 64, 64),
        source=torch.rand(edits, 3, 64, 64) * 2 - 1,
        target=torch.rand(edits, 3, 64, 64) * 2 - 1,
        editing=torch.tensor(editing),
        embedding=torch.randn(edits, CONFIG.iaa.dim),
    )


def captions(parts: Parts):
    tokenizer, special = toy_tokenizer(CONFIG.language.vocabulary), parts.comprehension.special
    words = ["a red cube", "two cones on the ground", "a picture of grass"]
    return collate([sequence(tokenizer, text, special, 0, 256, CAPTION_PROMPT) for text in words])


def chance(names=(0, 1)):
    return draw(0, names, (4, 8, 8), DropRates(0, 0, 0, 0))


def learned(editor: InsightEdit) -> set[str]:
    return {name for name, p in editor.named_parameters() if p.grad is not None and p.grad.any()}


def run(stage_name: str, parts: Parts, given: EditBatch) -> tuple[InsightEdit, dict[str, torch.Tensor]]:
    stage = STAGES[stage_name]
    editor = InsightEdit(parts, image_stream=stage.image_stream, painting="diffusion" in stage.losses).eval()
    list(trainable(editor, stage.groups))
    losses, _ = editor(given, chance())
    assert set(losses) == set(stage.losses)
    sum(stage.losses[name] * loss for name, loss in losses.items()).backward()
    return editor, losses


@pytest.fixture
def pointing() -> Parts:
    """With the head that tells where the edit will be."""
    torch.manual_seed(0)
    return assemble(replace(CONFIG, bim=replace(CONFIG.bim, mask=True)))


def test_a_model_that_only_learns_to_understand_says_what_is_done_and_where(pointing):
    given = batch(pointing)
    given.mask = torch.zeros(2, 64, 64, dtype=torch.bool)
    given.mask[:, :32] = True
    given.answer = torch.tensor([[700, IGNORE, 701], [702, 703, IGNORE]])
    editor, losses = run("comprehend", pointing, given)
    groups = {group_of(name) for name in learned(editor)}
    assert groups == set(STAGES["comprehend"].groups) and "diffusion" not in losses
    assert {
        "bridge.bim.mask_head.weight",
        "bridge.bim.transformer.layers.0.cross_attn_image_to_token.q_proj.weight",
    } <= (learned(editor))


def test_the_mask_s_loss_is_least_for_the_mask_itself():
    mask = torch.zeros(1, 64, 64, dtype=torch.bool)
    mask[:, 3, 3] = True  # one pixel: its cell counts
    right = torch.full((1, 8, 8), -9.0)
    right[0, 0, 0] = 9.0
    assert mask_loss(right, mask) < 1e-3 < mask_loss(right.flip(1), mask)


def test_where_the_edit_is_errors_count_more_and_what_a_residual_model_says_is_added_to_the_source(parts):
    given = batch(parts)
    given.mask = torch.zeros(2, 64, 64, dtype=torch.bool)
    plain = InsightEdit(parts, prediction="residual").eval()
    weighted = InsightEdit(parts, prediction="residual", region=3.0).eval()
    with torch.no_grad():
        assert torch.equal(plain(given, chance())[0]["diffusion"], weighted(given, chance())[0]["diffusion"])
        given.mask[:] = True
        ratio = weighted(given, chance())[0]["diffusion"] / plain(given, chance())[0]["diffusion"]
        parts.unet.conv_out.weight.zero_(), parts.unet.conv_out.bias.zero_()
        given.target = given.source  # nothing to add: a silent UNet is right but for the chance of the target's latent
        silent = plain(given, replace(chance(), latent=torch.zeros(2, 4, 8, 8)))[0]["diffusion"]
    assert float(ratio) == pytest.approx(4.0, rel=1e-5)
    scale = parts.vae.config.scaling_factor
    source = parts.vae.encode(given.source).latent_dist.mode().detach()
    assert float(silent) == pytest.approx(float(((scale - 1) * source).square().mean()), rel=1e-4)


def test_high_timesteps_are_noisy_more_often_and_the_noise_stays():
    uniform, high = (draw(0, range(400), (4, 2, 2), DropRates(0, 0, 0, 0), kind) for kind in (False, True))
    assert torch.equal(uniform.noise, high.noise)
    assert uniform.t.float().mean() < 560 < 600 < high.t.float().mean() < 720 and int(high.t.max()) < 1000


@pytest.mark.parametrize("stage_name", PAPER)
def test_exactly_the_parameters_of_the_stage_get_gradients(stage_name, parts):
    given = batch(parts)
    if stage_name == "align":
        given.vision = None  # words alone
        given.tokens = captions(parts)
        given.caption = torch.randn(3, CONFIG.qformer.queries, CONFIG.qformer.width)
    if stage_name != "align":  # zero heads pass no gradient back, and LoRA's A waits for B
        for name, p in [*parts.bridge.named_parameters(), *parts.image_attention.named_parameters(),
                        *parts.comprehension.named_parameters()]:  # fmt: skip
            if not p.any() and ("head" in name or "to_v" in name or "lora_B" in name):
                torch.nn.init.normal_(p, std=0.1)
    editor, _ = run(stage_name, parts, given)
    wanted = {name for name, _ in editor.named_parameters() if group_of(name) in STAGES[stage_name].groups}
    missing, extra = wanted - learned(editor), learned(editor) - wanted
    assert not extra, f"learns although frozen: {sorted(extra)[:5]}"
    assert not {name for name in missing if not rests(name)}, f"does not learn: {sorted(missing)[:5]}"


def rests(name: str) -> bool:
    """A key's bias shifts all scores of a query alike, so softmax hides it: its gradient is zero or rounding."""
    return name.endswith(("k_proj.bias", "key.bias", "to_k.bias"))


def test_every_parameter_is_in_one_group_and_every_group_has_some(parts):
    editor = InsightEdit(parts)
    groups = editor.groups()
    assert set(groups) == set(GROUPS) and all(groups.values())
    assert sum(map(len, groups.values())) == len(list(editor.parameters()))


def test_the_diffusion_loss_reaches_the_mapper_lora_and_new_rows(parts):
    for p in parts.image_attention.parameters():
        torch.nn.init.normal_(p, std=0.1)
    editor = InsightEdit(parts).eval()
    list(trainable(editor, STAGES["joint"].groups))
    losses, report = editor(batch(parts), chance())
    losses["diffusion"].backward()
    assert {"mapper", "image_head", "image_attention", "qformer", "unet"} <= {
        group_of(name) for name in learned(editor)
    }
    assert editor.comprehension.new_input.grad.any()
    assert any("lora_B" in name for name in learned(editor))
    assert report["per_sample"].shape == (2,)


@torch.no_grad()
def test_a_fresh_bim_and_a_silent_image_stream_are_the_second_stage_s_model_bit_for_bit(parts):
    given = batch(parts)
    whole = InsightEdit(parts).eval()(given, chance())[1]["per_sample"]
    parts.bridge.bim.meet = lambda v, q: (q, v)
    parts.bridge.bim.residual = lambda v, size: torch.zeros(len(v), CONFIG.unet.channels[0], *size)
    parts.unet.set_attn_processor(AttnProcessor2_0())  # the same kernels without the second stream
    second = InsightEdit(parts, image_stream=False).eval()(given, chance())[1]["per_sample"]
    assert torch.equal(whole, second)


def test_old_rows_do_not_move_in_a_training_step(parts):
    editor, _ = run("joint", parts, batch(parts))
    rows = editor.comprehension.language_model.model.embed_tokens.weight
    head = editor.comprehension.language_model.lm_head.weight
    before = rows.clone(), head.clone()
    torch.optim.AdamW([p for p in editor.parameters() if p.requires_grad], lr=1e-2).step()
    assert torch.equal(rows, before[0]) and torch.equal(head, before[1])


def test_samples_that_only_talk_cost_no_unet(parts):
    given = batch(parts, editing=(False, False, False))
    editor = InsightEdit(parts).eval()
    editor.unet.forward = None  # calling it would fail
    losses, _ = editor(given, None)
    assert set(losses) == {"language"}


@torch.no_grad()
def test_a_sample_is_noised_alike_in_any_batch(parts):
    editor = InsightEdit(parts).eval()
    both = editor(batch(parts), chance())[1]["per_sample"]
    given = batch(parts)
    alone = EditBatch(given.tokens.pick(torch.tensor([False, True, False])), given.vision[1:2], given.source[1:2],
                      given.target[1:2], torch.tensor([True]), given.embedding[1:2])  # fmt: skip
    assert torch.allclose(editor(alone, chance((1,)))[1]["per_sample"], both[1:], atol=1e-5)


@torch.no_grad()
def test_several_draws_of_an_edit_are_the_same_as_one_at_a_time(parts):
    given, region = batch(parts), torch.zeros(2, 64, 64, dtype=torch.bool)
    region[:, :20, :20] = True
    given = replace(given, mask=region)
    editor = InsightEdit(parts, region=10.0).eval()
    drops = DropRates(0.3, 0.2, 0.2, 0.3)
    names = ["a", "b", "c", "d", "e", "f"]  # the first edit's three, then the second's
    told = editor(given, draw(0, names, (4, 8, 8), drops))[1]
    for again in range(3):
        one = editor(given, draw(0, names[again::3], (4, 8, 8), drops))[1]
        assert torch.equal(told["t"][again::3], one["t"])
        assert torch.allclose(told["per_sample"][again::3], one["per_sample"], atol=1e-5)


def test_image_alignment_is_zero_at_the_target_and_feels_scale_and_direction():
    target = torch.randn(4, 16)
    assert float(image_alignment(target, target)) == pytest.approx(0, abs=1e-6)
    assert image_alignment(2 * target, target) > 0.1
    assert image_alignment(-target, target) > image_alignment(2 * target, target)
    assert torch.allclose(image_alignment(target + 2, target, "squared"), torch.tensor(4.0))


def test_an_unknown_group_is_refused(parts):
    with pytest.raises((KeyError, InsightEditError)):
        list(trainable(InsightEdit(parts), ("mappper",)))
