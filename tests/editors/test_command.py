"""A user's own program as an editor: what it is told, what it may not do, how its failures read."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from insightedit.core.errors import BackendError, ConfigError
from insightedit.editors.command import fill
from insightedit.editors.table import make

INVERT = """
import sys, numpy as np
from PIL import Image
source, instruction, seed, output = sys.argv[1:]
image = 255 - np.asarray(Image.open(source))
Image.fromarray(image + np.uint8(int(seed))).save(output)
open(output + ".words", "w").write(instruction)
"""
PLACES = ["{source}", "{instruction}", "{seed}", "{output}"]


@pytest.fixture
def program(tmp_path):
    def write(code: str) -> list[str]:
        (tmp_path / "editor.py").write_text(code)
        return [sys.executable, str(tmp_path / "editor.py"), *PLACES]

    return write


def test_a_program_edits(program, photo):
    editor = make("command", command=program(INVERT))
    assert np.array_equal(editor.edit(photo, "invert it", 3), 255 - photo + np.uint8(3))


@pytest.mark.parametrize(
    "words",
    ["; touch pwned", "$(touch pwned)", "`touch pwned`", "a b 'c' \"d\"", "{seed} {output}", "--help", "é 红 🎈"],
)
def test_an_instruction_is_one_argument_whatever_it_says(program, photo, tmp_path, words, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = f"open({str(tmp_path / 'said')!r}, 'w').write(sys.argv[2])"
    echo = f"import sys, shutil; shutil.copy(sys.argv[1], sys.argv[4]); {said}"
    line = " ".join(program(echo))  # as a line, split like a shell's
    make("command", command=line).edit(photo, words)
    assert (tmp_path / "said").read_text() == words
    assert not (tmp_path / "pwned").exists()


def test_placeholders_are_filled_once_and_doubled_braces_stay():
    values = {"source": "/s {seed}", "instruction": "{output}", "seed": "7", "output": "/o"}
    assert fill("--in={source}:{instruction}", values) == "--in=/s {seed}:{output}"
    assert fill("{{seed}} {seed} {}", values) == "{seed} 7 {}"


@pytest.mark.parametrize(
    ("code", "part"),
    [
        ("import sys; sys.exit('no such model: banana')", "no such model: banana"),
        ("pass", "wrote no picture"),
        ("import sys; open(sys.argv[4], 'w').write('hello')", "no usable picture"),
        (
            "import sys; from PIL import Image; Image.open(sys.argv[1]).resize((64, 64)).save(sys.argv[4])",
            "64 x 64 for a source of 100 x 70",
        ),
        ("import os; os.kill(os.getpid(), 9)", "exit code -9"),
    ],
)
def test_failures_say_what_the_program_did(program, photo, code, part):
    with pytest.raises(BackendError) as caught:
        make("command", command=program(code)).edit(photo, "invert it")
    assert part in str(caught.value) and "\n" not in str(caught.value)


def test_a_program_that_hangs_is_ended_with_its_children(program, photo, tmp_path):
    alive = tmp_path / "alive"
    child = f"import time, pathlib; time.sleep(1.5); pathlib.Path({str(alive)!r}).touch()"
    code = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    started = time.monotonic()
    with pytest.raises(BackendError, match=r"ran longer than 0\.7 s"):
        make("command", command=program(code), timeout_s=0.7).edit(photo, "invert it")
    assert time.monotonic() - started < 5
    time.sleep(1.6)
    assert not alive.exists()


@pytest.mark.parametrize(
    ("command", "part"),
    [
        (None, "has no command"),
        ("", "has no command"),
        ("edit '{source}", "Close the quote"),
        ("edit {source} {output}", "no {instruction}"),
        ("edit {sorce} {instruction} {output}", "Did you mean 'source'"),
        ("no-such-program-here {source} {instruction} {output}", "not on PATH"),
    ],
)
def test_a_command_that_cannot_work_is_refused_before_it_runs(photo, command, part):
    with pytest.raises(ConfigError) as caught:
        make("command", command=command).edit(photo, "invert it")
    assert part in str(caught.value)


def test_a_fingerprint_follows_the_program(program):
    before = make("command", command=program(INVERT)).fingerprint()
    assert before == make("command", command=program(INVERT)).fingerprint()
    assert before != make("command", command=program(INVERT + "# better\n")).fingerprint()


def test_nothing_is_left_behind(program, photo, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    make("command", command=program(INVERT)).edit(photo, "invert it")
    assert [path.name for path in tmp_path.iterdir()] == ["editor.py"]


def test_it_needs_no_torch():
    code = (
        "import sys, numpy as np; from insightedit.editors.table import make; "
        "make('command', command='cp {source} {output} --no-preserve={instruction}')"
        ".edit(np.zeros((20, 20, 3), np.uint8), 'mode'); print('torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "False", answer.stderr
