"""Tables for a paper: booktabs, groups side by side, editors as rows. Any text is escaped, for pdflatex too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from insightedit.evaluate.results import Results
from insightedit.evaluate.tables import Block, Column, Line, Sheet, general_notes, shown

WIDEST = 10  # columns of numbers beside each other, as in the papers
HEAD = """\
% needs \\usepackage{booktabs}
"""
MARKS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}",
    "[": "{[}", "]": "{]}",  # after the end of a row a bracket would be a length
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "±": r"$\pm$", "∞": r"$\infty$", "†": r"$\dagger$",
    "\u2013": "--", "\u2014": "---", "\u2019": "'", "\u2212": r"$-$", "\u00d7": r"$\times$",
}  # fmt: skip


def escaped(text: str) -> str:
    """Text that LaTeX prints as it is; what pdflatex has no letter for is named by its code point."""
    return "".join(_letter(letter) for letter in text)


def document(results: Results, sheets: Sequence[Sheet]) -> str:
    """All tables, one float per profile, to be read by \\input."""
    used = results.benchmark
    about = f"% {used.name} v{used.version} ({used.fingerprint}), insightedit {results.insightedit}, {results.made}"
    parts = [HEAD + about.replace("\n", " ") + "\n"]
    parts += [_float(results, sheet) for sheet in sheets]
    return "\n".join(parts)


def _float(results: Results, sheet: Sheet) -> str:
    used = results.benchmark
    said = f"{used.title or used.name} (v{used.version}), {sheet.title}. {sheet.about}."
    notes = " ".join([said, *sheet.notes, *general_notes(results)])
    lines = [r"\begin{table*}[t]", r"\centering\small", r"\setlength{\tabcolsep}{4pt}"]
    for number, blocks in enumerate(_chunks(sheet)):
        lines += ([r"\par\medskip"] if number else []) + list(_tabular(sheet, blocks))
    lines += [rf"\caption{{{escaped(notes)}}}", rf"\label{{tab:{_label(used.name)}-{_label(sheet.name)}}}"]
    return "\n".join([*lines, r"\end{table*}", ""])


def _chunks(sheet: Sheet) -> Iterator[list[Block]]:
    """Blocks that fit side by side."""
    together = max(1, WIDEST // max(1, len(sheet.columns)))
    for start in range(0, len(sheet.blocks), together):
        yield list(sheet.blocks[start : start + together])


def _tabular(sheet: Sheet, blocks: Sequence[Block]) -> Iterator[str]:
    width = len(sheet.columns)
    yield rf"\begin{{tabular}}{{l{'r' * (width * len(blocks))}}}"
    yield r"\toprule"
    heads = [rf"\multicolumn{{{width}}}{{c}}{{{_head(block)}}}" for block in blocks]
    yield " & ".join(["", *heads]) + r" \\"
    yield " ".join(rf"\cmidrule(lr){{{2 + n * width}-{1 + (n + 1) * width}}}" for n in range(len(blocks)))
    titles = [escaped(f"{item.title} {item.arrow}".strip()) for item in sheet.columns]
    yield " & ".join(["Editor", *(titles * len(blocks))]) + r" \\"
    yield r"\midrule"
    for place, line in enumerate(blocks[0].lines):
        cells = [cell for block in blocks for cell in _cells(block.lines[place], sheet.columns)]
        failed = max(block.lines[place].failed for block in blocks)
        label = escaped(line.label) + (rf" {{\scriptsize({failed} failed)}}" if failed else "")
        yield " & ".join([rf"\textit{{{label}}}" if line.bound else label, *cells]) + r" \\"
    yield r"\bottomrule"
    yield r"\end{tabular}"


def _cells(line: Line, columns: Sequence[Column]) -> Iterator[str]:
    for item, stat, best in zip(columns, line.stats, line.best, strict=True):
        if stat is None:
            yield "--"
            continue
        value, error, marks = (escaped(part) for part in shown(stat, item.digits))
        small = rf"{{\scriptsize{error}{marks}}}" if error or marks else ""
        yield (rf"\textbf{{{value}}}" if best else value) + small


def _head(block: Block) -> str:
    return f"{escaped(block.name)} ($N = {max(line.samples for line in block.lines)}$)"


def _label(text: str) -> str:
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in text)


def _letter(letter: str) -> str:
    if letter in MARKS:
        return MARKS[letter]
    if not letter.isprintable():
        return " "
    return letter if ord(letter) < 0x180 else rf"\texttt{{U+{ord(letter):04X}}}"
