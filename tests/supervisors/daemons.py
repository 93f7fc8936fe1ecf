"""supervisord, circus and monit: daemons with a configuration file and a command to talk to them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from speaking import eventually

from .keeper import PATIENCE, Keeper
from .service import Service


class Daemon(Keeper):
    """The family: the daemon starts with the first ``start``, when all services are known."""

    def __init__(self, work: Path, bin_dir: Path | None = None) -> None:
        super().__init__(work, bin_dir)
        self._began = False

    def start(self, service: Service) -> None:
        """By its command; the first time the daemon as well."""
        if not self._began:
            self._began = True
            self._begin()
        self._start(service)

    def _begin(self) -> None:
        raise NotImplementedError

    def _start(self, service: Service) -> None:
        raise NotImplementedError


class Supervisord(Daemon):
    """``autorestart=unexpected``, its default; exit codes 0 and 78 are expected."""

    name, pypi, debian = "supervisord", "supervisor", "supervisor"
    tools, tries = ("supervisord", "supervisorctl"), 4  # what ends within a second is one that did not start

    def _begin(self) -> None:
        conf, sock = self.work / "supervisord.conf", self.work / "supervisor.sock"
        programs = [
            f"[program:{service.name}]\ncommand={service.script}\nautostart=false\nautorestart=unexpected\n"
            f"exitcodes=0,78\nstopwaitsecs=20\nredirect_stderr=true\nstdout_logfile={service.log}\n"
            for service in self._services
        ]
        rpc = "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface"
        conf.write_text(
            f"[unix_http_server]\nfile={sock}\n[supervisord]\nnodaemon=true\nlogfile={self.work}/supervisord.log\n"
            f"pidfile={self.work}/supervisord.pid\n[rpcinterface:supervisor]\n{rpc}\n"
            f"[supervisorctl]\nserverurl=unix://{sock}\n" + "\n".join(programs)
        )
        self._run("supervisord", "-c", conf, log=self.work / "supervisord.out")
        assert eventually(lambda: self._ctl("pid", good=False).strip().isdigit(), PATIENCE)

    def _ctl(self, *words: str, good: bool = True) -> str:
        return self._ask("supervisorctl", "-c", self.work / "supervisord.conf", *words, good=good)

    def _start(self, service: Service) -> None:
        self._ctl("start", service.name, good=False)

    def stop(self, service: Service) -> None:
        """``supervisorctl stop``, which waits."""
        self._ctl("stop", service.name)

    def pid(self, service: Service) -> int | None:
        """``supervisorctl pid``."""
        return int(self._ctl("pid", service.name, good=False).strip() or 0) or None

    def rests(self, service: Service) -> bool:
        """EXITED; FATAL after it has ended 4 times within a second of its start."""
        return self.state(service) in ("EXITED", "FATAL")

    def state(self, service: Service) -> str:
        """RUNNING, EXITED, BACKOFF, FATAL, ..."""
        return self._ctl("status", service.name, good=False).split()[1]


class Circus(Daemon):
    """It starts again whatever ends, at most ``max_retry`` times in a row."""

    name, pypi, tools = "circus", "circus", ("circusd", "circusctl")
    insists = True

    def _begin(self) -> None:
        conf = self.work / "circus.ini"
        watchers = [
            f"[watcher:{service.name}]\ncmd={service.script}\nautostart=False\ncopy_env=True\n"
            f"graceful_timeout=20\nmax_retry=3\nretry_in=1\nstdout_stream.class=FileStream\n"
            f"stdout_stream.filename={service.log}\nstderr_stream.class=FileStream\n"
            f"stderr_stream.filename={service.log}\n"
            for service in self._services
        ]
        ends = {name: f"ipc://{self.work}/circus-{name}" for name in ("endpoint", "pubsub_endpoint")}
        lines = [f"{name}={where}" for name, where in ends.items()]
        conf.write_text("\n".join(["[circus]", "check_delay=1", "statsd=False", *lines, *watchers]))
        self._run("circusd", conf, log=self.work / "circus.out")
        assert eventually(lambda: "services" not in self._ctl("list", good=False), PATIENCE)
        assert eventually(lambda: self._services[0].name in self._ctl("list", good=False), PATIENCE)

    def _ctl(self, *words: str, good: bool = True) -> str:
        where = f"ipc://{self.work}/circus-endpoint"
        return self._ask("circusctl", "--timeout", "25", "--endpoint", where, *words, good=good)

    def _start(self, service: Service) -> None:
        self._ctl("start", service.name)

    def stop(self, service: Service) -> None:
        """``circusctl stop``; it may come back early, so ask."""
        self._ctl("stop", service.name)
        assert eventually(lambda: self.pid(service) is None, PATIENCE), service.text()

    def pid(self, service: Service) -> int | None:
        """``circusctl list NAME`` shows pids."""
        found = re.search(r"\d+", self._ctl("list", service.name, good=False).rpartition(":")[2])
        return int(found[0]) if found else None

    def state(self, service: Service) -> str:
        """active, stopped, ..."""
        text = self._ctl("status", service.name, good=False)
        return str(json.loads(text)["status"]) if text.startswith("{") else text.split()[-1]


class Monit(Daemon):
    """It starts nothing as its child: a program that goes to the background, known by a pid file."""

    name, debian, tools = "monit", "monit", ("monit", "setsid")
    insists = True

    def _begin(self) -> None:
        conf = self.work / "monitrc"
        lines = ["set daemon 1", f"set idfile {self.work}/monit.id", f"set statefile {self.work}/monit.state"]
        lines += [f"set pidfile {self.work}/monit.pid"]
        lines += [f'set httpd unixsocket {self.work}/monit.sock allow "tester":"secret"']
        for service in self._services:
            start, pid_file = self.work / f"{service.name}.start", self._pid_file(service)
            go = f"GATEWAY_SUPERVISOR=monit setsid {service.script} >> {service.log} 2>&1 < /dev/null &"
            start.write_text(f"#!/bin/sh\n{go}\necho $! > {pid_file}\n")
            start.chmod(0o755)
            lines += [
                f"check process {service.name} with pidfile {pid_file}",
                f'  start program = "{start}" with timeout 10 seconds',
                f"  stop program = \"/bin/sh -c 'kill $(cat {pid_file})'\" with timeout 20 seconds",
                "  onreboot nostart",
            ]
        conf.write_text("\n".join([*lines, ""]))
        conf.chmod(0o600)
        self._run("monit", "-I", "-c", conf, log=self.work / "monit.out")
        assert eventually(lambda: "Monit" in self._ctl("status", good=False), PATIENCE)

    def _pid_file(self, service: Service) -> Path:
        return self.work / f"{service.name}.pid"

    def _ctl(self, *words: str, good: bool = True) -> str:
        return self._ask("monit", "-c", self.work / "monitrc", *words, good=good)

    def _start(self, service: Service) -> None:
        self._ctl("start", service.name)
        assert eventually(lambda: self.pid(service) is not None, PATIENCE)

    def stop(self, service: Service) -> None:
        """``monit stop`` only leaves the wish."""
        self._ctl("stop", service.name)
        assert eventually(lambda: "Not monitored" in self.state(service), PATIENCE), self.state(service)

    def pid(self, service: Service) -> int | None:
        """What its pid file says, while that lives."""
        try:
            pid = int(self._pid_file(service).read_text())
        except (OSError, ValueError):
            return None
        return pid if Path(f"/proc/{pid}").exists() else None

    def state(self, service: Service) -> str:
        """The line "status" of ``monit status``."""
        found = re.search(r"^\s+status\s+(.*)$", self._ctl("status", service.name, good=False), re.M)
        return found[1].strip() if found else "unknown"
