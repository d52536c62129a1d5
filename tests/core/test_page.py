"""Pages that are one file: only their own script runs, whatever the words are."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from insightedit.core.page import embedded_json, filled, outline

TEMPLATE = """<meta content="script-src 'sha256-{{SCRIPT_HASH}}'">{{MARK}}<h1>{{TITLE}}</h1>
<script type="application/json" id="data">{{DATA}}</script><script>
%s</script>"""
SCRIPT = 'say("hello");\n'
HOSTILE = "</script><script>alert(1)</script><!-- {{DATA}} {{TITLE}} &amp;"


@pytest.mark.parametrize("apart", [False, True])
def test_words_stay_words_and_the_policy_names_the_script_that_is_there(tmp_path: Path, apart: bool) -> None:
    template, script = tmp_path / "page.html", tmp_path / "page.js"
    template.write_text(TEMPLATE % ("{{SCRIPT}}" if apart else SCRIPT))
    script.write_text(SCRIPT)
    page = filled(template, {"TITLE": HOSTILE}, [HOSTILE], mark="<i>", script=script if apart else None)
    assert page.count("<script") == page.count("</script>") == 2 and "<i><h1>" in page
    own = page.rpartition("<script>")[2].partition("</script>")[0]
    named = re.search(r"sha256-([^']+)'", page)
    assert own.strip() == SCRIPT.strip()
    assert named and base64.b64decode(named[1]) == hashlib.sha256(own.encode()).digest()
    assert json.loads(page.partition('id="data">')[2].partition("</script>")[0]) == [HOSTILE]


def test_embedded_data_hold_no_markup_and_no_infinity() -> None:
    assert not set("<>&\u2028") & set(embedded_json([HOSTILE, "\u2028"]))
    with pytest.raises(ValueError, match="JSON"):
        embedded_json([float("inf")])


def test_an_outline_follows_the_mask_and_its_holes() -> None:
    mask = np.zeros((40, 60), bool)
    mask[5:30, 10:50] = True
    assert outline(mask, 60, 40) == "M10,5L10,29L49,29L49,5Z"
    mask[12:20, 20:40] = False
    assert outline(mask, 60, 40).count("M") == 2 and outline(mask & False, 60, 40) == ""


def test_a_coarser_outline_is_shorter() -> None:
    rows, columns = np.mgrid[:200, :200]
    disc = (rows - 100) ** 2 + (columns - 100) ** 2 < 80**2
    assert len(outline(disc, 200, 200, tolerance=8.0)) < len(outline(disc, 200, 200)) / 2
