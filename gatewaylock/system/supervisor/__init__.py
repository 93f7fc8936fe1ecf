"""Who watches us, what that allows, and how long a stop may take there.

evidence   what can be seen of a process and of the one that started it
proofs     what proves each supervisor
unit       what systemd says about a unit
asking     how long a supervisor really waits before it kills
table      one row a supervisor
found      the row that is ours
"""
