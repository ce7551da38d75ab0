"""Verbs that have actions, such as `facemargin data inspect`."""

from collections.abc import Callable, Mapping, Sequence

from facemargin.commands._say import say
from facemargin.errors import ConfigError

Actions = Mapping[str, tuple[str, Callable[[Sequence[str]], int]]]
"""By its name, what an action does, in words, and the function that takes the arguments behind its name."""


def run_action(verb: str, what: str, actions: Actions, arguments: Sequence[str], example: str) -> int:
    """The exit code of the action that is the first of the arguments. `what` follows it in the usage. ConfigError, with
    an `example`, if it is missing or unknown."""
    action = arguments[0] if arguments else ""
    if action in ("-h", "--help"):
        width = max(8, *map(len, actions))
        say(f"usage: facemargin {verb} ACTION {what}\n")
        for name, (text, _) in actions.items():
            say(f"  {name:{width}} {text}")
        say(f"\nfacemargin {verb} ACTION --help shows the options of one.")
        return 0
    if action not in actions:
        problem = "the action is missing" if not action or action.startswith("-") else f"unknown action {action!r}"
        raise ConfigError(f"{problem}: expected {', '.join(actions)}, as in facemargin {verb} {example}")
    return actions[action][1](arguments[1:])
