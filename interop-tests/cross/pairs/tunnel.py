"""A TCP port whose connections go on in WebSocket messages: any client's bytes, cut as they come."""

from __future__ import annotations

import socket
import threading

from websockets.sync.client import ClientConnection, connect

READ_SIZE = 10_000


def tunnel(port: int, path: str, subprotocol: str) -> int:
    """Leads to ``path`` of the HTTP port; the port to connect to."""
    listening = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            ours, _ = listening.accept()
            far = connect(f"ws://127.0.0.1:{port}{path}", subprotocols=[subprotocol], compression=None, max_size=None)
            assert far.subprotocol == subprotocol, "the broker agreed to none"
            threading.Thread(target=forth, args=(ours, far), daemon=True).start()
            threading.Thread(target=back, args=(ours, far), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return int(listening.getsockname()[1])


def forth(ours: socket.socket, far: ClientConnection) -> None:
    while data := ours.recv(READ_SIZE):
        far.send(data)
    far.close()


def back(ours: socket.socket, far: ClientConnection) -> None:
    for message in far:
        ours.sendall(message if isinstance(message, bytes) else message.encode())
    ours.close()
