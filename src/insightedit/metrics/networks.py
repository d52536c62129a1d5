"""The networks that metrics ask: loaded once, when first needed; metrics of one that cannot be had are unavailable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from insightedit.core.config import Knobs
from insightedit.core.errors import BackendError, InputError, one_line
from insightedit.metrics.catalogue import METRICS, EmbeddingMetric, Eye, LpipsMetric
from insightedit.metrics.clip import Clip, ClipKnobs
from insightedit.metrics.dino import Dino, DinoKnobs
from insightedit.metrics.lpips import Lpips, LpipsKnobs, Net
from insightedit.metrics.outcome import Gap, Status


class NetworkKnobs(Knobs):
    """Weights and devices. `clip_large` is that of CLIPScore and InstructPix2Pix, `clip_base` MagicBrush's."""

    lpips: LpipsKnobs = LpipsKnobs()
    clip_large: ClipKnobs = ClipKnobs(model="openai/clip-vit-large-patch14")
    clip_base: ClipKnobs = ClipKnobs(model="openai/clip-vit-base-patch32")
    dino: DinoKnobs = DinoKnobs()


class Networks:
    """Making one is cheap and it pickles: a worker loads its own.

    Args:
        settings: see `NetworkKnobs`; None for its defaults.
    """

    def __init__(self, settings: NetworkKnobs | None = None) -> None:
        self.settings = settings or NetworkKnobs()
        self._known: dict[str, Any] = {}  # name -> network that is loaded, or why it cannot be

    def lpips(self, net: Net) -> Lpips:
        """LPIPS by one trunk, loaded.

        Raises:
            Gap: unavailable, and why.
            ConfigError: no such device.
        """
        found: Lpips = self._ready(f"lpips_{net}", Lpips(net, self.settings.lpips))
        return found

    def eye(self, name: Eye) -> Any:
        """A `Clip` or the `Dino`, loaded.

        Raises:
            Gap, ConfigError: as `lpips`.
        """
        return self._ready(name, Dino(self.settings.dino) if name == "dino" else Clip(getattr(self.settings, name)))

    def engines(self, metrics: Sequence[str]) -> dict[str, str]:
        """Which weights stand behind metrics, for provenance: network -> "file@hash", or why it is unavailable."""
        named: dict[str, Any] = {}
        for metric in (METRICS[name] for name in metrics):
            if isinstance(metric, LpipsMetric):
                named[f"lpips_{metric.net}"] = Lpips(metric.net, self.settings.lpips)
            elif isinstance(metric, EmbeddingMetric):
                knobs = getattr(self.settings, metric.eye)
                named[metric.eye] = Dino(knobs) if metric.eye == "dino" else Clip(knobs)
        return {name: _engine(network) for name, network in named.items()}

    def _ready(self, name: str, network: Any) -> Any:
        if name not in self._known:
            try:
                network.setup()
                self._known[name] = network
            except (InputError, BackendError) as error:
                self._known[name] = one_line(error)
        if isinstance(self._known[name], str):
            raise Gap(Status.UNAVAILABLE, self._known[name])
        return self._known[name]

    def __getstate__(self) -> dict[str, Any]:
        return {"settings": self.settings, "_known": {}}


def _engine(network: Any) -> str:
    try:
        return str(network.engine())
    except (InputError, BackendError) as error:
        return f"unavailable: {one_line(error)}"
