"""The local socket: one JSON object a line each way.

    asked     {"v": 1, "verb": "status" | "stop" | "restart", "wait": bool,
               "reason": "", "mode": null, "force": false}
    answered  {"v": 1, "ok": bool, "text": "..."}, with "status": {...} for status, and for the others
              with "life" and "restart_mode" at that moment
    in the end, for who waits: {"v": 1, "text": "...", "phase": "serving", "life": 2, "pid": 12}

protocol   lines and what they mean      server   the side of the gateway
crowd      clients that say nothing yet  client   the side of the person
"""
