"""Prompts are files: `prompts/NAME.md` with a `## system` and a `## user` section, and slots in braces.

The version of a prompt is the hash of its file, so that a row says which words it came from.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from insightedit.core.errors import ConfigError
from insightedit.core.lookup import suggest

FOLDER = Path(__file__).with_name("prompts")
SECTION = re.compile(r"^## (system|user)[ \t]*$", re.MULTILINE)
SLOT = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class Prompt:
    """The words of one kind of question.

    Args:
        name: of the file.
        version: first 12 hex digits of the SHA-256 of the file.
        system, user: with slots.
    """

    name: str
    version: str
    system: str
    user: str

    @cached_property
    def slots(self) -> frozenset[str]:
        """Names of what must be filled in."""
        return frozenset(SLOT.findall(self.system) + SLOT.findall(self.user))

    def fill(self, **values: object) -> tuple[str, str]:
        """System and user text with every slot filled, in one pass: braces in a value stay the text that they are.

        Raises:
            ConfigError: a slot is missing, or a value has no slot.
        """
        if missing := self.slots - values.keys():
            raise ConfigError(f"prompt '{self.name}' is not filled", f"{sorted(missing)[0]} is missing", "Pass it")
        if unknown := values.keys() - self.slots:
            name = sorted(unknown)[0]
            raise ConfigError(
                f"prompt '{self.name}' has no slot '{name}'", "it would be lost", suggest(name, self.slots)
            )
        filled = (SLOT.sub(lambda slot: str(values[slot[1]]), text) for text in (self.system, self.user))
        return next(filled), next(filled)


@lru_cache(maxsize=128)
def load(name: str, folder: Path = FOLDER) -> Prompt:
    """Read a prompt.

    Args:
        name: of the file without `.md`.
        folder: of own prompts, instead of those that ship with the package.

    Raises:
        ConfigError: no such prompt, or one without exactly the two sections in order.
    """
    known = {path.stem: path for path in folder.glob("*.md")}
    if name not in known:
        raise ConfigError(f"no prompt '{name}'", f"{folder} has none of that name", suggest(name, known))
    data = known[name].read_bytes()
    return parse(name, data)


def parse(name: str, data: bytes) -> Prompt:
    """The bytes of a prompt file -> prompt.

    Raises:
        ConfigError: not UTF-8, or not the two sections in order.
    """
    try:
        parts = SECTION.split(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"cannot read prompt '{name}'", "it is not UTF-8 text", "Save it as UTF-8") from error
    if parts[1::2] != ["system", "user"] or not parts[4].strip():
        why = f"its sections are {parts[1::2]}"
        raise ConfigError(f"cannot read prompt '{name}'", why, "Write '## system', then '## user' and its text")
    return Prompt(name, hashlib.sha256(data).hexdigest()[:12], parts[2].strip(), parts[4].strip())
