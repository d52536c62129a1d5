"""The page: nothing from elsewhere, nothing of a stranger's text run, the sample drawn fairly."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from published import FUNNEL, REJECTS, work_of, works

from insightedit.construct.page import Draw
from insightedit.construct.publish import PublishKnobs, publish
from insightedit.construct.work import Work
from insightedit.core.page import embedded_json, outline

HOSTILE = "</script><script>alert('x')</script><!-- {{DATA}} \u2028"


def page_of(out: Path, works: list[Work], title: str = "Edits", **knobs: Any) -> tuple[str, dict[str, Any]]:
    """The HTML, and the data in it as the page's script parses them."""
    publish(works, REJECTS, FUNNEL, PublishKnobs(title=title, **knobs), out, "offline", 0)
    text = (out / "index.html").read_text(encoding="utf-8")
    return text, json.loads(text.partition('id="data">')[2].partition("</script>")[0])


def test_it_shows_edits_and_rejects_with_pictures_that_exist(tmp_path: Path) -> None:
    _, data = page_of(tmp_path, list(works(4)))
    assert len(data["edits"]) == 8
    assert {item["reason"] for item in data["rejects"]} == {"low_quality", "no_mask", "too_small"}
    named = {name for item in data["edits"] + data["rejects"] for name in item["images"]}
    assert named == {path.name for path in (tmp_path / "page").iterdir()}
    edit = data["edits"][0]
    assert edit["outline"].startswith("M") and edit["forward"][1]["query"].startswith("name(")
    assert edit["license"] == "CC BY 4.0" and edit["author"] == "Ann" and edit["scores"]["quality"] >= 0.5


def test_text_of_strangers_is_harmless(tmp_path: Path) -> None:
    text, data = page_of(tmp_path, [work_of(0, name=HOSTILE, author=HOSTILE)], title=HOSTILE)
    assert "<script>alert" not in text and "{{" not in text.replace("{{DATA}}", "")
    assert text.count("<script") == 2 and text.count("</script>") == 2  # the data and our own
    assert all(edit["author"] == HOSTILE and HOSTILE in edit["before"] for edit in data["edits"])  # told, not run


def test_only_our_own_script_may_run_and_nothing_is_fetched(tmp_path: Path) -> None:
    text, _ = page_of(tmp_path, list(works(1)))
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy and "default-src 'none'" in policy[1] and "script-src 'sha256-" in policy[1]
    own = text.replace(text.partition('id="data">')[2].partition("</script>")[0], "")
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']?(?:https?:)?//", own)
    assert re.findall(r"https?://[^\s\"'<`]+", own) == ["http://www.w3.org/2000/svg"]  # a name, never fetched


def test_links_are_web_links_only(tmp_path: Path) -> None:
    work = work_of(0)
    bad = Work(work.photo.but(licence_url="javascript:alert(1)", source_url="data:text/html,x"), work.values)
    _, data = page_of(tmp_path, [bad])
    assert {(edit["license_url"], edit["source_url"]) for edit in data["edits"]} == {("", "")}


def test_no_kept_edit_gives_a_page_that_says_so(tmp_path: Path) -> None:
    text, data = page_of(tmp_path, list(works(2, kept=False)))
    assert data["edits"] == [] and data["counts"]["edits"] == 0 and "No edit was kept" in text
    judged_out = [item for item in data["rejects"] if item["step"] == "judge"]
    assert len(judged_out) == 6 and all(len(item["images"]) == 2 for item in judged_out)


def test_the_sample_is_bounded_and_leaves_no_stray_pictures(tmp_path: Path) -> None:
    _, data = page_of(tmp_path, list(works(9)), page_rows=3)
    assert len(data["edits"]) == 3 and data["counts"]["edits"] == 18 and len(data["rejects"]) <= 40
    named = {name for item in data["edits"] + data["rejects"] for name in item["images"]}
    assert named == {path.name for path in (tmp_path / "page").iterdir()}


def test_a_draw_does_not_depend_on_the_order() -> None:
    keys = [f"edit {number}" for number in range(300)]

    def drawn(order: list[str]) -> list[str]:
        draw = Draw(10)
        for key in order:
            draw.offer(key, lambda key=key: key)
        return draw.items()

    assert drawn(keys) == drawn(keys[::-1]) and len(set(drawn(keys))) == 10


def test_a_draw_survives_equal_keys() -> None:
    draw = Draw(2)
    for number in range(5):
        draw.offer("same", lambda number=number: {"number": number})
    assert len(draw.items()) == 2


def test_json_cannot_leave_its_element() -> None:
    text = embedded_json({"a": HOSTILE})
    assert not set("<>&\u2028") & set(text) and json.loads(text) == {"a": HOSTILE}


def test_an_outline_follows_the_mask() -> None:
    mask = np.zeros((40, 60), bool)
    mask[10:20, 30:50] = True
    assert outline(mask, 60, 40) == "M30,10L30,19L49,19L49,10Z"
    assert outline(np.zeros((40, 60), bool), 30, 20) == ""
