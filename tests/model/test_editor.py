"""The training forward: which parameters learn in which stage, and that the loss of the UNet teaches the Mapper."""

import pytest
import torch

from insightedit.core.errors import InsightEditError
from insightedit.model.assembly import Parts, assemble
from insightedit.model.editor import GROUPS, EditBatch, InsightEdit, draw, group_of, image_alignment, trainable
from insightedit.model.generation import DropRates
from insightedit.model.presets import tiny
from insightedit.model.tokens import CAPTION_PROMPT, collate, sequence
from insightedit.model.toy_tokenizer import toy_tokenizer
from insightedit.train.stages import STAGES

CONFIG = tiny()


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
    editor = InsightEdit(parts, image_stream=stage.image_stream).eval()
    list(trainable(editor, stage.groups))
    losses, _ = editor(given, chance())
    assert set(losses) == set(stage.losses)
    sum(stage.losses[name] * loss for name, loss in losses.items()).backward()
    return editor, losses


@pytest.mark.parametrize("stage_name", STAGES)
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
    parts.bridge.bim.forward = lambda v, q, size: (q, torch.zeros(len(q), CONFIG.unet.channels[0], *size))
    parts.unet.set_default_attn_processor()
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


def test_image_alignment_is_zero_at_the_target_and_feels_scale_and_direction():
    target = torch.randn(4, 16)
    assert float(image_alignment(target, target)) == pytest.approx(0, abs=1e-6)
    assert image_alignment(2 * target, target) > 0.1
    assert image_alignment(-target, target) > image_alignment(2 * target, target)
    assert torch.allclose(image_alignment(target + 2, target, "squared"), torch.tensor(4.0))


def test_an_unknown_group_is_refused(parts):
    with pytest.raises((KeyError, InsightEditError)):
        list(trainable(InsightEdit(parts), ("mappper",)))
