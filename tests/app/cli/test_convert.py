"""`insightedit convert` at the command line: what it prints, and that errors are one line with exit code 2."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from typer.testing import CliRunner

from insightedit.app.cli.main import app, main


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def folder(tmp_path):
    """A tiny pipeline folder and an IP-Adapter that fits it."""
    from insightedit.model.generation import cross_attentions
    from insightedit.model.pipeline import from_preset

    pipeline = from_preset("tiny")
    pipeline.save_pretrained(tmp_path / "tiny")
    context, dim = pipeline.bridge.config.context, 40
    layers = {}
    for place, width in enumerate(cross_attentions(pipeline.unet).values()):
        layers |= {f"{2 * place + 1}.to_{half}_ip.weight": torch.randn(width, context) for half in "kv"}
    head = {"proj.weight": torch.randn(4 * context, dim), "proj.bias": torch.randn(4 * context)}
    head |= {"norm.weight": torch.randn(context), "norm.bias": torch.randn(context)}
    torch.save({"image_proj": head, "ip_adapter": layers}, tmp_path / "ip.bin")
    return tmp_path


def call(monkeypatch, *words: str) -> int:
    """Exit code of the real entry point."""
    monkeypatch.setattr(sys, "argv", ["insightedit", *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code or 0


def test_a_conversion_prints_its_record(folder):
    words = ["convert", "ip-adapter", "--from", str(folder / "ip.bin"), "--into", str(folder / "tiny")]
    result = CliRunner().invoke(app, [*words, "--to", str(folder / "out"), "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["kind"] == "ip-adapter" and told == json.loads((folder / "out" / "conversion.json").read_text())


def test_a_summary_names_components_and_notes(folder):
    words = ["convert", "ip-adapter", "--from", str(folder / "ip.bin"), "--into", str(folder / "tiny")]
    result = CliRunner().invoke(app, [*words, "--to", str(folder / "out")])
    assert result.exit_code == 0, result.output
    assert "image_attention" in result.output and "Mapper: newly initialised" in result.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ipadapter", "--from", "x", "--to", "y"], "Did you mean 'ip-adapter'"),
        (["ip-adapter", "--from", "x", "--to", "y"], "needs --into"),
        (["smartedit", "--from", "x", "--to", "y"], "needs --llava"),
        (["instruct-pix2pix", "--from", "x", "--to", "y", "--merge-lora"], "--merge-lora does not belong"),
        (["instruct-pix2pix", "--from", "x.ckpt", "--to", "y"], "cannot read x.ckpt"),
        (["smartedit", "--from", "x", "--to", "y", "--llava", "z"], "x is not a folder"),
        (["llava", "--from", "x", "--to", "y"], "'x' is not a folder"),
        (["llava", "--from", "x", "--to", "y", "--dtype", "float61"], "Did you mean 'float16'"),
    ],
)
def test_wrong_use_is_said_with_exit_code_2(words, said, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "convert", *words) == 2
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_web_page_saved_as_bin_is_said(folder, monkeypatch, capsys):
    (folder / "page.bin").write_text("<!doctype html><html></html>")
    words = ["convert", "ip-adapter", "--from", str(folder / "page.bin"), "--into", str(folder / "tiny")]
    assert call(monkeypatch, *words, "--to", str(folder / "out")) == 2
    assert "web page" in capsys.readouterr().err and not (folder / "out").exists()


def test_the_command_is_imported_without_torch():
    code = "import sys, insightedit.app.cli.convert; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
