"""The ledger: the one owner of job state, in Redis. Every transition is one Lua script, so none is ever half done."""

from ocrfarm_shared.ledger.client import AsyncLedger, Ledger

__all__ = ["AsyncLedger", "Ledger"]
