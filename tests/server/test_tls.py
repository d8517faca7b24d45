"""TLS at the gateway: both protocols, certificates that are renewed, callers who need one; a real Envoy."""

from __future__ import annotations

import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import requests
import trustme
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from scripts import config
from scripts.errors import CommandError
from scripts.gateway.envoy import Gateway
from scripts.gateway.tls import Certificates
from scripts.places import ROOT
from tests.server.fake_torchserve import METHOD, message
from tests.server.gatewayed import Gatewayed, eventually

pytestmark = pytest.mark.server


class Secured(Gatewayed):
    """The gateway with a certificate; `mutual`: callers need one, too."""

    def __init__(self, folder: Path, *, mutual: bool = False) -> None:
        super().__init__(folder)
        self.authority = trustme.CA()
        self.certificate, self.key, self.trusted = (
            folder / f"{name}.pem" for name in ("server", "key", "ca")
        )
        self.authority.cert_pem.write_to_path(self.trusted)
        self.renew()
        given = {"gateway_tls_certificate": self.certificate, "gateway_tls_key": self.key}
        given |= {"gateway_tls_client_ca": self.trusted} if mutual else {}
        self.config = config.given(self.config, given)
        self.gateway = Gateway(self.config, folder / "logs")
        self.certificates = Certificates(self.config)
        self.url = self.config.gateway.url
        self.session.verify = str(self.trusted)

    def start(self) -> None:
        self.certificates.refresh(self.scratch)
        super().start()

    def renew(self) -> trustme.LeafCert:
        issued = self.authority.issue_cert("127.0.0.1", "localhost")
        issued.cert_chain_pems[0].write_to_path(self.certificate)
        issued.private_key_pem.write_to_path(self.key)
        return issued

    def presented(self) -> bytes:
        """The certificate of a new connection."""
        context = ssl.create_default_context(cafile=str(self.trusted))
        with self.connection() as plain, context.wrap_socket(plain, server_hostname="localhost") as secure:
            found = secure.getpeercert(binary_form=True)
            assert found is not None
            return found


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    gatewayed = Secured(tmp_path_factory.mktemp("tls"))
    try:
        gatewayed.start()
        yield gatewayed
    finally:
        gatewayed.stop()


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    gatewayed = Secured(tmp_path_factory.mktemp("mutual"), mutual=True)
    try:
        gatewayed.start()
        yield gatewayed
    finally:
        gatewayed.stop()


def der(issued: trustme.LeafCert) -> bytes:
    return ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())


def on_curve(curve: ec.EllipticCurve, secured: Secured) -> bytes:
    """A new pair in the files, with trustme's names and signature; the certificate as DER."""
    key = ec.generate_private_key(curve)
    like = x509.load_pem_x509_certificate(secured.renew().cert_chain_pems[0].bytes())
    signer = serialization.load_pem_private_key(secured.authority.private_key_pem.bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    made = x509.CertificateBuilder(
        like.issuer,
        like.subject,
        key.public_key(),
        x509.random_serial_number(),
        like.not_valid_before_utc,
        like.not_valid_after_utc,
        [one for one in like.extensions if one.oid != x509.SubjectKeyIdentifier.oid],
    ).sign(signer, hashes.SHA256())
    secured.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    written = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    secured.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, *written))
    return made.public_bytes(serialization.Encoding.DER)


def test_rest_and_grpc_come_by_tls_and_nothing_else(secured: Secured) -> None:
    assert secured.url.startswith("https://127.0.0.1:")
    assert secured.post("/predictions/cat").status_code == 200
    with pytest.raises(requests.ConnectionError):
        secured.session.post(secured.url.replace("https", "http") + "/predictions/cat", b"x", timeout=10)
    credentials = grpc.ssl_channel_credentials(secured.trusted.read_bytes())
    with grpc.secure_channel(f"127.0.0.1:{secured.config.gateway.port}", credentials) as channel:
        assert channel.unary_unary(METHOD)(message("cat"), timeout=10)


@pytest.mark.parametrize(
    ("version", "taken"),
    [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_versions_are_refused(secured: Secured, version: ssl.TLSVersion, taken: bool) -> None:
    context = ssl.create_default_context(cafile=str(secured.trusted))
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    with secured.connection() as plain:
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as secure:
                assert secure.selected_alpn_protocol() == "h2"
                assert taken
        except ssl.SSLError:
            assert not taken


def test_a_renewed_certificate_is_taken_without_a_restart(secured: Secured) -> None:
    assert secured.certificates.refresh(secured.scratch) is False
    before = secured.presented()
    process = secured.gateway._envoy
    issued = secured.renew()
    assert secured.certificates.refresh(secured.scratch) is True
    eventually(lambda: secured.presented() == der(issued))
    assert der(issued) != before
    assert secured.post("/predictions/cat").status_code == 200  # on the connection from before
    assert secured.gateway._envoy is process


def test_half_of_a_renewal_keeps_the_old_pair(secured: Secured) -> None:
    before, key = secured.presented(), secured.key.read_bytes()
    issued = secured.renew()
    new = secured.key.read_bytes()
    for wrong in (key, b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"):
        secured.key.write_bytes(wrong)
        with pytest.raises(CommandError, match=r"server\.pem and .*key\.pem don't fit each other"):
            secured.certificates.refresh(secured.scratch)
    secured.key.unlink()
    with pytest.raises(CommandError, match=r"key\.pem: can't be read"):
        secured.certificates.refresh(secured.scratch)
    assert secured.presented() == before
    secured.key.write_bytes(new)
    assert secured.certificates.refresh(secured.scratch) is True
    eventually(lambda: secured.presented() == der(issued))


@pytest.mark.parametrize(
    ("curve", "taken"),
    [
        (ec.SECP256K1, False),
        (ec.SECP224R1, False),
        (ec.SECP256R1, True),
        (ec.SECP384R1, True),
        (ec.SECP521R1, True),
    ],
)
def test_a_curve_that_envoy_doesnt_take_is_told(
    secured: Secured, curve: type[ec.EllipticCurve], taken: bool
) -> None:
    before = secured.presented()
    issued = on_curve(curve(), secured)
    if taken:
        assert secured.certificates.refresh(secured.scratch) is True
        assert eventually(lambda: (now := secured.presented()) != before and now) == issued
    else:
        with pytest.raises(CommandError, match="is on a curve that the gateway doesn't speak"):
            secured.certificates.refresh(secured.scratch)
        assert secured.presented() == before


def test_keys_lie_nowhere_but_in_the_gateways_own_folder(secured: Secured) -> None:
    secret = re.sub(rb"-----.*?-----|\s", b"", secured.key.read_bytes())[:60]
    for path in secured.gateway.log.parent.iterdir():
        assert secret not in path.read_bytes()
    assert (secured.scratch / "certificates").stat().st_mode & 0o077 == 0
    assert {path.suffix for path in (secured.scratch / "certificates").iterdir()} == {".json"}


def test_callers_without_a_certificate_dont_get_in(mutual: Secured, tmp_path: Path) -> None:
    with pytest.raises(requests.ConnectionError):
        mutual.post("/predictions/cat")
    stranger, known = trustme.CA().issue_cert("caller"), mutual.authority.issue_cert("caller")
    for issued, gets_in in ((stranger, False), (known, True)):
        pem = tmp_path / "caller.pem"
        issued.private_key_and_cert_chain_pem.write_to_path(pem)
        with requests.Session() as session:
            session.trust_env, session.verify, session.cert = False, str(mutual.trusted), str(pem)
            if gets_in:
                assert session.post(mutual.url + "/predictions/cat", b"x", timeout=10).status_code == 200
            else:
                with pytest.raises(requests.ConnectionError):
                    session.post(mutual.url + "/predictions/cat", b"x", timeout=10)


@pytest.mark.parametrize(("whose", "well"), [("", False), ("stranger", False), ("caller", True)])
def test_the_containers_check_brings_a_certificate_where_callers_need_one(
    mutual: Secured, tmp_path: Path, whose: str, well: bool
) -> None:
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]["node"]
    _, _, *options, script = service["healthcheck"]["test"]
    environment = {"PTHSERVE_CA": str(mutual.trusted)}
    if whose:
        issued = (mutual.authority if whose == "caller" else trustme.CA()).issue_cert("caller")
        issued.cert_chain_pems[0].write_to_path(tmp_path / "caller.pem")
        issued.private_key_pem.write_to_path(tmp_path / "key.pem")
        own = {"PTHSERVE_CERT": tmp_path / "caller.pem", "PTHSERVE_CERT_KEY": tmp_path / "key.pem"}
        environment |= {name: str(path) for name, path in own.items()}
    here = script.replace("8000", str(mutual.config.gateway.port))
    found = subprocess.run(
        [sys.executable, *options, here], env=environment, timeout=30, capture_output=True, check=False
    )
    assert (found.returncode == 0) == well, found.stderr


def test_other_authorities_are_taken_without_a_restart(mutual: Secured, tmp_path: Path) -> None:
    other = trustme.CA()
    pem, before = tmp_path / "caller.pem", mutual.trusted.read_bytes()
    other.issue_cert("caller").private_key_and_cert_chain_pem.write_to_path(pem)

    def gets_in() -> bool:
        with requests.Session() as session:
            session.trust_env, session.verify, session.cert = False, str(tmp_path / "ca.pem"), str(pem)
            try:
                return session.post(mutual.url + "/predictions/cat", b"x", timeout=10).status_code == 200
            except requests.ConnectionError:
                return False

    (tmp_path / "ca.pem").write_bytes(before)
    assert not gets_in()
    mutual.trusted.write_bytes(b"nobody")
    with pytest.raises(CommandError, match=r"ca\.pem: no authority's certificate"):
        mutual.certificates.refresh(mutual.scratch)
    mutual.trusted.write_bytes(before + other.cert_pem.bytes())
    assert mutual.certificates.refresh(mutual.scratch) is True
    eventually(gets_in)
