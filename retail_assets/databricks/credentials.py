"""Who Dagster is in a workspace: its address, and exactly one way to log in, from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from retail_assets.settings import SettingError, required

TOKEN = ("DATABRICKS_TOKEN",)
OAUTH = ("DATABRICKS_CLIENT_ID", "DATABRICKS_CLIENT_SECRET")
AZURE = ("ARM_CLIENT_ID", "ARM_CLIENT_SECRET", "ARM_TENANT_ID")


@dataclass(frozen=True)
class Credentials:
    """Exactly one of the three ways to authenticate. Its repr shows no secret."""

    token: str | None = field(default=None, repr=False)
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    azure_client_id: str | None = None
    azure_client_secret: str | None = field(default=None, repr=False)
    azure_tenant_id: str | None = None

    @property
    def client_arguments(self) -> dict[str, Any]:
        """As the SDK's Config takes them; `auth_type` keeps it from looking for others."""
        if self.token:
            return {"auth_type": "pat", "token": self.token}
        if self.client_id:
            return {"auth_type": "oauth-m2m", "client_id": self.client_id, "client_secret": self.client_secret}
        return {
            "auth_type": "azure-client-secret",
            "azure_client_id": self.azure_client_id,
            "azure_client_secret": self.azure_client_secret,
            "azure_tenant_id": self.azure_tenant_id,
        }


def read_host(given: Mapping[str, str]) -> str:
    variable = "DATABRICKS_HOST"
    example = "https://adb-1234567890123456.7.azuredatabricks.net"
    value = required(given, variable, f"the workspace's address, such as {example}")
    address = urlsplit(value if "://" in value else f"https://{value}")
    if address.scheme not in ("http", "https") or not address.hostname or address.path.strip("/") or address.query:
        raise SettingError(f"{variable}={value!r} is not a workspace's address alone, such as {example}.")
    return f"{address.scheme}://{address.netloc}"


def read_credentials(given: Mapping[str, str]) -> Credentials:
    ways = [TOKEN, OAUTH, AZURE]
    begun = [way for way in ways if any(name in given for name in way)]
    choices = "; or ".join(" and ".join(way) for way in ways)
    if not begun:
        raise SettingError(f"Nothing says how to authenticate with Databricks. Set {choices}.")
    if len(begun) > 1:
        present = ", ".join(name for way in begun for name in way if name in given)
        raise SettingError(f"{present} are set together, which leaves open whom to be. Set only {choices}.")
    missing = [name for name in begun[0] if name not in given]
    if missing:
        present = " and ".join(name for name in begun[0] if name in given)
        raise SettingError(f"{' and '.join(missing)} must be set as well, beside {present}. Set {choices}.")
    return Credentials(
        token=given.get("DATABRICKS_TOKEN"),
        client_id=given.get("DATABRICKS_CLIENT_ID"),
        client_secret=given.get("DATABRICKS_CLIENT_SECRET"),
        azure_client_id=given.get("ARM_CLIENT_ID"),
        azure_client_secret=given.get("ARM_CLIENT_SECRET"),
        azure_tenant_id=given.get("ARM_TENANT_ID"),
    )
