"""A webhook on 127.0.0.1 that keeps what it was sent and answers as it is told to: for the tests of alerts and the digest."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = "T0SECRET/B0SECRET/sEcReTsEcReT"


class Receiver:
    """Collects `texts`; takes its next status from `answers`, 200 when there is none left, after `slow_s` seconds."""

    def __init__(self):
        self.texts, self.answers, self.paths, self.slow_s = [], [], [], 0.0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                time.sleep(receiver.slow_s)
                status = receiver.answers.pop(0) if receiver.answers else 200
                receiver.paths.append(self.path)
                if status == 200:
                    receiver.texts.append(body["text"])
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", f"/elsewhere{self.path}")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_port}/services/{SECRET}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
