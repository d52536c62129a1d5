"""The overview people read is the rule that is run."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "insightedit"
SOURCES = sorted(PACKAGE.rglob("*.py"))
MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 50


def import_table() -> dict[str, set[str]]:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    rows = re.findall(r"^  (\w+)/ +<- ?([a-z ]*?)(?:  |$)", text, flags=re.M)
    return {name: set(allowed.split()) for name, allowed in rows}


def imports_of(path: Path) -> set[str]:
    """Top-level parts of the package that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("insightedit."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {name.name.split(".")[1] for name in node.names if name.name.startswith("insightedit.")}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides its arrow"
    return found


def test_the_table_names_every_part_of_the_package():
    assert set(import_table()) == {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name[0] != "_"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_flow_one_way(path):
    part = path.relative_to(PACKAGE).parts[0]
    if part in ("__init__.py", "__main__.py"):
        return
    allowed = import_table()[part] | {part}
    for imported in imports_of(path):
        assert imported in allowed, f"{part} may not import {imported}: move the shared noun down"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_stay_readable(path):
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_FILE_LINES
    assert path.stem not in ("utils", "helpers", "common")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            assert lines <= MAX_FUNCTION_LINES, f"{node.name} has {lines} lines"


def test_no_arrow_runs_in_a_circle():
    table = import_table()
    for part, allowed in table.items():
        for other in allowed:
            assert part not in table[other], f"{part} and {other} import each other"
