"""The socket, and a server that finishes what runs before it ends."""

import signal
import socket
from contextlib import suppress

import uvicorn
from fastapi import FastAPI

from lavis_sam.errors import SamConfigurationError


def bind(host: str, port: int) -> socket.socket:
    """Take an address; from then on clients wait, and no other server has it.

    Args:
        host: A name or an address.
        port: 0 for any that is free.

    Raises:
        SamConfigurationError: It cannot be had.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=512)
    except (OSError, OverflowError, UnicodeError) as error:
        raise SamConfigurationError(
            f"{host}:{port}: cannot serve there ({error}). Another server may have the port: end it, or give --port."
        ) from error


def address_of(bound: socket.socket) -> str:
    """Return the URL of a socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run_server(app: FastAPI, bound: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT; what runs is answered first, a second signal ends at once.

    Raises:
        SamConfigurationError: The application did not start.
    """
    # uvicorn takes the signals, and raises them again at its end: then they have done what they were for.
    earlier = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="on", http="h11", ws="none", server_header=False
    )
    server = uvicorn.Server(config)
    try:
        with bound, suppress(KeyboardInterrupt):
            server.run(sockets=[bound])
    except SystemExit as error:  # uvicorn's way to say that the application did not start
        raise SamConfigurationError("the server did not start; its log above says why.") from error
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
