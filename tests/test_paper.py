"""`--preset paper` from photographs to a dataset on the CPU: tiny random networks, and an endpoint that misbehaves."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before huggingface_hub is imported: nothing here asks a hub

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from asking_build import answers, chat, photographs
from chat_server import ChatServer, Turn, limited, says
from tiny_brushes import write_powerpaint_v2
from tiny_segmenters import detector, sam2

from insightedit.construct.build import build
from insightedit.construct.inspection import inspect
from insightedit.construct.recipe import Recipe
from insightedit.core.config import load, preset_path

JUDGED = {"reasoning": "It is so.", "instruction_followed": 5, "nothing_else_changed": 4}
PAINTED = {"reasoning": "It is so.", "naturalness": 4, "freedom_from_artifacts": 4}
# random boxes answer every name, and random masks cover half the picture: the largest heap of them is the thing
FIND, RULES, REMOVE = "segment.grounded_sam.detector", "segment.grounded_sam.rules", "paint.removal"
LENIENT = [
    *(f"{FIND}.{key}=0.0" for key in ("box_threshold", "text_threshold")),
    *(
        f"{RULES}.{key}"
        for key in ("min_mask_score=0.0", "max_border_share=1.0", "max_share=0.9", "same_mask_iou=0.01")
    ),
    *(f"{REMOVE}.{key}" for key in ("min_mask_score=0.0", "max_border_share=1.0", "max_share=0.9")),
    f"{FIND}.same_phrase_iou=0.01",
    "segment.grounded_sam.person=''",
    "segment.max_share=0.9",
    "paint.networks.replacement.max_share=0.9",
]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Photographs and weights in the public layouts."""
    place = tmp_path_factory.mktemp("paper")
    detector(place / "detector")
    sam2(place / "masks")
    write_powerpaint_v2(place / "powerpaint")
    photographs(place / "photos")
    return place


def settings(server: ChatServer, place: Path, **changes: Any) -> list[str]:
    """`--set` of what a test cannot have: real weights, a real endpoint, pictures of things."""
    given = ["source.licence=CC0 1.0", "source.near_duplicate_bits=0", "photos_per_shard=1", *LENIENT]
    networks = {"detector": "detector", "masks": "masks"}
    given += [f"segment.grounded_sam.{part}.model={place / folder}" for part, folder in networks.items()]
    for task in ("removal", "replacement"):
        own = {"model": place / "powerpaint", "steps": 2, "side": 64}
        given += [f"paint.networks.{task}.settings.{key}={value}" for key, value in own.items()]
    asked = chat(server, **changes)
    return given + [
        f"{section}.{key}={value}"
        for section in ("describe.mllm.chat", "instruct.mllm.chat", "judge.score.chat")
        for key, value in asked.items()
    ]


def model() -> Callable[[dict[str, Any]], Any]:
    """One that sees a mug, words every edit of it, and likes what it sees."""
    seen = answers()({"response_format": {"json_schema": {"name": "Described"}}})
    return answers(Described={**seen, "objects": seen["objects"][:1]}, Consistency5=JUDGED, Quality5=PAINTED)


def test_the_papers_pipeline_runs_from_photographs_to_a_dataset_whatever_the_endpoint_does(place, tmp_path):
    trouble = [limited(**{"Retry-After": "0"}), Turn(500, "oops"), says("a mug, I think"), Turn(reset=True)]
    with ChatServer(model(), trouble) as server:
        recipe = load(Recipe, preset_path("build", "paper"), settings(server, place, attempts=4))
        built = build(place / "photos", tmp_path / "out", recipe, workers=0)
    assert inspect(built.out).ok
    (file,) = (built.out / "dataset" / "data").glob("*.parquet")
    found = pq.read_table(file).to_pylist()
    assert sorted(row["method"] for row in found) == ["removal"] * 2 + ["replacement"] * 2
    for row in found:
        assert row["engine"].startswith("powerpaint_v2:powerpaint_v2@") and "/" not in row["engine"]
        assert (row["score_top"], row["sc_fwd_follow"], row["sc_rev_follow"], row["o_fwd"]) == (5, 5, None, 4)
        assert row["keep_fwd"] and row["keep_rev"], "the way back is kept with the way there"
        assert row["instr_fwd_simple"] and row["instr_fwd_advanced"] and row["mask_score"] is not None
        assert {one["step"] for one in row["asked"]} == {"describe", "instruct", "score"}
    assert all(line.came_in == line.kept + line.rejected for line in built.funnel)


def test_what_the_endpoint_refuses_cuts_off_or_never_answers_is_kept_with_its_reason_and_spoils_nothing_else(
    place, tmp_path
):
    bad = {
        "Instructed": [says({"forward": []}, finish="length")],  # of one edit of four
        "Consistency5": [Turn(text=None, refusal="I cannot help with that.")],
        "Quality5": [says(PAINTED, delay_s=30.0)],  # longer than anybody waits
    }
    told = model()

    def answer(body: dict[str, Any]) -> Any:
        waiting = bad.get(body["response_format"]["json_schema"]["name"])
        return waiting.pop() if waiting else told(body)

    with ChatServer(answer) as server:
        patience = settings(server, place, attempts=1, timeout_s=3, concurrency=1)
        recipe = load(Recipe, preset_path("build", "paper"), patience)
        built = build(place / "photos", tmp_path / "out", recipe, workers=0)
    (left_out,) = (built.out / "dataset" / "rejects").glob("*.parquet")
    rejects = [one for one in pq.read_table(left_out).to_pylist() if one["step"] != "segment"]
    said = " ".join(f"{one['step']}:{one['reason']} {one['seen']}" for one in rejects)
    assert 'instruct:truncated {"forward": []}' in said, "the reply is kept"
    assert "sc_refused" in said and "pq_timeout" in said, "of one edit or of two: who is asked first is open"
    assert inspect(built.out).ok and built.published.rows in (1, 2)


@pytest.mark.slow
def test_killed_in_the_middle_it_pays_for_nothing_twice_and_ends_with_the_same_dataset(place, tmp_path):
    def command(out: Path) -> list[str]:
        line = [sys.executable, "-m", "insightedit", "build", str(place / "photos"), "-o", str(out), "-p", "paper"]
        extra = settings(server, place, concurrency=1)
        return [*line, "--workers", "1", "--json", *(part for one in extra for part in ("--set", one))]

    with ChatServer(model(), latency_s=0.2) as server:
        whole = subprocess.run(command(tmp_path / "whole"), capture_output=True, text=True, timeout=600)
        assert whole.returncode == 0, whole.stderr
        once = len(server.seen)
        killed = subprocess.Popen(command(tmp_path / "out"), start_new_session=True)
        deadline = time.monotonic() + 300
        while len(server.seen) < once + once // 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(killed.pid, signal.SIGKILL)  # the group that this test started, workers too
        killed.wait()
        again = subprocess.run(command(tmp_path / "out"), capture_output=True, text=True, timeout=600)
        assert again.returncode == 0, again.stderr
    bodies = Counter(json.dumps(body, sort_keys=True) for body in server.bodies)
    in_flight = 3  # one of each of the three chats
    assert len(bodies) == once and len(server.seen) <= 2 * once + in_flight
    assert json.loads(again.stdout)["content_hash"] == json.loads(whole.stdout)["content_hash"]
