"""What a receiver of webhooks needs: the secret that they are signed with."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from ocrfarm_api.callers import Submitter
from ocrfarm_api.deps import TheFarm
from ocrfarm_api.hook_signing import shown, tenant_secret
from ocrfarm_api.routes.answers import as_json, problems
from ocrfarm_shared.contracts import WebhookSecret
from ocrfarm_shared.errors import NotFound

router = APIRouter(tags=["webhooks"])


@router.get("/v1/webhooks/secret", response_model=WebhookSecret, responses=problems(404, 503))
async def webhook_secret(farm: TheFarm, caller: Submitter) -> Response:
    """The secret of your webhooks: HMAC-SHA256 over `ID.TIMESTAMP.BODY`, as Standard Webhooks says. It is your tenant's own."""
    if not farm.settings.webhook_secret or not farm.settings.webhook_hosts:
        raise NotFound(
            "This farm sends no webhooks; whoever runs it sets OCRFARM_WEBHOOK_SECRET and OCRFARM_WEBHOOK_HOSTS."
        )
    return as_json(WebhookSecret(secret=shown(tenant_secret(farm.settings.webhook_secret, caller.tenant))))
