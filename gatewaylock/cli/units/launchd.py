"""``gatewaylock.NAME.plist`` for launchd."""

from __future__ import annotations

from .quoting import xml
from .service import Service

# No two hyphens in a comment of XML: options are written without theirs.
PLIST = """\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- /Library/LaunchDaemons/gatewaylock.{name}.plist, by `gateway unit launchd`.

     launchctl bootstrap system /Library/LaunchDaemons/gatewaylock.{name}.plist
     launchctl bootout system/gatewaylock.{name}      stops it

     For an agent of one user: ~/Library/LaunchAgents, and no UserName. -->
<plist version="1.0">
<dict>
    <key>Label</key>
    <string>gatewaylock.{name}</string>
    <key>UserName</key>
    <string>{user}</string>
    <key>WorkingDirectory</key>
    <string>{directory}</string>
    <key>ProgramArguments</key>
    <array>
{words}
    </array>
    <key>RunAtLoad</key>
    <true/>
    <!-- Started again after every exit code but 0. -->
    <key>KeepAlive</key>
    <dict>
        <key>SuccessfulExit</key>
        <false/>
    </dict>
    <!-- launchd knows no exit code after which to give up: one that can never start (78: the name is taken or
         the configuration is wrong) is tried twice a minute, and no more. -->
    <key>ThrottleInterval</key>
    <integer>30</integer>
    <!-- A stop takes up to {stop:g} s (stop timeout, lame duck); the rest is a margin of at most 5 s. -->
    <key>ExitTimeOut</key>
    <integer>{kills_after}</integer>
    <!-- The same for the gateway, which cannot see what is set here. -->
    <key>EnvironmentVariables</key>
    <dict>
        <key>GATEWAY_SUPERVISOR_TIMEOUT</key>
        <string>{kills_after}</string>
    </dict>
    <!-- macOS gives 256 unless it is asked. -->
    <key>SoftResourceLimits</key>
    <dict>
        <key>NumberOfFiles</key>
        <integer>4096</integer>
    </dict>
    <key>StandardErrorPath</key>
    <string>/var/log/gatewaylock.{name}.log</string>
    <key>StandardOutPath</key>
    <string>/var/log/gatewaylock.{name}.log</string>
</dict>
</plist>
"""


def write(kind: str, service: Service) -> str:
    """The text of the property list."""
    words = "\n".join(f"        <string>{xml(word)}</string>" for word in service.command)
    return PLIST.format(
        name=service.name,
        user=xml(service.user),
        directory=xml(service.directory),
        words=words,
        stop=service.limits.whole_stop,
        kills_after=service.kills_after,
    )
