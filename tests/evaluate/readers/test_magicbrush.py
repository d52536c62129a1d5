"""MagicBrush's test split: turns alone and sessions as chains."""

from __future__ import annotations

import json

import pytest

from insightedit.core.errors import InputError
from insightedit.evaluate.benchmark import open_benchmark
from insightedit.evaluate.sample import shown, status


@pytest.fixture
def tree(tmp_path, art):
    """Sessions 9 (one turn) and 10 (two turns)."""
    root = tmp_path / "test"
    sessions, local, whole = {}, {}, {}
    for session, count in (("9", 1), ("10", 2)):
        names = [f"{session}-input.png", *(f"{session}-output{n}.png" for n in range(1, count + 1))]
        for number, name in enumerate(names):
            art.put(root / "images" / session / name, number)
        for number in range(1, count + 1):
            art.hole(root / "images" / session / f"{session}-mask{number}.png")
        sessions[session] = [
            {"input": names[n], "mask": f"{session}-mask{n + 1}.png", "output": names[n + 1], "instruction": f"do {n}"}
            for n in range(count)
        ]
        local[session] = {name: f"local {name}" for name in names}
        whole[session] = {name: f"global {name}" for name in names}
    for name, value in (("edit_sessions", sessions), ("local_captions", local), ("global_descriptions", whole)):
        (root / f"{name}.json").write_text(json.dumps(value))
    return root


def read(mode, root):
    return open_benchmark(f"magicbrush-{mode}", root, partial=True)


def change(root, session, turn, **fields):
    place = root / "edit_sessions.json"
    sessions = json.loads(place.read_text())
    sessions[session][turn] |= fields
    place.write_text(json.dumps(sessions))


def test_single_turns_start_from_the_true_pictures(tree, art):
    found = read("single", tree.parent)
    assert [one.id for one in found.samples] == ["9/1", "10/1", "10/2"]
    assert [one.output for one in found.samples] == ["9/9_1.png", "10/10_1.png", "10/10_inde_2.png"]
    last = found.samples[2]
    assert (last.instruction, last.turn, last.session, last.category) == ("do 1", 2, "10", "turn-2")
    assert (last.clip_text, last.caption_target) == ("local 10-output2.png", "global 10-output2.png")
    seen = shown(last)
    assert (seen.source == art.pixels(1)).all() and (seen.target == art.pixels(2)).all()
    assert (seen.mask[:, :12] == 255).all() and not seen.mask[:, 12:].any()
    assert not any(status(one) for one in found.samples)


def test_a_session_is_a_chain_to_its_last_picture(tree, art):
    one, two = read("multi", tree).samples
    assert (one.turns, one.output) == ((), "9/9_1.png")
    assert (two.turns, two.output, two.instruction) == (("do 0", "do 1"), "10/10_iter_2.png", "do 0 Then: do 1")
    seen = shown(two)
    assert (seen.source == art.pixels(0)).all() and (seen.target == art.pixels(2)).all() and seen.mask is None


def test_faults_of_one_turn(tree):
    change(tree, "9", 0, instruction=" ")
    change(tree, "10", 0, output="../../../etc/passwd")
    change(tree, "10", 1, mask=None)
    assert [one.status for one in map(status, read("single", tree).samples)] == [
        "no_instruction", "outside_root", "malformed_record",
    ]  # fmt: skip
    assert read("multi", tree).samples[1].fault.why.startswith("turn 2 starts from 10-output1.png, turn 1 ends in ../")


def test_folders_and_sessions_must_match(tree, art):
    art.put(tree / "images" / "77" / "77-input.png")
    assert "1 folders below images/ have no session, such as 77" in read("single", tree).missing
    (tree / "images" / "9" / "9-input.png").unlink()
    assert status(read("single", tree).samples[0]).status == "missing_source"


def test_a_missing_file_is_named_with_the_layout(tree):
    (tree / "local_captions.json").unlink()
    with pytest.raises(InputError, match=r"local_captions.json.*Expected layout: test/ with images"):
        read("single", tree)
