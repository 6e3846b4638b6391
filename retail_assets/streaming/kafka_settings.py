"""Where the broker is and how it is spoken to, from the environment: credentials stand nowhere else."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from retail_assets.settings import SettingError

PROTOCOLS = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True)
class KafkaSettings:
    """How to reach the brokers."""

    servers: str
    protocol: str = "plaintext"
    mechanism: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    certificates: str | None = None
    """A file with the certificates of the authority that signed the brokers'; else the machine's own."""

    @staticmethod
    def read(environment: Mapping[str, str] | None = None) -> "KafkaSettings":
        """Raises SettingError, naming the variable."""
        given = os.environ if environment is None else environment
        environment = {name: value.strip() for name, value in given.items() if value.strip()}
        servers = environment.get("RETAIL_KAFKA_SERVERS")
        if not servers:
            raise SettingError("RETAIL_KAFKA_SERVERS is not set: name the brokers, such as kafka.example.org:9092.")
        user, password = environment.get("RETAIL_KAFKA_USER"), environment.get("RETAIL_KAFKA_PASSWORD")
        if bool(user) != bool(password):
            raise SettingError("RETAIL_KAFKA_USER and RETAIL_KAFKA_PASSWORD go together: one of them is not set.")
        protocol = environment.get("RETAIL_KAFKA_PROTOCOL", "sasl_ssl" if user else "plaintext").lower()
        if protocol not in PROTOCOLS:
            raise SettingError(f"RETAIL_KAFKA_PROTOCOL={protocol!r} is none of {', '.join(PROTOCOLS)}.")
        if protocol.startswith("sasl") != bool(user):
            raise SettingError(f"RETAIL_KAFKA_PROTOCOL={protocol!r} and RETAIL_KAFKA_USER go together, or neither.")
        mechanism = environment.get("RETAIL_KAFKA_MECHANISM", "SCRAM-SHA-512") if user else None
        if mechanism and mechanism not in MECHANISMS:
            raise SettingError(f"RETAIL_KAFKA_MECHANISM={mechanism!r} is none of {', '.join(MECHANISMS)}.")
        certificates = environment.get("RETAIL_KAFKA_CERTIFICATES")
        return KafkaSettings(servers, protocol, mechanism, user, password, certificates)

    def client(self) -> dict[str, Any]:
        """As librdkafka wants it."""
        told: dict[str, Any] = {
            "bootstrap.servers": self.servers,
            "security.protocol": self.protocol,
            "client.id": "retail-stream",
        }
        optional = {
            "sasl.mechanism": self.mechanism,
            "sasl.username": self.user,
            "sasl.password": self.password,
            "ssl.ca.location": self.certificates,
        }
        return told | {name: value for name, value in optional.items() if value}
