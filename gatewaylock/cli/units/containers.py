"""Compose for Docker and its like, a Deployment for Kubernetes.  In an image paths are its own."""

from __future__ import annotations

import math
import re
import sys

from .quoting import sh, yaml, yaml_list
from .service import Service

COMPOSE = """\
# compose.yaml, by `gateway unit docker`.  Beside your application:
#
#   docker compose up --build --detach
#   docker compose exec {name} {restart}
#                                   the next version, tried first; no request is lost
#   docker compose stop             a stop that drains
services:
  {service}:
    build:
      context: .
      dockerfile_inline: |
        FROM python:{python}-slim
        WORKDIR /app
        RUN pip install --no-cache-dir 'gatewaylock[serve]'
        COPY . .
        # RUN pip install --no-cache-dir -r requirements.txt
    command: {command}
    # A small init reaps what the application leaves behind.  A restart keeps the pid that it watches.
    init: true
    stop_signal: SIGTERM
    # A stop takes up to {stop:g} s (--stop-timeout, --lame-duck); the rest is a margin of at most 5 s.
    stop_grace_period: {kills_after}s
    environment:
      # The same for the gateway, which cannot see what is set here.
      GATEWAY_SUPERVISOR_TIMEOUT: "{kills_after}"
    # Not on-failure: a shutdown of the host or of Docker stops it with exit code 0, and it would stay down after the
    # boot.  Docker knows no exit code after which to give up: one that can never start (78: the name is taken or
    # the configuration is wrong) is tried later and later, up to every minute.
    restart: unless-stopped
    # Unhealthy while it takes no new work, and when its main loop is stuck.  Docker kills nothing for that; Swarm does:
    # there --live is the word for it.
    healthcheck:
      test: {ready}
      interval: 30s
      timeout: 10s
{ports}"""

UNREACHED = "Nothing is published: it listens inside its container alone.  --bind 0.0.0.0:PORT opens it."

DEPLOYMENT = """\
# gateway.yaml, by `gateway unit kubernetes`: kubectl apply -f gateway.yaml
#
# The image needs gatewaylock[serve], your application, and `gateway` on its PATH.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {label}
spec:
  # One gateway of a name: never two of them, not even while one replaces the other.
  replicas: 1
  strategy:
    type: Recreate
  selector:
    matchLabels:
      app: {label}
  template:
    metadata:
      labels:
        app: {label}
    spec:
      # A stop takes up to {stop:g} s (--stop-timeout, --lame-duck); the rest is a margin of at most 5 s.
      # A preStop hook would need its time on top.
      terminationGracePeriodSeconds: {kills_after}
      # Kubernetes knows no exit code after which to give up: one that can never start (78: the name is taken or
      # the configuration is wrong) is tried later and later, up to every 5 minutes.
      restartPolicy: Always
      containers:
        - name: {label}
          image: {label}:latest
          command: {command}
          env:
            # The same for the gateway, which cannot see what is set here.
            - name: GATEWAY_SUPERVISOR_TIMEOUT
              value: "{kills_after}"
          startupProbe:
            exec:
              command: {ready}
            timeoutSeconds: 10
            periodSeconds: 5
            failureThreshold: 60
          # Not ready: parked after a restart that failed, quiet, stuck.  Only after longer than a restart may take (drain,
          # close, start: {restart_takes:g} s): what connects meanwhile waits, and is served by the next life.
          readinessProbe:
            exec:
              command: {ready}
            timeoutSeconds: 10
            periodSeconds: {period}
            failureThreshold: {patience}
          # Its main loop does not move any more.  A gateway that drains, or is parked, is not killed for it.
          livenessProbe:
            exec:
              command: {live}
            timeoutSeconds: 10
            periodSeconds: 30
{ports}"""

PERIOD = 10  # seconds between two looks whether it is ready


def write(kind: str, service: Service) -> str:
    """The text of either file."""
    return _compose(service) if kind == "docker" else _deployment(service)


def _compose(service: Service) -> str:
    pairs = "".join(f'      - "{port}:{port}"\n' for port in service.ports)
    return COMPOSE.format(
        name=service.name,
        service=yaml(service.name),
        python=f"{sys.version_info[0]}.{sys.version_info[1]}",
        command=yaml_list(service.contained),
        restart=sh(service.ask_inside("restart")),
        ready=yaml_list(["CMD", *service.ask_inside("status"), "--ready"]),
        stop=service.limits.whole_stop,
        kills_after=service.kills_after,
        ports=f"    ports:\n{pairs}" if pairs else f"    # {UNREACHED}\n",
    )


def _deployment(service: Service) -> str:
    listed = "".join(f"            - containerPort: {port}\n" for port in service.ports)
    probe = service.ask_inside("status")
    restart_takes = service.limits.drain + service.limits.shutdown + service.limits.start
    return DEPLOYMENT.format(
        label=_label(service.name),
        command=yaml_list(service.contained),
        ready=yaml_list([*probe, "--ready"]),
        live=yaml_list([*probe, "--live"]),
        restart_takes=restart_takes,
        period=PERIOD,
        patience=math.ceil(restart_takes / PERIOD) + 1,
        stop=service.limits.whole_stop,
        kills_after=service.kills_after,
        ports=f"          ports:\n{listed}" if listed else f"          # {UNREACHED}\n",
    )


def _label(name: str) -> str:
    """*name* as Kubernetes takes it: lower case, digits, hyphens, a letter or digit at either end."""
    return re.sub(r"[^a-z0-9-]", "-", name.lower()).strip("-")[:63].strip("-") or "gateway"
