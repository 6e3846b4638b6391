"""Reports: self-contained HTML pages for people, made of figures that tables hold. Knows no table."""
