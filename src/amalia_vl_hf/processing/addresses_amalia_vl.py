"""One file from a URL: http(s) only, within a size and a time; the only loader of addresses in the package.

`download` takes what a stranger wrote: public addresses only, unless the user names the host. `download_named` takes
what the user passed in code, whose word that is: its own host may be anywhere, where it redirects to may not.

The name is resolved once, every address it has is checked, and the connection goes to one that was checked: a second
answer of the name server changes nothing. Redirects are followed the same way. Proxies are not used, since a proxy
would resolve the name itself.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import quote, urljoin, urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Allowed = Callable[[Address], bool]

_REDIRECTS = (301, 302, 303, 307, 308)
_RETRIED = (408, 429, 500, 502, 503, 504)
_CHUNK = 1 << 16  # bytes
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # IPv6 addresses that lead to the IPv4 address in their last 32 bits
_HEADERS = {"User-Agent": "amalia-vl-hf", "Accept-Encoding": "identity", "Connection": "close"}


class FetchError(Exception):
    """A file that was not fetched; the message is the reason, in a few words.

    Args:
        reason: What went wrong.
        passing: Whether another attempt may succeed.
    """

    def __init__(self, reason: str, passing: bool = False) -> None:
        super().__init__(reason)
        self.passing = passing


@dataclass(frozen=True)
class DownloadLimits:
    """What one file may take.

    Args:
        max_bytes: Of the file.
        seconds: From the first connection to the last byte, redirects included.
        redirects: How many are followed.
        attempts: How often a failure that may pass is tried.
        pause: Seconds before the second attempt; twice as many before each further one.
        hosts: Names that may be connected to wherever they are: an image server of the user's own network.
    """

    max_bytes: int = 50_000_000
    seconds: float = 60.0
    redirects: int = 5
    attempts: int = 3
    pause: float = 1.0
    hosts: tuple[str, ...] = ()


def is_public(address: Address) -> bool:
    """Tell whether an address belongs to the public internet, and so does every address it stands for.

    >>> is_public(ipaddress.ip_address("8.8.8.8"))
    True
    >>> is_public(ipaddress.ip_address("::ffff:169.254.169.254"))
    False
    """
    inner: list[Address | None] = []
    if isinstance(address, ipaddress.IPv6Address):
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _NAT64:
            inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    odd = address.is_multicast or (address.is_reserved and address not in _NAT64)
    return (address.is_global or address in _NAT64) and not odd and all(is_public(one) for one in inner if one)


def download(url: str, limits: DownloadLimits, allowed: Allowed = is_public) -> bytes:
    """Fetch a file into memory.

    Args:
        url: What to fetch.
        limits: How much, how long, how often.
        allowed: Which addresses may be connected to; tests let their own server in.

    Raises:
        FetchError: Not http(s), not public, too large, too slow, or refused by the server.
    """
    for earlier in range(limits.attempts - 1):
        try:
            return _attempt(url, limits, allowed)
        except FetchError as error:
            if not error.passing:
                raise
        time.sleep(limits.pause * 2**earlier)
    return _attempt(url, limits, allowed)


def download_named(url: str, limits: DownloadLimits | None = None) -> bytes:
    """Fetch a file that the user names by its address, into memory.

    Args:
        url: What to fetch.
        limits: How much, how long, how often.

    Raises:
        FetchError: Not http(s), too large, too slow, refused by the server, or redirected to an address that is not
            public.
    """
    limits = limits or DownloadLimits()
    return download(url, replace(limits, hosts=(*limits.hosts, *_host(url))))


def _host(url: str) -> list[str]:
    try:
        return [host] if (host := urlsplit(url).hostname) else []
    except ValueError:  # said by whoever connects
        return []


def _anywhere(address: Address) -> bool:
    """Allow any address, of a host that the user named."""
    return True


def _attempt(url: str, limits: DownloadLimits, allowed: Allowed) -> bytes:
    """Follow redirects up to the file."""
    deadline = time.monotonic() + limits.seconds
    for _ in range(limits.redirects + 1):
        named = not {*_host(url)}.isdisjoint(limits.hosts)
        connection, link = _connect(url, deadline, _anywhere if named else allowed)
        # A server that sends a byte now and then never meets a socket's own timeout; this ends it all the same.
        watchdog = threading.Timer(max(deadline - time.monotonic(), 0), _shut, [link])
        watchdog.daemon = True
        watchdog.start()
        try:
            reply = _ask(connection, url)
            body = None if reply.status in _REDIRECTS else _body(reply, limits)
            if time.monotonic() >= deadline:
                raise TimeoutError
        except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: TLS on a socket just shut
            late = time.monotonic() >= deadline or isinstance(error, TimeoutError)
            reason = f"slower than {limits.seconds:g} s" if late else f"the connection broke ({error})"
            raise FetchError(reason, passing=True) from error
        finally:
            watchdog.cancel()
            connection.close()
            link.close()
        if body is not None:
            return body
        url = _location(reply, url)
    raise FetchError(f"more than {limits.redirects} redirects")


def _connect(url: str, deadline: float, allowed: Allowed) -> tuple[http.client.HTTPConnection, socket.socket]:
    """Connect to an address of the URL's host that was checked."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise FetchError(f"not a URL ({error})") from error
    if parts.scheme not in ("http", "https") or not host:
        raise FetchError(f"only http and https are fetched, not {parts.scheme or 'a URL without a scheme'}")
    if parts.username is not None or parts.password is not None:
        raise FetchError("a URL with a user name or password")
    port = port or {"http": 80, "https": 443}[parts.scheme]
    link = _link(host, port, deadline, allowed)
    if parts.scheme == "https":
        try:
            link = _trust().wrap_socket(link, server_hostname=host)
        except (OSError, ValueError) as error:
            link.close()
            raise FetchError(f"no secure connection to {host} ({error})") from error
    connection = http.client.HTTPConnection(host, port)
    connection.default_port = {"http": 80, "https": 443}[parts.scheme]  # not named in the Host header
    connection.sock = link
    return connection, link


@functools.cache
def _trust() -> ssl.SSLContext:
    """Read the certificates of this machine once; that takes longer than a small picture."""
    return ssl.create_default_context()


def _link(host: str, port: int, deadline: float, allowed: Allowed) -> socket.socket:
    """Connect to the first address of a host that answers, all of them checked before."""
    problem: OSError | None = None
    for address in _checked_addresses(host, port, allowed):
        try:
            return socket.create_connection((str(address), port), timeout=max(deadline - time.monotonic(), 0.001))
        except OSError as error:
            problem = error
    raise FetchError(f"no connection to {host} ({problem})", passing=True) from problem


def _checked_addresses(host: str, port: int, allowed: Allowed) -> list[Address]:
    """Resolve a name once; one address that is not allowed condemns them all."""
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FetchError(f"{host} has no address ({error})", passing=isinstance(error, socket.gaierror)) from error
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in entries]
    for address in addresses:
        if not allowed(address):
            raise FetchError(f"{host} is at {address}, which is not a public address")
    return addresses


def _ask(connection: http.client.HTTPConnection, url: str) -> http.client.HTTPResponse:
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection.request("GET", quote(path, safe="%/?:@!$&'()*+,;=~[]"), headers=_HEADERS)
    return connection.getresponse()


def _location(reply: http.client.HTTPResponse, url: str) -> str:
    """Say where a redirect leads."""
    location = reply.getheader("Location")
    if not location:
        raise FetchError(f"status {reply.status} without a place to go")
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise FetchError(f"a redirect to what is not a URL ({error})") from error


def _body(reply: http.client.HTTPResponse, limits: DownloadLimits) -> bytes:
    """Read a file whole, and no more of it than allowed."""
    if reply.status != 200:
        raise FetchError(f"status {reply.status}", passing=reply.status in _RETRIED)
    if (coding := reply.getheader("Content-Encoding", "identity")) != "identity":
        raise FetchError(f"compressed ({coding}), although that was not asked for")
    if reply.length is not None and reply.length > limits.max_bytes:
        raise FetchError(f"{reply.length} bytes, more than {limits.max_bytes}")
    body = bytearray()
    while chunk := reply.read(min(_CHUNK, limits.max_bytes + 1 - len(body))):
        body += chunk
        if len(body) > limits.max_bytes:
            raise FetchError(f"more than {limits.max_bytes} bytes")
    if reply.length:
        raise FetchError(f"it ended {reply.length} bytes early", passing=True)
    return bytes(body)


def _shut(link: socket.socket) -> None:
    """End a connection under whoever reads from it; TLS is not asked, it would wait for its own goodbye."""
    with contextlib.suppress(OSError):  # it has ended by itself
        socket.socket.shutdown(link, socket.SHUT_RDWR)
