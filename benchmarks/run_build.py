"""One build, or the same steps without any executor, for the measurements; prints JSON.

python -m benchmarks.run_build executor PHOTOS OUT WORKERS
python -m benchmarks.run_build bare PHOTOS
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections import Counter
from pathlib import Path
from time import process_time

import cv2

from insightedit.construct.build import build
from insightedit.construct.recipe import Recipe
from insightedit.construct.source.plan import survey
from insightedit.construct.source.scan import Scan
from insightedit.construct.work import Painting, Work
from insightedit.core.config import load, preset_path
from insightedit.core.record import Photo, Reject

SETTINGS = ["photos_per_shard=8", "paint.max_edits=3", "source.min_side=100", "publish.page_rows=20"]


def recipe() -> Recipe:
    return load(Recipe, preset_path("build", "offline"), SETTINGS)


def bare(photos: Path) -> dict[str, object]:
    """Every step called in turn, one photograph after the other, nothing written."""
    knobs, seconds = recipe(), Counter[str]()
    listing = survey(photos, photos / "annotations.json")
    scan, steps = Scan(knobs.source, listing.root), knobs.steps(listing.root)
    edits = 0
    for found in listing.found:
        photo = _timed(seconds, "scan", scan, found)
        work = Work(photo, {}) if isinstance(photo, Photo) else None
        for step in steps:
            value = _timed(seconds, step.name, step, work) if work else Reject(step="", reason="")
            work = None if isinstance(value, Reject) else work.with_value(step.name, value)
        edits += len(work.value("paint", Painting).edits) if work else 0
    return {"photos": len(listing.found), "edits": edits, "steps": dict(seconds)}


def _timed(seconds: Counter[str], name: str, step, item):
    started = process_time()
    result = step.process([item])[0]
    seconds[name] += process_time() - started
    return result


def executor(photos: Path, out: Path, workers: int) -> dict[str, object]:
    built = build(photos, out, recipe(), photos / "annotations.json", workers)
    kept = built.published
    counts = {"rows": kept.rows, "pairs": kept.directed_pairs, "photos": kept.photos}
    return {**counts, "hash": kept.content_hash, "steps": built.cpu_s}


def main() -> None:
    cv2.setNumThreads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    kind, photos, *rest = sys.argv[1:]
    answer = bare(Path(photos)) if kind == "bare" else executor(Path(photos), Path(rest[0]), int(rest[1]))
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps({**answer, "cpu_s": sum(one.ru_utime + one.ru_stime for one in usage)}))


if __name__ == "__main__":
    main()
