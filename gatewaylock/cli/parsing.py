"""What the parsers of several verbs have in common."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from typing import Any


def make(maker: Any, *args: Any, **kwargs: Any) -> argparse.ArgumentParser:
    """A parser of ours, made by *maker*: ``ArgumentParser`` or ``add_parser``."""
    made: argparse.ArgumentParser = maker(
        *args, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **kwargs
    )
    return made


def whom(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    """--name and --run-dir."""
    name = environ.get("GATEWAY_NAME", "gateway")
    parser.add_argument("--name", default=name, help="the name of the gateway (gateway; GATEWAY_NAME)")
    where(parser)


def where(parser: argparse.ArgumentParser) -> None:
    """--run-dir."""
    default = "/run/gatewaylock for root, else ~/.local/state/gatewaylock; GATEWAY_RUN_DIR"
    parser.add_argument("--run-dir", metavar="DIR", help=f"where lock and control socket live ({default})")


def seconds(text: str) -> float:
    """How long; ValueError for NaN too, of which nobody can say whether it is over."""
    number = float(text)
    if math.isnan(number):
        raise ValueError(text)
    return number


def patience(parser: argparse.ArgumentParser, default: float | None) -> None:
    """--timeout."""
    shown = "no limit" if default is None else f"{default:g} s"
    parser.add_argument(
        "--timeout", type=seconds, default=default, metavar="S", help=f"wait no longer ({shown})"
    )


def reason(parser: argparse.ArgumentParser) -> None:
    """--reason."""
    parser.add_argument("--reason", default="", help="told in the log, in the status and in the history")
