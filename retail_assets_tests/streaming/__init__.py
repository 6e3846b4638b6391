"""Events as a second kind of landing."""
