"""Pages of Envoi: one package per area, all on the shell in `templates/base.html`."""
