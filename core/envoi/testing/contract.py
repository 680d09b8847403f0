"""What all contract kits share."""

from __future__ import annotations

from typing import NoReturn

import pytest


class Contract:
    """The base of kits: a kit itself is never collected, whoever inherits it is."""

    __test__ = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.__test__ = not cls.__module__.startswith("envoi.testing")

    def missing(self, name: str) -> NoReturn:
        """Fail because the inheriting class gives no fixture of this name."""
        pytest.fail(f"{type(self).__name__} must give the fixture {name}")
