"""The floor of every comparison: an editor that changes nothing."""

from __future__ import annotations

import numpy as np

from insightedit.editors.editor import Editor


class Identity(Editor):
    """Returns a copy of its input: all of the background kept, none of the instruction followed."""

    name = "identity"
    size_rule = "as it is"

    def _edit(self, image: np.ndarray, instruction: str, seed: int) -> np.ndarray:
        return image.copy()
