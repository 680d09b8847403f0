"""What an employee sets for themselves: language, theme, password, company."""
