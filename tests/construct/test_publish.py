"""Publishing: loads with one line, the same bytes again, nothing half-written, no cluster in two splits."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from published import FUNNEL, REJECTS, publish_small, work_of, works

from insightedit.construct.publish import FunnelLine, PublishKnobs, publish
from insightedit.construct.row import ROW_SCHEMA, Row, card_features, split_of
from insightedit.construct.work import Painting, Verdict, Wording
from insightedit.core.errors import InputError, OutputError

os.environ["HF_HUB_OFFLINE"] = "1"
datasets = pytest.importorskip("datasets")


def load(dataset: Path, cache: Path, *name: str, **how: Any) -> Any:
    return datasets.load_dataset(str(dataset), *name, cache_dir=str(cache), **how)


def hashes(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    publish_small(out)
    return out


def test_one_line_loads_images_and_typed_columns(run: Path, tmp_path: Path) -> None:
    edits = load(run / "dataset", tmp_path)
    assert {split: rows.num_rows for split, rows in edits.items()} == {"train": 6, "validation": 12, "test": 6}
    features = edits["train"].features
    images = ("source_image", "edited_image", "mask")
    assert all(isinstance(features[name], datasets.Image) for name in images)
    assert features["o_fwd"].dtype == "float32"  # null in every row
    row = edits["train"][0]
    assert all(row[name].size == (row["width"], row["height"]) for name in images)
    assert row["mask"].mode == "L" and row["phash"] > 2**63
    assert row["instr_meta"][0]["text"] in row["instr_fwd_simple"] and row["objects"][0]["mask"]["counts"]


def test_streaming_and_rejects_load_too(run: Path, tmp_path: Path) -> None:
    streamed = load(run / "dataset", tmp_path, streaming=True)
    assert len(list(streamed["validation"])) == 12
    rejects = load(run / "dataset", tmp_path, "rejects")["rejects"]
    assert sorted(set(rejects["reason"])) == ["low_quality", "no_mask", "too_small"]
    assert rejects.num_rows == 12 + len(REJECTS)


def test_features_are_those_that_datasets_would_write(run: Path) -> None:
    path = next((run / "dataset" / "data").glob("train*.parquet"))
    stored = datasets.Features.from_arrow_schema(pq.read_schema(path))
    assert stored.arrow_schema == ROW_SCHEMA
    assert stored == datasets.Features._from_yaml_list(card_features(Row))


def test_the_same_input_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    publish_small(tmp_path)
    first, again = hashes(run), hashes(tmp_path)
    first.pop("dataset/README.md"), again.pop("dataset/README.md")  # names the folder that it is loaded from
    pages = [hashes.pop(name) for hashes in (first, again) for name in ("dataset/manifest.json", "index.html")]
    assert len(pages) == 4 and first == again


def test_publishing_again_changes_nothing(tmp_path: Path) -> None:
    first = publish_small(tmp_path, 3)
    before = hashes(tmp_path)
    assert publish_small(tmp_path, 3) == first and hashes(tmp_path) == before


def test_clusters_never_split_and_growth_moves_nothing(tmp_path: Path) -> None:
    shares = PublishKnobs().splits
    drawn = [split_of(f"cluster {number}", shares) for number in range(4000)]
    assert 0.87 < drawn.count("train") / 4000 < 0.93
    twins = [work_of(1), work_of(2)]
    shared = [work.__class__(work.photo.but(cluster="same"), work.values) for work in twins]
    halves = PublishKnobs(splits={"a": 0.5, "b": 0.5})
    assert len(publish(shared, [], [], halves, tmp_path, "offline", 0).splits) == 1


def test_neighbours_in_a_file_are_drawn(run: Path) -> None:
    ids = pq.read_table(next((run / "dataset" / "data").glob("train*.parquet")), columns=["edit_id", "image_id"])
    order = ids["edit_id"].to_pylist()
    assert order == sorted(order, key=lambda edit_id: hashlib.sha256(f"order:{edit_id}".encode()).digest())


def test_files_end_at_rows_or_bytes(tmp_path: Path) -> None:
    knobs = PublishKnobs(splits={"train": 1.0}, bytes_per_file=60_000)
    publish(works(3), [], [], knobs, tmp_path, "offline", 0)
    files = sorted(path.name for path in (tmp_path / "dataset" / "data").iterdir())
    assert len(files) > 1 and files[-1] == f"train-{len(files) - 1:05d}-of-{len(files):05d}.parquet"
    assert pq.read_table(tmp_path / "dataset" / "data" / files[-1])["shard"].unique().to_pylist() == [len(files) - 1]


def test_row_groups_stay_below_what_the_viewer_takes(tmp_path: Path) -> None:
    knobs = PublishKnobs(splits={"train": 1.0}, page_rows=0)
    publish(works(40), [], [], knobs, tmp_path, "offline", 0)
    parquet = pq.ParquetFile(next((tmp_path / "dataset" / "data").iterdir()))
    groups = [parquet.metadata.row_group(number).num_rows for number in range(parquet.num_row_groups)]
    assert groups == [64, 16]


def test_no_kept_edit_still_gives_dataset_and_page(tmp_path: Path) -> None:
    published = publish(works(2, kept=False), [], FUNNEL, PublishKnobs(), tmp_path / "run", "offline", 0)
    assert published.rows == 0 and published.rejects == 6 and published.page.exists()
    streamed = load(published.dataset, tmp_path, streaming=True)
    assert list(streamed["train"]) == [] and isinstance(streamed["train"].features["mask"], datasets.Image)
    assert load(published.dataset, tmp_path, "rejects")["rejects"].num_rows == 6


def test_nothing_at_all_can_be_published(tmp_path: Path) -> None:
    published = publish([], [], [], PublishKnobs(), tmp_path / "run", "offline", 0)
    assert (published.rows, published.rejects, published.splits) == (0, 0, {})
    assert list(load(published.dataset, tmp_path, streaming=True)["train"]) == []


def test_splits_without_rows_are_left_out(tmp_path: Path) -> None:
    published = publish([work_of(0)], [], [], PublishKnobs(), tmp_path / "run", "offline", 0)
    edits = load(published.dataset, tmp_path)
    assert {split: rows.num_rows for split, rows in edits.items()} == published.splits and len(edits) == 1


def test_an_edit_without_words_is_left_out_with_a_reason(tmp_path: Path) -> None:
    work = work_of(0)
    worded = work.value("instruct", Wording)
    silent = [worded.edits[0].but(instructions=[]), *worded.edits[1:]]
    work = work.with_value("instruct", worded.but(edits=silent))
    published = publish([work], [], [], PublishKnobs(), tmp_path, "offline", 0)
    reasons = pq.read_table(tmp_path / "dataset" / "rejects")["reason"].to_pylist()
    assert published.rows == 1 and sorted(reasons) == ["low_quality", "no_instruction"]


def test_an_edit_that_nobody_judged_is_left_out(tmp_path: Path) -> None:
    work = work_of(0)
    work = work.with_value("judge", Verdict(photo_id=work.photo.photo_id, edits=[]))
    assert publish([work], [], [], PublishKnobs(), tmp_path, "offline", 0).rows == 0
    reasons = pq.read_table(tmp_path / "dataset" / "rejects")["reason"].to_pylist()
    assert reasons == ["not_judged"] * 3


def test_the_judges_line_gets_its_reasons(tmp_path: Path) -> None:
    line = FunnelLine(step="judge", what="edits", came_in=6, kept=4, rejected=2)
    published = publish(works(2), [], [line], PublishKnobs(), tmp_path, "offline", 0)
    assert published.funnel[0].reasons == {"low_quality": 2}


def test_a_failure_leaves_the_older_dataset(tmp_path: Path) -> None:
    publish_small(tmp_path, 2)
    before = hashes(tmp_path)
    broken = work_of(9).with_value("paint", work_of(9).value("paint", Painting).but(pictures=[]))
    with pytest.raises(InputError, match="picture that is not there"):
        publish([work_of(3), broken], [], [], PublishKnobs(), tmp_path, "offline", 0)
    assert hashes(tmp_path) == before


def test_a_swap_that_was_cut_off_is_mended(tmp_path: Path) -> None:
    publish_small(tmp_path, 2)
    before = hashes(tmp_path)
    (tmp_path / "dataset").rename(tmp_path / "dataset.old")  # killed between the two renames
    with pytest.raises(InputError):
        publish([work_of(9).with_value("paint", work_of(9).value("paint", Painting).but(pictures=[]))], [], [],
                PublishKnobs(), tmp_path, "offline", 0)  # fmt: skip
    assert hashes(tmp_path) == before


@pytest.mark.parametrize("name", ["dataset/mine.txt", "page/mine.txt", "index.html"])
def test_nothing_of_others_is_replaced(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match="did not write"):
        publish_small(tmp_path, 1)
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("splits", [{"train": 0.5}, {"Train!": 1.0}, {"a": 1.5, "b": -0.5}, {}])
def test_splits_that_make_no_sense_are_refused(splits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="split"):
        PublishKnobs(splits=splits)


def test_the_card_names_licences_authors_and_cannot_be_broken_by_them(tmp_path: Path) -> None:
    hostile = [work_of(0, author="<b>Eve</b> | `x`\n# head"), work_of(1, licence="")]
    publish(hostile, [], FUNNEL, PublishKnobs(), tmp_path, "offline", 0)
    card = (tmp_path / "dataset" / "README.md").read_text()
    assert "license: other" in card and "| unknown |" in card
    assert "<b>" not in card and "\n# head" not in card and "arXiv:2411.17323" in card
    assert "| judge | directed pairs | 72 | 48 | 24 | low\\_quality 24 |" in card
