"""Faults while mailings are sent, and what each may cost; the server's record is the witness."""
