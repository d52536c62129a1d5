"""Small pictures, and the law that every reader obeys."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


class Art:
    """Pictures by seed."""

    @staticmethod
    def pixels(seed: int, width: int = 24, height: int = 16) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)

    @staticmethod
    def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, kind)
        return buffer.getvalue()

    def png(self, seed: int, width: int = 24, height: int = 16) -> bytes:
        return self.encoded(self.pixels(seed, width, height))

    def put(self, path: Path, pixels: np.ndarray) -> np.ndarray:
        """Write without loss, whatever the suffix says (decoders look at the bytes), and give the pixels back."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.encoded(pixels))
        return pixels


@pytest.fixture(scope="session")
def art() -> Art:
    return Art()


def equal(one: Any, other: Any) -> bool:
    """Whether two examples are the same to the last bit."""
    if type(one) is not type(other):
        return False
    pairs = [(getattr(one, field.name), getattr(other, field.name)) for field in fields(one)]
    return all(
        np.array_equal(a, b) if isinstance(a, np.ndarray) or isinstance(b, np.ndarray) else a == b for a, b in pairs
    )


@pytest.fixture(scope="session")
def same() -> Callable[[Any, Any], bool]:
    return equal


@pytest.fixture(scope="session")
def lawful() -> Callable[[Any], list[Any]]:
    """A reader -> its examples, after a check that it is pure, picklable, and that its parts are its indices."""

    def check(reader: Any) -> list[Any]:
        assert len(reader) > 0
        covered = [index for part in reader.parts for index in range(part.start, part.start + part.count)]
        assert sorted(covered) == list(range(len(reader)))
        other = pickle.loads(pickle.dumps(reader))  # noqa: S301
        examples = [reader.example(index, 7) for index in range(len(reader))]
        for index in reversed(range(len(reader))):  # another order, another object: the same examples
            assert equal(other.example(index, 7), examples[index])
        for example in examples:
            assert example.dataset == reader.name and example.id
            if hasattr(example, "source"):
                assert example.source.dtype == example.target.dtype == np.uint8
                assert example.source.shape == example.target.shape and example.source.shape[2] == 3
                assert example.instruction.strip() == example.instruction != ""
                assert example.mask is None or (example.mask.dtype, example.mask.shape) == (
                    bool,
                    example.source.shape[:2],
                )
        return examples

    return check
