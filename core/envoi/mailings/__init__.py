"""Mailings: what a marketer writes, confirms, watches and reads the report of."""
