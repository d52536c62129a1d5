"""Pages that are one file: a template, its data inside, no request to anywhere, and no script but their own."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np


def filled(template: Path, words: Mapping[str, str], data: Any, mark: str = "", script: Path | None = None) -> str:
    """A template with its data.

    Only its own script may run: the policy in the template names {{SCRIPT_HASH}} and no place to fetch from.

    Args:
        template: HTML with {{NAME}} for each word, and {{DATA}}, {{SCRIPT_HASH}} and perhaps {{MARK}}.
        words: plain text, escaped here.
        data: JSON without infinities.
        mark: HTML by which a writer knows its own pages again.
        script: stands where the template says {{SCRIPT}}; None: the template holds it.
    """
    text = template.read_text(encoding="utf-8")
    if script is not None:
        text = text.replace("{{SCRIPT}}", script.read_text(encoding="utf-8"))
    own = text.partition("<script>")[2].partition("</script>")[0]
    parts = {name: html.escape(word) for name, word in words.items()} | {
        "MARK": mark,
        "SCRIPT_HASH": base64.b64encode(hashlib.sha256(own.encode()).digest()).decode(),
        "DATA": embedded_json(data),
    }
    # One pass, so that a title holding "{{DATA}}" stays a title.
    return re.sub(r"\{\{([A-Z_]+)\}\}", lambda found: parts[found[1]], text)


def embedded_json(data: Any) -> str:
    """JSON that cannot end its script element nor open another, whatever strings it holds."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def outline(mask: np.ndarray, width: int, height: int, tolerance: float = 0.8) -> str:
    """bool (H, W) -> SVG path of its contours in a frame of `width` x `height` px; holes run as contours too.

    `tolerance`: px by which the path may leave the contour.
    """
    small = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_AREA)
    contours, _ = cv2.findContours(small, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    simple = [cv2.approxPolyDP(contour, tolerance, closed=True).reshape(-1, 2) for contour in contours]
    return "".join("M" + "L".join(f"{x},{y}" for x, y in contour.tolist()) + "Z" for contour in simple)
