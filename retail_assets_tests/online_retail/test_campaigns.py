"""Campaigns: lists that are landed, and what they brought against those who were held out."""

from datetime import date
from pathlib import Path
from random import Random
from statistics import mean, variance
from typing import Any

import pytest
from click.testing import CliRunner
from pyspark.sql import Row, SparkSession

from retail_assets import campaign_command
from retail_assets.invoices.campaign_results import CampaignResults, campaign_results
from retail_assets.invoices.campaigns import Campaigns
from retail_assets.invoices.clean_transactions import CleanTransactions
from retail_assets.lakehouse.contracts import conform
from retail_assets.landing.campaign_lists import (
    Contact,
    ListRefused,
    forget_contacts,
    land_list,
    landed_contacts,
    read_list,
)
from retail_assets.landing.drops import LandingZone
from retail_assets.settings import Settings
from retail_assets_tests.online_retail.frames import frame, sale

TODAY, JUNE = date(2011, 12, 10), date(2011, 6, 1)
HEAD = "customer_id,reason,campaign,contacted_on,group\n"


def listed(tmp_path: Path, text: str, **given: Any) -> list[Contact]:
    file = tmp_path / "list.csv"
    file.write_text(text, encoding="utf-8-sig")
    return read_list(file, TODAY, **given)


def test_a_list_is_read_as_retail_audience_writes_it(tmp_path: Path):
    text = HEAD + '17850,"=1, or so",spring,2011-06-05,contacted\n\'-13,x,spring,2011-06-05,Control\n\n'
    assert listed(tmp_path, text) == [
        Contact("17850", "spring", date(2011, 6, 5), "contacted"),
        Contact("-13", "spring", date(2011, 6, 5), "control"),
    ]
    short = listed(tmp_path, "Customer ID,Group\n1,contacted\n", campaign="fall", contacted_on=date(2011, 9, 1))
    assert short == [Contact("1", "fall", date(2011, 9, 1), "contacted")]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("customer_id,group\n1,contacted\n", "no column campaign, contacted_on"),
        (HEAD + "1,x,spring,05/06/2011,contacted\n", "line 2: contacted_on is '05/06/2011', not a date"),
        (HEAD + "1,x,spring,2012-01-01,contacted\n", "up to today"),
        (HEAD + "1,x,spring,2011-06-05,maybe\n", "line 2: group is 'maybe'"),
        (HEAD + ",x,spring,2011-06-05,contacted\n", "line 2: a customer and a campaign"),
        (HEAD + "1,x,../spring,2011-06-05,contacted\n", "line 2: a customer and a campaign"),
        (HEAD + "1,x,a,2011-06-05,contacted\n1,x,a,2011-06-05,control\n", "customer 1 of a stands in it more than"),
        (HEAD + "1,x,a,2011-06-05,control\n1,x,a,2011-06-05,control\n", "more than once"),
        (HEAD, "nobody was contacted"),
    ],
)
def test_a_list_that_cannot_be_gone_by_is_refused_with_what_to_do(tmp_path: Path, text: str, told: str):
    with pytest.raises(ListRefused) as refused:
        listed(tmp_path, text)
    assert told in str(refused.value)
    assert "list.csv" in str(refused.value)


def test_the_command_lands_lists_and_landing_again_replaces_them(tmp_path: Path):
    environment = {"RETAIL_LANDING": str(tmp_path / "landing"), "RETAIL_LAKEHOUSE": str(tmp_path / "lakehouse")}
    settings, file = Settings.read(environment), tmp_path / "list.csv"

    def landed(text: str) -> tuple[str, list[Contact]]:
        file.write_text(text)
        done = CliRunner().invoke(campaign_command.campaign, [str(file), "--source", "online_retail"], obj=settings)
        assert done.exit_code == 0, done.output
        zone = LandingZone(settings.landing)
        return done.output, [c for _, found in landed_contacts(zone, "online_retail", [JUNE]) for c in found]

    told, contacts = landed(HEAD + "1,x,spring,2011-06-05,contacted\n2,x,spring,2011-06-05,control\n")
    assert "1 contacted, 1 held out" in told
    assert "retail run --select campaigns --from 2011-06-01 --to 2011-06-05 --all" in told
    assert [contact.customer_id for contact in contacts] == ["1", "2"]
    told, contacts = landed(HEAD + "3,x,spring,2011-06-05,contacted\n")
    assert [contact.customer_id for contact in contacts] == ["3"]
    assert "cannot be told" in told


def test_who_is_forgotten_is_in_no_list_any_more(tmp_path: Path):
    zone, day = LandingZone(str(tmp_path)), date(2011, 6, 5)
    land_list([Contact("1", "spring", day, "contacted"), Contact("2", "spring", day, "control")], zone, "shop")
    land_list([Contact("1", "alone", day, "contacted")], zone, "shop")
    assert forget_contacts(zone, "shop", {"1"}) == 2
    assert [(drop.name, found) for drop, found in landed_contacts(zone, "shop", [JUNE])] == [
        ("spring_2011-06-05.csv", [Contact("2", "spring", day, "control")])
    ]
    assert forget_contacts(zone, "shop", {"1"}) == 0


def contact(customer: str, group: str, day: str = "2011-06-10", campaign: str = "spring") -> dict[str, Any]:
    month = f"{day[:7]}-01"
    return {"campaign": campaign, "customer_id": customer, "contacted_on": day, "group": group, "snapshot_month": month}


def results(
    spark: SparkSession, contacts: list[dict[str, Any]], sales: list[dict[str, Any]], as_of: date = date(2011, 10, 1)
) -> dict[str, Row]:
    of = spark.createDataFrame([(date(2011, 9, 1), as_of)], "snapshot_month date, as_of_date date")
    made = campaign_results(frame(spark, Campaigns, contacts), frame(spark, CleanTransactions, sales), of)
    return {row.campaign: row for row in conform(made, CampaignResults).collect()}


def bought(day: str, invoice: int, total: float, customer: str) -> dict[str, Any]:
    return sale(day, f"{500000 + invoice}", f"{total:.3f}", customer_id=customer)


def test_what_a_campaign_brought_is_the_difference_to_those_held_out_with_its_interval(spark: SparkSession):
    random, spent, contacts, sales = Random(1), {"contacted": [], "control": []}, [], []  # type: ignore[var-annotated]
    for group, count, chance in (("contacted", 120, 0.7), ("control", 60, 0.3)):
        for number in range(count):
            customer = f"{group}{number}"
            contacts.append(contact(customer, group))
            amount = round(random.uniform(5, 50), 2) if random.random() < chance else 0.0
            spent[group].append(amount)
            if amount:
                sales.append(bought("2011-07-01", len(sales), amount, customer))
    row = results(spark, contacts, sales)["spring"]
    assert (row.contacted, row.held_out, row.days_seen) == (120, 60, 90)
    for figure, of in (("bought", lambda amount: float(amount > 0)), ("spend", float)):
        own, held = ([of(amount) for amount in spent[group]] for group in ("contacted", "control"))
        uplift = mean(own) - mean(held)
        half = 1.96 * (variance(own) / len(own) + variance(held) / len(held)) ** 0.5
        assert row[f"uplift_{figure}"] == pytest.approx(uplift)
        assert row[f"uplift_{figure}_lower"] == pytest.approx(uplift - half)
        assert row[f"uplift_{figure}_upper"] == pytest.approx(uplift + half)
        assert row[f"{figure}_verdict"] == "more"


def test_what_cannot_be_told_is_not_told(spark: SparkSession):
    few = [contact(f"few{n}", "contacted" if n % 2 else "control", campaign="few") for n in range(40)]
    alike = [contact(f"alike{n}", "contacted" if n % 2 else "control", campaign="alike") for n in range(200)]
    alone = [contact(f"alone{n}", "contacted", campaign="alone") for n in range(100)]
    sales = [bought("2011-07-01", n, 10, f"few{n}") for n in range(1, 40, 2)]
    sales += [bought("2011-07-01", 100 + n, 10 + n % 7, f"alike{n}") for n in range(0, 200, 3)]
    sales += [bought("2011-07-01", 400 + n, 10, f"alone{n}") for n in range(100)]
    found = results(spark, [*few, *alike, *alone], sales)
    assert {(row.bought_verdict, row.spend_verdict) for row in found.values()} == {("cannot be told",) * 2}
    assert (found["few"].uplift_bought, found["few"].uplift_bought_lower) == (1.0, None)
    assert found["alike"].uplift_spend_lower < 0 < found["alike"].uplift_spend_upper
    assert (found["alone"].held_out, found["alone"].control_bought, found["alone"].uplift_spend) == (0, None, None)


def test_only_the_window_counts_and_only_as_far_as_it_has_passed(spark: SparkSession):
    sales = [
        bought("2011-06-09", 1, 1, "c"),  # before
        bought("2011-06-10", 2, 10, "c"),
        bought("2011-09-07", 3, 100, "c"),  # the last day
        bought("2011-09-08", 4, 1000, "c"),  # after
        sale("2011-06-11", "C500005", "-10.000", customer_id="c"),
    ]
    contacts = [contact("c", "contacted"), contact("nobody", "control")]
    whole, part = (results(spark, contacts, sales, end)["spring"] for end in (date(2011, 10, 1), date(2011, 9, 7)))
    assert (whole.days_seen, whole.contacted_spend, whole.control_spend) == (90, 110.0, 0.0)
    assert (part.days_seen, part.contacted_spend) == (89, 10.0)
    assert results(spark, [], sales) == {}
