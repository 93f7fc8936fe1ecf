"""``--admin`` and what belongs to it."""

from __future__ import annotations

import argparse
import os
import stat
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING

from ..core.errors import ConfigError
from . import output
from .binds import bind

if TYPE_CHECKING:
    from ..admin import Admin

TOKEN = "GATEWAY_ADMIN_TOKEN"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``run``."""
    parser.add_argument(
        "--admin",
        metavar="HOST:PORT",
        help="health, status, metrics and a page there, in every phase (off; GATEWAY_ADMIN)",
    )
    parser.add_argument(
        "--admin-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name that the admin address is reached by; repeatable (its own and localhost)",
    )
    parser.add_argument(
        "--admin-token-file",
        metavar="FILE",
        help=f"whoever has the token in FILE may steer on the admin page (nobody; {TOKEN} is the token itself)",
    )
    parser.add_argument(
        "--admin-token", action=_NotHere, metavar="TOKEN", help="not here: a command line is not private"
    )


def admin_of(args: argparse.Namespace, environ: Mapping[str, str]) -> Admin | None:
    """The annex that *args* and *environ* ask for.  ConfigError."""
    where = args.admin or environ.get("GATEWAY_ADMIN")
    if not where:
        if args.admin_token_file or args.admin_host:
            raise ConfigError("--admin-token-file and --admin-host need --admin")
        return None
    host, port = bind(where)
    if port < 0 or host.startswith("fd:"):
        raise ConfigError(f"admin address {where!r}: HOST:PORT is needed")
    from ..admin import Admin

    token = _read(args.admin_token_file) if args.admin_token_file else environ.get(TOKEN, "")
    return Admin(host, port, hosts=args.admin_host, token=token)


def forget_token(environ: MutableMapping[str, str]) -> None:
    """What the application starts need not know the token; the next image gets it as we did."""
    environ.pop(TOKEN, None)


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            others = os.fstat(file.fileno()).st_mode & stat.S_IROTH
            token = file.read(4096).strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "is no ASCII text"
        raise ConfigError(f"admin token file {path}: {why}") from error
    if others:
        output.note(f"gateway: warning: everybody can read the admin token in {path}")
    if not token:
        raise ConfigError(f"admin token file {path}: it is empty")
    return token


class _NotHere(argparse.Action):
    """An option that exists so that nobody looks for it in vain."""

    def __call__(self, parser: argparse.ArgumentParser, *rest: object) -> None:
        parser.error(f"a command line is not private: use --admin-token-file or {TOKEN}")
