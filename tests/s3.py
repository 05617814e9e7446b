"""A server that speaks S3, on loopback: moto's, as a process of its own.

It can check the signatures of headers, but not those of addresses: with the former on it answers 500 to a signed address.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import urlencode

import obstore
from obstore.store import S3Store

from worker.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

BUCKET = "results"

POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}

#: Seconds in which the server comes up.
PATIENCE = 30.0


@dataclass
class S3Server:
    """Has one bucket and one user; where it checks signatures, it takes nothing that the user did not sign."""

    log: Path
    checks_signatures: bool = True

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
                env=os.environ
                | {"PYTHONUNBUFFERED": "1"}
                | ({"INITIAL_NO_AUTH_ACTION_COUNT": "4"} if self.checks_signatures else {}),
                stdout=log,
                stderr=log,
            )
        try:
            self.url = self._started()
            self._set_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self._process.terminate()
        self._process.wait()

    def _started(self) -> str:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._process.poll() is None:
            if found := re.search(r"Running on (http://127\.0\.0\.1:\d+)", self.log.read_text()):
                return found[1]
            time.sleep(0.02)
        raise AssertionError(f"no S3 server came up:\n{self.log.read_text()}")

    def _set_up(self) -> None:
        """A user who may do everything, and the bucket: the four requests that need no signature."""
        self._ask(Action="CreateUser", UserName="us")
        key = self._ask(Action="CreateAccessKey", UserName="us")
        self.key_id, self.secret = (re.findall(rf"<{name}>(.*?)</{name}>", key)[0] for name in ("AccessKeyId", "SecretAccessKey"))
        self._ask(Action="PutUserPolicy", UserName="us", PolicyName="all", PolicyDocument=json.dumps(POLICY))
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/{BUCKET}", method="PUT"), timeout=PATIENCE).close()

    def _ask(self, **form: str) -> str:
        """Ask what manages users."""
        scope = "x/20260101/us-east-1/iam/aws4_request"
        request = urllib.request.Request(f"{self.url}/", data=urlencode(form | {"Version": "2010-05-08"}).encode())
        request.add_header("Authorization", f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=x")
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return str(answer.read().decode())

    def settings(self, **others: str) -> dict[str, str]:
        """What a worker needs to be set to use it."""
        return {
            "BLOB_S3_BUCKET": BUCKET,
            "BLOB_S3_ENDPOINT": self.url,
            "BLOB_S3_ACCESS_KEY_ID": self.key_id,
            "BLOB_S3_SECRET_ACCESS_KEY": self.secret,
        } | others

    def store(self, prefix: str = "sips-worker") -> S3Store:
        """The bucket, below the prefix that workers use by default."""
        return S3Store(
            BUCKET,
            prefix=prefix,
            endpoint=self.url,
            region="us-east-1",
            access_key_id=self.key_id,
            secret_access_key=self.secret,
            client_options={"allow_http": True},
        )

    def contents(self, prefix: str = "sips-worker") -> dict[str, bytes]:
        """Every object of the prefix."""
        store = self.store(prefix)
        names = [item["path"] for page in obstore.list(store) for item in page]
        return {name: bytes(obstore.get(store, name).bytes()) for name in names}

    def empty(self) -> None:
        """Delete every object of the prefix."""
        obstore.delete(self.store(), list(self.contents()))


def made(settings: dict[str, str]) -> Settings:
    """Settings by the names that they have in the environment."""
    return Settings(_env_file=None, **{name.lower(): value for name, value in settings.items()})  # type: ignore[arg-type]
