"""How webhooks are signed: as Standard Webhooks 1.0 says (https://www.standardwebhooks.com), for which most languages have a library.

    webhook-id: job_…            the same at every attempt
    webhook-timestamp: 1760000000
    webhook-signature: v1,BASE64 of HMAC-SHA256(secret, "ID.TIMESTAMP.BODY")

Each tenant has a secret of its own, made from the farm's: a tenant who knows his cannot sign for another.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

PREFIX = "whsec_"


def tenant_secret(farm_secret: str, tenant: str) -> bytes:
    return hmac.digest(farm_secret.encode(), f"webhook:{tenant}".encode(), hashlib.sha256)


def shown(secret: bytes) -> str:
    """As it is given to whoever receives."""
    return PREFIX + base64.b64encode(secret).decode()


def signed(secret: bytes, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of one message."""
    mac = hmac.digest(secret, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }
