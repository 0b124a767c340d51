"""Make the Redis users of a farm: `users.acl` for Redis, and for each part of the farm a file with its own name and password.

    python infra/redis/make_users.py --out FOLDER [--namespace of] [--database 0] [--again | --keep]

FOLDER then holds, readable by you alone:
    users.acl       one user a role, passwords as SHA-256; for redis.conf's `aclfile`
    gateway.env     OCRFARM_REDIS_USER and OCRFARM_REDIS_PASSWORD for `ocrfarm api`; likewise dispatcher, worker, flower
    admin.env       the one who may do everything: for you, for no part of the farm

Copy each file to the machines that run that part, and nowhere else. `--again` makes new passwords; `--keep` leaves those that are there,
makes what is missing, and writes users.acl anew: a release may let a part do more than the one before it. Without either, files that are
there are left and the command fails. After a change: put users.acl in place and say `ACL LOAD` (as admin) to Redis.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

from ocrfarm_shared.redis_users import acl_file, new_passwords


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0, or 1 where files are there already."""
    parser = argparse.ArgumentParser(description="Make the Redis users of a farm.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the files")
    parser.add_argument("--namespace", default="of", help="OCRFARM_NAMESPACE of the farm [default: of]")
    parser.add_argument(
        "--database", type=int, default=0, help="its number at the end of OCRFARM_REDIS_URL [default: 0]"
    )
    there = parser.add_mutually_exclusive_group()
    there.add_argument("--again", action="store_true", help="make new passwords though there are some")
    there.add_argument(
        "--keep", action="store_true", help="keep the passwords that there are, say anew what each may do"
    )
    chosen = parser.parse_args(arguments)
    if not re.fullmatch(r"[a-z0-9_-]{1,32}", chosen.namespace):
        parser.error("--namespace takes up to 32 of a-z, 0-9, _ and -")
    passwords = new_passwords()
    if chosen.keep:
        passwords |= {name: found for name in passwords if (found := _password_in(chosen.out / f"{name}.env"))}
    files = {"users.acl": acl_file(chosen.namespace, passwords, chosen.database)} | {
        f"{name}.env": f"OCRFARM_REDIS_USER={name}\nOCRFARM_REDIS_PASSWORD={password}\n"
        for name, password in passwords.items()
    }
    found = [name for name in files if (chosen.out / name).exists()]
    if found and not chosen.again and not chosen.keep:
        print(
            f"{chosen.out} has {', '.join(found)} already; say --again to make new passwords, or --keep to keep them.",
            file=sys.stderr,
        )
        return 1
    chosen.out.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = chosen.out / name
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(text)
    print(f"{chosen.out}: {', '.join(files)}")
    return 0


def _password_in(path: Path) -> str | None:
    """The password in a part's file, if there is one."""
    if not path.exists():
        return None
    match = re.search(r"^OCRFARM_REDIS_PASSWORD=(\S+)$", path.read_text("ascii"), re.MULTILINE)
    return match[1] if match else None


if __name__ == "__main__":
    sys.exit(main())
