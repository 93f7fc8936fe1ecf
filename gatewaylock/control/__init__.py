"""The local socket: one JSON object a line each way.

asked     {"v": 1, "verb": "status" | "stop" | "restart", "wait": bool, "reason": "", "mode": null, "force": false}
answered  {"v": 1, "ok": bool, "text": "..."}, and with it, for status, "status": {...}
in the end, for who waits: {"v": 1, "text": "...", "phase": "serving", "life": 2, "pid": 12}
"""
