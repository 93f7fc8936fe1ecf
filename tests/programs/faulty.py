"""A gateway one of whose system calls fails, in this image or in one that it starts: see test_image_faults.py.

faulty.py RUN_DIR MODE IMAGE OP AT ERRNO        IMAGE: first, proof or next
"""

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dataclasses import replace

from faults import MEANT, SILENT, Fault, Faults

from gatewaylock import Gateway, Limits
from gatewaylock.system.host import Host
from gatewaylock.system.image import HANDOFF, PREFLIGHT

run_dir, mode, image, op, at, error = sys.argv[1:]
logging.basicConfig(stream=sys.stdout, level="INFO", format="%(levelname)s %(message)s")
here = "next" if HANDOFF in os.environ else "proof" if PREFLIGHT in os.environ else "first"
faults = Faults()


def strike(site: tuple[str, ...]) -> None:
    silent = any(room in SILENT for room in site) or (op, int(error)) in MEANT
    os.write(1, f"struck{', and nobody has to know' if silent else ''} at {site[:4]}\n".encode())


def tell() -> None:
    sys.stdout.flush()
    os.write(
        1, f"calls of {here}: {json.dumps(faults.counts)}\n".encode()
    )  # at once: two processes write here


def execve(*args: Any) -> None:
    tell()
    os.execve(*args)


class Server:
    def close(self, reason: str, *, restart_expected_ms: int | None) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


def start(gateway: Gateway) -> Server:
    gateway.listen("127.0.0.1", 0)
    return Server()


if here == "first":
    os.posix_spawn("/bin/true", ["true"], {})  # a child that nobody waits for: the next image has to
faults.on_strike = strike
faults.begin(Fault(op, int(at), int(error)) if here == image else None)
with faults.installed():
    gateway = Gateway(
        "faulty",
        run_dir=run_dir,
        restart_mode=mode,
        probation=0.1,
        allow_sigusr1=True,
        limits=Limits(drain=1, shutdown=2, stop=2, start=5, preflight=5, lock=1),
        host=faults.host(replace(Host(), execve=execve)),
    )
    code = gateway.run(start)
    faults.on = False
    tell()
raise SystemExit(code)
