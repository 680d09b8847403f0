"""Customers: members of the loyalty programme, their contacts and custom attributes."""
