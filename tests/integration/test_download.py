"""One picture over real HTTP, against a host that misbehaves by script."""

import io
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from thumbrank_core.store.images import ImageStore
from thumbrank_core.store.picture import MAX_BYTES, PictureError
from thumbrank_core.youtube.download import ATTEMPTS, Downloader
from thumbrank_core.youtube.in_flight import results

NOW = datetime(2026, 8, 1, tzinfo=UTC)


def jpeg():
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((320, 180)).save(buffer, "JPEG")
    return buffer.getvalue()


class Counted(ThreadingHTTPServer):
    """What is noted of the requests."""

    asked: Counter[str]
    lock: threading.Lock
    now: int
    most: int
    awaited: int
    hung_up: int


class Host(BaseHTTPRequestHandler):
    """Answers /<script>, where the script is a comma list: one word per attempt, the last one for all that follow."""

    protocol_version = "HTTP/1.1"
    server: Counted
    here: bool

    def do_GET(self):
        script = self.path.strip("/").split("?")[0].split(",")
        with self.server.lock:
            number = self.server.asked[self.path]
            self.server.asked[self.path] += 1
            self.server.now += 1
            self.server.most = max(self.server.most, self.server.now)
        self.here = True
        try:
            getattr(self, f"do_{script[min(number, len(script) - 1)]}")()
        finally:
            self.leave()

    def leave(self):
        """Count this request no longer: before its answer, as whoever has that may ask again before this thread goes on."""
        if self.here:
            self.here = False
            with self.server.lock:
                self.server.now -= 1

    def answer(self, status, body, length=None, **headers):
        self.leave()
        self.send_response_only(status)
        self.send_header("Content-Type", "text/html")  # never to be believed
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_ok(self):
        self.answer(200, jpeg())

    def do_dated(self):
        self.answer(200, jpeg(), Date="Sat, 01 Aug 2026 10:00:00 GMT", Age="600")

    def do_misdated(self):
        self.answer(200, jpeg(), Date="yesterday", Age="9" * 30)

    def do_slowly(self):
        deadline = time.monotonic() + 10  # until as many are here as the test is about, however busy the machine is
        while self.server.most < self.server.awaited and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.05)  # time for one too many
        self.answer(200, jpeg())

    def do_404(self):
        self.answer(404, jpeg())

    def do_429(self):
        self.answer(429, b"")

    def do_500(self):
        self.answer(500, b"")

    def do_moved(self):
        self.answer(302, b"", Location="/ok")

    def do_half(self):
        self.answer(200, jpeg()[:1500])

    def do_cut(self):
        self.answer(200, jpeg()[:1500], length=len(jpeg()))
        self.close_connection = True

    def do_nothing(self):
        self.answer(200, b"")

    def do_html(self):
        self.answer(200, b"<html>")

    def do_endless(self):
        self.send_response_only(200)
        self.end_headers()
        try:
            for _ in range(10 * MAX_BYTES // 65536):
                self.wfile.write(b"x" * 65536)
        except OSError:
            self.server.hung_up += 1
        self.close_connection = True

    def log_message(self, *_arguments):
        pass


@pytest.fixture(scope="module")
def server():
    server = Counted(("127.0.0.1", 0), Host)
    server.daemon_threads = True
    server.asked, server.lock, server.now, server.most, server.hung_up = Counter(), threading.Lock(), 0, 0, 0
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def url(server):
    server.asked.clear()
    server.most, server.awaited = 0, 0
    return lambda script, host="127.0.0.1": f"http://{host}:{server.server_port}/{script}"


@pytest.fixture
def downloader(tmp_path):
    with Downloader(
        ImageStore(tmp_path), at_once=16, per_host=8, clock=lambda: NOW, first_wait=0.001
    ) as made:  # fmt: skip
        yield made


@pytest.mark.parametrize(
    ("script", "reason", "attempts"),
    [
        ("404", "http_404", 1),
        ("moved", "http_302", 1),
        ("html", "not_a_picture", 1),
        ("endless", "too_large", 1),
        ("429", "http_429", ATTEMPTS),
        ("500", "http_500", ATTEMPTS),
        ("half", "truncated", ATTEMPTS),
        ("cut", "unreachable", ATTEMPTS),
        ("nothing", "empty", ATTEMPTS),
    ],
)
def test_what_may_pass_is_tried_again_and_what_is_final_is_not(server, url, downloader, script, reason, attempts):
    with pytest.raises(PictureError) as caught:
        downloader.fetch(url(script))
    assert caught.value.reason == reason
    assert dict(server.asked) == {f"/{script}": attempts}


@pytest.mark.parametrize("script", ["500,ok", "429,half,ok", "cut,nothing,ok"])
def test_a_picture_that_comes_at_a_later_attempt_is_had(url, downloader, script):
    assert downloader.fetch(url(script)).picture.width == 320


def test_a_body_that_does_not_end_is_hung_up_on(server, url, downloader):
    with pytest.raises(PictureError):
        downloader.fetch(url("endless"))
    deadline = time.monotonic() + 5
    while not server.hung_up and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.hung_up


@pytest.mark.parametrize(
    "bad", ["ftp://127.0.0.1/x.jpg", "file:///etc/passwd", "/vi/x.jpg", "http://127.0.0.1:port/x", "http:///x", ""]
)
def test_only_http_addresses_are_fetched(downloader, bad):
    with pytest.raises(PictureError) as caught:
        downloader.fetch(bad)
    assert caught.value.reason == "bad_url"


def test_a_host_that_is_not_there_is_unreachable(downloader):
    with pytest.raises(PictureError) as caught:
        downloader.fetch("http://127.0.0.1:9/x.jpg")
    assert caught.value.reason == "unreachable"


def test_a_picture_is_dated_by_its_host_and_the_time_it_lay_in_a_cache(url, downloader):
    assert downloader.fetch(url("dated")).seen_at == datetime(2026, 8, 1, 10, 10, tzinfo=UTC)
    assert downloader.fetch(url("ok")).seen_at == NOW
    assert downloader.fetch(url("misdated")).seen_at == NOW


def test_one_host_gets_no_more_requests_at_once_than_its_share(server, url, downloader):
    addresses = [url(f"slowly?{number}") for number in range(40)]
    server.awaited = 8
    assert len(list(results(downloader.fetch, addresses, workers=16))) == 40
    assert server.most == 8


def test_two_hosts_share_what_is_allowed_at_once(server, url, tmp_path):
    addresses = [url(f"slowly?{number}", ("127.0.0.1", "localhost")[number % 2]) for number in range(40)]
    server.awaited = 12
    with Downloader(ImageStore(tmp_path), at_once=12, per_host=8, clock=lambda: NOW) as downloader:
        assert len(list(results(downloader.fetch, addresses, workers=16))) == 40
    assert server.most == 12


def test_results_come_as_they_are_ready_and_little_is_read_ahead():
    read = []

    def items():
        for number in range(500):
            read.append(number)
            yield number

    furthest = 0
    for taken, _ in enumerate(results(lambda number: time.sleep(0.001 * (number % 2)), items(), workers=4), start=1):
        furthest = max(furthest, len(read) - taken)
    assert len(read) == 500
    assert furthest <= 8


def test_an_error_in_the_work_is_raised_where_results_are_taken_and_its_threads_end():
    def work(number):
        if number == 5:
            raise ZeroDivisionError
        return number

    with pytest.raises(ZeroDivisionError):
        list(results(work, range(1000), workers=3))
    deadline = time.monotonic() + timedelta(seconds=5).total_seconds()
    while any(thread.name.startswith("in-flight") for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
