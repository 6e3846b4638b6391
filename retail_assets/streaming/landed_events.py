"""landed_events: every message of a shop's topic, as it came; how far that is stands in the table's own log."""

from pyspark.sql import types as T

from retail_assets.lakehouse.contracts import Contract, Count, Day, Integer, Moment, Text, column, month_directory
from retail_assets.lakehouse.contracts import partition as partition_by
from retail_assets.lakehouse.layers import BRONZE
from retail_assets.lakehouse.results_table import ResultsTable

TOLD = "written by `retail stream`"


class LandedEvents(Contract):
    """Every message of the shop's topic of events, as it came, with the partition and offset it came from.

    Nothing is interpreted but which day a message belongs to and which message it is about. What is no event (a
    tombstone, no JSON, no object, without a date) is kept with the reason, and goes to quarantine by way of bronze.
    """

    topic: Text = column("Topic of the message")
    partition: Integer = column("Partition of the topic", ge=0)
    offset: Count = column("Offset of the message in its partition", ge=0)
    kafka_time: Moment = column("When the message was made, or taken by the broker, as Kafka says", unit="UTC")
    message_key: Text = column("Key of the message; bytes that are no text are written \\xNN", nullable=True)
    value: Text = column("The message as it came; bytes that are no text are written \\xNN", nullable=True)
    value_bytes: T.BinaryType = column("The bytes of a message that are no text; else NULL", nullable=True)
    problem: Text = column("Why the message is no event; else NULL", nullable=True)
    event_key: Text = column("What the event is about, by the description's key; else NULL", nullable=True)
    event_version: Count = column("The source's own version, or moment in microseconds; else NULL", nullable=True)
    unknown_fields: Text = column("Fields that the description does not know, by name", nullable=True)
    landed_at: Moment = column("When the message was landed", unit="UTC", of_the_writing=True)
    event_day: Day = partition_by("Day of the event in the shop's time zone; of what is no event, of Kafka's time")
    event_month: Text = month_directory("the event")


build = ResultsTable(LandedEvents, BRONZE, told=TOLD)
