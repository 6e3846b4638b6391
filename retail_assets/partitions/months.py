"""Reckoning in months."""

from datetime import date


def month_number(day: date) -> int:
    """Of the day's month: months follow each other as numbers do."""
    return day.year * 12 + day.month - 1


def first_day(number: int) -> date:
    """Of the month of that number."""
    return date(number // 12, number % 12 + 1, 1)


def months_later(day: date, months: int) -> date:
    """The first day of the month that is so many months after the day's own; before it, of a negative number."""
    return first_day(month_number(day) + months)
