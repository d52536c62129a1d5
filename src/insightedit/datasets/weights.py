"""How often each dataset is drawn: SmartEdit's chain of chances, flattened into one weight per dataset.

SmartEdit (`Merge_Dataset`) asks at every draw: ReasonEdit with chance 0.15? else ReasonSeg with 0.10? else LLaVA by its
size among what is left? else editing or segmentation by size, and so on (model.md 6). The product of the answers on
the way to a dataset is its weight.
"""

from __future__ import annotations

from collections.abc import Mapping

from insightedit.core.errors import ConfigError
from insightedit.core.lookup import suggest

REASON_EDIT, REASON_SEG = 0.15, 0.10
ADVANCED_EDIT = 0.30  # drawn before the chain: InsightEdit's own ratio is not published
EDITING = ("instruct_pix2pix", "magicbrush", "reason_edit")
SEGMENTING = ("refcoco", "grefcoco", "coco_stuff", "reason_seg")
ROLES = (*EDITING, *SEGMENTING, "llava")


def chain(sizes: Mapping[str, int]) -> dict[str, float]:
    """Weights by role, which add up to 1.

    Args:
        sizes: examples by role (of `ROLES`); a role that is not there is never drawn, and what it would have taken goes
            to those after it.

    Raises:
        ValueError: an unknown role, or none that can be drawn.
    """
    if set(sizes) - set(ROLES) or not any(sizes.values()):
        raise ValueError(f"roles {sorted(sizes)}, known {ROLES}")
    size = {role: sizes.get(role, 0) for role in ROLES}
    found = dict.fromkeys(ROLES, 0.0)
    editing, segmenting = (sum(size[role] for role in roles) for roles in (EDITING, SEGMENTING))
    pairs = {"edit": size["magicbrush"] + size["instruct_pix2pix"], "refer": size["refcoco"] + size["grefcoco"]}
    later = pairs["edit"] + pairs["refer"] + size["coco_stuff"]  # what is reached after the first three questions

    left = 1.0
    for role, chance in (("reason_edit", REASON_EDIT), ("reason_seg", REASON_SEG)):
        rest = later + size["llava"] + (size["reason_seg"] if role == "reason_edit" else 0)
        found[role] = left * (0 if not size[role] else chance if rest else 1)
        left -= found[role]
    if left > 0:
        found["llava"] = left * size["llava"] / (later + size["llava"])
        left -= found["llava"]
    if not later:
        return _present(found, sizes)
    to_edit = _split(pairs["edit"], editing, pairs["refer"] + size["coco_stuff"], segmenting)
    both = size["magicbrush"] and size["instruct_pix2pix"]
    for role in ("magicbrush", "instruct_pix2pix"):
        found[role] = left * to_edit * (0.5 if both else float(size[role] > 0))
    left *= 1 - to_edit
    to_stuff = _split(size["coco_stuff"], size["coco_stuff"], pairs["refer"], segmenting - size["coco_stuff"])
    found["coco_stuff"] = left * to_stuff
    for role in ("refcoco", "grefcoco"):
        found[role] = left * (1 - to_stuff) * size[role] / max(1, pairs["refer"])
    return _present(found, sizes)


def _split(first: int, first_size: int, second: int, second_size: int) -> float:
    """Chance of the first of two branches, by their sizes; 1 or 0 where only one has anything to draw."""
    if not first or not second:
        return float(first > 0)
    return first_size / (first_size + second_size)


def _present(found: Mapping[str, float], sizes: Mapping[str, int]) -> dict[str, float]:
    total = sum(found[role] for role in sizes)
    return {role: found[role] / total for role in sizes}


def weights(
    sizes: Mapping[str, int], roles: Mapping[str, str], shares: Mapping[str, float], given: Mapping[str, float]
) -> dict[str, float]:
    """Weight of every dataset; they add up to 1.

    Args:
        sizes: examples by name.
        roles: place in the chain by name; several datasets of one role divide its weight by their sizes.
        shares: shares of all draws that are set by name; the rest is what the others divide. Datasets in the role of
            AdvancedEdit take 0.30 together unless it is set.
        given: weights by name, relative to each other. If there are any, they replace shares and chain.

    Raises:
        ConfigError: a name is unknown, or the numbers leave nothing, or too much, to draw.
    """
    for name in (*shares, *given):
        if name not in sizes:
            raise ConfigError(f"no dataset '{name}'", "a weight or share names it", suggest(name, sizes))
    if given:
        return _given(sizes, given)
    shares = dict(shares)
    rest = [name for name in sizes if name not in shares]
    advanced = [name for name in rest if roles[name] == "advanced_edit"]
    others = [name for name in rest if name not in advanced]
    if advanced and others:
        together = ADVANCED_EDIT * (1 - sum(shares.values()))
        shares |= {name: together * part for name, part in _by_size(advanced, sizes).items()}
        rest = others
    left = 1 - sum(shares.values())
    if (
        left < -1e-9
        or (rest and left <= 1e-9)
        or (not rest and abs(left) > 1e-9)
        or min(shares.values(), default=0) < 0
    ):
        why = f"shares add up to {sum(shares.values()):.3g} and {len(rest)} datasets have none"
        raise ConfigError("the shares of the mixture do not work out", why, "Let them add up to 1, or leave some out")
    return {**shares, **{name: left * part for name, part in _divided(rest, sizes, roles).items()}}


def _given(sizes: Mapping[str, int], given: Mapping[str, float]) -> dict[str, float]:
    total = sum(given.values())
    if min(given.values()) < 0 or total <= 0 or set(given) != set(sizes):
        missing = ", ".join(sorted(set(sizes) - set(given))) or "none"
        why = f"one is negative, or all are 0, or a dataset has none (without: {missing})"
        raise ConfigError("the weights of the mixture do not work out", why, "Give every dataset a weight, 0 for never")
    return {name: given[name] / total for name in sizes}


def _divided(names: list[str], sizes: Mapping[str, int], roles: Mapping[str, str]) -> dict[str, float]:
    """The chain over datasets that are in it; by size where none is."""
    chained = [name for name in names if roles[name] in ROLES]
    if not chained:
        return _by_size(names, sizes)
    if len(chained) < len(names):
        without = ", ".join(name for name in names if name not in chained)
        raise ConfigError(
            f"nothing says how often to draw {without}",
            "the default mixture is about the datasets of SmartEdit and InsightEdit",
            "Give it a `share`, or give all datasets weights",
        )
    alike = {role: [name for name in names if roles[name] == role] for role in {roles[name] for name in names}}
    found = chain({role: sum(sizes[name] for name in same) for role, same in alike.items()})
    return {name: found[role] * part for role, same in alike.items() for name, part in _by_size(same, sizes).items()}


def _by_size(names: list[str], sizes: Mapping[str, int]) -> dict[str, float]:
    total = sum(sizes[name] for name in names)
    return {name: sizes[name] / total for name in names}
