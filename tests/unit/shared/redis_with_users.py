"""A real Redis with a user a role, and a ledger whose every call is made by the role that it belongs to."""

from __future__ import annotations

from typing import Any

import redis
from tests.conftest import RedisServer

from ocrfarm_shared.ledger import Ledger
from ocrfarm_shared.ledger.calls import Call
from ocrfarm_shared.redis_users import ADMIN, ROLES, SCRIPTS, Role, acl_file, new_passwords


class Users:
    """The server's users, all for one namespace."""

    def __init__(self, server: RedisServer, namespace: str) -> None:
        self.server, self.namespace = server, namespace
        self.passwords = new_passwords()
        file = server.folder / "users.acl"
        file.write_text(acl_file(namespace, self.passwords), "ascii")
        with redis.Redis.from_url(server.url) as connection:
            self.version: tuple[int, ...] = tuple(
                int(n) for n in str(connection.info("server")["redis_version"]).split(".")
            )
        # The file is read at the start, so the server starts again with it; its default user may do nothing from then on.
        server.kill()
        server.arguments = ("--aclfile", str(file))
        server.start(self.url(ADMIN))

    def url(self, user: str) -> str:
        return f"redis://{user}:{self.passwords[user]}@127.0.0.1:{self.server.port}/0"

    def connect(self, user: str) -> redis.Redis:
        return redis.Redis.from_url(self.url(user))

    def denied(self) -> list[str]:
        """What Redis refused to anybody since the last look: "user reason object"."""
        with self.connect(ADMIN) as connection:
            log = connection.acl_log(1000)
            connection.acl_log_reset()
        said = (f"{row['username']} {row['reason']} {row['object']}" for row in log)
        # redis-py tells its own name and version at each connection, on 6.2 to no effect, and goes on where it may not.
        return sorted({row for row in said if not row.endswith(("command client", "command client|setinfo"))})


class LedgerByRole(Ledger):
    """Calls each script as the role that calls it in a farm. `redis` is the admin's: tests look and meddle with it."""

    def __init__(self, users: Users) -> None:
        super().__init__(users.connect(ADMIN), users.namespace)
        self._roles: dict[Role, Ledger] = {r: Ledger(users.connect(r), users.namespace) for r in ROLES}
        self._of = {script: role for role, scripts in SCRIPTS.items() for script in scripts}

    def __call__(self, call: Call[Any]) -> Any:
        return self._roles[self._of[call.script]](call)

    def close(self) -> None:
        for ledger in self._roles.values():
            ledger.close()
        super().close()
