"""Online Retail as it is published, and described in shops/online_retail.toml."""

from retail_assets.shops.description import built_in

ONLINE_RETAIL = built_in("online_retail")
