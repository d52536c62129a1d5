"""The report: numbers as they are, marked fairly, told to three readers, and no word of a benchmark that acts."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from insightedit.core.files import sha256_of
from insightedit.evaluate import means, page, report, thumbnails
from insightedit.evaluate.benchmark import open_benchmark
from insightedit.evaluate.generate import Generated, Outcome
from insightedit.evaluate.latex import document
from insightedit.evaluate.latex import escaped as in_latex
from insightedit.evaluate.results import BenchmarkUsed, Cell, JudgeUsed, ProfileUsed, Results, Row
from insightedit.evaluate.sample import Benchmark, Fault, Group
from insightedit.evaluate.tables import sheets
from insightedit.metrics.profile import get

HOSTILE = (
    "</script><script>alert('x')</script><img src=x onerror=alert(1)> {{DATA}} \u2028 | **b** "
    "\\input{/etc/passwd} %$&_#"
)
PROFILE = get("smartedit_tm19")
PSNR, SSIM = "psnr_masked", "ssim_masked"
# editor -> PSNR of four samples; None: the editor gave no picture
VALUES: dict[str, list[float | None]] = {
    "identity": [float("inf")] * 4,
    "plain": [20.0, 22.0, 24.0, 26.0],
    "better": [30.0, 32.0, 34.0, 36.0],
    "broken": [40.0, 42.0, 44.0, None],
    "reference": [50.0, 52.0, 54.0, float("inf")],
}


def cells(psnr: float | None) -> dict[str, Cell]:
    if psnr is None:
        return {name: Cell(status="missing_output") for name in PROFILE.metrics}
    found = {name: Cell(status="unavailable", why="no weights") for name in PROFILE.metrics}
    return {**found, PSNR: Cell(value=psnr), SSIM: Cell(value=0.5), "mse_masked": Cell(value=1 / psnr)}


class Made:
    """A finished run of four samples and five editors, invented but for its means."""

    def __init__(self, own: Any, root: Path, instruction: str = "make it red", **used: Any) -> None:
        lines = [{"instruction": instruction, "category": "colour" if n % 2 else "shape", "split": f"part {n // 2}",
                  "target": f"{n}.png", "mask": "m.png"} for n in range(4)]  # fmt: skip
        folder = own(*lines)
        mask = np.zeros((16, 24), np.uint8)
        mask[4:12, 6:18] = 255
        Image.fromarray(mask).save(folder / "m.png")
        groups = (Group("first", splits=("part 0",)), Group("second", splits=("part 1",)))
        self.benchmark: Benchmark = replace(open_benchmark(str(folder)), groups=groups)
        self.folder = root / "out"
        self.outputs = {label: self._generated(label, values) for label, values in VALUES.items()}
        self.rows = {label: self._rows(label, values) for label, values in VALUES.items()}
        self.results = Results(
            insightedit="0", made="2026-01-01T00:00:00+00:00", seed=7, profiles=[self.profile],
            environment={"python": "3", "platform": "x", "packages": {"numpy": "2"}},
            benchmark=BenchmarkUsed(name="reason-edit", version=1, fingerprint="f" * 16, samples=4, **used),
            editors=[means.editor(self.outputs[label], rows, self.benchmark, [PROFILE], {"note": instruction})
                     for label, rows in self.rows.items()],
            paired=means.paired(self.rows, self.benchmark, [PROFILE]),
        )  # fmt: skip

    @property
    def profile(self) -> ProfileUsed:
        judge = JudgeUsed(model="judge-1", date=("2026-01-01", "2026-01-02"))
        return ProfileUsed(name=PROFILE.name, version=1, metrics=list(PROFILE.metrics), source="s", judge=judge)

    def write(self) -> Path:
        every = [row for rows in self.rows.values() for row in rows]
        report.write(self.folder, self.results, every, self.benchmark, self.outputs)
        return self.folder

    def _generated(self, label: str, values: list[float | None]) -> Generated:
        place = self.folder / "outputs" / label
        place.mkdir(parents=True)
        made, faults = {}, {}
        for number, (sample, value) in enumerate(zip(self.benchmark.samples, values, strict=True)):
            if value is None:
                faults[sample.id] = Fault("missing_output", "it crashed <here>")
                continue
            path = place / f"{number}.png"
            Image.fromarray(np.full((16, 24, 3), len(label) * 9 + number, np.uint8)).save(path)
            made[sample.id] = Outcome(key="k", file=path.name, sha256=sha256_of(path), width=24, height=16, seconds=0.5)
        return Generated(label, "0" * 16, 7, place, made, faults)

    def _rows(self, label: str, values: list[float | None]) -> list[Row]:
        pairs = zip(self.benchmark.samples, values, strict=True)
        return [
            means.row(sample, self.outputs[label], {PROFILE.name: cells(value)}, None, f"outputs/{label}")
            for sample, value in pairs
        ]


@pytest.fixture
def made(own: Any, tmp_path: Path) -> Made:
    return Made(own, tmp_path, title="Reason-Edit")


def data_of(folder: Path) -> dict[str, Any]:
    text = (folder / "index.html").read_text(encoding="utf-8")
    return json.loads(text.partition('id="data">')[2].partition("</script>")[0])


def line_of(markdown: str, block: str, label: str) -> list[str]:
    section = markdown.partition(f"### {block}\n")[2].partition("\n###")[0]
    (line,) = [line for line in section.splitlines() if line.strip("| *").startswith(label)]
    return [cell.strip() for cell in line.strip("|").split("|")]


# --- numbers --------------------------------------------------------------------------------------------------------


def test_a_table_says_mean_error_and_what_is_missing(made: Made) -> None:
    text = report.markdown(made.results, sheets(made.results))
    assert line_of(text, "overall", "plain")[:4] == ["plain", "4", "0", "23.000 ± 1.291"]
    assert line_of(text, "overall", "better")[3] == "**33.000** ± 1.291"
    assert line_of(text, "overall", "broken")[1:4] == ["4", "1", "42.000 ± 1.155 †"]
    assert line_of(text, "overall", "identity")[3] == "∞ (4 ∞)"
    assert line_of(text, "overall", "reference")[3] == "52.000 ± 1.155 (1 ∞)"
    assert line_of(text, "first", "plain")[1:4] == ["2", "0", "21.000 ± 1.000"]
    assert "PSNR, masked ↑" in text and "MSE, masked ↓" in text


def test_bold_is_for_the_best_of_complete_editors_that_compete(made: Made) -> None:
    (sheet,) = sheets(made.results)
    (whole,) = [block for block in sheet.blocks if block.name == "overall"]
    best = {line.label: dict(zip(PROFILE.metrics, line.best, strict=True)) for line in whole.lines}
    assert [label for label, found in best.items() if found[PSNR]] == ["better"]
    assert [label for label, found in best.items() if found["mse_masked"]] == ["better"]  # there, less is better
    assert not any(found[SSIM] for found in best.values())  # all are equal: nobody is best
    second = next(block for block in sheet.blocks if block.name == "first")
    assert [line.label for line in second.lines if line.best[0]] == ["broken"]  # complete on this part


def test_parts_come_before_the_whole_and_a_part_that_is_the_whole_is_not_told_twice(made: Made) -> None:
    assert [block.name for block in sheets(made.results)[0].blocks] == ["first", "second", "overall"]
    editors = [
        one.model_copy(update={"profiles": {PROFILE.name: table.model_copy(update={"groups": {"all": table.overall}})}})
        for one in made.results.editors
        for table in one.profiles.values()
    ]
    whole = made.results.model_copy(update={"editors": editors})
    assert [block.name for block in sheets(whole)[0].blocks] == ["all"]


def test_what_no_editor_has_and_who_failed_is_said(made: Made) -> None:
    text = report.markdown(made.results, sheets(made.results))
    assert "LPIPS (squeeze), masked: no values (missing output, unavailable)." in text
    assert "broken: 1 of 4 samples are not ok: missing output 1." in text
    assert "judge judge-1, 2026-01-01 to 2026-01-02" in text and "smartedit\\_tm19 v1" in text
    assert "SmartEdit's PSNR and CLIPScore are computed alike" in text


def test_a_part_of_a_benchmark_stands_beside_nothing(made: Made) -> None:
    part = made.results.model_copy(update={"limit": 4.0})
    text = report.markdown(part, sheets(part))
    assert "no published numbers stand beside this" in text and "computed alike" not in text
    assert "not for quoting" in text


def test_pairs_are_told_with_their_intervals(made: Made) -> None:
    text = report.markdown(made.results, sheets(made.results))
    (line,) = [line for line in text.splitlines() if line.startswith("| plain | better | PSNR")]
    assert [cell.strip() for cell in line.strip("|").split("|")][3:6] == ["4", "-10.000", "-10.000 to -10.000"]


# --- LaTeX ----------------------------------------------------------------------------------------------------------


def test_every_row_of_a_latex_table_has_its_columns(made: Made) -> None:
    text = document(made.results, sheets(made.results))
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2  # two parts side by side, then the whole
    for table in re.findall(r"\\begin\{tabular\}\{(l\w+)\}\n(.*?)\\end\{tabular\}", text, flags=re.S):
        rows = [row for row in table[1].split("\n") if row.endswith(r"\\")]
        widths = [
            len(re.findall(r"(?<!\\)&", row)) + 1
            + sum(int(span) - 1 for span in re.findall(r"\\multicolumn\{(\d+)\}", row))
            for row in rows
        ]  # fmt: skip
        assert set(widths) == {len(table[0])} and len(rows) == 2 + len(VALUES)
    assert r"\textbf{33.000}{\scriptsize $\pm$ 1.291}" in text and r"\multicolumn{5}{c}{first ($N = 2$)}" in text
    assert text.count("{") == text.count("}")


def test_latex_prints_any_text_and_runs_none() -> None:
    plain = in_latex(HOSTILE)
    assert "\\input" not in plain and r"\textbackslash{}input\{" in plain
    assert not re.findall(r"(?<!\\)[%&#_]", plain) and "\u2028" not in plain
    assert in_latex("颜色 ↑") == r"\texttt{U+989C}\texttt{U+8272} $\uparrow$"


# --- the page -------------------------------------------------------------------------------------------------------


def test_the_page_holds_every_sample_with_pictures_that_exist(made: Made) -> None:
    folder = made.write()
    data = data_of(folder)
    assert [sample["id"] for sample in data["samples"]] == [sample.id for sample in made.benchmark.samples]
    named = {sample["source"] for sample in data["samples"]} | {sample["target"] for sample in data["samples"]}
    named |= {one["picture"] for sample in data["samples"] for one in sample["of"] if "picture" in one}
    assert {f"{name}.jpg" for name in named} == {path.name for path in (folder / page.PICTURES).iterdir()}
    assert all(sample["outline"].startswith("M") for sample in data["samples"])
    place = [column["metric"] for column in data["columns"]].index(PSNR)
    assert [one["v"][place] for one in data["samples"][0]["of"]] == ["inf", 20.0, 30.0, 40.0, 50.0]


def test_a_failed_sample_is_shown_with_its_reason(made: Made) -> None:
    data = data_of(made.write())
    broken = data["samples"][3]["of"][3]
    assert broken["status"] == "missing_output" and "picture" not in broken
    assert data["whys"][broken["why"]] == "it crashed <here>"


def test_text_of_strangers_is_harmless(own: Any, tmp_path: Path) -> None:
    made = Made(own, tmp_path, HOSTILE, title=HOSTILE, citation=HOSTILE, remarks=[HOSTILE])
    text = (made.write() / "index.html").read_text(encoding="utf-8")
    assert "<script>alert" not in text and "<img src=x" not in text and "{{" not in text.replace("{{DATA}}", "")
    assert text.count("<script") == 2 and text.count("</script>") == 2  # the data and our own
    assert all(HOSTILE.split() == sample["instruction"].split() for sample in data_of(made.folder)["samples"])
    markdown = (made.folder / report.MARKDOWN).read_text(encoding="utf-8")
    assert "<img" not in markdown and "<script" not in markdown
    assert r"\input{" not in (made.folder / report.LATEX).read_text(encoding="utf-8")


def test_only_our_own_script_may_run_and_nothing_is_fetched(made: Made) -> None:
    text = (made.write() / "index.html").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy and "default-src 'none'" in policy[1] and "script-src 'sha256-" in policy[1]
    assert "innerHTML" not in text and "eval(" not in text
    assert re.findall(r"https?://[^\s\"'<`]+", text) == ["http://www.w3.org/2000/svg"]  # a name, never fetched


def test_equal_input_gives_equal_bytes_and_pictures_are_made_once(made: Made) -> None:
    def state() -> dict[str, tuple[bytes, int]]:
        files = [path for path in made.folder.rglob("*") if path.is_file()]
        return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    made.write()
    first = state()
    stray = made.folder / page.PICTURES / f"{'0' * 16}.jpg"
    stray.write_bytes(b"of an earlier run")
    made.write()
    second = state()
    assert {name: data for name, (data, _) in first.items()} == {name: data for name, (data, _) in second.items()}
    assert all(first[name][1] == second[name][1] for name in first if name.endswith(".jpg"))


def test_a_large_benchmark_shows_a_fair_sample(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "SAMPLES", 3)
    data = data_of(made.write())
    assert len(data["samples"]) == 3 and data["samples_of"] == 4


def test_a_page_of_500_samples_stays_below_a_megabyte(made: Made) -> None:
    data = data_of(made.write())
    per_sample = max(len(json.dumps(sample, separators=(",", ":"))) for sample in data["samples"])
    longest_outline = thumbnails.LONGEST
    rest = (made.folder / "index.html").stat().st_size
    assert rest + 500 * (per_sample + longest_outline) < 1_000_000
