"""A program's section for supervisord 4."""

from __future__ import annotations

from .quoting import supervisord, supervisord_value
from .service import HOPELESS, Service

SECTION = """\
; /etc/supervisor/conf.d/{name}.conf, by `gateway unit supervisord`.
;
;   supervisorctl reread && supervisorctl update
;   supervisorctl stop {name}        a stop that drains
;   supervisorctl restart {name}     a stop and a start; what arrives in between is refused
; The next version, tried first, without losing a request:
;   {restart}

[program:{name}]
command={command}
directory={directory}
user={user}
autostart=true
; 0: stopped.  78: another gateway holds the name, or the configuration is wrong; 2: wrong usage; neither gets
; better by trying again.  All others are unexpected and start it again, 75 ("start me again") too.
autorestart=unexpected
exitcodes=0,{hopeless}
; One that dies within a second counts as not started, and is given up after 3 tries.
startsecs=1
startretries=3
; The stop is told to the gateway alone, which drains; its children are killed with it.
stopsignal=TERM
stopasgroup=false
killasgroup=true
; A stop takes up to {stop:g} s (--stop-timeout, --lame-duck): the rest is a margin of at most 5 s.
stopwaitsecs={kills_after}
; The same for the gateway, which cannot see what is set here.
environment=GATEWAY_SUPERVISOR_TIMEOUT="{kills_after}"
redirect_stderr=true
"""


def write(kind: str, service: Service) -> str:
    """The text of the section."""
    return SECTION.format(
        name=service.name,
        restart=service.restart,
        command=supervisord(service.command),
        directory=supervisord_value(service.directory),
        user=service.user,
        hopeless=",".join(map(str, HOPELESS)),
        stop=service.limits.whole_stop,
        kills_after=service.kills_after,
    )
