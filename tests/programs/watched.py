"""Who watches it, as the gateway sees it; and what a restart with a fresh pid would become."""

import os

from gatewaylock.core.plan import Mode
from gatewaylock.system.supervisor.found import detect

found = detect(os.environ)
print(f"{found}; spawn: {found.why_exec(Mode.SPAWN) or 'fresh'}", flush=True)
