"""The command line, with one file per command."""

from facemargin.commands._verbs import register_verb

__all__ = ["register_verb"]
