"""Reading a list: whatever a line holds, it becomes a caption, a triple or a reject."""

from __future__ import annotations

import json

import pytest

from insightedit.backends.pair.triples import TripleKnobs
from insightedit.construct.imagine.captions import read
from insightedit.core.errors import InputError

KNOBS = TripleKnobs()


def listing(tmp_path, *lines, name="list.jsonl"):
    path = tmp_path / name
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return read(path, KNOBS)


def test_a_text_file_is_one_caption_a_line(tmp_path):
    found = listing(tmp_path, "a barn  in a field", "", "  a ship at sea\t", name="list.txt")
    assert (found.name, found.lines, found.rejects, found.triples) == ("list.txt", 2, [], [])
    assert found.captions == ["a barn in a field", "a ship at sea"]


@pytest.mark.parametrize("names", [("caption", "instruction", "edited"), ("input", "edit", "output"),
                                   ("caption", "edit", "edited_caption")])  # fmt: skip
def test_triples_are_read_under_our_names_and_under_those_of_instruct_pix2pix(tmp_path, names):
    texts = ("a barn", "set it on fire", "a burning barn")
    found = listing(tmp_path, dict(zip(names, texts, strict=True), url="ignored"), {names[0]: "a ship"})
    (triple,) = found.triples
    assert (triple.caption, triple.instruction, triple.edited) == texts and found.captions == ["a ship"]


LINES = [
    ("malformed_line", '{"caption": "a ship"'),
    ("malformed_line", "[1]"),
    ("malformed_line", '{"caption": ' + "[" * 5000),
    ("no_caption", {"text": "a ship"}),
    ("no_caption", {"caption": None}),
    ("no_caption", {"caption": float("nan")}),
    ("half_a_triple", {"caption": "a ship", "instruction": "sink it"}),
    ("half_a_triple", {"caption": "a ship", "edited": "a wreck"}),
    ("duplicate_caption", {"caption": "A barn, in a field."}),
    ("duplicate_triple", {"caption": "a tree here", "edit": "fell it", "output": "a stump"}),
    ("caption_too_long", {"caption": "word " * 50, "edit": "fell it", "output": "a stump"}),
    ("instruction_too_long", {"caption": "a tree here", "edit": "so " * 30, "output": "a stump"}),
    ("caption_unchanged", {"caption": "a tree here", "edit": "fell it", "output": "A tree here!"}),
]


@pytest.mark.parametrize(("reason", "line"), LINES, ids=[f"{at} {reason}" for at, (reason, _) in enumerate(LINES)])
def test_a_line_that_does_not_do_is_a_reject_and_costs_no_other(tmp_path, reason, line):
    good = ({"caption": "a barn in a field"}, {"caption": "a tree here", "edit": "fell it", "output": "a stump"})
    found = listing(tmp_path, *good, line, {"caption": "a ship at sea"})
    assert found.lines == 4 and found.captions == ["a barn in a field", "a ship at sea"] and len(found.triples) == 1
    (reject,) = found.rejects
    assert (reject.step, reject.reason, reject.uri) == ("source", reason, "list.jsonl:3")
    assert reject.seen and reject.wanted


def test_a_caption_may_have_several_edits_and_be_asked_about_too(tmp_path):
    edits = [{"caption": "a tree here", "edit": f"turn it {hue}", "output": f"a {hue} tree"} for hue in ("red", "blue")]
    found = listing(tmp_path, *edits, {"caption": "a tree here"})
    assert len(found.triples) == 2 and found.captions == ["a tree here"] and not found.rejects


def test_the_mark_is_that_of_what_will_be_worked_on(tmp_path):
    marks = [listing(tmp_path, *lines).mark for lines in (
        [{"caption": "a tree"}], [{"caption": "a tree"}, "broken"], [{"caption": "a bush"}],
        [{"caption": "a tree"}, {"caption": "a tree", "edit": "fell it", "output": "a stump"}],
    )]  # fmt: skip
    assert marks[0] == marks[1] and len(set(marks)) == 3


def test_what_utf8_cannot_hold_does_not_get_through(tmp_path):
    found = listing(tmp_path, '{"caption": "a \\ud800 tree"}')
    assert found.captions == ["a ? tree"]


FILES = [("list.csv", b"a barn"), ("list.txt", b"\xff\xfe\x00"), ("list.txt", b"\n \n"), ("list.jsonl", b"no json")]


@pytest.mark.parametrize(("name", "data"), FILES)
def test_a_file_that_holds_no_caption_is_refused_as_a_whole(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError):
        read(tmp_path / name, KNOBS)
    with pytest.raises(InputError, match="cannot read"):
        read(tmp_path / "absent.txt", KNOBS)
