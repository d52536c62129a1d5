"""IP-Adapter files -> the image branch of a pipeline folder."""

from __future__ import annotations

import pytest
import torch
from model.convert.layouts import ip_adapter, save
from safetensors.torch import load_file, save_file

from insightedit.core.errors import InputError
from insightedit.model.convert.ip_adapter import convert_ip_adapter
from insightedit.model.generation import cross_attentions
from insightedit.model.pipeline import InsightEditPipeline, from_preset

DIM = 40


@pytest.fixture(scope="module")
def pipeline():
    return from_preset("tiny")


@pytest.fixture(scope="module")
def folder(pipeline, tmp_path_factory):
    path = tmp_path_factory.mktemp("pipeline") / "tiny"
    pipeline.save_pretrained(path)
    return path


@pytest.fixture
def made(pipeline):
    return ip_adapter(tuple(cross_attentions(pipeline.unet).values()), pipeline.bridge.config.context, DIM)


def check(loaded, made, pipeline):
    head, layers = loaded.bridge.iaa.projection.state_dict(), loaded.image_attention.layers
    assert torch.equal(head["image_embeds.weight"], made["image_proj"]["proj.weight"])
    assert torch.equal(head["norm.bias"], made["image_proj"]["norm.bias"])
    for place, layer in enumerate(layers):
        assert torch.equal(layer.to_k_ip[0].weight, made["ip_adapter"][f"{2 * place + 1}.to_k_ip.weight"])
        assert torch.equal(layer.to_v_ip[0].weight, made["ip_adapter"][f"{2 * place + 1}.to_v_ip.weight"])
    for part in ("qformer", "bim"):
        ours, theirs = (getattr(one.bridge, part).state_dict() for one in (loaded, pipeline))
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert torch.equal(loaded.bridge.null_text, pipeline.bridge.null_text)
    assert torch.equal(loaded.unet.conv_in.weight, pipeline.unet.conv_in.weight)


@pytest.mark.parametrize("suffix", ["bin", "safetensors"])
def test_a_branch_is_filled_and_the_rest_kept(suffix, made, folder, pipeline, tmp_path):
    if suffix == "safetensors":
        flat = {f"{part}.{name}": value for part, own in made.items() for name, value in own.items()}
        save_file(flat, tmp_path / "ip.safetensors")
    else:
        save(made, tmp_path / "ip.bin")
    done = convert_ip_adapter(tmp_path / f"ip.{suffix}", tmp_path / "out", into=folder)
    check(InsightEditPipeline.from_pretrained(tmp_path / "out", local_files_only=True), made, pipeline)
    assert any("silent" in note for note in done.notes)


def test_a_branch_is_added_to_a_pipeline_without_one(made, pipeline, tmp_path):
    from insightedit.model.bridging import Bridge

    config = {name: value for name, value in pipeline.bridge.config.items() if name[0] != "_"}
    bare = Bridge.from_config(config | {"iaa_config": None})
    bare.load_state_dict({name: v for name, v in pipeline.bridge.state_dict().items() if not name.startswith("iaa.")})
    parts = {**pipeline.components, "bridge": bare, "image_attention": None}
    InsightEditPipeline(**parts, resolution=64).save_pretrained(tmp_path / "bare")
    file = save(made, tmp_path / "ip.bin")
    for name in ("one", "two"):
        convert_ip_adapter(file, tmp_path / name, into=tmp_path / "bare")
    check(InsightEditPipeline.from_pretrained(tmp_path / "one", local_files_only=True), made, pipeline)
    one, two = (load_file(tmp_path / name / "bridge/diffusion_pytorch_model.safetensors") for name in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one)  # the fresh Mapper is seeded


def test_a_mapper_of_the_same_size_is_kept(pipeline, folder, tmp_path):
    widths = tuple(cross_attentions(pipeline.unet).values())
    made = ip_adapter(widths, pipeline.bridge.config.context, pipeline.bridge.config.iaa_config["dim"])
    done = convert_ip_adapter(save(made, tmp_path / "ip.bin"), tmp_path / "out", into=folder)
    loaded = InsightEditPipeline.from_pretrained(tmp_path / "out", local_files_only=True)
    ours, theirs = (one.bridge.iaa.mapper.state_dict() for one in (loaded, pipeline))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs) and "Mapper: kept" in done.notes


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda made: made["ip_adapter"].pop("3.to_v_ip.weight"), r"1 missing .*layers\.1\.to_v_ip"),
        (
            lambda made: made["ip_adapter"].update({"4.to_k_ip.weight": torch.ones(1)}),
            r"unexpected .*4\.to_k_ip\.weight",
        ),
        (lambda made: made["image_proj"].update(latents=torch.ones(1)), r"unexpected .*image_proj\.latents"),
        (lambda made: made["ip_adapter"].update({"1.to_k_ip.weight": torch.ones(2, 2)}), r"1\.to_k_ip\.weight is 2x2"),
        (lambda made: made["image_proj"].pop("norm.weight"), r"1 missing .*norm\.weight"),
        (lambda made: made["image_proj"].pop("proj.weight"), r"proj\.weight is missing"),
    ],
)
def test_a_fault_is_named_and_nothing_is_left(change, said, made, folder, tmp_path):
    change(made)
    file = save(made, tmp_path / "ip.bin")
    with pytest.raises(InputError, match=said):
        convert_ip_adapter(file, tmp_path / "out", into=folder)
    assert [path.name for path in tmp_path.iterdir()] == ["ip.bin"]


def test_a_folder_that_is_no_pipeline_is_refused(made, tmp_path):
    file = save(made, tmp_path / "ip.bin")
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match=r"model_index\.json is missing"):
        convert_ip_adapter(file, tmp_path / "out", into=tmp_path / "other")
    (tmp_path / "other" / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    with pytest.raises(InputError, match="names another class"):
        convert_ip_adapter(file, tmp_path / "out", into=tmp_path / "other")
