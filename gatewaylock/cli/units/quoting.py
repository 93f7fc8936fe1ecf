"""What a word looks like in each format.

What no reader of such a file could see is refused for all of them: line breaks, control characters,
bytes that are no text.  What one format cannot hold is refused there; nothing is bent to fit.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable
from xml.sax.saxutils import escape

from ...core.errors import ConfigError

#: needs no quotes in a unit of systemd
SAFE = re.compile(r"[A-Za-z0-9_@:./,=+-]+")


def plain(text: str) -> str:
    """*text* itself; ConfigError where something in it cannot be seen."""
    if not text.isprintable():
        raise ConfigError(f"{text!r} cannot be written into a file for a supervisor: give it another name")
    return text


def systemd_word(word: str) -> str:
    """A word of ExecStart=: no specifier, no variable, no escape."""
    if SAFE.fullmatch(word):
        return word
    inner = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{inner}"'


def systemd_program(path: str) -> str:
    """The first word, in which variables are not looked for.  ConfigError for what systemd refuses there."""
    if any(character in path for character in "\"'\\"):
        raise ConfigError(f"{path!r}: systemd starts no program with quotes or backslashes in its path")
    return path if SAFE.fullmatch(path) else f'"{path.replace("%", "%%")}"'


def systemd_path(path: str) -> str:
    """A path that is all of a value.  A slash at the end keeps a blank or a backslash from being eaten."""
    return path.replace("%", "%%") + ("/" if path.endswith((" ", "\\")) else "")


def sh(words: Iterable[str]) -> str:
    """Words for a shell."""
    return shlex.join(words)


def supervisord(words: Iterable[str]) -> str:
    """A ``command``: a shell's quotes, %% for its own expansions, and no blank before a ";" or "#".

    Those would begin a comment, inside quotes too; so the quotes are closed and opened again between.
    """
    text = shlex.join(words).replace("%", "%%")
    return re.sub(r"(?<=\s)(?=[;#])", "''", text)


def supervisord_value(text: str) -> str:
    """Any other value, which has no quotes.  ConfigError for what would be cut."""
    if text != text.strip() or re.search(r"(^|\s)[;#]", text):
        raise ConfigError(f"{text!r} cannot be written for supervisord: give it another name")
    return text.replace("%", "%%")


def xml(text: str) -> str:
    """Text of an element."""
    return escape(text)


def yaml(text: str) -> str:
    """A scalar.  ``$$`` is what both Compose and Kubernetes make a ``$`` of."""
    return json.dumps(text.replace("$", "$$"), ensure_ascii=False)


def yaml_list(words: Iterable[str]) -> str:
    """A sequence of them, on one line."""
    return f"[{', '.join(yaml(word) for word in words)}]"
