import pytest

from facemargin.commands._say import say


@pytest.mark.parametrize("stderr", [False, True])
def test_a_line_stays_whole_whatever_is_in_it(stderr, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    line = "written: /photos/[bold]of :smile:/" + "far " * 20 + "[/] 12"
    say(line, stderr=stderr)
    printed = capsys.readouterr()
    assert (printed.err, printed.out) == ((line + "\n", "") if stderr else ("", line + "\n"))


@pytest.mark.parametrize(("label", "code"), [("note", "33"), ("licence warning", "31")])
def test_a_label_is_in_color(label, code, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    say("[red]of a name[/] 12", label)
    assert capsys.readouterr().out == f"\x1b[{code}m{label}:\x1b[0m [red]of a name[/] 12\n"
