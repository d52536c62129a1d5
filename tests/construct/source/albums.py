"""Albums in a temporary folder: photographs, COCO files and shards, as the tools that make them write them."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from insightedit.construct.source.plan import Listing, Plan, survey
from insightedit.construct.source.scan import Scan, SourceKnobs
from insightedit.core.record import Photo, Reject
from insightedit.flow.local import Line, Silent, run
from insightedit.flow.manifest import Manifest
from insightedit.flow.pool import Pool

EXAMPLES = Path(__file__).parents[3] / "examples" / "photos"
LICENCES = [{"id": 1, "name": "CC BY 4.0", "url": "https://creativecommons.org/licenses/by/4.0/"}]
SQUARE = [10.0, 20.0, 50.0, 20.0, 50.0, 60.0, 10.0, 60.0]


def picture(seed: int = 0, width: int = 260, height: int = 220) -> Image.Image:
    """Blotches; every seed another scene."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def jpeg(seed: int = 0, width: int = 260, height: int = 220, **how: Any) -> bytes:
    buffer = io.BytesIO()
    picture(seed, width, height).save(buffer, "JPEG", quality=90, **how)
    return buffer.getvalue()


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def image(number: int, name: str, **more: Any) -> dict[str, Any]:
    return {"id": number, "file_name": name, "width": 260, "height": 220, "license": 1, **more}


def note(number: int, image_id: int, **more: Any) -> dict[str, Any]:
    return {"id": number, "image_id": image_id, "category_id": 1, "bbox": [10, 20, 40, 40], **more}


def coco(path: Path, images: list[Any], annotations: list[Any], **more: Any) -> Path:
    categories = [{"id": 1, "name": "cup", "supercategory": "thing"}]
    data = {"licenses": LICENCES, "categories": categories, "images": images, "annotations": annotations, **more}
    return put(path, json.dumps(data).encode())


def tar(path: Path, members: dict[str, bytes]) -> Path:
    """As img2dataset and webdataset write it: uncompressed, one sample's members together."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as shard:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            shard.addfile(entry, io.BytesIO(data))
    return path


def scan(listing: Listing, work: Path, per_shard: int = 16, **knobs: Any) -> tuple[list[Photo], list[Reject]]:
    """Open everything, freeze the plan, and give its photographs and all rejects."""
    plan = frozen(listing, work, per_shard, **knobs)
    photos = [item.photo for shard in plan.shards() for item in shard.items]
    return photos, plan.rejects


def frozen(listing: Listing, work: Path, per_shard: int = 16, **knobs: Any) -> Plan:
    given = SourceKnobs(**knobs)
    line = Line([Scan(given, listing.root)], listing.mark, Manifest(work / "scan"))
    with Pool(0, 60) as pool:
        asyncio.run(run(line, listing.scan_shards(), pool, Silent()))
    plan = Plan(work)
    plan.freeze(listing, line, given, per_shard)
    return plan


def taken(folder: Path, work: Path, annotations: Path | None = None, **knobs: Any) -> tuple[list[Photo], list[Reject]]:
    """Survey and scan in one go."""
    return scan(survey(folder, annotations), work, **({"licence": "CC0"} | knobs))
