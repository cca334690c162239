"""Replacing functions and modules of a framework in place."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

Replacement = TypeVar("Replacement", bound=Callable[..., Any])


class ModuleView(ModuleType):
    """A module with some attributes replaced; all others are those of the real module.

    Assigned to a global of one other module, it changes what that module sees and nothing else.

    Example:
        >>> import math
        >>> view = ModuleView(math, pi=3)
        >>> view.pi, view.floor(2.5), math.pi > 3.14
        (3, 2, True)
    """

    def __init__(self, module: ModuleType, **replaced: object):
        super().__init__(module.__name__, module.__doc__)
        self.__dict__.update(replaced, _module=module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_module"], name)


def patch(owner: object, name: str) -> Callable[[Replacement], Replacement]:
    """Decorator that installs a function as ``owner.name``.

    The function gets the stock attribute as its first argument, before the arguments of the call. The stock attribute
    stays available as ``__wrapped__`` of the installed function.

    Args:
        owner: class or module.
        name: its attribute to replace.

    Example:
        >>> class Greeter:
        ...     def greet(self, name):
        ...         return f"Hello {name}"
        >>> @patch(Greeter, "greet")
        ... def greet_loudly(stock, self, name):
        ...     return stock(self, name).upper()
        >>> Greeter().greet("you")
        'HELLO YOU'
    """

    def install(function: Replacement) -> Replacement:
        stock = getattr(owner, name)

        @functools.wraps(stock)
        def adapted(*args: object, **kwargs: object) -> object:
            return function(stock, *args, **kwargs)

        setattr(owner, name, adapted)
        return function

    return install
