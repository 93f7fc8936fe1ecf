"""Files for supervisors.  Each room writes one family of them; ``service`` says what there is to write.

service      the command line, complete in itself, and its budgets
quoting      what a word looks like in each format; what no format can hold is refused
systemd      service and socket         supervisord   a program's section     scripts   runit, s6
launchd      a property list            containers    Compose, Kubernetes
"""
