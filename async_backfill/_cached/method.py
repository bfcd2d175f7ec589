"""The descriptor that stands in a class for a cached method, and what it binds to an instance.

Both say that they are what they stand for, a function and a method, as wrapt's proxies do: pydantic, FastAPI,
`inspect` and `unittest.mock` ask ``isinstance``. See decision 60 in notes.md.
"""

from __future__ import annotations

from functools import partial, update_wrapper
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from async_backfill._cache import BackfillCache


class CachedMethod:
    """A descriptor in place of an async method; see `async_backfill.cached`.

    A method is called with its instance first, a static method is not, and behind another decorator nothing
    but the call shows which of them it is: see `_is_for_an_instance`.

    :param of_instance: looks up a call of an instance; it has the attributes of the method, ``cache`` and
        ``invalidate``.
    :param of_static: the same for a call without an instance.
    :param owner: module and qualified name of the class in whose body the method was defined.
    :param is_known: returns whether an object is an instance that was seen before.
    """

    cache: BackfillCache[Any, Any]
    """The cache of all instances: open it with ``async with`` before the first call."""

    def __init__(
        self,
        of_instance: Callable[..., Coroutine[Any, Any, Any]],
        of_static: Callable[..., Coroutine[Any, Any, Any]],
        *,
        owner: tuple[str, str],
        takes_self: bool,
        is_known: Callable[[object], bool],
    ) -> None:
        update_wrapper(self, of_instance)  # ``cache`` is among the attributes that this copies
        self.__wrapped__: Any = of_instance.__wrapped__  # type: ignore[attr-defined] # made by `wraps`
        self._of_instance: Any = of_instance
        self._of_static: Any = of_static
        self.invalidate = self._invalidate  # in ``__dict__``, which a decorator above copies
        of_instance.__dict__["method"] = self  # what `BoundMethod.__func__` is
        self._owner = owner
        self._takes_self = takes_self
        self._is_known = is_known
        self._is_of_class = False

    @property
    def __class__(self) -> type:
        return FunctionType

    @__class__.setter
    def __class__(self, _: type) -> None:
        raise TypeError("a cached method stays what it is")

    def __set_name__(self, owner: type, name: str) -> None:
        self._is_of_class = True

    def __get__(self, instance: object | None, owner: type | None = None) -> object:
        if instance is None:
            self._is_of_class = True
            return self
        if instance is owner:  # a classmethod calls it like this before Python 3.13; do as later versions do
            return MethodType(self, instance)
        return BoundMethod(self._of_instance, instance)

    def __call__(self, *args: Any, **named: Any) -> Coroutine[Any, Any, Any]:
        """Look up the result for an instance and arguments, from the cache or, on a miss, the function."""
        look_up = self._of_instance if self._is_for_an_instance(args) else self._of_static
        result: Coroutine[Any, Any, Any] = look_up(*args, **named)
        return result

    def _invalidate(self, *args: Any, **named: Any) -> Coroutine[Any, Any, None]:
        """Remove the result for an instance and arguments."""
        look_up = self._of_instance if self._is_for_an_instance(args) else self._of_static
        result: Coroutine[Any, Any, None] = look_up.invalidate(*args, **named)
        return result

    def __getattr__(self, name: str) -> Any:
        if name == "_of_instance":  # of a copy that is being made
            raise AttributeError(name)
        return getattr(self._of_instance, name)

    def __reduce__(self) -> str:
        return str(self.__qualname__)  # by its name, as functions are pickled

    def __repr__(self) -> str:
        return f"<function {self.__qualname__} at {id(self):#x}>"

    def _is_for_an_instance(self, args: tuple[Any, ...]) -> bool:
        """Return whether the first of ``args`` is an instance.

        Where Python did not say so, it is one if its class, or a base of it, is that of the method and does
        not hold the method as a static one. In doubt the name ``self`` decides.

        :raises ConfigurationError: when the method was made a classmethod.
        """
        if self._is_of_class:
            return True
        if not args:
            return False
        first = args[0]
        kind = type(first)
        if self._is_known(first):
            return True
        for base in (*kind.__mro__, *(type.mro(first) if issubclass(kind, type) else ())):
            if (base.__module__, base.__qualname__) == self._owner:
                return not self._is_static_in(base)
        return self._takes_self

    def _is_static_in(self, owner: type) -> bool:
        name = self.__name__
        for key, attribute in vars(owner).items():
            if isinstance(attribute, (classmethod, staticmethod)) and (
                key == name or self in _inside(attribute)
            ):
                if isinstance(attribute, classmethod):
                    problem = f"{name}() must not be a classmethod; make it a staticmethod or a function"
                    raise ConfigurationError("cached", problem)
                return True
        return False


def _inside(attribute: object) -> Iterator[object]:
    """Return what ``attribute`` was wrapped around, step by step."""
    while attribute is not None:
        yield attribute
        attribute = getattr(attribute, "__wrapped__", None)


class BoundMethod(partial[Any]):
    """A cached method bound to one instance, which it keeps alive as any bound method does.

    It is a ``partial`` because that is the cheapest to call.
    """

    __slots__ = ()

    @property
    def __class__(self) -> type:
        return MethodType

    @__class__.setter
    def __class__(self, _: type) -> None:
        raise TypeError("a bound method stays what it is")

    @property
    def __func__(self) -> Any:
        return getattr(self.func, "method", self.func)

    @property
    def __self__(self) -> object:
        return self.args[0]

    @property
    def __doc__(self) -> str | None:  # type: ignore[override] # of the function, as a method's is
        return self.func.__doc__

    def invalidate(self, *args: Any, **named: Any) -> Coroutine[Any, Any, None]:
        """Remove the result for the arguments."""
        result: Coroutine[Any, Any, None] = self.func.invalidate(*self.args, *args, **named)  # type: ignore[attr-defined] # a lookup
        return result

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(self.func, name)
        except AttributeError:
            raise AttributeError(f"{self!r} has no attribute {name!r}", name=name, obj=self) from None

    def __reduce__(self) -> Any:
        return getattr, (self.__self__, self.__name__)

    def __repr__(self) -> str:
        return f"<bound method {self.__qualname__} of {self.__self__!r}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoundMethod):
            return NotImplemented
        return self.func is other.func and self.__self__ is other.__self__

    def __hash__(self) -> int:
        return hash((self.func, id(self.__self__)))


# Beside the class, of which it would otherwise be the module.
BoundMethod.__module__ = property(lambda method: method.func.__module__)  # type: ignore[assignment]
