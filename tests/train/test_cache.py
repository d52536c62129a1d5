"""A cache gives back what was put in, whole or not at all, and training does not notice that it is there."""

import json
import multiprocessing

import pytest
import torch
from encoders import image_encoder
from train_toys import Toys, settings

from insightedit.core.errors import InputError
from insightedit.train import checkpoint
from insightedit.train.cache import HEAD, Kept, Shelf, fingerprint, key_of
from insightedit.train.loop import Run

CPU = torch.device("cpu")
ENOUGH = 10**6


class Counting:
    """Mean colour and its double, in bf16; counts pictures."""

    def __init__(self):
        self.count = 0

    def __call__(self, pictures):
        self.count += len(pictures)
        mean = pictures.mean((2, 3))
        return torch.stack([mean, 2 * mean], 1).to(torch.bfloat16)  # (n, 2, 3)


def pictures(count, seed=0):
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def kept(folder, encode, limit=ENOUGH):
    return Kept(folder, "means", "mark", encode, limit)


def test_what_was_encoded_is_found_bit_for_bit_by_another_process(tmp_path):
    asked = pictures(5)
    first = kept(tmp_path, Counting())(asked, CPU)
    later = Counting()
    again = kept(tmp_path, later)
    assert torch.equal(again(asked, CPU), first) and torch.equal(first, Counting()(asked))
    assert later.count == 0 and (again.found, again.made) == (5, 0)


def test_equal_pictures_are_encoded_once_and_new_ones_alone(tmp_path):
    encode = Counting()
    one, asked = kept(tmp_path, encode), pictures(4)
    asked[3] = asked[0]
    one(asked, CPU)
    assert encode.count == 3
    both = torch.cat([asked, pictures(2, seed=1)])
    assert torch.equal(one(both, CPU), Counting()(both))
    assert encode.count == 5


WRITERS, WRITES = 4, 60


def write(folder, first, ready):
    ready.wait()
    one = kept(folder, Counting())
    for seed in range(first, first + WRITES):
        one(pictures(1, seed), CPU)


def test_processes_that_write_at_once_lose_nothing(tmp_path):
    fork = multiprocessing.get_context("fork")
    ready = fork.Barrier(WRITERS)
    started = [fork.Process(target=write, args=(tmp_path, one * WRITES, ready)) for one in range(WRITERS)]
    for one in started:
        one.start()
    for one in started:
        one.join()
        assert one.exitcode == 0
    fresh = Counting()
    again = kept(tmp_path, fresh)
    for seed in range(WRITERS * WRITES):
        assert torch.equal(again(pictures(1, seed), CPU), Counting()(pictures(1, seed)))
    assert fresh.count == 0


def test_a_value_of_another_process_is_seen_without_opening_anew(tmp_path):
    encode = Counting()
    early = kept(tmp_path, encode)
    kept(tmp_path, Counting())(pictures(3), CPU)
    early(pictures(3), CPU)
    assert encode.count == 0


def test_a_damaged_value_is_made_again_and_stays_mended(tmp_path):
    asked = pictures(3)
    one = kept(tmp_path, Counting())
    wanted = one(asked, CPU)
    raw = bytearray(one.shelf.path.read_bytes())
    raw[HEAD + one.shelf.rows.dtype.itemsize + 50] ^= 1  # a bit of the second row's value
    one.shelf.path.write_bytes(raw)
    for made in (2, 0):  # the damaged one, twice because it is alone; then none
        encode = Counting()
        assert torch.equal(kept(tmp_path, encode)(asked, CPU), wanted)
        assert encode.count == made


def test_a_writer_that_was_killed_in_a_row_spoils_no_other(tmp_path):
    one = kept(tmp_path, Counting())
    one(pictures(3), CPU)
    one.shelf.path.write_bytes(one.shelf.path.read_bytes()[:-5])
    encode = Counting()
    kept(tmp_path, encode)(torch.cat([pictures(3), pictures(2, seed=1)]), CPU)
    assert encode.count == 3  # the cut one and the two new ones
    assert kept(tmp_path, Counting()).shelf.path.stat().st_size == HEAD + 5 * one.shelf.rows.dtype.itemsize


def test_the_limit_is_kept_and_told(tmp_path):
    encode = Counting()
    one = kept(tmp_path, encode, limit=HEAD + 150)  # two rows of 60 bytes
    for seed in range(4):
        one(pictures(1, seed), CPU)
    assert one.shelf.full and one.shelf.path.stat().st_size <= HEAD + 150
    assert torch.equal(one(pictures(1, 3), CPU), Counting()(pictures(1, 3)))  # still right, made anew


def test_a_file_that_is_none_is_named(tmp_path):
    (tmp_path / "means-mark.rows").write_bytes(b"x" * 2 * HEAD)
    with pytest.raises(InputError, match=r"means-mark.rows.*Delete it"):
        kept(tmp_path, Counting())


def test_keys_and_fingerprints_tell_pictures_and_encoders_apart():
    a, b = pictures(2)
    assert key_of(a) == key_of(a.clone()) != key_of(b)
    assert key_of(a) != key_of(a.view(3, 4, 16))
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 3)
    before = fingerprint(layer, 64)
    assert before == fingerprint(layer, 64) != fingerprint(layer, 128)
    with torch.no_grad():
        layer.weight[0, 0] += 1e-6
    assert fingerprint(layer, 64) != before


def test_an_empty_shelf_holds_nothing(tmp_path):
    assert Shelf(tmp_path / "none.rows", ENOUGH).get(b"0" * 32) is None


def run(out, encoder, folder=""):
    cache = {"folder": str(folder), "features": True}
    config = settings(updates=3, batch=3, ema=0.9, goals={"image_encoder": encoder}, cache=cache, save_every=3)
    one = Run(config, Toys(period=4, talks=5), out)  # the same pictures meet in other batches
    one.train()
    return one


def test_training_with_a_cache_is_bit_equal_to_training_without(tmp_path):
    encoder = image_encoder(tmp_path / "clip")
    outs = [tmp_path / name for name in ("without", "filling", "filled")]
    runs = [run(outs[0], encoder), *(run(out, encoder, tmp_path / "cache") for out in outs[1:])]
    told = [json.loads((out / "log.jsonl").read_text().splitlines()[-1]) for out in outs]
    assert "cache" not in told[0] and set(told[1]["cache"]) == {"moments", "embeddings", "features"}
    assert all(one["made"] > 0 and one["found"] > 0 for one in told[1]["cache"].values())
    assert all(one["made"] == 0 for one in told[2]["cache"].values())
    assert runs[0].position == runs[1].position == runs[2].position
    saved = [checkpoint.load(checkpoint.found(out / "checkpoints")[-1]) for out in outs]
    for other in saved[1:]:
        for mine, theirs in zip(saved[0][1:], other[1:], strict=True):
            assert mine and all(torch.equal(value, theirs[name]) for name, value in mine.items())
