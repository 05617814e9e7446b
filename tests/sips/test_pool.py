"""What the environment says of the way to SIPS."""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING

import pytest

from tests.sips.making import LIST, SUBMIT, send, transport
from tests.sips.servers import CERTIFICATE, Peer, Server, answer, serve
from worker.settings import SettingsError
from worker.sips.errors import ConnectFailed, Executed, LostAnswer
from worker.sips.pool import ConnectionPool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets the whole address, and what it answers is the answer."""
    with Server(serve(answer({}))) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        client = transport("http://sips.example")
        assert 200 == send(client, LIST).status
        assert f"http://sips.example{LIST.path}" == proxy.received[0].target
        client.close()


def test_a_proxy_gets_the_credentials_of_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """With each request that it forwards."""
    with Server(serve(answer({}))) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//us%40er:pass@"))
        client = transport("http://sips.example")
        assert 200 == send(client, LIST).status
        assert "Basic dXNAZXI6cGFzcw==" == proxy.received[0].headers["proxy-authorization"]
        assert "sips.example" == proxy.received[0].headers["host"]
        client.close()


@pytest.mark.parametrize(
    ("base_url", "host", "target"),
    [
        ("http://sips.example", "sips.example", "/a?b=c"),
        ("http://sips.example:80/under", "sips.example", "/under/a?b=c"),
        ("https://Sips.example:8443", "sips.example:8443", "/a?b=c"),
        ("http://[::1]:8085", "[::1]:8085", "/a?b=c"),
        ("http://straße.example", "xn--strae-oqa.example", "/a?b=c"),
    ],
)
def test_the_host_and_what_is_asked_of_it(base_url: str, host: str, target: str) -> None:
    """A port that the scheme implies is not said, as servers may compare."""
    pool = ConnectionPool(base_url, keep=1)
    assert {"Host": host} == pool.headers
    assert target == pool.target(f"{base_url}/a?b=c")


def test_the_environment_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What changes later is not seen, and costs nothing per call."""
    with Server(serve(answer({}))) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        client = transport("http://sips.example")
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        assert 200 == send(client, LIST).status
        client.close()


def test_hosts_can_be_excepted_from_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_PROXY counts, and a host on this machine is never called through a proxy."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert "http://127.0.0.1:1" == ConnectionPool("http://sips.example", keep=1).proxy
    assert ConnectionPool("http://localhost:8085", keep=1).proxy is None
    monkeypatch.setenv("NO_PROXY", "sips.example")
    assert ConnectionPool("http://sips.example", keep=1).proxy is None


def tunnelling(inner: Callable[[Peer], object]) -> Callable[[Peer], None]:
    """A proxy that accepts a tunnel, and the TLS server at its other end."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)

    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(b"HTTP/1.1 200 Connected\r\n\r\n")
        with contextlib.suppress(OSError), context.wrap_socket(peer.sock, server_side=True) as wrapped:
            inner(Peer(peer.server, wrapped))

    return script


@pytest.mark.usefixtures("trusted")
def test_tls_goes_through_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy is asked to connect, and sees nothing of the request."""
    with Server(tunnelling(serve(answer({})))) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        client = transport("https://sips.example")
        assert [200, 200] == [send(client, SUBMIT).status for _ in range(2)]
        assert ["sips.example:443", SUBMIT.path, SUBMIT.path] == [request.target for request in proxy.received]
        client.close()


def test_an_answer_lost_behind_a_proxy_may_have_been_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written through a proxy counts as well."""
    with Server(Peer.receive) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        client = transport("http://sips.example")
        with pytest.raises(LostAnswer) as caught:
            send(client, SUBMIT)
        assert Executed.MAYBE == caught.value.executed
        assert 1 == len(proxy.received)
        client.close()


@pytest.mark.usefixtures("trusted")
def test_an_answer_lost_behind_a_tunnel_may_have_been_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    """And so does what was written through a tunnel."""
    with Server(tunnelling(Peer.receive)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        client = transport("https://sips.example")
        with pytest.raises(LostAnswer) as caught:
            send(client, SUBMIT)
        assert Executed.MAYBE == caught.value.executed
        assert ["CONNECT", "POST"] == [request.method for request in proxy.received]
        client.close()


def test_a_tunnel_that_is_refused_is_not_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the proxy is told is no byte of the request."""
    with Server(serve(answer({}, status=407))) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        client = transport("https://sips.example")
        with pytest.raises(ConnectFailed) as caught:
            send(client, SUBMIT)
        assert Executed.NO == caught.value.executed
        assert ["CONNECT"] == [request.method for request in proxy.received]
        client.close()


def test_a_socks_proxy_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connections would not report what they wrote."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    with pytest.raises(SettingsError, match="SOCKS"):
        ConnectionPool("https://sips.example", keep=1)


def test_a_ca_bundle_may_be_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As OpenSSL takes it."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    assert ConnectionPool("https://sips.example", keep=1).proxy is None


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_ca_bundle_that_cannot_be_read_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None) -> None:
    """At construction, with the variable to look at; not as a failed call later."""
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_bytes(content)
    monkeypatch.setenv("CURL_CA_BUNDLE", str(bundle))
    with pytest.raises(SettingsError, match="CURL_CA_BUNDLE"):
        ConnectionPool("https://sips.example", keep=1)
