"""BrushNet's branch equals the published one, leaves nothing behind in the UNet, and loads whole or not at all."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before huggingface_hub is imported: nothing here asks a hub

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_brushes import KINDS, SIZES, branch, canvas, fill, unet, write_base, write_branch

from insightedit.backends.paint.brushnet import BranchConfig, BrushNet, load_branch
from insightedit.backends.paint.brushnet_painter import BrushNetPainter, load_unet
from insightedit.backends.paint.side_branch import beside, condition_of
from insightedit.core.errors import ConfigError, InputError

GOLDEN = Path(__file__).parents[2] / "golden" / "brushnet_tiny.safetensors"
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    torch.set_num_threads(1)


def golden() -> tuple[dict, dict[str, torch.Tensor]]:
    with safe_open(GOLDEN, "pt") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def difference(ours: torch.Tensor, reference: torch.Tensor) -> float:
    assert ours.shape == reference.shape
    return float((ours - reference).abs().max())


def folder_of(path: Path, kind: str, network: BrushNet) -> Path:
    write_branch(network, path, SIZES | KINDS[kind])
    return path


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_branch_and_unet_equal_the_published_code(kind, tmp_path):
    about, told = golden()
    assert json.loads(about["variants"])[kind] == KINDS[kind]
    assert json.loads(about["brushnet"]) == SIZES
    fill(unet(), "unet.").save_pretrained(tmp_path / "unet")
    folder = folder_of(tmp_path / kind, kind, fill(branch(kind), f"{kind}."))
    main = load_unet(tmp_path / "unet", tmp_path / "unet", torch.float32)
    side = load_branch(folder, main, kind == "powerpaint2", torch.float32)
    sample, condition, text, words = (told[f"in.{name}"] for name in ("sample", "cond", "text", "branch_text"))
    step = int(about["timestep"])

    residuals = side(sample, step, condition, words)
    assert difference(residuals.down[0], told[f"out.{kind}.down0"]) <= 1e-5
    assert difference(residuals.middle, told[f"out.{kind}.mid"]) <= 1e-5
    assert difference(residuals.up[-1], told[f"out.{kind}.up_last"]) <= 1e-5
    with beside(main, side, condition, words):
        led = main(sample, step, encoder_hidden_states=text).sample
    assert difference(led, told[f"out.{kind}"]) <= 1e-5
    assert difference(main(sample, step, encoder_hidden_states=text).sample, told["out.plain"]) <= 1e-5


def inputs(height: int = 8, width: int = 12) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(5)
    shapes = ((2, 4, height, width), (2, 5, height, width), (2, 77, 32))
    return tuple(torch.randn(shape, generator=draw) for shape in shapes)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_fresh_branch_changes_nothing(kind):
    main, side = unet(), branch(kind)
    sample, condition, text = inputs()
    with beside(main, side, condition, text):
        led = main(sample, 7, encoder_hidden_states=text).sample
    assert torch.equal(led, main(sample, 7, encoder_hidden_states=text).sample)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_odd_latents_keep_their_size(kind):
    deep = {"block_out_channels": [8, 8, 8, 16]}
    plain, attends = KINDS["brushnet"], kind == "powerpaint2"
    down = ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"] if attends else plain["down_block_types"] * 2
    up = ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3 if attends else plain["up_block_types"] * 2
    main = unet(**deep, down_block_types=["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
                up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3)  # fmt: skip
    side = fill(branch(kind, **deep, down_block_types=down, up_block_types=up), "odd.")
    sample, condition, text = inputs(7, 13)
    with beside(main, side, condition, text):
        led = main(sample, 7, encoder_hidden_states=text).sample
    assert led.shape == sample.shape
    assert difference(led, main(sample, 7, encoder_hidden_states=text).sample) > 1e-2


def hooks(network: torch.nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in network.modules())


@torch.no_grad()
def test_hooks_are_gone_after_use_and_after_a_failure():
    main, side = unet(), fill(branch("brushnet"), "x.")
    sample, condition, text = inputs()
    plain = main(sample, 7, encoder_hidden_states=text).sample
    with beside(main, side, condition):
        assert hooks(main) > 10
        assert difference(main(sample, 7, encoder_hidden_states=text).sample, plain) > 1e-2
    assert hooks(main) == 0
    with pytest.raises(RuntimeError), beside(main, side, condition[:, :3]):
        main(sample, 7, encoder_hidden_states=text)
    assert hooks(main) == 0
    assert torch.equal(main(sample, 7, encoder_hidden_states=text).sample, plain)


@torch.no_grad()
def test_the_hooks_get_on_with_those_of_offloading():
    from accelerate import cpu_offload

    main, side = unet(), fill(branch("powerpaint2"), "x.")
    sample, condition, text = inputs()
    with beside(main, side, condition, text):
        near = main(sample, 7, encoder_hidden_states=text).sample
    cpu_offload(main, torch.device("cpu"))
    cpu_offload(side, torch.device("cpu"))
    with beside(main, side, condition, text):
        assert torch.equal(main(sample, 7, encoder_hidden_states=text).sample, near)


@torch.no_grad()
def test_scale_zero_is_the_plain_unet_and_guidance_repeats_the_condition():
    main, side = unet(), fill(branch("powerpaint2"), "x.")
    sample, condition, text = inputs()
    with beside(main, side, condition, text, scale=0.0):
        assert torch.equal(
            main(sample, 7, encoder_hidden_states=text).sample,
            unet()(sample, 7, encoder_hidden_states=text).sample,
        )
    twice, said = torch.cat([sample, sample]), torch.cat([text * 0.3, text])
    with beside(main, side, condition, said):
        both = main(twice, 7, encoder_hidden_states=torch.cat([text, text])).sample
        half = main(sample, 7, encoder_hidden_states=text).sample  # unguided: the words of the positive half
    assert difference(both[2:], half) <= 1e-5
    assert difference(both[:2], half) > 1e-3


@pytest.mark.parametrize(
    ("name", "size"), [("brushnet", None), ("powerpaint", 3_544_366_408)], ids=["brushnet", "powerpaint"]
)
def test_the_full_size_has_the_published_names_and_bytes(name, size):
    from accelerate import init_empty_weights

    attends = name == "powerpaint"
    kinds = {
        "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    }
    with init_empty_weights():
        network = BrushNet(BranchConfig(**kinds) if attends else BranchConfig())
    names = set(network.state_dict())
    taps = {name.split(".")[1] for name in names if name.startswith("brushnet_down_blocks.")}
    assert taps == {str(place) for place in range(12)}
    taps = {name.split(".")[1] for name in names if name.startswith("brushnet_up_blocks.")}
    assert taps == {str(place) for place in range(15)}
    assert {"conv_in_condition.weight", "brushnet_mid_block.weight", "mid_block.resnets.1.conv2.weight",
            "time_embedding.linear_2.bias", "up_blocks.2.upsamplers.0.conv.weight"} <= names  # fmt: skip
    assert ("mid_block.attentions.0.proj_in.weight" in names) == attends
    assert network.conv_in_condition.weight.shape == (320, 9, 3, 3)
    if size is not None:  # of the public file: float32 weights and a header
        header = size - 4 * sum(value.numel() for value in network.state_dict().values())
        assert 0 < header < 200 * len(names)


def damaged(path: Path, change) -> Path:
    folder = folder_of(path, "brushnet", branch("brushnet"))
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    return folder


def test_missing_foreign_and_misshapen_weights_are_refused_by_name(tmp_path):
    cases = {
        "missing (brushnet_mid_block.bias)": lambda tensors: tensors.pop("brushnet_mid_block.bias"),
        "foreign (add_embedding.weight)": lambda tensors: tensors.update({"add_embedding.weight": torch.zeros(2)}),
        "of another shape (conv_in_condition.bias)": lambda tensors: tensors.update(
            {"conv_in_condition.bias": torch.zeros(9)}
        ),
    }
    for number, (said, change) in enumerate(cases.items()):
        with pytest.raises(InputError) as refused:
            load_branch(damaged(tmp_path / str(number), change), unet(), False, torch.float32)
        assert said in refused.value.why
    folder = folder_of(tmp_path / "cut", "brushnet", branch("brushnet"))
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:999])
    with pytest.raises(InputError, match="cannot read"):
        load_branch(folder, unet(), False, torch.float32)


def test_branches_for_other_models_are_refused(tmp_path):
    folder = folder_of(tmp_path, "brushnet", branch("brushnet"))
    with pytest.raises(InputError, match="in_channels is 4 in the branch and 9"):
        load_branch(folder, unet(9), False, torch.float32)
    with pytest.raises(InputError, match="block_out_channels"):
        load_branch(folder, unet(block_out_channels=[8, 8]), False, torch.float32)
    with pytest.raises(InputError, match="no branch of PowerPaint v2"):
        load_branch(folder, unet(), True, torch.float32)
    for key, value in (("addition_embed_type", "text_time"), ("upcast_attention", True), ("mid_block_type", "Other")):
        with pytest.raises(InputError, match=key):
            BranchConfig.of(KINDS["brushnet"] | SIZES | {key: value}, folder)


class SeeingVae:
    """Keeps what it is shown; its latent is the mean of each 8 x 8 block, plus noise."""

    dtype, config = torch.float32, SimpleNamespace(scaling_factor=0.5)

    def encode(self, image):
        self.seen = image
        latent = torch.nn.functional.avg_pool2d(image.mean(1, keepdim=True), 8).repeat(1, 4, 1, 1)
        return SimpleNamespace(latent_dist=SimpleNamespace(sample=lambda draws: latent + self.noise(latent, draws)))

    def noise(self, latent, draws):
        return torch.stack([torch.randn(latent.shape[1:], generator=draw) for draw in draws])


def draws(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_the_hole_is_black_and_the_mask_says_what_is_kept():
    image, hole = torch.rand(2, 3, 16, 24), torch.zeros(2, 1, 16, 24, dtype=torch.bool)
    hole[0, :, :8, 8:16] = True
    vae = SeeingVae()
    made = condition_of(vae, image, hole, draws(1, 2))
    assert made.shape == (2, 5, 2, 3)
    assert (vae.seen[0, :, :8, 8:16] == -1).all() and torch.equal(vae.seen[1], image[1])
    assert made[0, 4].tolist() == [[1, 0, 1], [1, 1, 1]] and bool((made[1, 4] == 1).all())
    assert torch.equal(made, condition_of(vae, image, hole, draws(1, 2)))
    assert torch.equal(made[1:], condition_of(vae, image[1:], hole[1:], draws(2)))
    assert not torch.equal(made[1:], condition_of(vae, image[1:], hole[1:], draws(3)))


# ---------------------------------------------------------------------------------------------------- the painter


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("brushnet")
    write_base(root / "base")
    folder_of(root / "random_mask_brushnet_ckpt", "brushnet", fill(branch("brushnet"), "brushnet."))
    return {"model": str(root / "random_mask_brushnet_ckpt"), "base": str(root / "base")}


@pytest.fixture(scope="module")
def painter(folders) -> BrushNetPainter:
    made = BrushNetPainter(**folders, device="cpu", steps=2, batch_size=3)
    made.setup()
    return made


def far(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other).max())


def test_one_seed_is_one_picture_alone_or_in_a_batch(painter):
    alone = [painter.paint([canvas(seed, prompt)])[0] for seed, prompt in ((1, "a dog"), (2, "a cat"))]
    assert alone[0].shape == (32, 48, 3) and alone[0].dtype == np.uint8
    assert np.array_equal(alone[0], painter.paint([canvas(1)])[0])
    together = painter.paint([canvas(2, "a cat"), canvas(1), canvas(3)])
    assert far(together[1], alone[0]) <= 1 and far(together[0], alone[1]) <= 1  # sums in another order: a grey level
    assert far(together[2], alone[0]) > 10


def test_prompt_and_surroundings_matter_but_not_what_is_in_the_hole(painter):
    first = painter.paint([canvas()])[0]
    assert far(first, painter.paint([canvas(prompt="zebra")])[0]) > 1
    assert far(first, painter.paint([canvas(shift=60)])[0]) > 1
    other = canvas()
    other.image[other.hole] = 200
    assert np.array_equal(first, painter.paint([other])[0])


def test_a_failed_picture_leaves_the_painter_usable(painter, monkeypatch):
    before = painter.paint([canvas()])[0]

    def fail(*args, **kwargs):
        raise RuntimeError("lost")

    with monkeypatch.context() as patched:
        patched.setattr(painter.branch, "forward", fail)
        with pytest.raises(Exception, match="lost"):
            painter.paint([canvas()])
    assert hooks(painter.pipe.unet) == 0
    assert np.array_equal(before, painter.paint([canvas()])[0])


def test_it_says_which_weights_and_what_it_cannot(painter, folders):
    assert painter.engine().startswith("brushnet@") and painter.engine() == BrushNetPainter(**folders).engine()
    with pytest.raises(ConfigError, match="cannot remove"):
        painter.paint([canvas(task="remove")])
    with pytest.raises(ConfigError, match="no default weights"):
        BrushNetPainter().setup()
    settings = BrushNetPainter().settings
    assert (settings.steps, settings.guidance, settings.side, settings.scale) == (50, 7.5, 512, 1.0)


def test_scale_and_scheduler_reach_the_pipeline(painter, folders):
    assert type(painter.pipe.scheduler).__name__ == "UniPCMultistepScheduler"
    silent = BrushNetPainter(**folders, device="cpu", steps=2, scale=0.0)
    assert far(silent.paint([canvas()])[0], painter.paint([canvas()])[0]) > 1
    assert np.array_equal(silent.paint([canvas()])[0], silent.paint([canvas(shift=60)])[0])  # nobody looks at it
    silent.release()
    assert silent.pipe is None and silent.branch is None
