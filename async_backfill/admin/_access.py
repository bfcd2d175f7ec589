"""Who may see the operator's page, and who may change something: settings, and what they say of a request."""

from __future__ import annotations

import hmac
import ipaddress
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")
EVERYBODY: Final = "*"
_HOST: Final = re.compile(r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_SHORTEST: Final = 16
_LONGEST_NAME: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who sends a request: by what name, with what rights.

    ``session``
        what binds the tokens of forms to this login; empty where there is none.
    """

    name: str
    may_change: bool
    session: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may see the operator's page, and who may change something.

    Without tokens and without a header, only requests from this machine to a name of this machine are
    answered, and whoever sends them may do everything, as ``local_user``.

    ``read_tokens``, ``change_tokens``
        a token by the name of each person, who gives it once, in a form; of at least 16 characters. Those of
        ``change_tokens`` may change what the page shows, the others only look.
    ``user_header``, ``trusted_proxies``
        the header in which a proxy names who it has logged in, and the addresses or networks of that proxy:
        requests from elsewhere are refused.
    ``may_change``
        with ``user_header``: the names of those who may change something; ``("*",)`` is everybody.
    ``who``
        in an application that knows who is logged in: a function that says it of the ASGI scope of a
        request, or ``None``; then neither tokens nor a header are asked for.
    ``hosts``
        the names, or addresses, with or without a port, under which the page is served: a request for another
        one is refused, as by it a foreign site would read the page in its visitor's browser.
    ``local_user``
        who is meant by requests from this machine; the user of this process if left out.
    ``secret``
        signs logins and forms, at least 16 bytes; a new one with each start if left out. Processes that
        share a port must share it.
    """

    read_tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    change_tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    user_header: str | None = None
    trusted_proxies: Sequence[str] = ()
    may_change: Sequence[str] = ()
    who: Callable[[Mapping[str, Any]], Visitor | None] | None = None
    hosts: Sequence[str] = LOOPBACK_HOSTS
    local_user: str | None = None
    secret: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        _check_tokens("read_tokens", self.read_tokens)
        _check_tokens("change_tokens", self.change_tokens)
        both = sorted(set(self.read_tokens) & set(self.change_tokens))
        if both:
            raise ConfigurationError("read_tokens", f"{both[0]!r:.60} stands in change_tokens as well")
        tokens = [*self.read_tokens.values(), *self.change_tokens.values()]
        if len(set(tokens)) < len(tokens):
            raise ConfigurationError("change_tokens", "two persons have the same token")
        if sum((bool(tokens), self.user_header is not None, self.who is not None)) > 1:
            raise ConfigurationError(
                "who", "people are named by tokens, by user_header or by who: by one way"
            )
        if self.user_header is not None and not self.trusted_proxies:
            raise ConfigurationError("trusted_proxies", "is empty: user_header needs the proxy's address")
        for setting in ("trusted_proxies", "may_change", "hosts"):
            if isinstance(getattr(self, setting), str):
                raise ConfigurationError(setting, "is a text: give several of them, such as a list")
        if self.may_change and self.user_header is None:
            raise ConfigurationError("may_change", "needs user_header: tokens have their own rights")
        if self.secret is not None and len(self.secret) < _SHORTEST:
            raise ConfigurationError("secret", f"must have at least {_SHORTEST} bytes")
        if self.local_user is not None and not is_name(self.local_user):
            raise ConfigurationError("local_user", f"must be 1 to {_LONGEST_NAME} printable characters")
        _networks(self.trusted_proxies)

    @property
    def has_tokens(self) -> bool:
        """Whether people log in with tokens."""
        return bool(self.read_tokens or self.change_tokens)

    def serves(self, host: str) -> bool:
        """Return whether the page is served under ``host``, as the header of a request names it."""
        found = _HOST.fullmatch(host.lower())
        return found is not None and any(allowed.lower() in {found[0], found[1]} for allowed in self.hosts)

    def person(self, token: str) -> Visitor | None:
        """Return whose token it is; the time that takes says nothing about it."""
        given, found = token.encode(), None
        for tokens, may_change in ((self.read_tokens, False), (self.change_tokens, True)):
            for name, known in tokens.items():
                if hmac.compare_digest(known.encode(), given):
                    found = Visitor(name=name, may_change=may_change)
        return found

    def token_of(self, name: str) -> tuple[str, bool] | None:
        """Return the token of the person of that name, and whether it allows to change something."""
        if name in self.change_tokens:
            return self.change_tokens[name], True
        return (self.read_tokens[name], False) if name in self.read_tokens else None

    def named(self, name: str) -> Visitor:
        """Return the person whom a trusted proxy, or this machine, names."""
        if self.user_header is None:
            return Visitor(name=name, may_change=True)
        return Visitor(name=name, may_change=EVERYBODY in self.may_change or name in self.may_change)

    def trusts(self, address: str | None) -> bool:
        """Return whether ``address`` is that of a trusted proxy."""
        found = _address(address)
        return found is not None and any(found in network for network in _networks(self.trusted_proxies))


def is_name(text: str) -> bool:
    """Return whether ``text`` can be the name of a person: 1 to 100 printable characters, not blank."""
    return 0 < len(text) <= _LONGEST_NAME and text.isprintable() and bool(text.strip())


def is_loopback(address: str | None) -> bool:
    """Return whether ``address`` is one of this machine only."""
    found = _address(address)
    return found is not None and found.is_loopback


def user_of_this_process() -> str:
    """Return the name of the user of this process, as the command line takes it."""
    import getpass  # noqa: PLC0415 - looks at files of the system

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return f"user {os.getuid()}" if hasattr(os, "getuid") else "user"


def _address(address: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return found if mapped is None else mapped


def _networks(proxies: Sequence[str]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    try:
        return [ipaddress.ip_network(proxy) for proxy in proxies]
    except ValueError as error:
        raise ConfigurationError("trusted_proxies", str(error)) from error


def _check_tokens(setting: str, tokens: Mapping[str, str]) -> None:
    for name, token in tokens.items():
        if not is_name(name):
            raise ConfigurationError(setting, f"a name must be 1 to {_LONGEST_NAME} printable characters")
        if not (len(token) >= _SHORTEST and token.isprintable()):
            problem = f"the token of {name!r} must have at least {_SHORTEST} printable characters"
            raise ConfigurationError(setting, problem)
