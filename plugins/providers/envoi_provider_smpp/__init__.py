"""SMPP 3.4: SMS through an operator's own protocol."""
