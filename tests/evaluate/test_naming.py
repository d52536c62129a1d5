"""What people write on a command line, and how they are told what is wrong with it."""

from __future__ import annotations

import json

import pytest

from insightedit.core.errors import ConfigError, InputError, UnknownName
from insightedit.evaluate import naming
from insightedit.evaluate.contenders import EditorContender, FolderContender, ReferenceContender
from insightedit.evaluate.run import settings
from insightedit.metrics.profile import get


def test_editors_folders_and_the_reference_are_told_apart(tmp_path):
    specs = ["identity", "instruct_pix2pix,steps=20,label=ip2p-20", f"folder={tmp_path}", "reference,label=targets"]
    identity, ip2p, folder, reference = naming.contenders(specs)
    assert isinstance(identity, EditorContender) and identity.label == "identity"
    assert (ip2p.label, settings(ip2p)["steps"], settings(ip2p)["editor"]) == ("ip2p-20", 20, "instruct_pix2pix")
    assert isinstance(folder, FolderContender) and folder.folders == (tmp_path,)
    assert isinstance(reference, ReferenceContender) and reference.label == "targets"


def test_several_folders_are_one_row(tmp_path):
    (one,) = naming.contenders([f"folder={tmp_path}/a,folder={tmp_path}/b,label=ours"])
    assert one.label == "ours" and [folder.name for folder in one.folders] == ["a", "b"]


def test_settings_reach_their_owner():
    found = naming.settings(
        ["ip2p.steps=5", "networks.lpips.device=cpu", "judge.view.max_side=512", "count=12"], ["ip2p"]
    )
    assert found.editors == {"ip2p": {"steps": 5}} and found.benchmark == ["count=12"]
    assert found.sections == {"networks": {"lpips": {"device": "cpu"}}, "judge": {"view": {"max_side": 512}}}
    (one,) = naming.contenders(["instruct_pix2pix,label=ip2p"], found.editors)
    assert settings(one)["steps"] == 5


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("identiti", "Did you mean 'identity'"),
        ("identity,label=a/b", "cannot call a row"),
        ("identity,label=judge", "another label"),
        ("instruct_pix2pix,stepz=2", "stepz"),
        ("reference,steps=2", "takes no 'steps'"),
    ],
)
def test_a_wrong_editor_is_refused(spec, words):
    with pytest.raises(ConfigError, match=words):
        naming.contenders([spec])


def test_settings_of_nobody_are_refused():
    with pytest.raises(ConfigError, match="Did you mean 'ip2p'"):
        naming.settings(["ip2.steps=5"], ["ip2p"])


def test_a_profile_may_name_another_filter():
    one, other = naming.profiles(["gedit", "gedit+viescore_published"])
    assert one == get("gedit") and other.judge.replies == "viescore_published" != one.judge.replies
    with pytest.raises(UnknownName, match="gedit"):
        naming.profiles(["gedt"])


def test_ids_come_from_a_list_or_a_file(tmp_path):
    (tmp_path / "ids.txt").write_text("a\n\n b \n")
    assert naming.ids(str(tmp_path / "ids.txt")) == ["a", "b"] == naming.ids("a, b")
    many = ",".join(f"sample-{number}" for number in range(100))
    assert len(naming.ids(many)) == 100


def test_replies_are_by_sample_and_question(tmp_path):
    path = tmp_path / "r.json"
    path.write_text(json.dumps({"s0": "Three lines"}))
    assert naming.replies([f"ours={path}"], [get("imgedit")]) == {"ours": {"s0": {"imgedit": "Three lines"}}}
    with pytest.raises(InputError, match=r"pq, sc"):
        naming.replies([f"ours={path}"], [get("viescore_0_10")])
    with pytest.raises(ConfigError, match="LABEL=FILE"):
        naming.replies([str(path)], [get("imgedit")])
