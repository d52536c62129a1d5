"""Small pictures for miniature benchmarks."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


class Art:
    """Pictures by seed, written as the suffix says."""

    @staticmethod
    def pixels(seed: int, width: int = 24, height: int = 16) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)

    def png(self, seed: int, width: int = 24, height: int = 16) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(self.pixels(seed, width, height)).save(buffer, "PNG")
        return buffer.getvalue()

    def put(self, path: Path, seed: int = 0, width: int = 24, height: int = 16) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(self.pixels(seed, width, height)).save(path)
        return path

    @staticmethod
    def mask(path: Path, width: int = 24, height: int = 16, value: int = 255) -> Path:
        """A grey mask whose left half is `value`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        grey = np.zeros((height, width), np.uint8)
        grey[:, : width // 2] = value
        Image.fromarray(grey).save(path, **({"quality": 95} if path.suffix == ".jpg" else {}))
        return path

    def hole(self, path: Path, seed: int = 0, width: int = 24, height: int = 16) -> Path:
        """A picture whose left half is see-through, as MagicBrush's masks are."""
        path.parent.mkdir(parents=True, exist_ok=True)
        alpha = np.full((height, width, 1), 255, np.uint8)
        alpha[:, : width // 2] = 0
        Image.fromarray(np.concatenate([self.pixels(seed, width, height), alpha], axis=2)).save(path)
        return path


@pytest.fixture(scope="session")
def art() -> Art:
    return Art()


@pytest.fixture
def own(tmp_path: Path, art: Art) -> Any:
    """A function that writes a folder in the common form: lines, with pictures for those who name none."""
    import json

    def write(*lines: dict[str, Any], folder: str = "own") -> Path:
        root = tmp_path / folder
        text = []
        for number, line in enumerate(lines):
            record = {"id": f"s{number}", "source": f"{number}.png", "instruction": f"do {number}", **line}
            art.put(root / f"{number}.png", number)
            text.append(json.dumps({key: value for key, value in record.items() if value is not None}))
        (root / "samples.jsonl").write_text("\n".join(text) + "\n")
        return root

    return write
