"""What an instruction asks for, as sentence patterns around the thing it is done to."""

from __future__ import annotations

from dataclasses import dataclass

from insightedit.construct.grammar import WORDS, a


@dataclass(frozen=True)
class Deed:
    """What is to be done to a thing, as patterns around it.

    `brief` takes a short phrase, `long` one that drags words behind it, `then` a pronoun, `ask` makes a question.
    """

    brief: tuple[str, ...]
    long: tuple[str, ...]
    then: tuple[str, ...]
    ask: tuple[str, ...]


REMOVE = Deed(
    brief=(
        "Remove {x}.",
        "Erase {x}.",
        "Take away {x}.",
        "Get rid of {x}.",
        "Delete {x}.",
        "Take {x} out of the picture.",
    ),
    long=("Remove {x}.", "Erase {x}.", "Take away {x}.", "Get rid of {x}.", "Please delete {x}."),
    then=(
        "Remove {x}.",
        "Erase {x}.",
        "Take {x} away.",
        "Please get rid of {x}.",
        "Delete {x}.",
        "Please take {x} out.",
    ),
    ask=("Can you remove {x}?", "Could you erase {x}?", "Could you please take away {x}?", "Can you get rid of {x}?"),
)


def recolour(look: str) -> Deed:
    """To give a thing a colour."""
    change = f"Change the color of {{x}} to {look}."
    return Deed(
        brief=(
            f"Make {{x}} {look}.",
            f"Turn {{x}} {look}.",
            f"Paint {{x}} {look}.",
            change,
            f"Change {{x}} to {look}.",
        ),
        long=(change, f"Please change the color of {{x}} to {look}.", f"Make {{x}} look {look}."),
        then=(f"Make {{x}} {look}.", f"Paint {{x}} {look}.", f"Turn {{x}} {look}.", f"Please make {{x}} {look}."),
        ask=(f"Can you change the color of {{x}} to {look}?", f"Could you change the color of {{x}} to {look}?"),
    )


def uncover(look: str) -> Deed:
    """To give a thing a colour in place of a material or a pattern: "the color" alone would leave that on."""
    instead = f"Make {{x}} look {look} instead."
    return Deed(
        brief=(f"Make {{x}} {look} instead.", f"Turn {{x}} {look}.", f"Make {{x}} {look}.", instead),
        long=(instead, f"Please make {{x}} look {look} instead.", f"Make {{x}} look {look}."),
        then=(f"Make {{x}} {look} instead.", f"Turn {{x}} {look}.", f"Please make {{x}} {look}."),
        ask=(f"Can you make {{x}} look {look} instead?", f"Could you make {{x}} look {look} instead?"),
    )


def refinish(look: str) -> Deed:
    """To give a thing a material or a pattern."""
    finish = a(f"{look} {'pattern' if look in WORDS.patterns else 'finish'}")
    giving = f"Give {{x}} {finish}."
    if look in WORDS.stuffs - WORDS.materials:
        seem, turn = f"look like {look}", f"Turn {{x}} into {look}."
    else:
        seem, turn = f"look {look}", f"Make {{x}} {look}."
    return Deed(
        brief=(turn, f"Make {{x}} {seem}.", giving, f"Please make {{x}} {seem}."),
        long=(f"Make {{x}} {seem}.", f"Please make {{x}} {seem}.", giving),
        then=(turn, f"Please make {{x}} {seem}.", giving),
        ask=(f"Can you make {{x}} {seem}?", f"Could you make {{x}} {seem}?"),
    )


RESTORE = Deed(  # back to a look that nobody has put a word to
    brief=("Give {x} a natural look again.", "Make {x} look natural again.", "Bring back the natural look of {x}."),
    long=("Bring back the natural look of {x}.", "Restore the natural look of {x}.", "Make {x} look natural again."),
    then=("Make {x} look natural again.", "Give {x} a natural look again."),
    ask=("Can you bring back the natural look of {x}?", "Could you restore the natural look of {x}?"),
)


def exchange(new: str) -> Deed:
    """To put another thing in a thing's place; `new` has its article."""
    return Deed(
        brief=(
            f"Replace {{x}} with {new}.",
            f"Swap {{x}} for {new}.",
            f"Change {{x}} into {new}.",
            f"Turn {{x}} into {new}.",
            f"Put {new} in place of {{x}}.",
        ),
        long=(f"Replace {{x}} with {new}.", f"Swap {{x}} for {new}.", f"Put {new} in place of {{x}}."),
        then=(f"Replace {{x}} with {new}.", f"Swap {{x}} for {new}.", f"Turn {{x}} into {new}."),
        ask=(f"Can you replace {{x}} with {new}?", f"Could you swap {{x}} for {new}?"),
    )
