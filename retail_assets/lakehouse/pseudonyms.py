"""Pseudonyms: ids that cannot be traced back without a secret key, and are the same wherever a source has the id.

What people read holds pseudonyms, what it is made from the ids themselves; which tables and columns these are is told
where tables are wired. The I/O manager swaps them as a step of the former reads a table of the latter: the whole step
then knows pseudonyms only, its joins and its checks against silver included, and table code knows nothing of it.
"""

import hmac
from collections.abc import Collection
from hashlib import sha256

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

_BLOCK = 64  # SHA-256's, in bytes


def pseudonym(key: str, identifier: Column) -> Column:
    """HMAC-SHA256 (RFC 2104) of a text, as 64 hexadecimal digits; NULL stays NULL.

    Spark has no HMAC of its own, but all that it is made of. A plain hash would not do: customer numbers are few enough
    to hash them all. The key shows, padded, in the query plans of the cluster's own Spark UI, and nowhere else.
    """
    secret = key.encode()
    padded = (secret if len(secret) <= _BLOCK else sha256(secret).digest()).ljust(_BLOCK, b"\0")
    inner, outer = (F.lit(bytes(byte ^ pad for byte in padded)) for pad in (0x36, 0x5C))
    return F.sha2(F.concat(outer, F.unhex(F.sha2(F.concat(inner, F.encode(identifier, "UTF-8")), 256))), 256)


def pseudonym_of(key: str, identifier: str) -> str:
    """The pseudonym of one id, as `pseudonym` makes it."""
    return hmac.new(key.encode(), identifier.encode(), sha256).hexdigest()


def key_of(key: str, source: str) -> str:
    """A source's own key, made from the secret one: who has the same id elsewhere has another pseudonym there."""
    return hmac.new(key.encode(), source.encode(), sha256).hexdigest()


def pseudonymised(frame: DataFrame, key: str, ids: Collection[str]) -> DataFrame:
    """The frame with pseudonyms in place of the columns `ids`, where it has them."""
    present = [name for name in frame.columns if name in ids]
    return frame.withColumns({name: pseudonym(key, F.col(name)) for name in present}) if present else frame
