"""The public object: one gateway, everything it owns, and how to ask things of it."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from .core.deadline import Deadline
from .core.errors import GatewayError
from .core.events import Event
from .core.limits import Limits
from .core.plan import LONGEST_REASON, Action, Mode, Phase, Request, Status, Verdict
from .loop import audit
from .loop.annex import Annex
from .loop.birth import Birth
from .loop.callbacks import LAST_WORD
from .loop.house import House
from .loop.messages import Ask
from .loop.parts import Options, Surroundings, Work, checked_probation, mode_of
from .loop.report import report
from .loop.requests import Requests
from .loop.run import Run
from .loop.vitals import Vitals
from .loop.watched import Watched
from .server import Runtime, Server
from .system.hangup import meaning_of_hangup
from .system.host import Host
from .system.image import Unclaimed
from .system.proof import Proof, in_preflight
from .system.rundir import RunDir, check_name
from .work.lanes import Lanes
from .work.permit import Restarts
from .work.runs import Runs

log = logging.getLogger("gatewaylock.gateway")


class Gateway:
    """One long-running server process; at most one per *name* and run directory is active.

    ``port``                 told in the lock file, for people
    ``limits``               every budget, in seconds
    ``restart_mode``         ``auto`` (exec, or in-process where GATEWAY_NO_RESPAWN is set), ``exec``,
                             ``spawn``, ``overlap``, ``supervisor`` or ``in-process``
    ``run_dir``              where lock and control socket live; see README for the default
    ``restart_exit_code``    what ``supervisor`` mode exits with
    ``allow_sigusr1``        a bare SIGUSR1 restarts; otherwise it needs a permit
    ``escalate``             a second stop hurries, a third exits at once; False: they are ignored
    ``threads``              at most this many lane tasks run at once
    ``probation``            seconds that a successor has to live before we leave (``overlap``)
    ``supervisor_timeout``   seconds from a supervisor's stop to its kill, where it does not tell itself
    ``preflight``            called in the child that proves the next version, in place of ``start``
    ``annex``                a door that outlives lives: ``gatewaylock.admin.Admin("127.0.0.1", 18790)``

    ConfigError for values that cannot be.
    """

    def __init__(
        self,
        name: str = "gateway",
        *,
        port: int | None = None,
        limits: Limits = Limits(),
        restart_mode: str = "auto",
        run_dir: str | None = None,
        restart_exit_code: int = 0,
        allow_sigusr1: bool = False,
        escalate: bool = True,
        threads: int = 256,
        preflight: Callable[[], object] | None = None,
        probation: float = 2.0,
        supervisor_timeout: float | None = None,
        annex: Annex | None = None,
        host: Host = Host(),
    ) -> None:
        self._proves = in_preflight()
        self._around = Surroundings.here(check_name(name), host)
        self._inherited = self._around.inherited
        self._unclaimed = Unclaimed(self._inherited)
        mode, why = mode_of(restart_mode, os.environ)
        self._options = Options(
            name=name,
            restart_mode=mode,
            mode_why=why,
            run_dir=run_dir,
            port=port,
            restart_exit_code=restart_exit_code,
            escalate=escalate,
            multi=os.environ.get("GATEWAY_ALLOW_MULTI") == "1",
            preflight=preflight,
            probation=checked_probation(probation),
            hangup=meaning_of_hangup(os.environ, self._inherited is not None and self._inherited.terminal),
            watched=Watched(host, limits, self._around.line.environ, supervisor_timeout),
            annex=annex,
        )
        self._work = Work.make(threads, self._emit, allow_sigusr1)
        self._vitals = Vitals(self._inherited, host.pid())
        self._house: House | None = None
        self._requests: Requests | None = None
        self._meeting = threading.RLock()  # of run() and a stop before it, which a signal handler may want
        self._early: Ask | None = None

    # -- what it owns ------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Its name."""
        return self._options.name

    @property
    def limits(self) -> Limits:
        """Its budgets."""
        return self._options.limits

    @property
    def lanes(self) -> Lanes:
        """Queues of short work."""
        return self._work.lanes

    @property
    def runs(self) -> Runs:
        """Long work that can be asked to abort."""
        return self._work.runs

    @property
    def restarts(self) -> Restarts:
        """Permits and scheduled restarts."""
        return self._work.restarts

    @property
    def life(self) -> int:
        """1 for the first life; counts on over every restart, but where a supervisor starts us again."""
        return self._vitals.life

    @property
    def phase(self) -> Phase:
        """Where it is."""
        return self._vitals.phase

    @property
    def deadline(self) -> Deadline:
        """When the stop or restart under way is over; NEVER while there is none.  It may move earlier."""
        return self._vitals.deadline

    @property
    def listeners_stay(self) -> bool:
        """Whether the listening sockets outlive this life: not over a stop, nor in ``supervisor`` mode."""
        request = self._vitals.request
        if request is None or request.action is Action.STOP:
            return request is None
        return self._options.mode_for(request) is not Mode.SUPERVISOR

    @property
    def stop_requested(self) -> threading.Event:
        """Set as soon as a stop is known; a long ``start()`` should look at it."""
        return self._vitals.stop_requested

    # -- the life ----------------------------------------------------------------------------------

    def run(
        self, start: Callable[[Gateway], Server], *, install_signals: bool = True, exits: bool | None = None
    ) -> int:
        """Hold the name, serve life after life, and return the exit code when it is over.

        ``start(gateway)`` is called once a life, on this thread.  GatewayLockError when another
        gateway holds the name; what the first ``start`` raises is raised here.  ``exit_code`` of a
        GatewayError is what a program that does not go on should end with.

        With ``exits`` (the default where signals are installed) the process is to end after this: the
        deadline of the stop stands, and the third stop ends it, until it is gone.  Say False in a program
        that goes on, as a test does: else it is ended, with this code.  ``install_signals=False`` runs on
        any thread, as a guest: your program hears the signals and calls ``request_stop``.
        """
        if self._proves is not None:
            return self._prove(self._proves)
        if not callable(start):
            raise TypeError(f"run() needs a function start(gateway) that returns a server, not {start!r}")
        if self._house is not None:
            raise GatewayError("run() was called before: make another Gateway")
        self._unclaimed.claimed()
        with self._meeting:
            house = House(self._options, self._around, self._work, self, self._inherited)
            self._house, self._requests = house, (requests := Requests(house, self._vitals))
            if self._early:
                house.inbox.post(self._early)
        for listener in (audit.hear, house.tell, self._vitals.callbacks.hear):
            self._vitals.news.subscribe(listener)
        birth = Birth(house, self._vitals, requests, lambda: start(self))
        turns = Run(house, self._vitals, requests, birth)
        try:
            return turns.run(signals=install_signals, exits=install_signals if exits is None else exits)
        finally:
            self._vitals.over = True
            self._vitals.callbacks.close(Deadline.after(LAST_WORD))

    def must_end(self, code: int) -> None:
        """The process is about to end: if it has not within ``limits.shutdown``, it is made to, with *code*."""
        if self._house:
            self._house.watchdog.arm(Deadline.after(self.limits.shutdown), code)

    def listen(self, host: str, port: int) -> socket.socket:
        """A socket listening on *host*:*port*, the same one in each life.  Do not close it.

        To be called in ``start()``.  ``fd:NAME`` as *host*: the one that systemd's socket unit passed under
        that name.  AddressTakenError, ConfigError; GatewayError where the address may still come.
        """
        return self._running().listeners.tcp(host, port)

    def listen_unix(self, path: str) -> socket.socket:
        """A Unix socket listening at *path* (mode 0600), the same one in each life.  Do not close it."""
        return self._running().listeners.unix(path)

    def on(self, event: str, callback: Callable[[Event], object]) -> Callable[[], None]:
        """Call *callback* with every Event of the kind *event* (core/events.py) from now on; what comes back ends that.

        Callbacks are called one after another, in order, on one thread that is not the loop's: what they
        do holds up nothing but each other.  One that raises is logged; while one hangs, 1000 events are
        kept and further ones lost.  ValueError for an event that there is not.
        """
        return self._vitals.callbacks.on(event, callback)

    # -- what can be asked, from any thread ----------------------------------------------------------

    def request_stop(self, reason: str = "") -> None:
        """Drain, close, exit 0.  A second one hurries, a third exits at once.  Before ``run()``: it ends at once."""
        self.post(Request(Action.STOP, "stop request", reason))

    def request_restart(self, reason: str = "", *, mode: str | None = None, force: bool = False) -> None:
        """Drain, close, come back.  ``force`` skips the proof that the next version loads."""
        chosen = mode_of(mode, {})[0] if mode else None
        self.post(Request(Action.RESTART, "restart request", reason, chosen, force))

    def post(self, request: Request, answer: Callable[[Verdict], object] = lambda verdict: None) -> None:
        """The same for any request; *answer* is called at once, on the loop's thread, with what comes of it."""
        request = replace(request, reason=request.reason[:LONGEST_REASON])
        with self._meeting:
            house, requests = self._house, self._requests
            if house is None and request.action is Action.STOP:  # for the run() to come
                self._early = self._early or Ask(request, answer)
                self._vitals.stop_requested.set()
                return
        if house is None or requests is None or self._vitals.phase is Phase.EXITED:
            answer(Verdict.no("the gateway does not run"))
            return
        if request.action is Action.STOP:
            requests.stopping.soon(request.cause)  # before it is heard: the loop may take the event back
        house.inbox.post(Ask(request, answer))

    def status(self) -> Status:
        """What it is doing at this moment."""
        at = self._house.listeners.addresses() if self._house else ()
        return report(self._options, self._vitals, self._work, pid=self._around.host.pid(), addresses=at)

    def history(self) -> list[dict[str, Any]]:
        """What has happened to gateways of this name, oldest first; read from the run directory."""
        return self._house.history() if self._house else []

    # -- inside ------------------------------------------------------------------------------------

    def _running(self) -> House:
        if self._house is None or self._vitals.phase is Phase.EXITED:
            raise GatewayError("listen() belongs into start(), while the gateway runs")
        return self._house

    def _emit(self, reason: str, audit: Mapping[str, object] | None) -> None:
        log.info("scheduled restart is due: %r %s", reason, dict(audit or {}))
        self.post(Request(Action.RESTART, "scheduled restart", reason))

    def _prove(self, word: int) -> int:
        """In the child of a Proof: we came as far as this, so the program loads."""
        RunDir.open(self._options.run_dir)
        if self._options.preflight:
            self._options.preflight()
        os.write(word, Proof.WORD)
        return 0


def run_gateway_loop(
    start: Callable[[Gateway], Server],
    *,
    runtime: Runtime | None = None,
    lock_port: int | None = None,
    name: str = "gateway",
    **options: Any,
) -> int:
    """The seed's entry point: a gateway that runs *start* until it is stopped.

    ``options`` are those of ``Gateway``.  The exit code, passed to ``runtime.exit`` where there is one.
    """
    code = Gateway(name, port=lock_port, **options).run(start)
    if runtime is not None:
        runtime.exit(code)
    return code
