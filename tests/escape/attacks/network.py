"""Reaching anything by a network or a socket. The servers of the host answer with the secret."""

import os

from kit import NATIVE, WON, attack


def tcp(p, family, address):
    import socket

    s = socket.socket(family, socket.SOCK_STREAM)
    s.settimeout(5)
    s.connect(address)
    return s.recv(200)


@attack("network/tcp", NATIVE)
def _(p):
    import socket

    return tcp(p, socket.AF_INET, ("127.0.0.1", p.tcp))


@attack("network/tcp-by-name", NATIVE)
def _(p):
    import socket

    return socket.create_connection(("localhost", p.tcp), timeout=5).recv(200)


@attack("network/tcp-without-waiting", NATIVE)
def _(p):
    import select
    import socket

    s = socket.socket()
    s.setblocking(False)
    s.connect_ex(("127.0.0.1", p.tcp))
    select.select([s], [], [], 5)
    return s.recv(200)


@attack("network/udp", NATIVE)
def _(p):
    import socket

    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(5)
    s.sendto(b"?", ("127.0.0.1", p.udp))
    return s.recv(200)


@attack("network/unix", NATIVE)
def _(p):
    import socket

    return tcp(p, socket.AF_UNIX, p.unix)


@attack("network/unix-in-a-mount", NATIVE)
def _(p):
    import socket

    return tcp(p, socket.AF_UNIX, p.unix_in_mount)


@attack("network/unix-abstract", NATIVE)
def _(p):
    import socket

    return tcp(p, socket.AF_UNIX, "\0" + p.abstract)


@attack("network/listen", NATIVE)
def _(p):
    import socket

    # The host keeps trying to connect, and says the secret when it can.
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", p.listen))
    s.listen()
    s.settimeout(3)
    return s.accept()[0].recv(200)


@attack("network/netlink", NATIVE)
def _(p):
    import socket

    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    s.bind((0, 0))
    return WON


@attack("network/interfaces", NATIVE)
def _(p):
    import socket

    return WON if any(name == "lo" for _, name in socket.if_nameindex()) else "none"


@attack("network/lookup", NATIVE)
def _(p):
    import socket

    # Emscripten invents addresses for names, from 172.29.0.0 on.
    found = {entry[4][0] for entry in socket.getaddrinfo("localhost", 80)}
    if "emscripten" in os.sys.platform:
        return "invented by Emscripten"
    return WON if found & {"127.0.0.1", "::1"} else found


@attack("network/http", NATIVE)
def _(p):
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", p.http, timeout=5)
    connection.request("GET", "/")
    return connection.getresponse().read()


@attack("network/urllib", NATIVE)
def _(p):
    import urllib.request

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return opener.open(f"http://127.0.0.1:{p.http}/", timeout=5).read()


@attack("network/urllib-file", control="granted")
def _(p):
    import urllib.request

    return urllib.request.urlopen("file://" + p.secret).read()


@attack("network/raw", NATIVE)
def _(p):
    import _socket

    s = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    s.connect(("127.0.0.1", p.tcp))
    return s.recv(200)


@attack("network/inherited-socket", NATIVE)
def _(p):
    import socket

    got = []
    for fd in range(3, 64):
        try:
            s = socket.socket(fileno=fd)
            s.settimeout(1)
            got.append(s.recv(200))
        except (OSError, AttributeError):
            pass
    return got
