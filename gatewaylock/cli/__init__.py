"""argv in, exit code out; one verb, one small function.

options   run's options         parsing    what the parsers have in common
run       run, check            logs       how lines look on a terminal and in a file
look      status                talk       stop, restart
listing   list                  steering   quiet, resume, cancel
history   history               completion completion       shells   the scripts
unit      files for supervisors (units/)     doctor   will it behave? (checks/)
asking    one question          stream     what a gateway lets us watch
follow    wait, and show it     show       a status in words
admin     --admin               binds      addresses        reference  help TOPIC
terminal  lines drawn again     words      spans, counts, columns
output    a stdout that is closed, full or not read
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

from ..core.errors import GatewayError
from . import output


def main(argv: Sequence[str] | None = None) -> int:
    """Do what *argv* (``sys.argv[1:]``) says; the exit code.  Nothing is raised but SystemExit."""
    from .options import parse

    plug()
    try:
        args = parse(sys.argv[1:] if argv is None else argv, os.environ)
        code: int = args.verb(args)
        output.finish()
        return code
    except GatewayError as error:
        complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        output.mute()  # whoever read our output has gone
        return 1
    except Exception as error:
        traceback.print_exc()
        complain(f"{type(error).__name__}: {error}")
        return 1


def plug() -> None:
    """Open what is closed of descriptors 0 to 2, or a lock or a listener would become our stdout."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)


def complain(text: str) -> None:
    """One line on stderr: what, why, what to do.  A closed stderr is no error."""
    output.note(f"gateway: error: {text}")
