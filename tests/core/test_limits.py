from __future__ import annotations

import math
from dataclasses import fields

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
