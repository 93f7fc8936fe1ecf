"""The local socket: version 1 of one small protocol, one JSON object a line each way, "v": 1 in each.

A client connects, asks one thing on one line of at most 65,536 bytes, and reads.  Fields that are not
known are passed over; a version that is not known is refused.

    verb      fields beside "v" and "verb"; all are optional but item
    status    none                                       the answer has "status": {...}
    watch     none                                       the answer has "status": {...}; then comes the stream
    ping      none                                       answered by the main loop, when it comes by: it is not stuck
    stop      reason, wait, force (do not drain)
    restart   reason, wait, force (do not prove), mode ("exec", "spawn", ...)
    quiet     reason, limit (seconds, 600 unless given)
    resume    reason
    cancel    reason, item (an "id" of status.items)

    answered        {"v": 1, "ok": true, "text": "..."}
    or refused      {"v": 1, "ok": false, "text": "...", "error": "..."}; protocol.ERRORS has the words
    to who waits    {"v": 1, "text": "...", "done": "restart", "phase": "serving", "life": 2, "pid": 12}
                    in the end; "done" is what was done at last, null where nothing was.  It comes from
                    the next life where that serves in the same pid: the connection goes through.
    the stream      {"v": 1, "event": "phase", ...}: what happens, as it does (core/events.py), and
                    {"v": 1, "event": "status", "status": {...}}: after each event, four times a second on
                    the way down, else once.  It ends with the image: ask the next one again.

Only the owner of the gateway and root may ask.  The kernel says who does (SO_PEERCRED); the command is
shown where the process can be proved to be still the one that connected.  At most 32 clients that have
not asked yet, 5 s each (0.5 s while they are 32), 256 that wait (one more is told so, and "done" is null),
128 that watch; a watcher that does not read until its buffer is full is dropped.

protocol   lines and what they mean        server    the side of the gateway: one thread that reads
crowd      clients that say nothing yet    waiting   those whose request is under way
watchers   the stream                      wire      one line, one peer
client     the side of the person
"""
