"""Slack behind a proxy that signs its certificate itself: SSL_CERT_FILE names the authority."""

import asyncio
import datetime as dt
import ssl
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support.slack_http import SlackServer, slack_answer

PROGRAM = """
import asyncio, sys
from worker.domain.errors import SlackError
from worker.domain.integration import Secret
from worker.slack.gateway import SlackGateway

async def main():
    gateway = SlackGateway(sys.argv[1])
    try:
        print((await gateway.identify(Secret("xoxb-1"))).team)
    except SlackError as error:
        print(error.code, error.reason)
    await gateway.aclose()

asyncio.run(main())
"""


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate of localhost that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )  # fmt: skip
    return paths


@pytest.mark.slow
async def test_a_certificate_is_trusted_when_ssl_cert_file_names_its_authority(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    slack = SlackServer([slack_answer(ok=True, team_id="T01", user_id="U01", team="Acme")])
    server = await asyncio.start_server(slack.serve, "127.0.0.1", 0, ssl=context)
    url = f"https://localhost:{server.sockets[0].getsockname()[1]}/api/"

    async def call(**environment: str) -> str:
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, url, env=environment, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await program.communicate()
        return out.decode().strip()

    assert await call(SSL_CERT_FILE=str(certificate)) == "Acme"
    untrusted = await call()
    assert untrusted.startswith("certificate_untrusted The certificate of localhost is not trusted (")
    assert "SSL_CERT_FILE" in untrusted
    server.close()
    await slack.end()
    await server.wait_closed()
