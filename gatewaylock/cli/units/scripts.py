"""The ``run`` of runit and s6, which is their ``finish`` as well: one file, called by two names."""

from __future__ import annotations

from .quoting import sh
from .service import HOPELESS, Service

RUNIT = """\
#!/bin/sh
# /etc/sv/{name}/run, by `gateway unit runit`.
#
#   mkdir -p /etc/sv/{name} && gateway unit runit ... > /etc/sv/{name}/run && chmod 755 /etc/sv/{name}/run
#   ln -s run /etc/sv/{name}/finish && ln -s /etc/sv/{name} /etc/service/
#
#   sv -w {kills_after} down {name}     a stop that drains; waits for its end
# The next version, tried first, without losing a request:
#   {restart}
#
# A stop takes up to {stop:g} s (--stop-timeout, --lame-duck).  Only `sv force-stop` kills: give it -w {kills_after}.

case $0 in
*finish)
    case $1 in
    # 78: another gateway holds the name, or the configuration is wrong; 2: wrong usage.  Neither gets better
    # by trying again every second: it stays down until `sv up {name}`.
    {hopeless}) printf d >supervise/control ;;
    esac
    exit 0
    ;;
esac

exec 2>&1
cd {directory} || exit 78
{start}
"""

S6 = """\
#!/bin/sh
# The run of service {name}, by `gateway unit s6`.
#
#   gateway unit s6 ... > {name}/run && chmod 755 {name}/run && ln -s run {name}/finish
#
#   s6-svc -wD -T {milliseconds} -d {name}     a stop that drains; waits for its end
# The next version, tried first, without losing a request:
#   {restart}
#
# A stop takes up to {stop:g} s (--stop-timeout, --lame-duck).  s6 never kills unless there is a file
# timeout-kill: no less than {milliseconds} in it.

case $0 in
*finish)
    case $1 in
    # 78: another gateway holds the name, or the configuration is wrong; 2: wrong usage.  Neither gets better
    # by trying again every second: 125 says that it is not to be started again.
    {hopeless}) exit 125 ;;
    esac
    exit 0
    ;;
esac

exec 2>&1
cd {directory} || exit 78
{start}
"""


def write(kind: str, service: Service) -> str:
    """The text of the script."""
    text, drop = (RUNIT, "chpst -u") if kind == "runit" else (S6, "s6-setuidgid")
    return text.format(
        name=service.name,
        restart=service.restart,
        hopeless=" | ".join(map(str, HOPELESS)),
        directory=sh([service.directory]),
        start=_start(sh(service.command), drop, service.user),
        stop=service.limits.whole_stop,
        kills_after=service.kills_after,
        milliseconds=1000 * service.kills_after,
    )


def _start(command: str, drop: str, user: str) -> str:
    """Become the program; *user* first, where root starts it and it is not meant to be root."""
    if user == "root":
        return f"exec {command}"
    return f"""\
set -- {command}
[ "$(id -u)" != 0 ] || set -- {drop} {sh([user])} "$@"
exec "$@\""""
