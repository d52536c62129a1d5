"""LPIPS: the golden distances on stand-in trunks with the real heads, and which files are trusted."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_eyes import seeded_trunk, trunk_folder

from insightedit.core.errors import InputError
from insightedit.metrics import lpips
from insightedit.metrics.lpips import FILES, HEADS, LEAST_SIDE, Lpips, LpipsKnobs
from insightedit.metrics.networks import NetworkKnobs, Networks
from insightedit.metrics.outcome import Status
from insightedit.metrics.profile import Profile, get
from insightedit.metrics.sample import Sample
from insightedit.metrics.score import score
from insightedit.metrics.trunks import TRUNKS
from insightedit.metrics.view import prepare

GOLDEN = Path(__file__).parents[1] / "golden" / "eval"
TOLD = json.loads((GOLDEN / "expected" / "lpips_seeded_trunk.json").read_text())
NETS = ("squeeze", "alex", "vgg")
CASES = {case["name"]: case for case in json.loads((GOLDEN / "cases.json").read_text())["cases"]}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def trunks(tmp_path_factory) -> Path:
    return trunk_folder(tmp_path_factory.mktemp("trunks"), *NETS)


def pair(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The masked pictures of a case at 256 px, float32 (1, 256, 256, 3) each."""
    source, edited, mask = (Image.open(GOLDEN / "inputs" / CASES[name][key]) for key in ("src", "edit", "mask"))
    sample = Sample(np.asarray(source), np.asarray(edited), mask=np.asarray(mask))
    first, second = prepare(get("smartedit_tm19"), sample).masked
    return first[None], second[None]


@pytest.mark.parametrize("net", NETS)
def test_stand_in_trunks_are_those_of_the_reference(net):
    made = seeded_trunk(net)
    assert {name: list(weight.shape) for name, weight in made.items()} == TOLD["trunk_keys"][net]
    for name, told in TOLD["fake_trunk_checksum"][net].items():
        assert list(made[name].shape) == told["shape"] and float(made[name].sum()) == pytest.approx(
            told["sum"], abs=1e-4
        )
    assert sum(weight.numel() for weight in made.values()) == {"squeeze": 722496, "alex": 2469696, "vgg": 14714688}[net]
    assert LEAST_SIDE[net] == TOLD["min_side"][net]


@pytest.mark.parametrize("net", NETS)
def test_heads_are_the_published_ones(net):
    heads = [head for name, head in load_file(HEADS).items() if name.startswith(f"{net}.")]
    total = {"alex": 105.275355, "squeeze": 173.438718, "vgg": 131.855509}[net]
    assert sum(float(head.double().sum()) for head in heads) == pytest.approx(total, abs=1e-5)
    assert sorted(len(head) for head in heads) == sorted(TRUNKS[net].channels) and all(
        (head >= 0).all() for head in heads
    )


def check(net, trunks, cases, norms):
    network = Lpips(net, LpipsKnobs(trunk=trunks))
    for case in cases:
        first, second = pair(case["name"])
        for norm in norms:
            found = network.distances(first, second, norm)
            told = case[net]["torchmetrics" if norm == "inside" else "lpips_pkg"]
            assert found.shape == (1,) and abs(float(found[0]) - told) < 1e-5
        assert case["name"] != "c03_256_rect_identical" or found[0] == 0


@pytest.mark.parametrize("net", ["squeeze", "alex"])
def test_distances_equal_the_public_packages_on_every_case(net, trunks):
    check(net, trunks, TOLD["cases"], ["inside"])
    check(net, trunks, TOLD["cases"][:1], ["outside"])


def test_distances_of_vgg_equal_the_public_packages(trunks):
    check("vgg", trunks, TOLD["cases"][:1], ["inside"])


@pytest.mark.slow
def test_distances_of_vgg_equal_the_public_packages_on_every_case(trunks):
    check("vgg", trunks, TOLD["cases"], ["inside", "outside"])


def test_a_batch_equals_its_pairs(trunks):
    network = Lpips("squeeze", LpipsKnobs(trunk=trunks))
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 3, 40, 56, 3), dtype=np.float32)
    together = network.distances(first, second)
    alone = [network.distances(first[[place]], second[[place]])[0] for place in range(3)]
    assert together == pytest.approx(np.array(alone), rel=1e-5) and (together > 0).all()


def test_the_two_norms_part_where_features_vanish(trunks):
    dark = np.zeros((1, 64, 64, 3), np.float32)
    unit = [lpips._unit_(torch.tensor([[[[1e-6, 0.0]]]]), norm)[0, 0, 0, 0] for norm in ("inside", "outside")]
    assert float(unit[0]) == pytest.approx(0.01, rel=1e-3) and float(unit[1]) == pytest.approx(1, rel=1e-3)
    assert Lpips("squeeze", LpipsKnobs(trunk=trunks)).distances(dark, dark)[0] == 0


@pytest.mark.parametrize("net", NETS)
def test_pictures_below_the_least_side_and_out_of_range_are_refused(net, trunks):
    network = Lpips(net, LpipsKnobs(trunk=trunks))
    side = LEAST_SIDE[net]
    least = np.zeros((1, side, side + 3, 3), np.float32)
    assert network.distances(least, least)[0] == 0
    with pytest.raises(InputError, match=f"needs {side}"):
        network.distances(least[:, 1:], least[:, 1:])
    for wrong in (least - 0.5, least + 1.5, least + np.nan):  # of -1..1, of 0..255, of nothing
        with pytest.raises(InputError, match="out of range"):
            network.distances(least, wrong.astype(np.float32))


def test_a_missing_trunk_is_unavailable_and_never_another_net_s_value(tmp_path, trunks):
    (tmp_path / "only").mkdir()
    one = trunk_folder(tmp_path / "only", "squeeze")
    metrics = ("lpips_squeeze", "lpips_alex", "psnr")
    rng = np.random.default_rng(0)
    sample = Sample(*rng.integers(0, 256, (2, 40, 40, 3), np.uint8))
    networks = Networks(NetworkKnobs(lpips=LpipsKnobs(trunk=one)))
    found = score(Profile("native", 1, "", metrics), sample, networks)
    assert found["lpips_squeeze"].value > 0 and found["psnr"].status == Status.OK
    assert found["lpips_alex"].status == Status.UNAVAILABLE and found["lpips_alex"].value is None
    assert "alexnet-owt-7be5be79.pth" in found["lpips_alex"].why and "download.pytorch.org" in found["lpips_alex"].why
    engines = networks.engines(metrics)
    assert engines["lpips_squeeze"].startswith("squeezenet1_1-b8a52dc0.safetensors@")
    assert engines["lpips_alex"].startswith("unavailable")


def test_pickles_are_trusted_by_their_published_hash_only(tmp_path, monkeypatch):
    weights = {f"features.{name}": weight for name, weight in seeded_trunk("squeeze").items()}
    file = tmp_path / FILES["squeeze"]
    torch.save(weights, file)
    network = Lpips("squeeze", LpipsKnobs(trunk=file))
    with pytest.raises(InputError, match="SHA-256"):
        network.setup()
    monkeypatch.setattr(lpips, "sha256_of", lambda path: "b8a52dc0" + "0" * 56)
    first, second = np.random.default_rng(0).random((2, 1, 32, 32, 3), dtype=np.float32)
    plain = Lpips("squeeze", LpipsKnobs(trunk=trunk_folder(tmp_path / "plain", "squeeze")))
    assert network.distances(first, second) == plain.distances(first, second)


@pytest.mark.parametrize("fault", ["missing", "shape", "other", "cut"])
def test_a_trunk_that_is_partial_or_another_s_is_refused(fault, tmp_path):
    weights = {f"features.{name}": weight for name, weight in seeded_trunk("squeeze").items()}
    if fault == "missing":
        del weights["features.12.expand3x3.bias"]
    elif fault == "shape":
        weights["features.0.weight"] = torch.zeros(64, 3, 7, 7)
    elif fault == "other":
        weights = {f"features.{name}": weight for name, weight in seeded_trunk("alex").items()}
    file = tmp_path / "trunk.safetensors"
    save_file(weights, file)
    if fault == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match="trunk of LPIPS"):
        Lpips("squeeze", LpipsKnobs(trunk=file)).setup()


def test_making_one_loads_nothing_and_it_pickles_without_its_weights(trunks):
    network = Lpips("squeeze", LpipsKnobs(trunk=trunks))
    assert network._loaded is None
    network.setup()
    assert len(pickle.dumps(network)) < 2000 and pickle.loads(pickle.dumps(network))._loaded is None  # noqa: S301


def test_without_a_path_torch_s_own_cache_is_searched(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(InputError, match="has no trunk"):
        Lpips("alex").file()
    folder = trunk_folder(tmp_path / "hub" / "checkpoints", "alex")
    assert Lpips("alex").file().parent == folder
