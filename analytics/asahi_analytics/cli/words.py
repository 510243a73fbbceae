"""What argparse is told of a command; apart from the options, which load much more than a help needs."""

from __future__ import annotations


def described(words: str) -> dict[str, str]:
    """Return ``words`` for the list of commands, and as a sentence for the command's own help."""
    return {"help": words, "description": f"{words[0].upper()}{words[1:]}."}
