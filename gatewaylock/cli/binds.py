"""Addresses on the command line and in the environment."""

from __future__ import annotations

import argparse

from ..core.errors import ConfigError


def bind(text: str) -> tuple[str, int]:
    """("unix:PATH", -1), ("fd:NAME", 0) or (host, port).  ConfigError."""
    if text.startswith("fd:") and len(text) > len("fd:"):
        return text, 0
    if text.startswith("unix:") and len(text) > len("unix:"):
        return text, -1
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not (colon and host) or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(
            f"bind address {text!r}: HOST:PORT, [HOST]:PORT, unix:PATH or fd:NAME is needed, ports up to 65535"
        )
    return host, int(port)


def binds(text: str) -> list[tuple[str, int]]:
    """GATEWAY_BIND: addresses with commas between them.  ConfigError."""
    try:
        return [bind(part.strip()) for part in text.split(",")]
    except ConfigError as error:
        raise ConfigError(f"GATEWAY_BIND: {error}") from None


def bind_argument(text: str) -> tuple[str, int]:
    """``bind`` for argparse."""
    try:
        return bind(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
