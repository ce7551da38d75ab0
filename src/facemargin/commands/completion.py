"""`facemargin completion SHELL`: prints the script with which a shell completes commands, recipes, options and their
values.

The script contains all completions, so that pressing Tab does not start Python.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import tyro

from facemargin.commands._arguments import parse
from facemargin.commands._catalogue import Options, read_catalogue
from facemargin.commands._verbs import list_verbs
from facemargin.commands.list import KINDS
from facemargin.training.recipe_files import list_recipes, summarize_recipe

# Commands that accept the fields of a recipe in addition to their own options. Except in `demo`, the recipe is the
# first argument.
_TAKING_FIELDS = ("train", "compare", "demo")

# Commands whose first argument is a model: the names of released ones are offered beside files.
_TAKING_A_MODEL = (
    "calibrate",
    "certify",
    "check-model",
    "convert-weights",
    "embed",
    "evaluate",
    "export",
    "push",
    "quality",
    "verify",
)


@dataclass(frozen=True)
class Arguments:
    """Print the script that completes facemargin's commands, recipes and options. For bash put the line eval
    "$(facemargin completion bash)" into ~/.bashrc, for zsh eval "$(facemargin completion zsh)" into ~/.zshrc; for fish:
    facemargin completion fish > ~/.config/fish/completions/facemargin.fish"""

    shell: tyro.conf.Positional[Literal["bash", "zsh", "fish"]]
    """The shell of the script."""


def main(arguments: Sequence[str]) -> int:
    sys.stdout.write(_SCRIPTS[parse(Arguments, "completion", arguments).shell]())
    return 0


def _first_words() -> dict[str, list[str]]:
    """The possible first arguments of a command, if they are not files."""
    return {
        "train": list_recipes(),
        "compare": list_recipes(),
        "list": list(KINDS),
        "data": ["inspect", "review", "clean"],
        "models": ["get", *read_catalogue()["models"]],
        **{verb: list(read_catalogue()["models"]) for verb in _TAKING_A_MODEL},
        "completion": list(_SCRIPTS),
    }


def _fields_of_recipes() -> dict[str, Options]:
    """The fields that the margin and the network of every recipe add to the common fields."""
    catalogue, added_fields = read_catalogue(), {}
    for name in list_recipes():
        summary = summarize_recipe(name)
        margin = catalogue["margin_options"].get(summary.head, {})
        added_fields[name] = {**margin, **catalogue["backbone_options"][summary.backbone]}
    return added_fields


def _bash() -> str:
    catalogue, recipes = read_catalogue(), _fields_of_recipes()
    verbs = catalogue["verbs"]
    values = {f"{verb} {option}": known for verb in verbs for option, known in verbs[verb].items() if known}
    of_fields = {option: known for table in (catalogue["recipe"], *recipes.values()) for option, known in table.items()}
    lines = [
        "# facemargin's completion for bash",
        "_facemargin_first() {",
        *_case("$1", _first_words().items()),
        "}",
        "_facemargin_options() {",
        "  local recipe=$2",
        *_case("$1", ((verb, ["--help", *table]) for verb, table in verbs.items())),
        f"  case $1 in {'|'.join(_TAKING_FIELDS)}) ;; *) return ;; esac",
        "  [ $1 = demo ] && recipe=demo",
        f"  echo '{' '.join(catalogue['recipe'])}'",
        *_case("$recipe", recipes.items()),
        "}",
        "_facemargin_values() {",
        *_case("$1 $2", values.items()),
        f"  case $1 in {'|'.join(_TAKING_FIELDS)}) ;; *) return ;; esac",
        *_case("$2", ((option, known) for option, known in of_fields.items() if known)),
        "}",
        *_BASH_FUNCTION.format(verbs=" ".join([*list_verbs(), "--help", "--version"])).splitlines(),
    ]
    return "\n".join(lines) + "\n"


def _case(word: str, table: "Iterable[tuple[str, Iterable[str]]]") -> list[str]:
    """A shell's `case` that prints the words of the matching row."""
    rows = [f"    '{key}') echo '{' '.join(words)}' ;;" for key, words in table]
    return [f'  case "{word}" in', *rows, "  esac"]


_BASH_FUNCTION = """\
_facemargin() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}" verb="${{COMP_WORDS[1]}}" words
  if [ "$COMP_CWORD" -eq 1 ]; then
    words='{verbs}'
  else
    case "$current" in
      -*) words="$(_facemargin_options "$verb" "${{COMP_WORDS[2]}}")" ;;
      *)
        words="$(_facemargin_values "$verb" "$previous")"
        [ "$COMP_CWORD" -eq 2 ] && words="$(_facemargin_first "$verb")" ;;
    esac
  fi
  COMPREPLY=( $(compgen -W "$words" -- "$current") )
}}
complete -o default -F _facemargin facemargin"""


def _zsh() -> str:
    head = [
        "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }",
        "autoload -Uz bashcompinit && bashcompinit",
    ]
    return "\n".join(head) + "\n" + _bash()


def _fish() -> str:
    catalogue, recipes = read_catalogue(), _fields_of_recipes()
    lines = ["# facemargin's completion for fish"]
    for verb, what in list_verbs().items():
        lines.append(f"complete -c facemargin -n __fish_use_subcommand -f -a {verb} -d {_quoted(what)}")
        lines += _fish_options(f"__fish_seen_subcommand_from {verb}", catalogue["verbs"][verb])
    for verb, words in _first_words().items():
        condition = f"__fish_seen_subcommand_from {verb}; and test (count (commandline -poc)) -eq 2"
        lines.append(f"complete -c facemargin -n {_quoted(condition)} -a {_quoted(' '.join(words))}")
    lines += _fish_options(f"__fish_seen_subcommand_from {' '.join(_TAKING_FIELDS)}", catalogue["recipe"])
    for name, table in recipes.items():
        lines += _fish_options(f"contains -- {name} (commandline -poc)", table)
    return "\n".join(lines) + "\n"


def _fish_options(condition: str, options: Options) -> list[str]:
    lines = []
    for option, known in options.items():
        takes = " -r" if known is None else f" -x -a {_quoted(' '.join(known))}" if known else ""
        lines.append(f"complete -c facemargin -n {_quoted(condition)} -l {option.removeprefix('--')}{takes}")
    return lines


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


_SCRIPTS: dict[str, Callable[[], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
