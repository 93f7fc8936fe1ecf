"""Where lock and socket live: a directory of ours alone."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from ..core.errors import ConfigError, RunDirError

#: sizeof(sockaddr_un.sun_path) - 1 on Linux; macOS has 103.
SOCKET_PATH_BYTES = 107 if os.uname().sysname == "Linux" else 103
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


def check_name(name: str) -> str:
    """*name* itself; ConfigError unless it can be a file name: letters, digits, ``._-``, up to 64."""
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        raise ConfigError(
            f"name {name!r}: use up to 64 letters, digits, '.', '_' or '-', no dot or '-' first"
        )
    return name


def default_run_dir(environ: Mapping[str, str]) -> str:
    """The run directory of this user.

    Never ``$XDG_RUNTIME_DIR``: it is wiped at logout, under a gateway that goes on.
    """
    if chosen := environ.get("GATEWAY_RUN_DIR"):
        return chosen
    if os.geteuid() == 0:
        return "/run/gatewaylock"
    state = environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(state, "gatewaylock")


@dataclass(frozen=True)
class RunDir:
    """A directory that we own, that is no symlink and that nobody else can write to."""

    path: str

    @classmethod
    def open(cls, path: str | None = None, environ: Mapping[str, str] | None = None) -> RunDir:
        """The checked run directory, made (0700) where it is missing.  RunDirError otherwise."""
        where = os.path.abspath(path or default_run_dir(os.environ if environ is None else environ))
        try:
            os.makedirs(os.path.dirname(where), mode=0o700, exist_ok=True)
            os.mkdir(where, 0o700)
        except FileExistsError:
            pass
        except OSError as error:
            raise RunDirError(
                f"run directory {where}: {error.strerror}: choose another with --run-dir"
            ) from error
        found = cls(where)
        close(found.descriptor())
        return found

    def descriptor(self) -> int:
        """A new descriptor of the directory, checked at this moment; the caller closes it."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(self.path, flags)
        except OSError as error:
            planted = error.errno in (errno.ELOOP, errno.ENOTDIR)
            why = "is a symlink or no directory" if planted else error.strerror
            raise RunDirError(f"run directory {self.path}: {why}: choose another with --run-dir") from error
        if fault := _fault(fd):
            close(fd)
            raise RunDirError(f"run directory {self.path}: {fault}")
        return fd

    def open_file(self, name: str, flags: int, mode: int = 0o600) -> int:
        """A descriptor of a regular file of ours in the directory.  RunDirError for anything else.

        A planted symlink is not followed, and a planted FIFO does not block the open.
        """
        directory = self.descriptor()
        flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            fd = os.open(name, flags, mode, dir_fd=directory)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise RunDirError(f"{self.path}/{name}: {error.strerror}: move it out of the way") from error
        finally:
            close(directory)
        if fault := _no_file_of_ours(fd):
            close(fd)
            raise RunDirError(f"{self.path}/{name}: {fault}: move it out of the way")
        return fd

    def read(self, name: str, most: int) -> bytes:
        """Up to *most* bytes of a regular file of ours.  OSError, RunDirError."""
        fd = self.open_file(name, os.O_RDONLY)
        found = b""
        try:
            while len(found) < most and (more := os.read(fd, most - len(found))):
                found += more
        finally:
            close(fd)
        return found

    def is_linked(self, name: str, fd: int) -> bool:
        """Whether *name* in the directory still is the file that *fd* has open."""
        try:
            there = os.stat(os.path.join(self.path, name), follow_symlinks=False)
        except OSError:
            return False
        here = os.fstat(fd)
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

    def socket_path(self, name: str) -> str:
        """Where the control socket of gateway *name* is.  RunDirError where no socket can be that deep."""
        path = os.path.join(self.path, f"{name}.sock")
        if len(os.fsencode(path)) > SOCKET_PATH_BYTES:
            raise RunDirError(
                f"run directory {self.path}: too long: {path!r} has {len(os.fsencode(path))} bytes and a Unix "
                f"socket may have {SOCKET_PATH_BYTES}: choose a shorter --run-dir or --name"
            )
        return path


def close(fd: int) -> None:
    """Close what was only looked at, or has failed already: an error of it has nothing to tell."""
    with suppress(OSError):
        os.close(fd)


def _no_file_of_ours(fd: int) -> str:
    try:
        about = os.fstat(fd)
    except OSError as error:
        return str(error)
    ours = stat.S_ISREG(about.st_mode) and about.st_uid == os.geteuid()
    return "" if ours else "not a regular file of ours"


def _fault(fd: int) -> str:
    try:
        about = os.fstat(fd)
    except OSError as error:
        return str(error)
    if about.st_uid != os.geteuid():
        return f"belongs to uid {about.st_uid}, not to us (uid {os.geteuid()}): choose another with --run-dir"
    if about.st_mode & 0o022:
        # Not "chmod it": it may be /tmp, which the whole system needs as it is.
        mode = f"{stat.S_IMODE(about.st_mode):04o}"
        return f"others can write to it (mode {mode}): choose a directory of its own with --run-dir"
    return ""
