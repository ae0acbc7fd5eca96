"""Between clients and a broker: every so many answers one does not arrive.

TCP loses no single answer: it is lost together with its connection, and with whatever else was on its way there. What the broker has been asked for
until then it may have done, do still, or never see.
"""

import contextlib
import socket
import threading


class LossyProxy:
    """Clients that connect to `server` reach the broker. The broker has to be told to advertise `server`."""

    def __init__(self, target, host="127.0.0.1", every=10):
        self.target, self.every = target, every
        self.listener = socket.create_server((host, 0), backlog=100)
        self.server = f"{host}:{self.listener.getsockname()[1]}"
        self.answers = self.lost = 0
        self.lock = threading.Lock()
        self.is_ending = False

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.is_ending = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        while not self.is_ending:
            with contextlib.suppress(OSError):
                client, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client:
            try:
                broker = socket.create_connection(self.target, timeout=5)
            except OSError:
                return
            with broker:
                for one in (client, broker):
                    one.settimeout(None)
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._pass_requests, args=(client, broker), daemon=True).start()
                with contextlib.suppress(OSError):
                    self._pass_answers(broker, client)
                for one in (client, broker):
                    with contextlib.suppress(OSError):
                        one.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _pass_requests(client, broker):
        with contextlib.suppress(OSError):
            while some := client.recv(1 << 20):
                broker.sendall(some)
        with contextlib.suppress(OSError):
            broker.shutdown(socket.SHUT_WR)

    def _pass_answers(self, broker, client):
        with broker.makefile("rb") as answers:
            while len(size := answers.read(4)) == 4:
                answer = answers.read(int.from_bytes(size))
                if self._is_lost():
                    return
                client.sendall(size + answer)

    def _is_lost(self):
        with self.lock:
            self.answers += 1
            is_lost = self.answers % self.every == 0
            self.lost += is_lost
            return is_lost
