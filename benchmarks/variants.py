"""The variants of the ablation, trained alike: `python -m benchmarks.variants RECIPE OUT [NAME ...] [--updates N]`.

RECIPE is the folder of `insightedit train-small` with its `comprehend` stage done, where all variants begin: full,
without IAA, without BIM, without either, and with words alone (`benchmarks.text_only`). Each trains stage 3 for the
same updates on the same samples in the same order, and leaves OUT/NAME/pipeline for `python -m benchmarks.ablation`. A
variant that is there is not trained again; one that was stopped continues. Another --seed wants another OUT.

Without BIM the text goes to the UNet as the Q-Former made it and nothing is added after the first convolution; the mask
head, which is BIM's, then teaches nothing either. Without IAA there is no Mapper, no f_img and no second attention.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from insightedit.app.small_model import launch
from insightedit.core.errors import InputError, InsightEditError
from insightedit.core.files import shipped

CONFIG = "configs/train/tiny/joint.yaml"


@dataclass(frozen=True)
class Variant:
    """What a variant has."""

    iaa: bool = True
    bim: bool = True

    @property
    def frozen(self) -> str:
        """Groups of parameters that do not learn; those of IAA are not there at all without it."""
        return "[]" if self.bim else "[bim]"

    @property
    def losses(self) -> dict[str, float]:
        """Weights over the configuration's: of what it lacks, none."""
        return ({} if self.iaa else {"image": 0.0}) | ({} if self.bim else {"mask": 0.0})


VARIANTS = {
    "full": Variant(),
    "no-iaa": Variant(iaa=False),
    "no-bim": Variant(bim=False),
    "neither": Variant(iaa=False, bim=False),
}
TEXT_ONLY = "text-only"
NAMES = (*VARIANTS, TEXT_ONLY)


def comprehended(recipe: Path) -> Path:
    """The pipeline after `comprehend`.

    Raises:
        InputError: that stage is not done.
    """
    if not (recipe / "comprehend" / "pipeline" / "model_index.json").exists():
        raise InputError(f"{recipe} has no pipeline yet", "its stage 'comprehend' is not done",
                         "Run insightedit train-small first")  # fmt: skip
    return recipe / "comprehend" / "pipeline"


def begin(recipe: Path, out: Path, variant: Variant) -> None:
    """The pipeline after `comprehend`, without what the variant lacks. Raises as `comprehended`."""
    import torch

    from insightedit.model.bridging import Bridge
    from insightedit.model.pipeline import InsightEditPipeline

    pipeline = InsightEditPipeline.from_pretrained(comprehended(recipe))
    if not variant.iaa:
        config = {name: value for name, value in pipeline.bridge.config.items() if not name.startswith("_")}
        bridge = Bridge(**config | {"iaa_config": None})
        kept = {name: one for name, one in pipeline.bridge.state_dict().items() if not name.startswith("iaa.")}
        bridge.load_state_dict(kept)
        pipeline.register_modules(bridge=bridge, image_attention=None)
    if not variant.bim:
        settings = dict(pipeline.bridge.config.bim_config) | {"text_scale": 0.0, "mask": False}
        pipeline.bridge.register_to_config(bim_config=settings)
        with torch.no_grad():
            for weight in pipeline.bridge.bim.residual_head.parameters():
                weight.zero_()
        pipeline.bridge.bim.mask_head = None
        pipeline.bridge.bim.text_scale = 0.0
    shutil.rmtree(out, ignore_errors=True)
    pipeline.save_pretrained(out)


def train(name: str, recipe: Path, out: Path, settings: argparse.Namespace) -> None:
    """Make the start, train, and leave OUT/NAME/pipeline."""
    folder = out / name
    if (folder / "pipeline" / "model_index.json").exists():
        print(f"{name}: there", file=sys.stderr)
        return
    config, changes = str(shipped(CONFIG).resolve()), [f"updates={settings.updates}", f"seed={settings.seed}"]
    if name == TEXT_ONLY:
        from benchmarks import text_only

        changes.append(f"start={comprehended(recipe).resolve()}")
        given = [config, "eye/text_encoder", str(folder.resolve()), *_set(changes)]
        text_only.launch(recipe, given, settings.processes)
        return
    variant, start = VARIANTS[name], out / f"{name}-start"
    if not (start / "model_index.json").exists():
        begin(recipe, start, variant)
    changes += [f"start={start.resolve()}", f"frozen={variant.frozen}"]
    changes += [f"losses.{loss}={weight}" for loss, weight in variant.losses.items()]
    launch(recipe, ["train", config, "--out", str(folder.resolve()), *_set(changes)], settings.processes)


def _set(changes: list[str]) -> list[str]:
    return [word for change in changes for word in ("--set", change)]


def main() -> None:
    """Train those asked for, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.variants", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("recipe", type=Path, help="folder of `insightedit train-small`")
    parser.add_argument("out", type=Path, help="folder for the variants")
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], help="default: all")
    parser.add_argument("--updates", type=int, default=600)
    parser.add_argument("--seed", type=int, default=45)
    parser.add_argument("--processes", type=int, default=2)
    settings = parser.parse_args()
    try:
        for name in settings.names or NAMES:
            train(name, settings.recipe, settings.out, settings)
    except InsightEditError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
