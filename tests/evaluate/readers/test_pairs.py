"""The common form: what a line may say, and what is said of a line that is wrong."""

from __future__ import annotations

import hashlib

import pytest

from insightedit.core.errors import InputError
from insightedit.evaluate.benchmark import open_benchmark
from insightedit.evaluate.sample import shown, status


def test_every_field_arrives(own, art):
    said = {
        "id": "x/1", "task": "remove", "category": "removal", "split": "advanced", "source": "a/in.png",
        "target": "a/out.png", "mask": "a/mask.png", "instruction": " take  it away ", "instruction_simple": "drop it",
        "caption_source": "a cup", "caption_target": "a table", "clip_text": "a table", "session": "photo", "turn": 2,
        "output": "made/1.png", "meta": {"any": [1, 2]},
    }  # fmt: skip
    root = own(said)
    for name in ("in", "out"):
        art.put(root / "a" / f"{name}.png", 3)
    art.mask(root / "a" / "mask.png")
    (one,) = open_benchmark(str(root)).samples
    assert (one.id, one.category, one.split, one.instruction) == ("x/1", "removal", "advanced", "take it away")
    assert (one.caption_source, one.caption_target, one.clip_text) == ("a cup", "a table", "a table")
    assert (one.session, one.turn, one.output, one.meta) == ("photo", 2, "made/1.png", {"any": [1, 2]})
    assert shown(one).mask is not None and shown(one).target is not None
    (plain,) = open_benchmark("advancededit-eval", root, ["simple=true"], partial=True).samples
    assert plain.instruction == "drop it"


def test_a_chain_of_turns(own):
    (one,) = open_benchmark(str(own({"turns": ["first", "second"], "instruction": "first, then second"}))).samples
    assert one.turns == ("first", "second")


def test_the_stated_hash_is_checked(own, art):
    good = hashlib.sha256(art.put(own({}) / "0.png", 0).read_bytes()).hexdigest()
    assert status(open_benchmark(str(own({"sha256": {"source": good}}))).samples[0]) is None
    (one,) = open_benchmark(str(own({"sha256": {"source": "0" * 64}}))).samples
    assert status(one).status == "changed_file"


def test_faults_of_one_sample_leave_the_others(own, tmp_path):
    (tmp_path / "secret.png").write_bytes(b"secret")
    found = open_benchmark(
        str(
            own(
                {},
                {"instruction": "  "},
                {"source": "../secret.png"},
                {"source": "/etc/passwd"},
                {"source": "none.png"},
                {"source": "x" * 5000},
                {"mask": "../secret.png"},
                {"id": None},
                {"turns": ["a", " "]},
                {"source": "nul\0.png"},
            )
        )
    )
    words = [fault.status if (fault := status(one)) else "" for one in found.samples]
    assert words == [
        "", "no_instruction", "outside_root", "outside_root", "missing_source", "missing_source", "outside_root",
        "malformed_record", "no_instruction", "missing_source",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"id": "a", "source": "0.png", "instuction": "x"}', r"line 2: unknown key 'instuction'. Did you mean 'instr"),
        ('{"id": 7, "source": "0.png", "instruction": "x"}', "line 2: 'id' is int, not str"),
        ('{"id": "a", "turn": true}', "line 2: 'turn' is bool, not int"),
        ('{"id": "a", "turns": [1]}', "line 2: 'turns' holds something else"),
        ("[]", "line 2: it is no object"),
        ('{"id": "a"', "line 2 is not JSON"),
    ],
)
def test_a_wrong_form_is_named_with_its_line_and_the_layout(own, line, why):
    root = own({})
    (root / "samples.jsonl").write_text((root / "samples.jsonl").read_text() + line + "\n")
    with pytest.raises(InputError, match=rf"(?s){why}.*Expected layout: FOLDER/samples.jsonl"):
        open_benchmark(str(root))


def test_which_table(own):
    root = own({})
    (root / "samples.jsonl").rename(root / "mine.jsonl")
    assert len(open_benchmark(str(root))) == 1
    (root / "other.jsonl").write_text("")
    with pytest.raises(InputError, match=r"it holds 2 files \*.jsonl"):
        open_benchmark(str(root))
    assert len(open_benchmark(str(root), settings=["table=mine.jsonl"])) == 1
