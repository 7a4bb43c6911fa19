import ipaddress
import random
import socket
import ssl
import subprocess
import threading
from urllib.parse import quote

import pytest

from amalia_vl_hf.processing import addresses_amalia_vl as download_module
from amalia_vl_hf.processing.addresses_amalia_vl import DownloadLimits, FetchError, download, download_named, is_public
from tests.samples.picture_server import PictureServer, picture

QUICK = DownloadLimits(max_bytes=100_000, seconds=20.0, redirects=3, attempts=1)


def this_server(address):
    return str(address) == "127.0.0.1"


@pytest.fixture(scope="module")
def server():
    with PictureServer() as running:
        yield running


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "127.8.9.1",
            "10.0.0.1",
            "172.16.5.5",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",  # noqa: S104
        ),
        *("224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1"),
        *("::1", "::", "fe80::1", "fc00::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
        *("2002:7f00:1::", "64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "::127.0.0.1"),
    ],
)
def test_addresses_of_machines_and_private_nets_are_not_public(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "193.136.1.1", "2001:4860:4860::8888", "64:ff9b::808:808"])
def test_addresses_of_the_internet_are_public(address):
    assert is_public(ipaddress.ip_address(address))


def test_a_file_arrives_whole(server):
    assert download(server.url("/7.png"), QUICK, this_server) == picture(7)
    assert download(server.url("/ 7.png?é"), QUICK, this_server) == picture(7), "spaces and accents are encoded"


def test_redirects_are_followed_so_far(server):
    assert download(server.url("/go?to=/7.png"), QUICK, this_server) == picture(7)
    with pytest.raises(FetchError, match="more than 3 redirects"):
        download(loop(server), QUICK, this_server)


def loop(server):
    """Build a chain of four redirects."""
    target = "/7.png"
    for _ in range(4):
        target = "/go?to=" + quote(target, safe="")
    return server.url(target)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/status?code=404", "^status 404$"),
        ("/nowhere", "status 302 without a place to go"),
        ("/packed", r"compressed \(gzip\)"),
        ("/short", "it ended 20 bytes early"),
        ("/endless", "more than 100000 bytes"),
    ],
)
def test_bad_replies_say_what_is_wrong(server, path, message):
    with pytest.raises(FetchError, match=message):
        download(server.url(path), QUICK, this_server)


def test_an_announced_size_is_refused_before_a_byte_of_it(server):
    with pytest.raises(FetchError, match=f"{len(picture(7))} bytes, more than 10"):
        download(server.url("/7.png"), DownloadLimits(max_bytes=10), this_server)


@pytest.mark.parametrize("path", ["/drip", "/slow-headers"])
def test_a_server_that_drips_is_cut_off(server, path):
    with pytest.raises(FetchError, match=r"slower than 0\.5 s") as caught:
        download(server.url(path), DownloadLimits(seconds=0.5, attempts=1), this_server)
    assert caught.value.passing


def test_what_may_pass_is_tried_again_and_what_may_not_is_not(server):
    limits = DownloadLimits(attempts=2, pause=0.01)
    assert download(server.url("/status?code=503&a"), limits, this_server) == picture(1)
    with pytest.raises(FetchError, match="status 503"):
        download(server.url("/status?code=503&always=1"), limits, this_server)
    with pytest.raises(FetchError, match="status 404"):
        download(server.url("/status?code=404&b"), limits, this_server)
    asked = {path: count for path, count in server.asked.items() if path.endswith(("&a", "&always=1", "&b"))}
    assert asked == {"/status?code=503&a": 2, "/status?code=503&always=1": 2, "/status?code=404&b": 1}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file:///etc/passwd", "only http and https are fetched, not file"),
        ("ftp://h/a", "not ftp"),
        ("/etc/passwd", "not a URL without a scheme"),
        ("http://", "only http and https"),
        ("http://user:word@h/a", "user name or password"),
        ("http://h:99999/a", r"not a URL \(Port out of range"),
        ("http://[::1", r"not a URL \(Invalid IPv6"),
        (f"http://{'a' * 70}.pt/", "has no address"),
        ("http://127.0.0.1:1/a", r"no connection to 127\.0\.0\.1"),
    ],
)
def test_what_cannot_be_fetched_is_named(url, message):
    with pytest.raises(FetchError, match=message):
        download(url, QUICK, this_server)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"],  # noqa: S104
)
def test_no_name_of_this_machine_gets_in(server, host):
    before = server.asked.total()
    with pytest.raises(FetchError, match=r"which is not a public address|has no address"):
        download(server.url("/7.png", host=host), QUICK)
    assert server.asked.total() == before


@pytest.mark.parametrize("target", ["http://169.254.169.254/meta", "http://[::1]/a", "//127.0.0.2/a"])
def test_a_redirect_to_a_private_address_is_refused(server, target):
    with pytest.raises(FetchError, match="which is not a public address"):
        download(server.url(f"/go?to={quote(target, safe='')}"), QUICK, this_server)


def test_a_redirect_to_a_file_is_refused(server):
    with pytest.raises(FetchError, match="only http and https are fetched, not file"):
        download(server.url("/go?to=file%3A///etc/passwd"), QUICK, this_server)


def test_a_redirect_to_nonsense_is_refused(server):
    with pytest.raises(FetchError, match="a redirect to what is not a URL"):
        download(server.url("/go?to=http%3A%2F%2F%5B1"), QUICK, this_server)


def test_no_url_does_anything_but_arrive_or_be_refused(server):
    rng = random.Random(0)
    pieces = [
        "http://",
        "https://",
        "127.0.0.1",
        f":{server.port}",
        "/7.png",
        "@",
        "[",
        "]",
        "%",
        "#",
        "?",
        "é",
        "\x00",
    ]
    pieces += [" ", "\n", "\ud800", "//", "\\", "ftp:", ".", "x" * 70]
    outcomes = {"arrived": 0, "refused": 0}
    for _ in range(300):
        middle = "".join(rng.choices(pieces, k=rng.randrange(3)))
        try:
            download(f"http://127.0.0.1:{server.port}{middle}/7.png", QUICK, this_server)
            outcomes["arrived"] += 1
        except FetchError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 10, outcomes


def test_a_name_that_changes_its_address_after_the_check_gains_nothing(server, monkeypatch):
    answers = iter(["127.0.0.1", "127.0.0.2"])
    real = socket.getaddrinfo

    def rebinding(host, port, *rest, **options):
        return real(next(answers) if host == "rebind.example" else host, port, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    assert download(server.url("/7.png", host="rebind.example"), QUICK, this_server) == picture(7)
    assert next(answers) == "127.0.0.2", "the name was resolved once"


def test_one_private_address_among_several_condemns_a_name(server, monkeypatch):
    real = socket.getaddrinfo

    def both(host, port, *rest, **options):
        return real("127.0.0.1", port, **options) + real("127.0.0.2", port, **options)

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with pytest.raises(FetchError, match=r"two\.example is at 127\.0\.0\.2"):
        download(server.url("/7.png", host="two.example"), QUICK, this_server)


@pytest.fixture
def certificate(tmp_path):
    """A key and a certificate for `localhost`, signed by itself."""
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*command, *files, *names, "-days", "2"], check=True, capture_output=True)
    return tmp_path


@pytest.fixture
def fresh_trust():
    """Let certificates be read anew, before and after."""
    download_module._trust.cache_clear()
    yield
    download_module._trust.cache_clear()


def test_https_is_verified(certificate, monkeypatch, fresh_trust):
    with PictureServer() as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
        server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
        url = server.url("/7.png", "https", "localhost")
        with pytest.raises(FetchError, match=r"no secure connection to localhost .*self-signed"):
            download(url, QUICK, lambda address: address.is_loopback)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
        download_module._trust.cache_clear()
        assert download(url, QUICK, lambda address: address.is_loopback) == picture(7)
        slow = server.url("/drip", "https", "localhost")
        with pytest.raises(FetchError, match=r"slower than 0\.5 s"):
            download(slow, DownloadLimits(seconds=0.5, attempts=1), lambda address: address.is_loopback)


def test_a_server_that_hangs_up_is_named():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=lambda: listening.accept()[0].close(), daemon=True).start()
        with pytest.raises(FetchError, match="the connection broke"):
            download(f"http://127.0.0.1:{listening.getsockname()[1]}/", QUICK, this_server)


def test_threads_that_guard_downloads_end_with_them(server):
    download(server.url("/7.png"), QUICK, this_server)
    guards = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    for guard in guards:
        guard.join(QUICK.seconds / 2)
    assert not any(guard.is_alive() for guard in guards)


def test_hosts_that_the_user_names_may_be_anywhere_and_no_other(server):
    limits = DownloadLimits(attempts=1, hosts=("127.0.0.1",))
    assert download(server.url("/7.png"), limits) == picture(7)
    assert download(server.url("/go?to=/7.png"), limits) == picture(7)
    with pytest.raises(FetchError, match="which is not a public address"):
        download(server.url("/7.png", host="localhost"), limits)


def test_an_address_named_in_code_is_the_users_word_and_its_redirects_are_not(server):
    assert download_named(server.url("/7.png")) == picture(7)
    for target in ("http://127.0.0.2/a", "http://169.254.169.254/meta", "http://[::1]/a"):
        with pytest.raises(FetchError, match="which is not a public address"):
            download_named(server.url(f"/go?to={quote(target, safe='')}"), DownloadLimits(attempts=1))
    with pytest.raises(FetchError, match="more than 10"):
        download_named(server.url("/7.png"), DownloadLimits(max_bytes=10))
    with pytest.raises(FetchError, match="not a URL"):
        download_named("http://[::1")
