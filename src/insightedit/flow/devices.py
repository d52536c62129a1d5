"""Which GPUs this process may use, found without torch: it would take seconds, and hold memory on each of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess


def visible_devices() -> list[str]:
    """One value of CUDA_VISIBLE_DEVICES per GPU; empty without one.

    CUDA_VISIBLE_DEVICES is believed as it stands ("" and "-1" mean none). Without it the driver's own tool is asked; of
    a GPU that is cut into MIG slices, it is the slices that count.
    """
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return _listed(_said_by_driver())
    names = [name.strip() for name in given.split(",")]
    end = next((place for place, name in enumerate(names) if name in ("", "-1")), len(names))  # CUDA ends there too
    return names[:end]


def _said_by_driver() -> str:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ""
    try:
        said = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.stdout if said.returncode == 0 else ""


def _listed(said: str) -> list[str]:
    """`GPU 0: NAME (UUID: GPU-...)` lines, each perhaps followed by `  MIG 1g.10gb Device 0: (UUID: MIG-...)` lines."""
    found: list[str] = []
    for kind, uuid in re.findall(r"^\s*(GPU|MIG) .*\(UUID: (\S+?)\)", said, flags=re.M):
        if kind == "MIG" and found and found[-1].startswith("GPU-"):
            found.pop()  # the whole that this is a slice of
        found.append(uuid)
    return found
