"""See it and steer it over HTTP: health, metrics, the status page.

    from gatewaylock.admin import Admin

    Gateway("mybot", annex=Admin("127.0.0.1", 18790)).run(start)

admin      the address: one object that ties all of it together
site       what is where            wsgi      the same as a WSGI application
server     the thread that reads    client    one connection        wire     HTTP, strictly
maker      the thread that makes    guard     who may               steer    what may be asked for
tally      what is counted          metrics   for Prometheus
view       what is shown            past      what the history says   words    its words
page       the page                 sections  its parts
"""

from __future__ import annotations

from .admin import Admin
from .wsgi import status_app

__all__ = ["Admin", "status_app"]
