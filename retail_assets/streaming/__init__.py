"""Events as a second kind of landing: a topic's messages, kept as they came, and read as a day's drops are."""
