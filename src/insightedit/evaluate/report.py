"""The report of an evaluation: for a person (index.html), for a repository (report.md), for a paper (report.tex).

OUT/BENCHMARK/report.md, report.tex     tables in the papers' layout
OUT/BENCHMARK/index.html, pictures/     the same, with charts and every sample side by side
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from insightedit.core.errors import OutputError
from insightedit.core.files import write_text
from insightedit.evaluate import latex, page
from insightedit.evaluate.generate import Generated
from insightedit.evaluate.results import PairedResult, Results, Row
from insightedit.evaluate.sample import Benchmark
from insightedit.evaluate.tables import NONE, Block, Column, Sheet, column, general_notes, sheets, shown
from insightedit.metrics.summary import Stat

MARKDOWN, LATEX = "report.md", "report.tex"


def write(
    folder: Path, results: Results, rows: Sequence[Row], benchmark: Benchmark, outputs: Mapping[str, Generated]
) -> None:
    """Write the report beside the results. Equal input gives equal bytes.

    Args:
        folder: OUT/BENCHMARK.
        results, rows: of one run.
        benchmark: the samples, as run.
        outputs: what each editor made, by label.

    Raises:
        OutputError: the disk is full or the place cannot be written.
    """
    found = sheets(results)
    try:
        write_text(folder / MARKDOWN, markdown(results, found))
        write_text(folder / LATEX, latex.document(results, found))
        page.write(folder, results, rows, found, benchmark, outputs)
    except OSError as error:
        why = error.strerror or str(error)
        raise OutputError(f"could not write the report into {folder}", why, "Free some space and run again") from error


def markdown(results: Results, tables: Sequence[Sheet]) -> str:
    """The tables as Markdown, with everything one needs to know to quote them."""
    used = results.benchmark
    whole = f"{used.name} v{used.version}, fingerprint {used.fingerprint}, {used.samples} samples, seed {results.seed}"
    lines = [f"# {escaped(used.title or used.name)}", "", f"{escaped(whole)}; insightedit {results.insightedit}."]
    for sheet in tables:
        lines += ["", *_sheet(results, sheet)]
    lines += ["", "## How to read this", "", *(f"- {escaped(note)}" for note in general_notes(results))]
    if used.citation:
        lines.append(f"- Cite the benchmark: {escaped(used.citation)}")
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line of a table or a list; HTML in it stays text."""
    plain = re.sub(r"([\\`*_\[\]|#~])", r"\\\1", " ".join(text.split()))
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# --- parts -----------------------------------------------------------------------------------------------------------


def _sheet(results: Results, sheet: Sheet) -> Iterator[str]:
    yield f"## {escaped(sheet.title)}"
    if sheet.about:
        yield from ("", f"{escaped(sheet.about)}.")
    for block in sheet.blocks:
        yield from ("", *_block(sheet, block))
    yield from ("", *(f"- {escaped(note)}" for note in sheet.notes))
    if len(sheet.categories) > 1:
        yield from ("", *_categories(results, sheet))
    pairs = [pair for pair in results.paired if pair.profile == sheet.name and pair.group is None and pair.n]
    if pairs:
        yield from ("", *_paired(pairs))


def _block(sheet: Sheet, block: Block) -> Iterator[str]:
    yield f"### {escaped(block.name)}"
    yield ""
    yield from _head(["Editor", "N", "failed"], sheet.columns, left=1)
    for line in block.lines:
        cells = [
            _cell(stat, item.digits, best)
            for item, stat, best in zip(sheet.columns, line.stats, line.best, strict=True)
        ]
        label = f"*{escaped(line.label)}*" if line.bound else escaped(line.label)
        yield _row([label, str(line.samples), str(line.failed), *cells])


def _categories(results: Results, sheet: Sheet) -> Iterator[str]:
    yield "### By category"
    yield ""
    yield from _head(["Category", "Editor", "N"], sheet.columns, left=2)
    for name, editors in sheet.categories.items():
        for editor, stats in zip(results.editors, editors, strict=True):
            samples = max((sum(stat.statuses.values()) for stat in stats if stat), default=0)
            cells = [_cell(stat, item.digits) for item, stat in zip(sheet.columns, stats, strict=True)]
            yield _row([escaped(name), escaped(editor.label), str(samples), *cells])


def _paired(pairs: Sequence[PairedResult]) -> Iterator[str]:
    yield "### Paired differences on the same samples, all of them"
    yield ""
    yield "First minus second, 95 % interval of a bootstrap over samples; p is not corrected for many comparisons."
    yield ""
    yield _row(["First", "Second", "Metric", "N", "Difference", "95 % interval", "p"])
    yield _row(["---", "---", "---", "---:", "---:", "---:", "---:"])
    for pair in pairs:
        item = column(pair.profile, pair.metric)
        signed = [
            NONE if value is None else f"{value:+.{item.digits}f}" for value in (pair.difference, pair.low, pair.high)
        ]
        p = NONE if pair.p is None else "< 0.001" if pair.p < 0.001 else f"{pair.p:.3f}"
        names = [escaped(text) for text in (pair.first, pair.second, f"{item.title} {item.arrow}".strip())]
        yield _row([*names, str(pair.n), signed[0], f"{signed[1]} to {signed[2]}", p.replace("<", "&lt;")])


def _head(first: Sequence[str], columns: Sequence[Column], left: int) -> Iterator[str]:
    yield _row([*first, *(escaped(f"{item.title} {item.arrow}".strip()) for item in columns)])
    yield _row(["---"] * left + ["---:"] * (len(first) - left + len(columns)))


def _cell(stat: Stat | None, digits: int, best: bool = False) -> str:
    if stat is None:
        return NONE
    value, error, marks = shown(stat, digits)
    return (f"**{value}**" if best else value) + error + marks


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
