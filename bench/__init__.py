"""Benchmarks: `make bench`. Each prints a table; figures once measured stand in bench/README.md."""
