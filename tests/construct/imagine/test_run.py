"""From captions to a dataset: what comes out loads and keeps every promise, and a kill changes nothing of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import imagining
import pyarrow.parquet as pq
import pytest
from chat_server import ChatServer, Turn
from imagining import PROPOSED, SIDE, RectanglePairs, asking, captions_of, proposes, recipe

from insightedit.construct.imagine import run
from insightedit.construct.imagine.run import imagine
from insightedit.construct.inspection import inspect
from insightedit.core.errors import InputError, InsightEditError, OutputError, Stop
from insightedit.datasets.published import Published, PublishedKnobs

os.environ["HF_HUB_OFFLINE"] = "1"
GIVEN = {"caption": "a ship at sea", "instruction": "set it on fire", "edited": "a burning ship at sea"}


@pytest.fixture(autouse=True)
def rectangles(monkeypatch):
    monkeypatch.setattr(run, "SamplePairs", RectanglePairs)


def listed(folder: Path, count: int = 5) -> Path:
    """A list of `count` captions, a triple and a line that does not do."""
    path = folder / "captions.jsonl"
    lines = [{"caption": f"barn number {number} in a field"} for number in range(count)]
    path.write_text("\n".join(json.dumps(line) for line in [*lines, GIVEN, {"caption": ""}]))
    return path


def made(folder: Path, server: ChatServer, out: str = "out", **sections):
    return imagine(listed(folder), folder / out, recipe(propose=asking(server.url), **sections), workers=0)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """Of five captions and one triple."""
    folder = tmp_path_factory.mktemp("one")
    with pytest.MonkeyPatch.context() as patched, ChatServer(proposes) as server:
        patched.setattr(run, "SamplePairs", RectanglePairs)
        return made(folder, server)


def rows_of(out: Path) -> list[dict]:
    return [
        row for path in sorted((out / "dataset" / "data").glob("*.parquet")) for row in pq.read_table(path).to_pylist()
    ]


def test_every_promise_holds_and_the_funnel_adds_up(one):
    found = inspect(one.out)
    assert found.ok, [(promise.name, promise.failures) for promise in found.promises if not promise.holds]
    assert (found.rows, found.forward, found.reverse, found.photos) == (18, 18, 0, 18)
    spread = {line.score: line for line in found.scores}
    assert spread["clip_dir"].count == 18 and spread["clip_dir"].quantiles[0] >= 0.2
    assert [(line.step, line.came_in, line.kept) for line in found.funnel] == [
        ("source", 7, 6), ("propose", 5, 5), ("sample", 6, 6), ("sift", 72, 18),
    ]  # fmt: skip
    for line in found.funnel:
        assert line.rejected == sum(line.reasons.values()) == line.came_in - line.kept
    assert found.funnel[0].reasons == {"no_caption": 1} and found.funnel[3].reasons["nothing_changed"] == 6


def test_it_loads_with_one_line_and_a_row_says_all_of_a_pair(one, tmp_path):
    from datasets import Image, load_dataset

    splits = load_dataset(str(one.out / "dataset"), cache_dir=str(tmp_path))
    rows = [row for split in splits.values() for row in split]
    assert len(rows) == 18
    assert all(
        isinstance(split.features[name], Image) for split in splits.values() for name in ("mask", "edited_image")
    )
    clusters = {row["caption_source"]: (row["source_cluster"], row["split"]) for row in rows}
    for row in rows:
        caption, given = row["caption_source"], row["caption_source"] == GIVEN["caption"]
        told = (row["instr_fwd_simple"], row["desc_before"], row["desc_after"])
        proposal = ([PROPOSED], caption, f"{caption} with a red roof")
        assert told == (([GIVEN["instruction"]], caption, GIVEN["edited"]) if given else proposal)
        assert (row["task"], row["method"], row["object_id"]) == ("free", "prompt_to_prompt", "")
        assert (row["natural_direction"], row["license"], row["source_dataset"]) == ("neither", "unknown", "captions")
        assert row["keep_fwd"] and not row["keep_rev"]
        assert row["source_image"].size == row["edited_image"].size == row["mask"].size == (SIDE, SIDE)
        assert min(row["clip_source"], row["clip_edited"], row["clip_dir"]) >= 0.2 and row["clip_image"] >= 0.7
        asked = [(one["step"], one["model"], one["usd"]) for one in row["asked"]]
        assert asked == ([] if given else [("propose", "gpt-4o", None)])
        assert clusters[caption] == (row["source_cluster"], row["split"])
    most = Counter(row["caption_source"] for row in rows)
    assert max(most.values()) <= 4 and len(most) == 6


def test_a_cosine_that_is_none_breaks_the_promise_of_scores(one, tmp_path):
    import pyarrow as pa

    path = next((one.out / "dataset" / "data").glob("*.parquet"))
    for value, holds in ((-1.0, True), (1.5, False)):
        table = pq.read_table(path)
        changed = table.set_column(table.schema.get_field_index("clip_dir"), "clip_dir", pa.array([value] * len(table)))
        pq.write_table(changed, tmp_path / path.name.replace("-of-00001", ""))
        promises = {promise.name: promise.holds for promise in inspect(tmp_path).promises}
        assert promises.pop("scores") is holds and all(promises.values())


def test_card_and_page_tell_of_imagined_pictures_and_not_of_photographs(one):
    card, page = (one.out / "dataset" / "README.md").read_text(), (one.out / "index.html").read_text()
    assert "18 edits of 18 imagined pictures" in card and "insightedit imagine" in card
    assert "Every row carries" not in card
    assert data_of(page)["counts"]["imagined pictures"] == 18 and "photographs" not in data_of(page)["counts"]
    assert "removed" not in json.dumps(data_of(page)["edits"])
    names = {(edit["before"], edit["after"]) for edit in data_of(page)["edits"]}
    assert (GIVEN["caption"], GIVEN["edited"]) in names


def data_of(page: str) -> dict:
    text = page.partition('type="application/json" id="data">')[2].partition("</script>")[0]
    return json.loads(text)


def test_what_it_cost_is_told_once(one):
    (spent,) = one.spent
    assert (spent.step, spent.models, spent.answers) == ("propose", ["gpt-4o"], 3) and spent.usd > 0


def test_the_reader_for_training_takes_it_as_edits_of_any_kind(one):
    split = max(one.published.splits, key=lambda name: one.published.splits[name])
    reader = Published(PublishedKnobs(path=one.out / "dataset", split=split))
    assert [part.label for part in reader.parts] == ["edit/simple"] and len(reader) == one.published.splits[split]
    example = reader.example(0, 0)
    assert example.task == "edit" and example.mask.any() and (example.source != example.target).any()


def test_a_list_of_triples_asks_nobody(tmp_path, monkeypatch):
    monkeypatch.delenv("INSIGHTEDIT_MODEL", raising=False)
    path = tmp_path / "list.jsonl"
    path.write_text(json.dumps(GIVEN))
    found = imagine(path, tmp_path / "out", recipe(), workers=0)
    assert found.published.rows == 3 and found.spent[0].answers == 0
    assert all(row["clip_dir"] >= 0.2 and not row["asked"] for row in rows_of(tmp_path / "out"))
    assert inspect(tmp_path / "out").ok
    assert "tokens in" not in (tmp_path / "out" / "dataset" / "README.md").read_text()


def test_a_new_threshold_samples_again_and_asks_nobody(tmp_path):
    with ChatServer(proposes) as server:
        first = made(tmp_path, server)
        asked = len(server.bodies)
        again = made(tmp_path, server)
        fewer = made(tmp_path, server, sample={**recipe().sample.model_dump(), "sift": {"most": 2}})
        assert len(server.bodies) == asked == 3
    assert again.published.content_hash == first.published.content_hash
    assert fewer.published.rows == 6  # of the two best of a triple one has no change


def test_a_folder_of_another_list_is_left_alone(tmp_path):
    with ChatServer(proposes) as server:
        made(tmp_path, server)
        (tmp_path / "other.txt").write_text("a tree here")
        with pytest.raises(OutputError, match=r"another recipe.*captions"):
            imagine(tmp_path / "other.txt", tmp_path / "out", recipe(propose=asking(server.url)), workers=0)


def test_no_pair_at_all_is_an_error_that_says_why_and_leaves_a_page(tmp_path):
    strict = {**recipe().sample.model_dump(), "sift": {"min_image": 0.99}}
    with ChatServer(proposes) as server, pytest.raises(InsightEditError, match="6 x no_pair_kept"):
        made(tmp_path, server, sample=strict)
    assert (tmp_path / "out" / "index.html").is_file()


def test_a_model_that_declines_everything_is_an_error_that_says_why(tmp_path):
    (tmp_path / "list.txt").write_text("a barn in a field\na tree here")
    server = ChatServer(lambda body: Turn(text=None, refusal="No."))
    with server, pytest.raises(InsightEditError, match="2 x refused"):
        imagine(tmp_path / "list.txt", tmp_path / "out", recipe(propose=asking(server.url)), workers=0)


def test_nobody_is_asked_where_the_weights_cannot_be_had(tmp_path, monkeypatch):
    def absent(step):
        raise InputError("no weights", "there are none", "Get some")

    monkeypatch.setattr(RectanglePairs, "see_needs", absent)
    with ChatServer(proposes) as server:
        with pytest.raises(InputError, match="no weights"):
            made(tmp_path, server)
        assert not server.bodies


def test_a_budget_stops_it_and_the_same_command_goes_on(tmp_path):
    with ChatServer(proposes) as server:
        where, settings = listed(tmp_path), recipe(propose=asking(server.url))
        with pytest.raises(Stop, match="budget"):
            imagine(where, tmp_path / "out", settings, workers=0, budget_usd=0.000001)
        assert imagine(where, tmp_path / "out", settings, workers=0, budget_usd=5.0).published.rows == 18


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 here")
def test_kill_9_among_the_samples_and_a_rerun_give_the_same_dataset_and_ask_nobody_again(tmp_path):
    out, cwd = tmp_path / "killed", Path(imagining.__file__).parent
    with ChatServer(proposes) as server:
        whole = made(tmp_path, server, "whole")
        unbroken = len(server.bodies)
        command = [sys.executable, imagining.__file__, str(listed(tmp_path)), str(out), server.url, "0.3"]
        driver = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while driver.poll() is None and not list((out / "work" / "shards").glob("*/*.done.json")):
            time.sleep(0.01)
        driver.send_signal(signal.SIGKILL)
        assert driver.wait() == -signal.SIGKILL, "it was done before it could be killed"
        done = {path: path.stat().st_mtime_ns for path in out.rglob("*.done.json")}
        assert not (out / "dataset").exists() and 0 < len([path for path in done if "sample" in path.name]) < 3
        mended = made(tmp_path, server, "killed")
        asked = Counter(tuple(captions_of(body)) for body in server.bodies[unbroken:])
    assert mended.published.content_hash == whole.published.content_hash
    assert {row["edit_id"] for row in rows_of(out)} == {row["edit_id"] for row in rows_of(tmp_path / "whole")}
    assert len(asked) == sum(asked.values()) == 3, asked
    assert all(path.stat().st_mtime_ns == at for path, at in done.items()), "what was done was done again"
