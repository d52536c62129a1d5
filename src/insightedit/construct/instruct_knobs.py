"""Who writes instructions while looking at both pictures of an edit, and who checks them."""

from __future__ import annotations

from pydantic import Field

from insightedit.backends.chat.images import Detail
from insightedit.construct.ask import ChatSection
from insightedit.core.config import Knobs
from insightedit.flow.step import Place


class InstructMllmKnobs(Knobs):
    """Who is asked, how closely they look, and how much is asked. How many wordings, and how long, `instruct` says."""

    chat: ChatSection = ChatSection()
    checker: ChatSection | None = None  # who points back; None = `chat`
    max_side_px: int = Field(1024, ge=64)  # of a picture as sent
    detail: Detail = "auto"
    prove: bool = True  # what geometry proves is not asked about; False: everything is
    rewrites: int = Field(1, ge=0)  # how often a sentence that failed is mended before it is dropped
    max_tokens: int = Field(4096, ge=256)  # of all sentences of one edit
    place: Place = Place()
