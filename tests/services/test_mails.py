"""The outbox and real SMTP servers."""

import email
import email.policy
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from flask import Flask

from app.errors import Conflict
from app.extensions import db
from app.models import Mail, MailStatus, User, now
from app.rules.phases import Phase
from app.services import mails, rounds
from tests.factories import make_admin, make_round, make_team, make_user


class Letterbox(Message):
    """Keeps what an SMTP server receives."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[Any] = []

    def handle_message(self, message: Any) -> None:
        self.received.append(email.message_from_bytes(bytes(message), policy=email.policy.default))


class Server(Controller):
    """An SMTP server on a free port of this machine."""

    def __init__(self, **options: Any) -> None:
        self.box = Letterbox()
        super().__init__(self.box, hostname="127.0.0.1", port=_free_port(), ready_timeout=10, **options)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def server(app: Flask) -> Iterator[Server]:
    """A plain server that the platform is configured for."""
    yield from _running(app, Server())


def _running(app: Flask, server: Server, **config: Any) -> Iterator[Server]:
    server.start()
    _configure(app, MAIL_PORT=server.port, **config)
    try:
        yield server
    finally:
        server.stop()


def _configure(app: Flask, MAIL_SERVER: str = "127.0.0.1", **config: Any) -> None:
    app.config.update(MAIL_SERVER=MAIL_SERVER, MAIL_TIMEOUT_SECONDS=5, MAIL_SUPPRESS_SEND=False, **config)
    # The mailer has read the configuration when the application was made.
    mails.mailer.init_app(app)


def post(user: User, subject: str = "Confirm your e-mail address") -> Mail:
    mails.post(user, "verify", subject, token="a-token")
    db.session.commit()
    return newest()


def newest() -> Mail:
    mail = db.session.scalar(db.select(Mail).order_by(Mail.id.desc()).limit(1))
    assert mail is not None
    return mail


def due_again(mail: Mail) -> None:
    mail.next_try_at = now() - timedelta(seconds=1)
    db.session.commit()


class TestDeliver:
    def test_it_sends_text_and_html_to_a_server(self, server: Server) -> None:
        mail = post(make_user("alice"))
        assert mails.deliver() == 1
        (received,) = server.box.received
        assert received["To"] == "alice@example.org"
        assert received["Subject"] == "Confirm your e-mail address"
        assert received["Message-ID"].startswith(f"<srs-{mail.id}@")
        text, html = (received.get_body((kind,)).get_content() for kind in ("plain", "html"))
        assert "http://localhost/verify/a-token" in text
        assert 'href="http://localhost/verify/a-token"' in html
        assert (mail.status, mail.tries, mail.error) == (MailStatus.SENT, 1, "")
        assert mail.sent_at is not None

    def test_a_mail_goes_out_once_from_two_deliverers(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        mail = post(make_user("alice"))
        counts = []
        send = mails._send

        def send_while_another_delivers(sending: Mail) -> MailStatus:
            counts.append(mails.deliver())
            counts.append(int(mails._deliver_one(mail.id)))
            return send(sending)

        monkeypatch.setattr(mails, "_send", send_while_another_delivers)
        assert mails.deliver() == 1
        assert counts == [0, 0]
        assert mails.deliver() == 0
        assert len(server.box.received) == 1

    def test_one_refused_recipient_does_not_stop_the_others(self, server: Server) -> None:
        async def refuse(*args: Any) -> str:
            address, envelope = args[3], args[2]
            if address.startswith("bob"):
                return "550 No such user"
            envelope.rcpt_tos.append(address)
            return "250 OK"

        server.box.handle_RCPT = refuse
        for name in ("alice", "bob", "carol"):
            post(make_user(name))
        assert mails.deliver() == 2
        assert {message["To"] for message in server.box.received} == {"alice@example.org", "carol@example.org"}
        (refused,) = db.session.scalars(db.select(Mail).where(Mail.status == MailStatus.QUEUED))
        assert "No such user" in refused.error

    def test_a_server_that_is_down_is_tried_again_with_growing_delay_until_the_mail_fails(self, app: Flask) -> None:
        _configure(app, MAIL_PORT=_free_port())
        mail = post(make_user("alice"))
        delays = []
        for attempt in range(1, mails.MAX_TRIES + 1):
            assert mails.deliver() == (1 if attempt == mails.MAX_TRIES else 0)
            db.session.refresh(mail)
            assert mail.tries == attempt
            delays.append((mail.next_try_at - now()).total_seconds())
            assert mails.deliver() == 0
            due_again(mail)
        assert mail.status is MailStatus.FAILED
        assert "ConnectionRefusedError" in mail.error
        assert delays[:4] == sorted(delays[:4])
        assert 30 < delays[0] <= 60
        assert delays[-1] <= 6 * 3600
        assert mails.deliver() == 0

    def test_a_failed_mail_can_be_tried_again(self, app: Flask, server: Server) -> None:
        mail = post(make_user("alice"))
        mail.status, mail.tries = MailStatus.FAILED, mails.MAX_TRIES
        db.session.commit()
        mails.try_again(make_admin(), mail)
        assert [task.name for task in app.sent][-1] == "mail.deliver"
        assert mails.deliver() == 1
        assert mail.status is MailStatus.SENT

    def test_a_mail_that_went_out_is_not_sent_again(self, server: Server) -> None:
        mail = post(make_user("alice"))
        mails.deliver()
        with pytest.raises(Conflict, match="went out already"):
            mails.try_again(make_admin(), mail)

    def test_every_failed_mail_can_be_tried_again_at_once(self, app: Flask) -> None:
        alice = make_user("alice")
        failed = [post(alice), post(alice)]
        for mail in failed:
            mail.status = MailStatus.FAILED
        db.session.commit()
        assert mails.try_all_again(make_admin()) == 2
        assert mails.deliver() == 2


class TestFolder:
    def test_without_a_server_a_mail_is_written_to_the_folder(self, app: Flask) -> None:
        mail = post(make_user("alice"))
        assert mails.deliver() == 1
        assert mail.status is MailStatus.WRITTEN
        (path,) = Path(app.config["MAIL_FOLDER"]).iterdir()
        written = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        assert (written["To"], written["Subject"]) == ("alice@example.org", "Confirm your e-mail address")
        assert "http://localhost/verify/a-token" in written.get_body(("plain",)).get_content()
        assert "http://localhost/verify/a-token" in written.get_body(("html",)).get_content()

    def test_a_folder_that_cannot_be_written_is_an_error_of_the_mail(self, app: Flask, tmp_path: Path) -> None:
        (tmp_path / "taken").write_text("a file")
        app.config["MAIL_FOLDER"] = str(tmp_path / "taken")
        mail = post(make_user("alice"))
        assert mails.deliver() == 0
        assert mail.status is MailStatus.QUEUED
        assert "FileExistsError" in mail.error


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.pem, and server.pem and stranger.pem (key and certificate) signed by it and by nobody."""
    folder = tmp_path_factory.mktemp("authority")
    key = ec.generate_private_key(ec.SECP256R1())
    ca = _certificate("SRS test authority", key, "SRS test authority", key, is_ca=True)
    (folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    own = ec.generate_private_key(ec.SECP256R1())
    _write(folder / "server.pem", own, _certificate("localhost", own, "SRS test authority", key))
    _write(folder / "stranger.pem", own, _certificate("localhost", own, "localhost", own))
    return folder


def _certificate(name: str, key: Any, issuer: str, signer: Any, is_ca: bool = False) -> x509.Certificate:
    named = lambda word: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, word)])  # noqa: E731
    usage = {
        "digital_signature": True, "key_cert_sign": is_ca, "crl_sign": is_ca, "content_commitment": False,
        "key_encipherment": False, "data_encipherment": False, "key_agreement": False, "encipher_only": False,
        "decipher_only": False,
    }  # fmt: skip
    today = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )


def _write(path: Path, key: Any, certificate: x509.Certificate) -> None:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))


def _tls(folder: Path, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / name)
    return context


class TestEncryption:
    def test_starttls_with_a_password_and_an_authority_of_ones_own(self, app: Flask, authority: Path) -> None:
        told = []

        def check(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
            told.append((data.login, data.password))
            return AuthResult(success=True)

        server = Server(
            tls_context=_tls(authority, "server.pem"), require_starttls=True, authenticator=check, auth_required=True
        )
        config = {"MAIL_USE_TLS": True, "MAIL_USERNAME": "srs", "MAIL_PASSWORD": "secret", "MAIL_SERVER": "localhost"}
        for each in _running(app, server, MAIL_CA_FILE=str(authority / "ca.pem"), **config):
            mail = post(make_user("alice"))
            assert mails.deliver() == 1, mail.error
            assert len(each.box.received) == 1
        assert told == [(b"srs", b"secret")]

    @pytest.mark.parametrize(
        ("host", "certificate"), [("localhost", "stranger.pem"), ("127.0.0.1", "server.pem")], ids=["unknown", "other"]
    )
    def test_a_wrong_certificate_is_refused(self, app: Flask, authority: Path, host: str, certificate: str) -> None:
        server = Server(tls_context=_tls(authority, certificate))
        config = {"MAIL_USE_TLS": True, "MAIL_SERVER": host, "MAIL_CA_FILE": str(authority / "ca.pem")}
        for each in _running(app, server, **config):
            mail = post(make_user("alice"))
            assert mails.deliver() == 0
            assert "CERTIFICATE_VERIFY_FAILED" in mail.error
            assert each.box.received == []

    def test_a_server_without_encryption_is_refused_when_it_was_asked_for(self, app: Flask) -> None:
        for each in _running(app, Server(), MAIL_USE_TLS=True):
            mail = post(make_user("alice"))
            assert mails.deliver() == 0
            assert "STARTTLS" in mail.error
            assert each.box.received == []


class TestHeaders:
    @pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
    def test_a_subject_cannot_add_a_header(self, server: Server, ending: str) -> None:
        mail = post(make_user("alice"), f"Round 1{ending}Bcc: mallory@example.org")
        assert not any(letter in mail.subject for letter in "\r\n")
        mails.deliver()
        (received,) = server.box.received
        assert received["Bcc"] is None
        assert received["Subject"] == "Round 1 Bcc: mallory@example.org"

    def test_an_address_cannot_add_a_header_or_a_recipient(self, server: Server) -> None:
        mail = post(make_user("alice", email="alice@example.org\r\nBcc: mallory@example.org"))
        assert mails.deliver() == 0
        assert mail.status is MailStatus.QUEUED
        assert mail.error
        assert server.box.received == []

    def test_the_same_holds_for_mails_in_the_folder(self, app: Flask) -> None:
        mail = post(make_user("alice", email="alice@example.org\nBcc: mallory@example.org"))
        assert mails.deliver() == 0
        assert mail.error


class TestPost:
    def test_links_are_built_on_the_public_address(self, app: Flask) -> None:
        app.config["PUBLIC_URL"] = "https://srs.example.org/course"
        mail = post(make_user("alice"))
        assert "https://srs.example.org/course/verify/a-token" in mail.text

    def test_a_rolled_back_use_case_mails_nobody(self, app: Flask) -> None:
        mails.post(make_user("alice"), "verify", "Confirm", token="t")
        db.session.rollback()
        assert mails.outbox(1) == ([], 0)

    def test_everybody_who_plays_is_told_of_a_phase_once(self, app: Flask) -> None:
        row, team = make_round(), make_team("Red", make_user("alice"), make_user("bob"))
        make_user("mallory")
        rounds.set_phase(make_admin(), row, Phase.DEFENCE)
        rounds.announce()
        found, total = mails.outbox(1)
        assert total == 2
        assert {mail.recipient for mail in found} == {member.user.email for member in team.memberships}
        assert {mail.subject for mail in found} == {"Round 1: Defence phase"}


class TestOutbox:
    def test_it_is_paged_and_filtered(self, app: Flask) -> None:
        alice = make_user("alice")
        for _ in range(3):
            post(alice)
        first = db.session.get_one(Mail, 1)
        first.status = MailStatus.FAILED
        db.session.commit()
        assert [mail.id for mail in mails.outbox(1, size=2)[0]] == [3, 2]
        assert [mail.id for mail in mails.outbox(2, size=2)[0]] == [1]
        assert mails.outbox(1, status="failed") == ([first], 1)
        assert mails.outbox(1, status="nonsense")[1] == 3
