"""SmartEdit's trained language model set into the LLaVA that it started from."""

from __future__ import annotations

from insightedit.core.errors import InputError
from insightedit.model.config import LoraConfig
from insightedit.model.convert.compare import Comparison
from insightedit.model.convert.llava import EMBED, HEAD, Llava
from insightedit.model.convert.lora import wrap_targets
from insightedit.model.convert.match import Part

NEW_ROWS = {EMBED: "new_input", HEAD: "new_output"}


def splice(frame: Llava, trained: Part, lora: LoraConfig, source: str) -> list[str]:
    """Leaves in `frame.part` the vision tower, LLaVA's rows of the base vocabulary, and else what was trained.

    Nothing of LLaVA's fills in for what the trained files lack: that stays missing for the check against the module.

    Args:
        frame: LLaVA; changed in place.
        trained: SmartEdit's tensors under `Comprehension`'s names, the two tables with all 32,035 rows.
        lora: targets of the adapters.
        source: the file, for errors.

    Returns:
        What was compared, in words: LoRA leaves those weights as they were, so they should be LLaVA's.

    Raises:
        InputError: a table of another length, or not one of the language model's weights agrees with LLaVA's.
    """
    wrap_targets(frame.part, lora)
    frozen, head, rows = (
        Comparison("language model"),
        Comparison("projector"),
        Comparison("rows of the base vocabulary"),
    )
    result = Part(dropped=[*frame.part.dropped, *trained.dropped])
    result.add(frame.part.under("vision.", "vision."))
    result.add(trained)
    for name, theirs in frame.part.tensors.items():
        ours = trained.tensors.get(name)
        if ours is None or name in NEW_ROWS or ours.shape != theirs.shape:
            continue
        (head if name.startswith("projector.") else frozen).add(trained.origin[name], ours, theirs)
    for name, new in NEW_ROWS.items():
        _split_table(frame, result, name, new, rows, source)
    if frozen.differing and not frozen.agreeing:
        raise InputError(f"{frame.folder} is not the LLaVA that {source} was trained from", str(frozen),
                         "SmartEdit starts from LLaVA-1.1 (Vicuna 1.1) of the same size")  # fmt: skip
    frame.part = result
    return [str(comparison) for comparison in (frozen, head, rows)]


def _split_table(frame: Llava, result: Part, name: str, new: str, rows: Comparison, source: str) -> None:
    """A table of 32,035 rows: the last 35 are SmartEdit's, the others LLaVA's."""
    result.origin[new] = f"{result.origin.get(name, name)}[{frame.language.vocabulary}:]"
    table, old = result.tensors.get(name), frame.part.tensors.get(name)
    if table is None:  # a lacking table is reported as its lacking new rows
        if old is not None:
            result.tensors[name] = old
        return
    first = frame.language.vocabulary
    if len(table) != first + frame.language.new_tokens:
        raise InputError(f"{source} does not hold what was expected",
                         f"{result.origin[name]} has {len(table)} rows, wanted {first + frame.language.new_tokens}",
                         "Check that it is the kind and the size you asked for")  # fmt: skip
    result.tensors[new] = table[first:]
    result.dropped.append(f"{result.origin[name]}[:{first}]")
    result.forget(name)
    if old is not None:
        if old.shape == (first, table.shape[1]):
            rows.add(result.origin.get(new, new), table[:first], old)
        result.tensors[name], result.origin[name] = old, frame.part.origin[name]
