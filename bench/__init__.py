"""Benchmarks on the product's own paths, each against a bound measured in the same run."""
