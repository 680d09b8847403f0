"""The shell: full pages, permissions closed by default, headers, errors, languages."""

from __future__ import annotations


def test_components_render(signed_in):
    answer = signed_in().get("/components")
    assert answer.status_code == 200, answer.get_data(as_text=True)
