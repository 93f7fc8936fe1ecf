"""Who may read, and who may steer.

read     whoever reaches the address, by a Host that is ours (or a foreign page could read it through a
         name of its own that it points at us: DNS rebinding), and no page of another origin
steer    the same, by POST, with the token; without a token nobody.  No cookies: nothing is sent by itself
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Iterable
from http import HTTPStatus

from ..core.errors import ConfigError
from .wire import Asked, Refused

TOKEN = 16  #: characters of a token, at least: nobody guesses that many
HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?")


class Guard:
    """Of one admin address.  *bound* is the host it listens on, *hosts* are further names for it.

    ConfigError for a name that cannot be one, and for a token that could be guessed.
    """

    def __init__(self, bound: str, hosts: Iterable[str] = (), token: str = "") -> None:
        names = [name.lower() for name in hosts]
        wrong = [name for name in names if not re.fullmatch(r"[a-z0-9._-]+|[0-9a-f:.]+", name)]
        if wrong:
            raise ConfigError(f"admin host {wrong[0]!r}: give a name or an address, without a port")
        if token and (len(token) < TOKEN or not token.isascii() or not token.isprintable()):
            raise ConfigError(f"the admin token needs {TOKEN} or more printable ASCII characters")
        self._any = bound in ("", "0.0.0.0", "::")
        self._names = {"localhost", bound.lower(), *names}
        self._token = token.encode()

    @property
    def steers(self) -> bool:
        """Whether anybody may."""
        return bool(self._token)

    def check(self, asked: Asked) -> None:
        """Refused unless this request may read."""
        host = asked.headers.get("host", "")
        if host or not asked.old:  # a probe of HTTP/1.0 need not send one; browsers always do
            self._check_host(host.lower())
        self._check_origin(asked)

    def check_steering(self, token: str) -> None:
        """Refused unless *token*, of a request that may read, is the one."""
        if not self._token:
            raise Refused(HTTPStatus.FORBIDDEN, "no steering here: give --admin-token-file")
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self._token):
            raise Refused(
                HTTPStatus.UNAUTHORIZED, "not the admin token", ("WWW-Authenticate", 'Bearer realm="gateway"')
            )

    def _check_host(self, host: str) -> None:
        found = HOST.fullmatch(host)
        name = found[1].strip("[]") if found else ""
        if not name:
            raise Refused(HTTPStatus.BAD_REQUEST, "the Host header is none")
        if name not in self._names and not (self._any and _is_address(name)):
            raise Refused(HTTPStatus.MISDIRECTED_REQUEST, f"not known as {name} here: give --admin-host")

    def _check_origin(self, asked: Asked) -> None:
        origin, site = asked.headers.get("origin"), asked.headers.get("sec-fetch-site", "none")
        if origin is not None and origin.lower().partition("://")[2] != asked.headers.get("host", "").lower():
            raise Refused(HTTPStatus.FORBIDDEN, "not from another origin")
        followed_link = asked.headers.get("sec-fetch-mode") == "navigate" and asked.method in ("GET", "HEAD")
        if site not in ("same-origin", "none") and not followed_link:
            raise Refused(HTTPStatus.FORBIDDEN, "not from another site")


def _is_address(name: str) -> bool:
    """An address cannot be pointed elsewhere: bound to all of ours, we answer to each of them."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
