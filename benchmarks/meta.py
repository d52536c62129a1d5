"""Is the judge any good? AUC of every metric and judge: known-good edits against seeded faults.

    python -m benchmarks meta
    python -m benchmarks.meta --only photographs --dataset demo --json meta.json

Good are the exact answers of rendered scenes and the kept edits of the example photographs, each also re-encoded as an
editor does that generates every pixel. Without --dataset (a folder that `insightedit demo` left) one is built first.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from insightedit.construct.build import build
from insightedit.construct.judge import JudgeKnobs
from insightedit.construct.recipe import Recipe
from insightedit.core.config import load, preset_path
from insightedit.core.files import shipped, write_json
from insightedit.core.mask import Mask
from insightedit.evaluate.known import Known, of_dataset, of_scenes
from insightedit.evaluate.meta import Judge, markdown, measure, records, table, truth
from insightedit.metrics.fill import fill_features, fill_score
from insightedit.metrics.networks import Networks
from insightedit.metrics.pixel import changed_inside, outside_difference
from insightedit.metrics.profile import get
from insightedit.metrics.recolour import recolour_features, recolour_score

SCENES, SEED, SIDE = 60, 0, 320  # px of the photographs' longer side
PROFILES = ("smartedit_2023", "magicbrush", "background_strict", "instruct_pix2pix")


def offline(edit: Known, picture: np.ndarray) -> dict[str, float]:
    """What the offline judge of construction (`construct.judge`) measures, and whether it would keep the edit."""
    knobs = JudgeKnobs()
    if edit.method == "removal":
        quality = fill_score(fill_features(edit.source, picture, edit.mask))
    else:
        features = recolour_features(edit.source, picture, edit.mask)
        quality = recolour_score(features) * (features["changed"] >= knobs.min_repainted)
    changed = changed_inside(edit.source, picture, Mask.of(edit.mask))
    equal, _ = outside_difference(edit.source, picture, edit.mask)
    kept = quality >= knobs.least(edit.method, "outline") and changed >= knobs.min_changed and equal
    return {"quality": quality, "changed": changed, "kept": float(kept)}


def report(title: str, edits: Sequence[Known], judges: dict[str, Judge]) -> dict[str, object]:
    """Print the tables of one set, plain and re-encoded; what they hold, for JSON."""
    profiles, networks, found = [get(name) for name in PROFILES], Networks(), {}
    for encoded in (False, True):
        lines = table(measure(edits, profiles, judges, networks, encoded=encoded, seed=SEED))
        print(f"\n### {title}{', re-encoded' if encoded else ''}\n\n{markdown(lines)}", flush=True)
        found["reencoded" if encoded else "exact"] = records(lines)
    return {"edits": len(edits), "families": len({edit.family for edit in edits}), **found}


def built(folder: str) -> Path:
    """The dataset of `insightedit demo`, in a new folder."""
    out = Path(folder) / "demo"
    build(shipped("examples/photos"), out, load(Recipe, preset_path("build", "offline"), []), workers=2)
    return out


def main(arguments: Sequence[str] = ()) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.meta", description=__doc__)
    parser.add_argument("--scenes", type=int, default=SCENES)
    parser.add_argument("--dataset", type=Path, help="left by `insightedit demo`; without it one is built")
    parser.add_argument("--only", choices=("scenes", "photographs"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(list(arguments))
    print("\n## Is the judge any good? (`meta`)\n\nAUC [95 %]: 1 = every good picture above every faulty one.")
    found = {}
    if given.only != "photographs":
        found["scenes"] = report("Scenes", list(of_scenes(given.scenes, SEED)), {"truth": truth})
    if given.only != "scenes":
        with tempfile.TemporaryDirectory() as folder:
            edits = of_dataset(given.dataset or built(folder), SIDE)
        found["photographs"] = report("Photographs", edits, {"offline": offline})
    if given.json:
        write_json(given.json, found)


if __name__ == "__main__":
    main(sys.argv[1:])
