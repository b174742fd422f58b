"""What a person sees of a run, on terminals of any size and elsewhere."""

import io
import re
import sys
from dataclasses import dataclass

import pytest
import torch
from rich.console import Console

import nasir
from runners.folder.display import (
    PATIENCE,
    Display,
    ShownDisplay,
    display_for_stderr,
    genotype_lines,
)

ROW = {
    "epoch": 0,
    "stage": 0,
    "phase": "search",
    "lr": 0.025,
    "train": {"loss": 1.5, "accuracy": 0.25},
    "valid": {"loss": 2.0, "accuracy": None},
    "entropy": {"normal/n2.e0": 1.0},
}


@dataclass
class Clock:
    """A clock that a test sets."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def run(display: Display) -> None:
    """A short run."""
    display.start(2, 0)
    for step in range(3):
        display.step(0, step, 3, {"loss": torch.tensor(1.0), "accuracy": 0.5})
    display.epoch(ROW, genotype_lines(nasir.load_genotype("darts_v2")))
    display.say("a line of \x1b[31m many words " + "word " * 40)
    display.step(1, 0, 3, {"loss": 0.125})


def test_a_pipe_gets_one_line_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    display = ShownDisplay(clock=clock)
    display.start(3, 1)
    display.step(1, 0, 2, {"loss": 1.0})
    clock.now += 30
    display.epoch({**ROW, "epoch": 1}, "a genotype")
    display.close()
    assert capsys.readouterr().err == (
        "1 of 3 epochs are done\n"
        "epoch 2/3  search  lr 0.025; train loss 1.5, accuracy 0.25; valid loss 2  0:01:00 left\n"
    )


def test_a_long_epoch_says_something_every_few_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    display = ShownDisplay(clock=clock)
    display.start(2, 0)
    capsys.readouterr()
    for step in range(10):
        clock.now += PATIENCE / 4
        display.step(0, step, 100, {"loss": 0.12345})
    assert capsys.readouterr().err == (
        "epoch 1/2 step 4/100  loss 0.1235  0:08:10 left\n"
        "epoch 1/2 step 8/100  loss 0.1235  0:08:00 left\n"
    )


@pytest.mark.parametrize(("width", "height"), [(120, 40), (80, 24), (34, 9), (18, 6), (5, 3)])
def test_the_live_picture_is_never_wider_or_higher_than_the_terminal(
    width: int, height: int
) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=width, height=height)
    display = ShownDisplay(console)
    run(display)
    lines = console.render_lines(display._bars.get_renderable(), console.options, pad=False)
    texts = ["".join(segment.text for segment in line) for line in lines]
    display._bars.refresh()
    display.close()
    display.close()
    assert max(len(text.rstrip()) for text in texts) <= width
    if width >= 80:
        assert texts[0].startswith("epoch 2/2 step 1/3")
        assert texts[1].startswith("loss 0.125")
        assert texts[2].startswith("normal 2: sep_conv_3x3 0, sep_conv_3x3 1")
    redrawn = [back.count("A") for back in re.findall(r"(?:\x1b\[1A\x1b\[2K)+", stream.getvalue())]
    assert max(redrawn, default=0) < height
    printed = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert max(len(line) for line in re.split("[\r\n]+", printed)) <= width
    assert "\x1b[31m" not in stream.getvalue(), "a line does not colour the terminal"


def test_the_stream_decides_how_a_run_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def moves(tty: bool, term: str) -> bool:
        monkeypatch.setattr(sys.stderr, "isatty", lambda: tty)
        monkeypatch.setenv("TERM", term)
        display = display_for_stderr()
        assert isinstance(display, ShownDisplay)
        return display.moves

    assert moves(True, "xterm")
    assert not moves(True, "dumb")
    assert not moves(False, "xterm")


@pytest.mark.parametrize("moves", [True, False])
def test_a_stage_is_a_line_or_a_bar_that_goes(
    moves: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80) if moves else None
    display = ShownDisplay(console)
    for name in ("lower \x1b[31m", "export"):
        with display.stage(name):
            pass
    shown = stream.getvalue() if moves else capsys.readouterr().err
    assert shown.index("lower") < shown.index("export")
    assert "\x1b[31m" not in shown
    if not moves:
        assert shown.splitlines()[1] == "export ..."


def test_items_of_a_command_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    display = ShownDisplay(clock=clock)
    for item in display.track("abc", 3, "score"):
        clock.now += PATIENCE if item == "b" else 1
    assert "score: 2 of 3" in capsys.readouterr().err
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    assert list(ShownDisplay(console).track("abc", 3, "score")) == ["a", "b", "c"]
    assert list(Display().track("abc", 3, "score")) == ["a", "b", "c"]
