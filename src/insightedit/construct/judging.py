"""The section `judge` of a recipe: which judge, and the steps that it is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from insightedit.construct.ask import Purse
from insightedit.construct.judge import Judge, JudgeKnobs
from insightedit.construct.judge_vie import JudgeByVie, JudgeVieKnobs
from insightedit.construct.score_vie import ScoreByVie, ScoreKnobs
from insightedit.construct.source.scan import SourceKnobs
from insightedit.core.errors import ConfigError
from insightedit.flow.step import Step


class JudgingKnobs(JudgeKnobs):
    """What an edit must reach to be kept: by measurement alone, or by what a model says of it as well.

    With `vie`, `score` asks a model, and only about edits that the measurements of `score.first` find nothing against;
    `vie` decides. The other knobs are those of the classical judge.
    """

    ways: ClassVar[dict[str, tuple[str, ...]]] = {"vie": ("score", "vie")}  # sections of each way of working

    backend: Literal["classical", "vie"] = "classical"
    score: ScoreKnobs = ScoreKnobs()
    vie: JudgeVieKnobs = JudgeVieKnobs()

    def classical(self) -> JudgeKnobs:
        """The knobs of the classical judge alone, so that the others are no part of its fingerprint."""
        return JudgeKnobs(**{name: getattr(self, name) for name in JudgeKnobs.model_fields})

    def check(self) -> None:
        """Refuse a judge that could keep nothing.

        Raises:
            ConfigError: no wording is judged.
        """
        if self.backend == "vie" and not self.score.simple + self.score.advanced:
            mend = "Set judge.score.simple=1, judge.score.advanced=1, or both"
            raise ConfigError("judge.score asks about no instruction", "an edit without a score is never kept", mend)

    def steps(self, seed: int, root: Path, source: SourceKnobs, purse: Purse) -> list[Step[Any, Any]]:
        """The judge; with `vie` its paid half first, in a step of its own."""
        if self.backend == "classical":
            return [Judge(self.classical(), seed)]
        return [ScoreByVie(self.score, seed, root, source, purse), JudgeByVie(self.vie, seed)]
