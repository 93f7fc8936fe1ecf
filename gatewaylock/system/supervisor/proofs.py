"""What proves each supervisor: an answer for people, or "" where it is not the one.

Only what a process cannot inherit counts: its own pid, its parent, pid 1, its cgroup.  Every shell below a
service has the service's variables; one counts only where it names a pid that is ours, or where we are
what a container runs and nobody else can have left it to us.
"""

from __future__ import annotations

from collections.abc import Callable

from .evidence import Evidence

#: what may be pid 1 of a container and does nothing but hand on signals and reap; Podman mounts its catatonit
#: as podman-init.  Known by name: any other pid 1 as a parent proves nothing, for orphans are its children as
#: well, our own successors among them, and they are watched by nobody.
INITS = frozenset(("tini", "tini-static", "dumb-init", "catatonit", "docker-init", "podman-init"))
SHELLS = frozenset(("sh", "bash", "dash", "ash", "ksh", "zsh", "busybox"))


def child_of(*names: str) -> Callable[[Evidence], str]:
    """Proved by what the parent is called."""

    def proof(seen: Evidence) -> str:
        found = sorted(seen.names.intersection(names))
        return f"{found[0]} started it (pid {seen.parent})" if found else ""

    return proof


def by_systemd(seen: Evidence) -> str:
    """Its main process, or the one child of a main process that only wraps it."""
    told = seen.environ.get("SYSTEMD_EXEC_PID", "")
    if told == str(seen.pid):
        return "SYSTEMD_EXEC_PID is its pid"
    if is_wrapped(seen):
        return f"SYSTEMD_EXEC_PID is the pid of {' '.join(sorted(seen.names))}, which started it"
    # systemd before 248 sets no SYSTEMD_EXEC_PID: a child of it, in the cgroup of a service.
    if not told and seen.unit and "systemd" in seen.names and "INVOCATION_ID" in seen.environ:
        return f"systemd (pid {seen.parent}) started it in {seen.unit}"
    return ""


def is_wrapped(seen: Evidence) -> bool:
    """Whether the unit's main process is not the gateway but a program, mostly a shell, that started it.

    A terminal's program may be a service as well; what it starts in the foreground is no service.
    """
    told = seen.environ.get("SYSTEMD_EXEC_PID", "")
    return bool(told) and told == str(seen.parent) and not seen.foreground


def by_launchd(seen: Evidence) -> str:
    """A job of launchd: a child of pid 1 on macOS that has a label."""
    label = seen.environ.get("XPC_SERVICE_NAME", "0")
    is_job = not seen.linux and seen.parent == 1 and label != "0"
    return f"launchd started it as {label}" if is_job else ""


def in_container(seen: Evidence) -> str:
    """pid 1, or a child of an init that does nothing else.  A shell as pid 1 that waits for us is one too."""
    if seen.pid == 1:
        return "it is pid 1"
    if seen.linux and seen.parent == 0:
        return "its parent is outside of its pid namespace"  # a pod whose containers share one
    if seen.parent == 1 and seen.names & SHELLS:
        return f"pid 1 is a shell, {seen.init}, that started it"
    return child_of(*INITS)(seen)


def in_kubernetes(seen: Evidence) -> str:
    """A container that the kubelet has told where the cluster is."""
    told = "KUBERNETES_SERVICE_HOST" in seen.environ
    where = in_container(seen)
    return f"{where}, and KUBERNETES_SERVICE_HOST is set" if where and told else ""


def by_script(seen: Evidence) -> str:
    """A shell without job control, which gives its jobs no process group of their own: mostly a loop."""
    found = sorted(seen.names & SHELLS)
    return f"a script of {found[0]} started it (pid {seen.parent})" if found and seen.grouped else ""


def by_unseen(seen: Evidence) -> str:
    """A parent that /proc hides (hidepid): it may be anybody, so the pid stays."""
    hidden = seen.linux and seen.parent > 1 and not seen.names
    return f"/proc hides its parent (pid {seen.parent})" if hidden else ""


def in_terminal(seen: Evidence) -> str:
    """In the foreground of one."""
    return "it is in the foreground of a terminal" if seen.foreground else ""


def by_nobody(seen: Evidence) -> str:
    """The last row: what is left."""
    return "nobody is known to watch it"
