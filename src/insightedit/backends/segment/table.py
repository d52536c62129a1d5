"""The segmenters by name; a module is imported when one of its names is asked for."""

from __future__ import annotations

SEGMENT = "insightedit.backends.segment"

SEGMENTERS: dict[str, str] = {"grounded_sam": f"{SEGMENT}.grounded:GroundedSam", "sam3": f"{SEGMENT}.sam3:Sam3"}
