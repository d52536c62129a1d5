"""The sizes of InsightEdit, one frozen dataclass per part, each refusing numbers that cannot work.

Source: SmartEdit's released configuration for everything but IAA, of which the InsightEdit paper gives the outline;
what we decided ourselves is marked so.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from insightedit.core.errors import ConfigError
from insightedit.model.tokens import Prompt

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)  # OpenAI's CLIP, per channel of [0, 1] RGB
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def _divides(part: str, width: int, heads: int) -> None:
    if heads < 1 or width % heads:
        raise ConfigError(f"{part}: width {width} does not divide into {heads} heads", "each head takes an equal share",
                          "Choose a width that is a multiple of the heads")  # fmt: skip


@dataclass(frozen=True)
class LanguageConfig:
    """LLaMA; 35 ids are added to its 32,000: <img>, <im_start>, <im_end> and the [MM] tokens <img_0> .. <img_31>."""

    width: int = 4096
    layers: int = 32
    heads: int = 32
    ffn: int = 11008
    vocabulary: int = 32000
    mm_tokens: int = 32
    max_positions: int = 2048
    norm_eps: float = 1e-6
    max_text: int = 256  # tokens besides the image's; the reference's training length

    def __post_init__(self) -> None:
        _divides("language", self.width, self.heads)

    @property
    def new_tokens(self) -> int:
        """<img>, <im_start>, <im_end>, then the [MM] tokens."""
        return 3 + self.mm_tokens


@dataclass(frozen=True)
class VisionConfig:
    """CLIP ViT, frozen; `layer` is the hidden state that is read (-2: what enters the last block)."""

    width: int = 1024
    layers: int = 24
    heads: int = 16
    ffn: int = 4096
    patch: int = 14
    size: int = 224
    layer: int = -2

    def __post_init__(self) -> None:
        _divides("vision", self.width, self.heads)
        if self.size % self.patch:
            raise ConfigError(f"vision: size {self.size} is no multiple of patch {self.patch}",
                              "patches tile the picture", "Choose size = grid * patch")  # fmt: skip

    @property
    def grid(self) -> int:
        """Patches along a side: 16 in LLaVA-1.1, 24 in LLaVA-1.5."""
        return self.size // self.patch


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank adapters on the language model's query and value projections."""

    rank: int = 8
    alpha: int = 16
    dropout: float = 0.05
    targets: tuple[str, ...] = ("q_proj", "v_proj")


@dataclass(frozen=True)
class QFormerConfig:
    """BLIP-2's Q-Former; `width` and `queries` are CLIP's text space, 77 x 768, which the UNet reads."""

    layers: int = 6
    width: int = 768
    heads: int = 12
    ffn: int = 3072
    cross_every: int = 2
    queries: int = 77
    dropout: float = 0.1

    def __post_init__(self) -> None:
        _divides("qformer", self.width, self.heads)


@dataclass(frozen=True)
class BimConfig:
    """Bidirectional interaction module: SAM's two-way transformer between text and image features."""

    depth: int = 2
    heads: int = 8
    ffn: int = 2048
    text_scale: float = 0.5  # f_txt = q' + 0.5 * delta
    unconditional: bool = True  # as SmartEdit, the residual is on the unconditional rows too; training never hides it
    mask: bool = False  # a head on the image stream that tells where the edit will be; our addition

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise ConfigError(f"bim: depth {self.depth} is no depth", "it needs a block", "Use at least 1")


@dataclass(frozen=True)
class IaaConfig:
    """Image alignment adapter: Mapper -> Linear -> LayerNorm. The paper names the three; their sizes are our choice.

    The Mapper predicts the un-normalised CLIP image embedding (`dim`) of the target; 1,024 is OpenCLIP ViT-H/14, which
    lets IP-Adapter's SD-1.5 weights initialise Linear, LayerNorm and K/V. A summary of the paper by others
    (papernotes.org) reports an MLP, 768 and the plain squared error: mapper="mlp", dim=768, loss="squared".
    """

    dim: int = 1024
    tokens: int = 4
    mapper: str = "attention"  # or "mlp"
    loss: str = "scaled"  # or "squared"; see editor.image_alignment
    variance: float = 1.0  # of the target embeddings' values, measured once; "scaled" divides by it
    width: int = 1024
    layers: int = 2
    heads: int = 16
    ffn: int = 4096

    def __post_init__(self) -> None:
        _divides("iaa", self.width, self.heads)
        if self.mapper not in ("attention", "mlp"):
            raise ConfigError(f"iaa: no mapper '{self.mapper}'", "it is not in the table", "Use attention or mlp")
        if self.loss not in ("scaled", "squared"):
            raise ConfigError(f"iaa: no loss '{self.loss}'", "it is not in the table", "Use scaled or squared")


@dataclass(frozen=True)
class UNetConfig:
    """Stable Diffusion 1.5's UNet with 8 input channels: noisy latents, then source latents."""

    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    resnets: int = 2
    heads: int = 8
    context: int = 768
    groups: int = 32
    latent_channels: int = 4
    attention: tuple[bool, ...] | None = None  # per level; None: everywhere but at the lowest, as Stable Diffusion


@dataclass(frozen=True)
class VaeConfig:
    """Stable Diffusion's autoencoder; each level but the last halves the side: four levels make H/8 x W/8 latents."""

    channels: tuple[int, ...] = (128, 256, 512, 512)
    resnets: int = 2
    groups: int = 32
    scaling: float = 0.18215

    @property
    def factor(self) -> int:
        """Pixels along a side of one latent."""
        return 2 ** (len(self.channels) - 1)


@dataclass(frozen=True)
class PixelConfig:
    """No autoencoder: cells of factor x factor pixels, for small models. `unet.latent_channels` is 3 factor^2 then."""

    factor: int = 4


@dataclass(frozen=True)
class SamplingConfig:
    """What a call of the pipeline does unless it is told otherwise: SmartEdit's settings."""

    steps: int = 100
    text_guidance: float = 7.5
    image_guidance: float = 1.5


@dataclass(frozen=True)
class InsightEditConfig:
    """The whole model. `iaa=None` switches the image branch off: SmartEdit."""

    language: LanguageConfig = field(default_factory=LanguageConfig)
    vision: VisionConfig = field(default_factory=VisionConfig)
    projector_depth: int = 1  # 1: LLaVA-1.1's Linear; 2: LLaVA-1.5's Linear, GELU, Linear
    lora: LoraConfig = field(default_factory=LoraConfig)
    qformer: QFormerConfig = field(default_factory=QFormerConfig)
    bim: BimConfig = field(default_factory=BimConfig)
    iaa: IaaConfig | None = field(default_factory=IaaConfig)
    unet: UNetConfig = field(default_factory=UNetConfig)
    vae: VaeConfig | PixelConfig = field(default_factory=VaeConfig)
    prediction: str = "noise"  # what the UNet says: the "noise", or the "residual": target latents minus source latents
    prompt: Prompt = field(default_factory=Prompt)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    resolution: int = 256  # px; the working area is resolution x resolution, of any aspect ratio
    square: bool = False  # squash to a square, as SmartEdit does

    def __post_init__(self) -> None:
        _divides("bim", self.vision.width, self.bim.heads)
        if self.qformer.width != self.unet.context:
            raise ConfigError(f"qformer.width={self.qformer.width} is not unet.context={self.unet.context}",
                              "the Q-Former's output is the UNet's text context", "Make them equal")  # fmt: skip
        if self.prediction not in ("noise", "residual"):
            raise ConfigError(f"no prediction '{self.prediction}'", "it is not in the table", "Use noise or residual")
        if isinstance(self.vae, PixelConfig) and self.unet.latent_channels != 3 * self.vae.factor**2:
            raise ConfigError(f"unet.latent_channels={self.unet.latent_channels} does not fit the pixels",
                              f"a cell holds {3 * self.vae.factor**2} numbers", "Set it to that")  # fmt: skip
        if self.vision.grid**2 + self.language.max_text > self.language.max_positions:
            raise ConfigError("language: the image and the text do not fit into the positions",
                              f"{self.vision.grid**2} + {self.language.max_text} > {self.language.max_positions}",
                              "Raise language.max_positions")  # fmt: skip
