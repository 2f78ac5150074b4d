"""Make, fetch, check and convert data sets; imports nothing from the other folders."""
