"""How a framework's functions are replaced in place."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType


class _View(ModuleType):
    """A module as seen by one other module: some names replaced, all others those of the real one."""

    def __init__(self, module: ModuleType, **replaced: object):
        super().__init__(module.__name__, module.__doc__)
        self.__dict__.update(replaced, _module=module)

    def __getattr__(self, name: str) -> object:
        return getattr(self.__dict__["_module"], name)


def _patch(owner: object, name: str) -> Callable[[Callable], Callable]:
    """Decorator: install a function as ``owner.name``; it gets what stood there as its first argument."""

    def install(function: Callable) -> Callable:
        stock = getattr(owner, name)

        @functools.wraps(stock)
        def adapted(*args: object, **kwargs: object) -> object:
            return function(stock, *args, **kwargs)

        setattr(owner, name, adapted)
        return function

    return install
