"""Alerts: what fails, is late or stays failed is told once to whoever wants to know, and so is its recovery.

One sensor per channel, each with a ledger of its own in Dagster's storage: a dead channel holds up no other. Read in
this order: `settings` (who hears of what), `problems` (the ledger: what is there to tell, pure), `messages` (how it is
said, pure), `events` (what Dagster's storage knows), `delivery` (Slack, Teams, email, webhook), `sensor` (one tick).
"""
