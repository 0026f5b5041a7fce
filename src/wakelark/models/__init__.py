"""Networks: the tiny student and the heads of the accurate model."""
