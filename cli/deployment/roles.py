"""Set passwords of database roles as SCRAM verifiers. The server never receives the password, so no log contains it."""

import hashlib
import hmac
import os
from base64 import b64encode
from collections.abc import Mapping

from chassis.postgres.database import connect_alone, translated
from cli.failures import WRONG_USE, Failure

ROLES = tuple(f"placewire_{name}" for name in ("api", "eligibility", "exporter", "maintenance", "relay"))
# The secret that holds a role's password.
PASSWORD_OF = {role: f"{role}_password" for role in ROLES}
# The default of Postgres (scram_iterations).
ITERATIONS = 4096
SALT_BYTES = 16


def scram_verifier(password: str, salt: bytes | None = None) -> str:
    """Return the verifier that ``ALTER ROLE ... PASSWORD`` accepts. The password cannot be computed from it.

    Source: RFC 5802, section 3; the format is that of PostgreSQL 18, chapter 54.3 (pg_authid).
    Raises ``Failure`` for characters outside ASCII, which would need normalisation (SASLprep).
    """
    if not (password.isascii() and password.isprintable() and password):
        raise Failure("a role's password may only have printable ASCII characters", WRONG_USE)
    salt = salt or os.urandom(SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    client = hmac.digest(salted, b"Client Key", "sha256")
    server = hmac.digest(salted, b"Server Key", "sha256")
    stored = hashlib.sha256(client).digest()
    return f"SCRAM-SHA-256${ITERATIONS}:{_text(salt)}${_text(stored)}:{_text(server)}"


async def set_passwords(owner_url: str, passwords: Mapping[str, str]) -> None:
    """Set the password of each role in ``passwords``, all or none. Open connections are not closed.

    Raises the driver's error for an unknown role, and when the role of ``owner_url`` lacks privileges.
    """
    connection = await connect_alone(owner_url, application_name="placewire-cli", adopted=False)
    try:
        with translated(connection):
            async with connection.transaction():
                for role, password in passwords.items():
                    # A utility statement takes no parameters. Neither name nor verifier contains a quote.
                    await connection.execute(f"ALTER ROLE {role} PASSWORD '{scram_verifier(password)}'")
    finally:
        await connection.close()


def _text(binary: bytes) -> str:
    return b64encode(binary).decode()
