"""What is known of the countries that shops sell to, as a source of statistics must tell it."""

from retail_assets.lakehouse.contracts import Contract, Day, Integer, Real, Text, column, partition


class Economies(Contract):
    """One row for each economy and year. It is read where a source of such figures is at work."""

    country_code: Text = column("ISO 3166-1 alpha-3 code, or the World Bank's own")
    year: Integer = column("Year")
    population: Real = column("Inhabitants", nullable=True)
    gdp_per_head: Real = column("Gross domestic product per inhabitant", unit="current USD", nullable=True)
    snapshot: Day = partition("Stands for all of it")
