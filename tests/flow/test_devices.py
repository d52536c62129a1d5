"""Which GPUs a process may use, as CUDA understands it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from insightedit.flow import devices
from insightedit.flow.devices import visible_devices

TWO = """GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-5a1f0b1c-2a59-17c3-b5c9-1e2d3c4b5a69)
GPU 1: NVIDIA A100-SXM4-80GB (UUID: GPU-77777777-2a59-17c3-b5c9-1e2d3c4b5a69)
"""
SLICED = """GPU 0: NVIDIA A100 (UUID: GPU-aaaa)
  MIG 3g.40gb     Device  0: (UUID: MIG-bbbb)
  MIG 3g.40gb     Device  1: (UUID: MIG-cccc)
GPU 1: NVIDIA A100 (UUID: GPU-dddd)
"""


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("", []),
        ("-1", []),
        ("0", ["0"]),
        ("3, 1", ["3", "1"]),
        ("0,-1,1", ["0"]),
        ("GPU-5a,MIG-b", ["GPU-5a", "MIG-b"]),
    ],
)
def test_the_variable_is_believed_as_cuda_reads_it(monkeypatch, given, wanted):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    monkeypatch.setattr(devices, "_said_by_driver", lambda: TWO)
    assert visible_devices() == wanted


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("", []),
        ("No devices were found\n", []),
        (TWO, ["GPU-5a1f0b1c-2a59-17c3-b5c9-1e2d3c4b5a69", "GPU-77777777-2a59-17c3-b5c9-1e2d3c4b5a69"]),
        (SLICED, ["MIG-bbbb", "MIG-cccc", "GPU-dddd"]),
    ],
)
def test_without_it_the_driver_is_asked(monkeypatch, said, wanted):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices, "_said_by_driver", lambda: said)
    assert visible_devices() == wanted


@pytest.mark.parametrize(
    ("tool", "wanted"),
    [
        ("#!/bin/sh\nexit 9\n", []),
        ("no program", []),
        (None, []),
        ("#!/bin/sh\necho 'GPU 0: X (UUID: GPU-1)'\n", ["GPU-1"]),
    ],
)
def test_a_tool_of_the_driver_that_is_absent_or_fails_means_no_gpu(monkeypatch, tmp_path, tool, wanted):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    if tool is not None:
        (tmp_path / "nvidia-smi").write_text(tool)
        (tmp_path / "nvidia-smi").chmod(0o755)
    assert visible_devices() == wanted


def test_nobody_imports_torch_to_find_out():
    program = "import sys, insightedit.flow.pool as pool; pool.visible_devices(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
