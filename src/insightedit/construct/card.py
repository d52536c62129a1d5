"""The dataset card: the YAML head that the Hugging Face Hub reads, and the text that people read."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from insightedit import __version__
from insightedit.construct.funnel import Spending
from insightedit.construct.row import FunnelLine, Row, card_features
from insightedit.construct.tally import POINTS, Owner, Tally
from insightedit.core.record import Reject

ATTRIBUTED = 200  # lines of the attribution table; every row names its own author and licence besides
REASONS = 6  # per line of the funnel table

# How photographs' licences are written -> how the Hub calls them.
_LICENCES = {
    "cc0": "cc0-1.0", "cc0 1.0": "cc0-1.0", "cc0-1.0": "cc0-1.0", "cc-zero": "cc0-1.0", "public domain": "cc0-1.0",
    "cc by 2.0": "cc-by-2.0", "cc by 2.5": "cc-by-2.5", "cc by 3.0": "cc-by-3.0", "cc by 4.0": "cc-by-4.0",
    "cc by-sa 3.0": "cc-by-sa-3.0", "cc by-sa 4.0": "cc-by-sa-4.0", "cc by-nc 4.0": "cc-by-nc-4.0",
    "cc by-nc-sa 4.0": "cc-by-nc-sa-4.0", "cc by-nd 4.0": "cc-by-nd-4.0", "mit": "mit", "apache-2.0": "apache-2.0",
}  # fmt: skip

CITATION = """\
@inproceedings{xu2025insightedit,
  title     = {InsightEdit: Towards Better Instruction Following for Image Editing},
  author    = {Xu, Yingjing and Kong, Jie and Wang, Jiazhi and Pan, Xiao and Lin, Bo and Liu, Qiang},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2025},
  note      = {arXiv:2411.17323}
}
@software{insightedit_toolkit,
  title   = {insightedit: an open toolkit to build instruction-editing datasets, train and evaluate editors},
  version = {%s}
}"""


@dataclass(frozen=True)
class Origin:
    """What a dataset was made from, in the words of its card."""

    things: str = "photographs"
    made: str = (
        "By `insightedit build` {version}, preset `{preset}`, seed {seed}, configuration `{recipe}`: describe, "
        "segment, paint, instruct, judge, publish. Both sides of a pair are encoded once, from one RGB buffer."
    )
    licences: str = (
        "Every row carries the licence of its photograph (`license`, `license_url`, `author`, `source_url`); the "
        "edited side is a derivative of it. Where a licence asks for attribution or for sharing alike, that binds "
        "whoever passes the pair on."
    )
    limits: str = (
        "The edits are made by programs and judged by programs. A kept edit may still show residue, a shadow without "
        "its object, or an instruction that a person would phrase otherwise; the scores say how likely. Photographs "
        "carry the biases of their sources, and people in them were not asked about this use. A licence given as "
        "`unknown` means that nobody stated one: clear it before passing the photograph on."
    )


PHOTOGRAPHS = Origin()


@dataclass(frozen=True)
class Facts:
    """What the card tells, gathered by `publish`."""

    name: str
    title: str
    preset: str
    seed: int
    recipe: str  # fingerprint of the effective configuration
    tally: Tally
    funnel: Sequence[FunnelLine]
    rejects: int
    split_bytes: dict[str, int]  # of the splits that have a file
    reject_bytes: int
    origin: Origin = PHOTOGRAPHS
    row: type[Row] = Row
    spent: Sequence[Spending] = ()  # by the steps that asked language models


def write_card(facts: Facts) -> str:
    """The text of README.md."""
    head = yaml.safe_dump(_head(facts), sort_keys=False, allow_unicode=True, width=110)
    sections = [_what(facts), _load(facts), _made(facts), _yields(facts), _scores(facts)]
    sections += [_columns(facts.row), _licences(facts)]
    return f"---\n{head}---\n\n# {_plain(facts.title)}\n\n" + "\n\n".join([*sections, _cite(), _limits(facts)]) + "\n"


# --- head ------------------------------------------------------------------------------------------------------------


def _head(facts: Facts) -> dict[str, Any]:
    configs: list[dict[str, Any]] = [{"config_name": "default", "default": True, "data_files": _data_files(facts)}]
    infos = [
        {
            "config_name": "default",
            "features": card_features(facts.row),
            "splits": [
                {"name": split, "num_bytes": size, "num_examples": facts.tally.splits[split]}
                for split, size in facts.split_bytes.items()
            ],
            "dataset_size": sum(facts.split_bytes.values()),
        }
    ]
    if facts.rejects:  # `datasets` refuses a split without rows, so an empty table is not offered
        configs.append(
            {
                "config_name": "rejects",
                "data_files": [{"split": "rejects", "path": "rejects/rejects-*.parquet"}],
            }
        )
        split = {"name": "rejects", "num_bytes": facts.reject_bytes, "num_examples": facts.rejects}
        infos.append({"config_name": "rejects", "features": card_features(Reject), "splits": [split]})
    return {
        "pretty_name": facts.title,
        **_licence_head(facts.tally.owners()),
        "language": ["en"],
        "task_categories": ["image-to-image"],
        "tags": ["image-editing", "instruction-based-image-editing", "image", "text", "insightedit"],
        "size_categories": [_size_category(facts.tally.rows)],
        "configs": configs,
        "dataset_info": infos,
    }


def _data_files(facts: Facts) -> list[dict[str, str]]:
    return [{"split": split, "path": f"data/{split}-*.parquet"} for split in facts.split_bytes]


def _licence_head(owners: Iterable[Owner]) -> dict[str, Any]:
    written = sorted({owner.licence for owner in owners})
    known = sorted({_LICENCES.get(_licence_key(licence), "") for licence in written})
    if known and all(known):
        return {"license": known[0] if len(known) == 1 else known}
    return {"license": "other", "license_name": "per-row", "license_link": "README.md#licences-and-authors"}


def _licence_key(written: str) -> str:
    key = re.sub(r"\s+", " ", written.strip().lower().replace("_", "-"))
    return re.sub(r"^cc-(by.*)-(\d\.\d)$", r"cc \1 \2", key).replace("creative commons ", "")


def _size_category(rows: int) -> str:
    bounds = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")]
    return next((name for bound, name in bounds if rows < bound), "1M<n<10M" if rows < 10_000_000 else "n>10M")


# --- text ------------------------------------------------------------------------------------------------------------


def _plain(text: object) -> str:
    """Text that a stranger may have written, harmless inside a Markdown table."""
    escaped = html.escape(" ".join(str(text).split()), quote=False)
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", escaped)


def _code(text: object) -> str:
    """Text for inside backticks or a string of example code, which it cannot end."""
    return re.sub(r"[`\"\\\s]", " ", str(text)).strip()


def _table(header: Sequence[str], rows: Iterable[Sequence[object]], numbers: range) -> str:
    """A Markdown table; the columns in `numbers` hold numbers."""
    rule = ["---:" if column in numbers else "---" for column in range(len(header))]
    lines = [header, rule, *([str(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _what(facts: Facts) -> str:
    tally = facts.tally
    counts = (
        f"{tally.rows:,} edits of {tally.photos:,} {facts.origin.things}: {tally.pairs:,} directed pairs "
        f"({tally.forward:,} forward, {tally.reverse:,} reverse), with {tally.simple:,} simple and "
        f"{tally.advanced:,} advanced instructions."
    )
    return (
        f"{counts}\n\nOne row is one **undirected edit**: two images that differ inside a mask. Forward leads from "
        "`source_image` to `edited_image`, reverse the way back, so a removal read backwards is an addition. No image "
        "is stored twice for that, and the two directions never lie in different splits. Outside the mask, rounded out "
        "to the 8-pixel JPEG grid, both images decode to equal pixels."
    )


def _load(facts: Facts) -> str:
    place = _code(facts.name)
    splits = ", ".join(f"`{split}` {facts.tally.splits[split]:,}" for split in facts.split_bytes)
    empty = " No edit was kept; `datasets` loads a dataset without rows with `streaming=True` only."
    note = "" if facts.tally.rows else empty
    return (
        f'## Load\n\n```python\nfrom datasets import load_dataset\n\nedits = load_dataset("{place}")\n```\n\n'
        f"Rows per split: {splits}. Splits are drawn by a hash of `source_cluster` (near-duplicate "
        f"{facts.origin.things}), so no cluster lies in two of them; a split without rows is left out.{note} What was "
        f"left out of the dataset, and "
        f'why, is `load_dataset("{place}", "rejects")`: {facts.rejects:,} lines. '
        "`insightedit inspect` on this folder checks every promise that this card makes."
    )


def _made(facts: Facts) -> str:
    table = _table(
        ["step", "counted in", "came in", "kept", "rejected", "why"],
        [
            [_plain(line.step), _plain(line.what), *map(_count, (line.came_in, line.kept, line.rejected)), _why(line)]
            for line in facts.funnel
        ],
        range(2, 5),
    )
    made = facts.origin.made.format(
        version=__version__, preset=_code(facts.preset), seed=facts.seed, recipe=_code(facts.recipe) or "not given"
    )
    parts = [f"## How it was made\n\n{made}", table]
    if any(one.answers for one in facts.spent):
        parts.append(_asked(facts))
    return "\n\n".join(parts)


def _asked(facts: Facts) -> str:
    """Which models answered, and what the answers took."""
    header = ["step", "asked", "answers", "tokens in", "tokens out", "USD"]
    rows = []
    for one in facts.spent:
        price = f"{one.usd:.4f}" + (f" and {one.unpriced:,} answers of unknown price" if one.unpriced else "")
        numbers = [_count(one.answers), _count(one.tokens_in), _count(one.tokens_out), price]
        rows.append([_plain(one.step), _plain(", ".join(one.models)), *numbers])
    said = "Of the answers that were used; `asked` in a row names prompt, model and tokens of each."
    return f"{_table(header, rows, range(2, 6))}\n\n{said}"


def _count(number: int) -> str:
    return f"{number:,}"


def _why(line: FunnelLine) -> str:
    ordered = sorted(line.reasons.items(), key=lambda item: (-item[1], item[0]))
    parts = [f"{_plain(reason)} {count:,}" for reason, count in ordered[:REASONS]]
    return ", ".join([*parts, *(["..."] if len(ordered) > REASONS else [])])


def _yields(facts: Facts) -> str:
    rows = [
        [
            _plain(line.task),
            _plain(line.method),
            _count(line.painted or 0),
            _count(line.kept),
            f"{line.share:.0%}" if line.share is not None else "",
            *map(_count, (line.forward, line.reverse)),
        ]
        for line in facts.tally.yields()
    ]
    header = ["task", "method", "painted", "kept", "share", "forward", "reverse"]
    return "## Yields\n\n" + _table(header, rows, range(2, 7))


def _scores(facts: Facts) -> str:
    header = ["score", "rows", *("min" if p == 0 else "max" if p == 1 else f"{p:.0%}" for p in POINTS)]
    rows = [
        [f"`{line.score}`", f"{line.count:,}", *(f"{value:.3g}" for value in line.quantiles)]
        for line in facts.tally.spreads()
    ]
    table = _table(header, rows, range(1, len(header)))
    return (
        f"## Scores\n\n{table}\n\nA score that is null was not measured; none is guessed. "
        "`outside_psnr` is null where the two images are bit-equal outside the mask."
    )


def _columns(row: type[Row]) -> str:
    groups = {
        "ids": "edit_id image_id source_cluster split shard schema_version",
        "images": "source_image edited_image mask width height source_orig_width source_orig_height source_sha256 "
        "edited_sha256 phash",
        "edit": "task method object_id object_before object_after category category_after desc_before desc_after "
        "look_before look_after caption_source bbox_xywh mask_area border_touch natural_direction",
        "instructions": "instr_fwd_simple instr_fwd_advanced instr_rev_simple instr_rev_advanced instr_meta objects",
        "filters": "keep_fwd keep_rev reject_reasons",
        "provenance": "source_url source_dataset author license license_url seed engine code_version parents "
        "judge asked",
    }
    named = {name for names in groups.values() for name in names.split()}
    groups["scores"] = " ".join(name for name in row.model_fields if name not in named)
    there = {group: [name for name in names.split() if name in row.model_fields] for group, names in groups.items()}
    rows = [[group, ", ".join(f"`{name}`" for name in names)] for group, names in there.items()]
    return (
        "## Columns\n\n" + _table(["group", "columns"], rows, range(0)) + "\n\n`instr_meta` says of each instruction "
        "how it was verified: the description as a formula over `objects`, and the objects that it picks."
    )


def _licences(facts: Facts) -> str:
    owners = facts.tally.owners()
    rows = [
        [_plain(o.source), _plain(o.author), _plain(o.licence), _link(o.licence_url), f"{o.photos:,}"]
        for o in owners[:ATTRIBUTED]
    ]
    more = len(owners) - ATTRIBUTED
    rest = f"\n\nAnd {more:,} more; each row names its own." if more > 0 else ""
    return (
        f"## Licences and authors\n\n{facts.origin.licences}\n\n"
        + _table(["source", "author", "licence", "text", facts.origin.things], rows, range(4, 5))
        + rest
    )


def _link(url: str) -> str:
    return f"<{url}>" if re.fullmatch(r"https?://[^\s<>|]+", url) else _plain(url)


def _cite() -> str:
    return f"## How to cite\n\n```bibtex\n{CITATION % __version__}\n```"


def _limits(facts: Facts) -> str:
    return f"## Limits\n\n{facts.origin.limits}"
