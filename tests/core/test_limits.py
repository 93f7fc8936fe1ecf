from __future__ import annotations

import math
from dataclasses import fields, replace

import pytest

from gatewaylock.core.errors import ConfigError
from gatewaylock.core.limits import Limits


@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
@pytest.mark.parametrize("absurd", [-1.0, math.nan, math.inf, 1e12, "5"])
def test_an_absurd_limit_is_refused_by_name(name: str, absurd: object) -> None:
    with pytest.raises(ConfigError, match=name):
        Limits(**{name: absurd})  # type: ignore[arg-type]


@pytest.mark.parametrize(("stop", "reserve"), [(5, 1), (10, 2), (100, 5), (1, 0.5), (0.02, 0.01)])
def test_a_stop_keeps_a_fifth_back_for_close_between_one_and_five_seconds(
    stop: float, reserve: float
) -> None:
    assert Limits(stop=stop).stop_reserve == pytest.approx(reserve)


@pytest.mark.parametrize("stop", [0.01, 0.5, 1, 3, 5, 20, 100])
@pytest.mark.parametrize("abort", [0, 0.1, 1, 10])
def test_drain_grace_and_close_are_parts_of_a_stop_and_what_does_not_fit_is_told(
    stop: float, abort: float
) -> None:
    limits = Limits(stop=stop, abort=abort)
    assert limits.stop_grace + limits.stop_reserve <= stop
    told = [text for text in limits.too_short() if "in a stop" in text]
    assert bool(told) == (limits.stop_grace < abort)
    assert all(f"{limits.stop_grace:g} s of their {abort:g} s" in text for text in told)


def test_at_the_defaults_everything_fits() -> None:
    assert Limits().too_short() == () and Limits().stop_grace == Limits().abort
    assert len(Limits(abort=10).too_short()) == 2


KILLS = [0.01, 0.5, 1, 3, 7, 10, 19.9, 20, 20.1, 30, 90, 3600, math.inf]


@pytest.mark.parametrize("kill", KILLS)
@pytest.mark.parametrize("stop", [0.001, 1, 5, 14.9, 15, 60, 3600])
@pytest.mark.parametrize("lame_duck", [0, 3, 60])
def test_a_stop_ends_a_margin_before_the_kill_and_nothing_else_is_cut(
    kill: float, stop: float, lame_duck: float
) -> None:
    wanted = Limits(stop=stop, lame_duck=lame_duck)
    cut = wanted.capped(kill)
    assert cut.whole_stop <= kill - min(5, kill / 4) + 1e-9
    assert cut.stop <= stop and cut.lame_duck <= lame_duck
    assert cut.lame_duck == 0 or cut.stop == stop, "the lame duck goes first"
    assert replace(cut, stop=stop, lame_duck=lame_duck) == wanted


@pytest.mark.parametrize("stop", [0.1, 1, 5, 14.9, 15, 60, 3600])
@pytest.mark.parametrize("lame_duck", [0, 3, 60])
def test_the_kill_timeout_that_it_asks_for_is_the_least_that_cuts_nothing(
    stop: float, lame_duck: float
) -> None:
    wanted = Limits(stop=stop, lame_duck=lame_duck)
    assert wanted.capped(wanted.kill_timeout + 1e-6) == wanted
    assert wanted.capped(wanted.kill_timeout * 0.999) != wanted
