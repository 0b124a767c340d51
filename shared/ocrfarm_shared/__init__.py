"""The contracts that the gateway and the workers both speak. Nothing that only one side needs."""
