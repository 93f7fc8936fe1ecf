"""``gateway run`` and ``gateway check``."""

from __future__ import annotations

import argparse
import os
import socket
from typing import TYPE_CHECKING, Any

from ..core.errors import ConfigError, StartFailed
from ..core.limits import BUDGETS, Limits
from . import admin, output

if TYPE_CHECKING:
    from ..gateway import Gateway
    from ..server import Server


def check(args: argparse.Namespace) -> int:
    """Load the target."""
    _load(args)
    output.say(f"{args.target} loads")
    return 0


def run(args: argparse.Namespace) -> int:
    """Run a gateway; its exit code."""
    from ..gateway import Gateway
    from . import logs

    logs.setup(args.log_format, args.log_level)
    if not 1 <= args.threads <= 10_000:
        raise ConfigError(f"--threads {args.threads}: use 1 to 10000")
    if not 0 <= args.restart_exit_code <= 255:
        raise ConfigError(f"--restart-exit-code {args.restart_exit_code}: use 0 to 255")
    binds = args.bind
    gateway = Gateway(
        args.name,
        port=next((port for _, port in binds if port > 0), None),
        limits=limits(args),
        restart_mode=args.restart_mode,
        run_dir=args.run_dir,
        restart_exit_code=args.restart_exit_code,
        allow_sigusr1=args.allow_sigusr1,
        escalate=not args.no_escalate,
        preflight=lambda: _check_all(args),
        probation=args.probation,
        supervisor_timeout=args.supervisor_timeout,
        annex=admin.admin_of(args, os.environ),
    )
    admin.forget_token(os.environ)
    try:
        return gateway.run(lambda gateway: _start(gateway, args, binds))
    except BaseException:
        gateway.must_end(1)  # whatever a start that failed has left running
        raise


def limits(args: argparse.Namespace) -> Limits:
    """What was given; --start-timeout covers the first start as well, which has no limit otherwise."""
    given = {name: getattr(args, f"{name}_timeout") for name in BUDGETS}
    given["first_start"] = given["start"]
    return Limits(**{name: seconds for name, seconds in given.items() if seconds is not None})


def _check_all(args: argparse.Namespace) -> None:
    """What the next life will need: the target, and the library that serves it."""
    if not args.factory:
        from ..serve import check_library

        check_library()
    _load(args)


def _load(args: argparse.Namespace) -> Any:
    """The target, or None for the built-in page.

    A module that ends the process has not loaded, whatever the exit code it chose: 0 would look like a
    gateway that was stopped, or like a target that was checked.
    """
    from ..serve.target import load

    try:
        return load(args.target, factory=args.factory) if args.target else None
    except SystemExit as error:
        raise StartFailed(
            f"{args.target}: ends the process while it loads (exit code {error.code})"
        ) from error


def _start(gateway: Gateway, args: argparse.Namespace, binds: list[tuple[str, int]]) -> Server:
    """One life.  The target is imported here, behind the signal handlers: a long import can be stopped."""
    from ..serve import serve, status_app

    app = _load(args)
    if args.factory:
        server: Server = app(gateway)
        return server
    app = app or status_app(gateway)
    return serve(gateway, app, [_listen(gateway, *bind) for bind in binds], threads=args.threads)


def _listen(gateway: Gateway, host: str, port: int) -> socket.socket:
    if port < 0:
        return gateway.listen_unix(os.path.abspath(host.removeprefix("unix:")))
    return gateway.listen(host, port)
