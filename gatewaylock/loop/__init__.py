"""One life after another: the floor that knows both wings.

parts      how a gateway was asked to behave, and its work
watched    who watches us, and what that leaves of the budgets
vitals     where it is: phase, life, deadline, what is under way
house      what it holds of the operating system: lock, doors, inbox, watchdog
birth      a life begins: start() under a watch, serving or parked
requests   what the inbox says, and whose it is
stopping   stops, and how they escalate
restarting restarts: proved, refused, merged
quieting   no new work for a while
admission  pause() and resume() of the server, which may hang
cancelling one task or run, by its id
descent    the way down from a life
lameduck   a stop is known, new work is still taken
diary      what is written into the history
report     what status tells
accounts   who asked, what it waited for, how it ended
scribe     a log that nobody reads holds nobody
watcher    whoever has to be told how it is: nobody, or
herald     systemd, where it listens
tidings    what it is doing, in one line
store      our sockets in systemd's store
clock      systemd's over a stop or restart: who is to be gone when
patience   how long systemd waits, and when to ask for more
pulse      signs of life
annex      a door that outlives lives, such as an admin page
news       who wants to know what happens
proving    the next version is tried in a child
late       what was asked too late for it goes to the process that takes over
shutdown   a life ends: drain, close, on a thread of its own
respawn    how the next life begins
run        the turns from phase to phase, and the way out
"""
