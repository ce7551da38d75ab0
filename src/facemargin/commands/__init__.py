"""One file a verb of the command line."""

from facemargin.commands._verbs import register_verb

__all__ = ["register_verb"]
