"""Content: templates, MJML, links and the text part, compiled once and filled in per recipient."""
