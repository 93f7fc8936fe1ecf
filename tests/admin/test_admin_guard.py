"""Who may read."""

from __future__ import annotations

import pytest

from gatewaylock.admin.guard import Guard
from gatewaylock.admin.wire import Asked, Refused
from gatewaylock.core.errors import ConfigError


def refusal(guard: Guard, method: str = "GET", *, old: bool = False, **headers: str) -> int:
    """The status of the refusal; 0 where there is none."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        guard.check(Asked(method, "/", headers=sent, old=old))
    except Refused as refused:
        return refused.answer.status.value
    return 0


@pytest.mark.parametrize(
    ("bound", "host", "status"),
    [
        ("127.0.0.1", "127.0.0.1:80", 0),
        ("127.0.0.1", "localhost:8080", 0),  # through a tunnel
        ("127.0.0.1", "LOCALHOST", 0),
        ("127.0.0.1", "gw.example", 0),
        ("127.0.0.1", "other.example", 421),
        ("127.0.0.1", "127.0.0.2", 421),
        ("127.0.0.1", "localhost.evil.example", 421),
        ("127.0.0.1", "", 400),
        ("127.0.0.1", "a b", 400),
        ("127.0.0.1", "localhost:99999999", 400),
        ("::1", "[::1]:80", 0),
        ("::1", "[::2]:80", 421),
        ("0.0.0.0", "10.1.2.3:80", 0),  # an address cannot be pointed elsewhere
        ("0.0.0.0", "10.1.2.3.evil.example", 421),
        ("0.0.0.0", "[fe80::1]", 0),
    ],
)
def test_only_by_a_name_that_is_ours(bound: str, host: str, status: int) -> None:
    assert refusal(Guard(bound, ["gw.example"]), host=host) == status


def test_a_probe_of_http_1_0_need_not_name_us() -> None:
    assert refusal(Guard("127.0.0.1"), old=True) == 0
    assert refusal(Guard("127.0.0.1")) == 400


@pytest.mark.parametrize(
    ("headers", "get", "post"),
    [
        ({}, 0, 0),
        ({"origin": "http://localhost:80"}, 0, 0),
        ({"origin": "https://localhost:80"}, 0, 0),  # TLS ends before us
        ({"origin": "http://localhost"}, 403, 403),
        ({"origin": "null"}, 403, 403),
        ({"sec_fetch_site": "same-origin"}, 0, 0),
        ({"sec_fetch_site": "none"}, 0, 0),
        ({"sec_fetch_site": "cross-site"}, 403, 403),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}, 0, 403),  # somebody followed a link
    ],
)
def test_no_page_of_another_origin_reads_or_steers(headers: dict[str, str], get: int, post: int) -> None:
    guard = Guard("127.0.0.1")
    assert refusal(guard, host="localhost:80", **headers) == get
    assert refusal(guard, "POST", host="localhost:80", **headers) == post


@pytest.mark.parametrize("token", ["short", "x" * 15, "é" * 20, "with\nline break...."])
def test_a_token_that_could_be_guessed_or_not_be_sent_is_refused(token: str) -> None:
    with pytest.raises(ConfigError, match="token"):
        Guard("127.0.0.1", token=token)


def test_without_a_token_nobody_steers() -> None:
    with pytest.raises(Refused) as refused:
        Guard("127.0.0.1").check_steering("")
    assert refused.value.answer.status == 403
