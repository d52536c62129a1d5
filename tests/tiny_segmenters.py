"""Tiny segmenting networks with random weights in the public layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

WORDS = (
    "a",
    "man",
    "woman",
    "in",
    "red",
    "car",
    "##pet",
    "cup",
    "person",
    "st",
    "dog",
    "blue",
    "table",
    "wine",
    "shirt",
)


def bert_words() -> list[str]:
    """A vocabulary with BERT's ids for [CLS] [SEP] . ?, which the detectors are built for."""
    words = [f"[unused{i}]" for i in range(1030)]
    words[0], words[100:104], words[1012], words[1029] = "[PAD]", ["[UNK]", "[CLS]", "[SEP]", "[MASK]"], ".", "?"
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    return list(dict.fromkeys([*words, *WORDS, *letters, *(f"##{one}" for one in letters), ","]))


def awake(model: torch.nn.Module, seed: int, gain: float) -> torch.nn.Module:
    """Weights large enough that every input is seen in the output: a fresh network hides faults of its inputs."""
    dice = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.ndim > 1:
                value.copy_(torch.randn(value.shape, generator=dice) * gain / value[0].numel() ** 0.5)
            elif not name.endswith("weight"):  # biases; the gains of norms stay 1
                value.copy_(torch.randn(value.shape, generator=dice) * 0.1)
    return model.eval()


def detector(folder: Path, kind: str = "grounding-dino") -> Path:
    """A Grounding DINO or MM-Grounding-DINO of 20 boxes that reads 64 tokens, saved with its processor."""
    from transformers import (
        AutoConfig,
        AutoModelForZeroShotObjectDetection,
        BertConfig,
        BertTokenizer,
        GroundingDinoImageProcessorPil,
        GroundingDinoProcessor,
        SwinConfig,
    )

    words = bert_words()
    swin = {"image_size": 64, "embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 2, 2], "window_size": 4}
    text = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = AutoConfig.for_model(
        kind,
        backbone_config=SwinConfig(**swin, out_indices=[2, 3, 4]),
        text_config=BertConfig(vocab_size=len(words), max_position_embeddings=64, **text),
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        num_queries=20,
        num_feature_levels=4,
        max_text_len=64,
        disable_custom_kernels=True,
    )
    model = awake(AutoModelForZeroShotObjectDetection.from_config(config), 3, 1.0)
    model.save_pretrained(folder)
    tokenizer = BertTokenizer(vocab={word: index for index, word in enumerate(words)})
    eye = GroundingDinoImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96})
    GroundingDinoProcessor(eye, tokenizer).save_pretrained(folder)
    return folder


def as_in_2023(folder: Path) -> Path:
    """The same detector in the layout of its first repositories: preprocessor_config.json and vocab.txt."""
    for name in ("processor_config.json", "tokenizer.json"):
        (folder / name).unlink(missing_ok=True)
    (folder / "vocab.txt").write_text("\n".join(bert_words()))
    about = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    eye: dict[str, Any] = dict.fromkeys(("do_resize", "do_normalize", "do_rescale", "do_pad"), True)
    eye |= {"image_processor_type": "GroundingDinoImageProcessor", "processor_class": "GroundingDinoProcessor"}
    eye |= {"size": {"shortest_edge": 64, "longest_edge": 96}, "format": "coco_detection"}
    eye |= {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    (folder / "preprocessor_config.json").write_text(json.dumps(eye))
    return folder


def sam(folder: Path) -> Path:
    """A SAM of 64 px, with its processor."""
    from transformers import (
        SamConfig,
        SamImageProcessorPil,
        SamMaskDecoderConfig,
        SamModel,
        SamProcessor,
        SamPromptEncoderConfig,
        SamVisionConfig,
    )

    seen = {"hidden_size": 32, "output_channels": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_dim": 64}
    config = SamConfig(
        vision_config=SamVisionConfig(
            image_size=64, patch_size=8, window_size=4, global_attn_indexes=[1], num_pos_feats=16, **seen
        ),
        prompt_encoder_config=SamPromptEncoderConfig(
            hidden_size=32, image_size=64, patch_size=8, mask_input_channels=4
        ),
        mask_decoder_config=SamMaskDecoderConfig(
            hidden_size=32, mlp_dim=64, num_attention_heads=2, iou_head_hidden_dim=32
        ),
    )
    awake(SamModel(config), 5, 1.5).save_pretrained(folder)
    sizes = {"pad_size": {"height": 64, "width": 64}, "mask_size": {"longest_edge": 16}}
    eye = SamImageProcessorPil(size={"longest_edge": 64}, mask_pad_size={"height": 16, "width": 16}, **sizes)
    SamProcessor(eye).save_pretrained(folder)
    return folder


def sam2(folder: Path, published_as: str = "sam2_video") -> Path:
    """A SAM 2 of 128 px; the public files name the video model that they are cut from."""
    from transformers import (
        Sam2Config,
        Sam2HieraDetConfig,
        Sam2MaskDecoderConfig,
        Sam2Model,
        Sam2PromptEncoderConfig,
        Sam2VisionConfig,
    )

    hiera = Sam2HieraDetConfig(
        hidden_size=16,
        num_attention_heads=1,
        image_size=[128, 128],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[16, 32, 64, 128],
        num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[8, 4, 4, 2],
        global_attention_blocks=[3],
        window_positional_embedding_background_size=[4, 4],
    )
    config = Sam2Config(
        vision_config=Sam2VisionConfig(
            backbone_config=hiera,
            backbone_channel_list=[128, 64, 32, 16],
            backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
            fpn_hidden_size=32,
        ),
        prompt_encoder_config=Sam2PromptEncoderConfig(
            hidden_size=32, image_size=128, patch_size=16, mask_input_channels=4
        ),
        mask_decoder_config=Sam2MaskDecoderConfig(
            hidden_size=32, mlp_dim=64, num_attention_heads=2, iou_head_hidden_dim=32
        ),
    )
    awake(Sam2Model(config), 7, 1.5).save_pretrained(folder)
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**about, "model_type": published_as}))
    return folder


def sam3(folder: Path) -> Path:
    """A SAM 3 of 56 px that reads 32 tokens, with a tokenizer of single letters."""
    from transformers import CLIPTextConfig, CLIPTokenizer, Sam3Config, Sam3Model
    from transformers.convert_slow_tokenizer import bytes_to_unicode
    from transformers.models.sam3 import configuration_sam3 as parts

    letters = list(bytes_to_unicode().values())
    names = [*letters, *(f"{one}</w>" for one in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={name: i for i, name in enumerate(names)}, merges=[], model_max_length=32)
    small = {"hidden_size": 32, "num_attention_heads": 2}
    deep = {**small, "num_layers": 1, "intermediate_size": 64}
    vit = {**small, "intermediate_size": 64, "num_hidden_layers": 2, "image_size": 56, "patch_size": 14}
    text = {**small, "intermediate_size": 64, "num_hidden_layers": 2, "max_position_embeddings": 32}
    config = Sam3Config(
        vision_config=parts.Sam3VisionConfig(
            backbone_config=parts.Sam3ViTConfig(**vit, window_size=2, global_attn_indexes=[1], pretrain_image_size=28),
            fpn_hidden_size=32,
            backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
        ),
        text_config=CLIPTextConfig(
            vocab_size=len(names),
            projection_dim=16,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            **text,
        ),
        geometry_encoder_config=parts.Sam3GeometryEncoderConfig(**deep),
        detr_encoder_config=parts.Sam3DETREncoderConfig(**deep),
        detr_decoder_config=parts.Sam3DETRDecoderConfig(**deep, num_queries=6),
        mask_decoder_config=parts.Sam3MaskDecoderConfig(**small),
    )
    awake(Sam3Model(config), 11, 1.0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
