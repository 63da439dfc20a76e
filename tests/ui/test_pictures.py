from __future__ import annotations

import asyncio
import re

import pytest

from tests.pictures import ASSETS, PICTURES, Picture, draw


@pytest.mark.slow
@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_the_committed_picture_is_current(picture: Picture) -> None:
    committed = (ASSETS / f"{picture.name}.svg").read_text(encoding="utf-8")
    assert asyncio.run(draw(picture)) == committed, "draw it again with `make pictures`, and look at it"


def test_there_are_no_other_pictures() -> None:
    assert {path.stem for path in ASSETS.glob("*.svg")} == {picture.name for picture in PICTURES}


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_a_picture_fetches_nothing(picture: Picture) -> None:
    committed = (ASSETS / f"{picture.name}.svg").read_text(encoding="utf-8")
    assert "@font-face" not in committed
    for address in re.findall(r"(?:url\(|href=|src=)[\"']?([^\"')\s]+)", committed):
        assert address.startswith("#"), address
